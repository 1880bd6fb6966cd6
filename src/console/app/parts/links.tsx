import { maySeeAll } from '../auth/tokens.ts'
import { href } from '../router.ts'

/** A client by its id, with the way there for whom it is shown. */
export function ClientLink({ id, isRow = false }: { readonly id: string; readonly isRow?: boolean }) {
  const name = <bdi>{id}</bdi>
  const look = isRow ? 'row' : undefined
  if (!maySeeAll.value) return <span class={look}>{name}</span>
  return (
    <a class={look} href={href(`/clients/${encodeURIComponent(id)}`)}>
      {name}
    </a>
  )
}

/** The group of this name. */
export function GroupLink({ name, isRow = false }: { readonly name: string; readonly isRow?: boolean }) {
  return (
    <a class={isRow ? 'row' : undefined} href={href(`/groups/${encodeURIComponent(name)}`)}>
      <bdi>{name}</bdi>
    </a>
  )
}
