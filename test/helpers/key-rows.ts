/** What a key's row says after it was published, as long as nothing more has happened. */
export const publishedOnly = {
  activated_at: null,
  retired_at: null,
  verify_until: 0,
  verify_seconds: 0,
  witnessed_seconds: 0,
  rotation_requested_at: null,
  revoked_at: null,
} as const
