import type { UserTable } from '../../db/schema.ts'
import { findUser, findUserById, insertUser } from '../../db/users/users.ts'
import { makeLink } from '../account/links.ts'
import { composeLink } from '../account/mailed.ts'
import { endSessionsOfUser } from '../endings/end.ts'
import { Refusal } from '../errors.ts'
import type { MailServices } from '../mail/mail.ts'
import { mailAddress } from '../protocol/mail-address.ts'
import { rolesColumn } from '../protocol/roles.ts'
import { newUuid } from '../protocol/secrets.ts'
import { changedClaims, parseUserClaims, type ClaimChange } from '../protocol/standard-claims.ts'
import type { Event } from '../record/events.ts'
import { record, recordAlone } from '../record/record.ts'
import type { Admin } from './admin.ts'
import { refuseUnlessUnlimited, refuseUserUnlessUnlimited } from './administrators.ts'
import { refuseOddGroups, refuseOddRoles, unlessGone } from './roles.ts'
import { nameRefusal, refuseOddName } from './user-names.ts'

export interface Invitation {
  /** In Unicode normal form C, and not of the form of a UUID. */
  readonly username: string
  readonly email: string
  readonly roles: readonly string[]
  readonly groups?: readonly string[] | undefined
  readonly claims?: readonly ClaimChange[] | undefined
}

/** A user to whom a link was mailed. */
export interface Invited {
  readonly user: UserTable
  /** Whether there was an invitation before, which is good no more. */
  readonly isAgain: boolean
  readonly expiresAt: number
}

/**
 * Adds a user without a password, and mails a link that sets the first one, which verifies the address too. A
 * user who has not followed one yet gets another, and the one before is good no more.
 */
export async function inviteUser(admin: Admin, invitation: Invitation): Promise<Invited> {
  const { mail } = admin
  refuseUnlessUnlimited(admin, invitation.roles)
  await refuseOddRoles(admin, invitation.roles)
  await refuseOddGroups(admin, invitation.groups ?? [])
  if (!mail) {
    throw new Refusal(
      'conflict',
      'no mail can be sent until MINTMARK_SMTP_URL and MINTMARK_MAIL_FROM are set: add the user with a password instead',
      '`mintmark user create` does so; beside `mintmark dev` mails are shown in its terminal',
    )
  }
  const to = mailAddress(invitation.email)
  if (to === undefined)
    throw new Refusal('invalid', `${JSON.stringify(invitation.email)} is no mail address of one person`)
  const found = await findUser(admin.db, invitation.username)
  return found ? inviteAgain(admin, found, { mail, to }) : inviteFirst(admin, invitation, { mail, to })
}

interface Sending {
  readonly mail: MailServices
  readonly to: string
}

async function inviteFirst(admin: Admin, invitation: Invitation, sending: Sending): Promise<Invited> {
  const { username, email, roles, groups = [], claims = [] } = invitation
  refuseOddName(username)
  const now = admin.clock.now()
  const named = [...claims, { kind: 'set', name: 'email', value: email }] as const
  const user: UserTable = {
    id: newUuid(now),
    username,
    // None: nothing that is typed lets anybody in.
    password_hash: '',
    root_key_id: admin.rootKeys.currentId,
    roles: rolesColumn(roles),
    group_names: groups.join(' '),
    claims: JSON.stringify(changedClaims({}, named)),
    epoch: 0,
    mail_epoch: 0,
    created_at: now,
    disabled_at: null,
  }
  const { row, expiresAt } = letterTo(admin, user, sending)
  const events: readonly Event[] = [
    { event: 'user_created', userId: user.id, detail: { username } },
    { event: 'link_mailed', userId: user.id, detail: { link: 'invitation' } },
  ]
  const isAdded = await unlessGone(
    record(
      { ...admin, mails: [row] },
      () => events,
      db => insertUser(db, user),
    ),
  )
  if (!isAdded) throw await nameRefusal(admin.db, user)
  return { user, isAgain: false, expiresAt }
}

/** The epoch that is raised ends the link of before. */
async function inviteAgain(admin: Admin, found: UserTable, sending: Sending): Promise<Invited> {
  await refuseUserUnlessUnlimited(admin, found)
  refuseUnlessInvited(found, sending)
  await endSessionsOfUser(admin, found.id, { reason: 'command' })
  const user = await findUserById(admin.db, found.id)
  if (!user) throw new Refusal('not_found', `the user ${found.username} was deleted meanwhile`)
  // The link of before was good until the epoch was raised.
  refuseUnlessInvited(user, sending)
  const { row, expiresAt } = letterTo(admin, user, sending)
  const mailed = { event: 'link_mailed', userId: user.id, detail: { link: 'invitation' } } as const
  await recordAlone({ ...admin, mails: [row] }, mailed)
  return { user, isAgain: true, expiresAt }
}

/** Refuses a user who has a password, or is invited to another address. */
function refuseUnlessInvited(
  { username, password_hash: hash, claims }: UserTable,
  { to }: Pick<Sending, 'to'>,
): void {
  const { email } = parseUserClaims(claims)
  if (hash === '' && typeof email === 'string' && mailAddress(email) === to) return
  throw new Refusal(
    'conflict',
    `there is a user ${username} already, ${hash === '' ? 'invited to another address' : 'with a password'}`,
    `\`mintmark user passwd ${username}\` sets another password`,
  )
}

function letterTo(admin: Admin, user: UserTable, { mail, to }: Sending) {
  const { locale } = parseUserClaims(user.claims)
  const link = makeLink(admin, 'invitation', { userId: user.id, epochs: user, mail: to, request: null })
  const letter = { user, to, locale: typeof locale === 'string' ? locale : undefined, ...link }
  return { row: composeLink({ mail, config: admin.config }, 'invitation', letter), expiresAt: link.expiresAt }
}
