/** What a request asks for by name (OpenID Connect Core §5.5): the names of claims, for each place. */
export interface RequestedClaims {
  readonly userinfo: readonly string[]
  readonly idToken: readonly string[]
  /** The `sub` that the log-in must be of, where the request says so. */
  readonly sub: string | null
  /** The `acr` values of an essential claim: the log-in must have one of them. */
  readonly essentialAcr: readonly string[]
}
