/* Parts of node-oidc-provider that its types leave out. */
declare module 'oidc-provider/lib/helpers/lru.js' {
  export default class LRU {
    constructor(options: { readonly maxSize: number })
    get(key: string): unknown
    set(key: string, value: unknown, options?: { readonly maxAge: number }): void
  }
}
declare module 'oidc-provider/lib/adapters/memory_adapter.js' {
  import type { Adapter } from 'oidc-provider'
  import type LRU from 'oidc-provider/lib/helpers/lru.js'
  /** Keeps the rows of a model in the store. */
  const MemoryAdapter: new (model: string, store: LRU) => Adapter
  export default MemoryAdapter
}
