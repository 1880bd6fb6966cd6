import { useState } from 'preact/hooks'

/** A secret that is shown once. */
export function Secret({ name, value }: { readonly name: string; readonly value: string }) {
  const [isCopied, setCopied] = useState(false)
  const copy = () => void navigator.clipboard.writeText(value).then(() => setCopied(true))
  return (
    <div class="secret">
      <p>
        <strong>{name}</strong>, which is shown this once: only a hash of it is stored.
      </p>
      <p>
        <code>{value}</code>
      </p>
      <button type="button" class="second" onClick={copy}>
        {isCopied ? 'Copied' : 'Copy'}
      </button>
    </div>
  )
}
