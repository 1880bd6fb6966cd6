/* Parts of node-oidc-provider that its types leave out. */
declare module 'oidc-provider/lib/helpers/lru.js' {
  export default class LRU {
    constructor(options: { readonly maxSize: number })
  }
}
declare module 'oidc-provider/lib/adapters/memory_adapter.js' {
  import type LRU from 'oidc-provider/lib/helpers/lru.js'
  /** Where the rows of all models are kept. */
  export function setStorage(storage: LRU): void
}
