/** Why sessions have ended: their rows and the log say it in these words. */
export const endReasons = [
  'client',
  'admin',
  'theft',
  'limit',
  'command',
  'password changed',
  'user disabled',
  'user deleted',
  'client disabled',
  'client deleted',
  'issuer changed',
  'copied',
  'restored',
  'ended again',
] as const

export type EndReason = (typeof endReasons)[number]
