/** Something that has changed in an account, of which its owner is told. */
export type Notice = {
  [Kind in NoticeKind]: { readonly kind: Kind } & NoticeFacts[Kind]
}[NoticeKind]

export type NoticeKind = keyof NoticeFacts

/** The facts of each notice. Names may be what anybody has typed. */
export interface NoticeFacts {
  password_changed: {}
  password_reset: {}
  passkey_added: { readonly name: string }
  passkey_removed: { readonly name: string }
  totp_added: {}
  totp_removed: {}
  recovery_codes_renewed: {}
  /** How many are left. */
  recovery_code_used: { readonly left: number }
  /** Goes to the address that was: pass the user as it was before. */
  mail_changed: {}
  name_changed: { readonly username: string }
  profile_changed: {}
  /** Goes to the address that counts, before another one does. */
  mail_change_asked: {}
  signed_out_place: {}
  signed_out_others: {}
  /** The name of the client. */
  consent_withdrawn: { readonly client: string }
  /** The name of the client. */
  device_connected: { readonly client: string }
  /** As its owner calls it. */
  personal_access_token_created: { readonly name: string }
  /** As their owner calls them. */
  personal_access_tokens_ended: { readonly names: readonly string[] }
  /** Somebody has shown the password, and no second factor. */
  second_factor_missing: {}
  factor_removed_by_admin: { readonly factor: 'passkey' | 'totp' | 'recovery_codes' | 'all' }
}
