/** Short words beside a row, or one that stands for none. */
export function Tags({ of, none }: { readonly of: readonly string[]; readonly none?: string }) {
  if (of.length === 0) return <>{none}</>
  return (
    <>
      {of.map(word => (
        <span class="tag" key={word}>
          {word}
        </span>
      ))}
    </>
  )
}
