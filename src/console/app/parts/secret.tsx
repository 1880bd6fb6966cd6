import { useState } from 'preact/hooks'

interface SecretProps {
  readonly name: string
  readonly value: string
  /** What is known of it from then on. */
  readonly kept?: string
}

/** A secret that is shown once. */
export function Secret({ name, value, kept = 'only a hash of it is stored' }: SecretProps) {
  const [isCopied, setCopied] = useState(false)
  const copy = () => void navigator.clipboard.writeText(value).then(() => setCopied(true))
  return (
    <div class="secret">
      <p>
        <strong>{name}</strong>, which is shown this once: {kept}.
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
