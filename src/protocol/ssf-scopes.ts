/**
 * The scopes of those who receive events (CAEP Interoperability Profile 1.0 §2.7.3): to see their streams and
 * fetch from them, and to make and change them besides.
 */
export const ssfScopes = ['ssf.read', 'ssf.manage'] as const

export type SsfScope = (typeof ssfScopes)[number]

/** The scopes of which each is enough. */
export function ssfScopesFor(scope: SsfScope): readonly SsfScope[] {
  return scope === 'ssf.read' ? ssfScopes : [scope]
}
