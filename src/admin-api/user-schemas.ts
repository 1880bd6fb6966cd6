import Type from 'typebox'
import { mailAddressMax } from '../protocol/mail-address.ts'
import {
  groupNameMax,
  groupsMax,
  roleLengthMax,
  rolesMax,
  takesGroupName,
  takesRole,
} from '../protocol/roles.ts'
import { scopeToken } from '../protocol/scope.ts'
import { usernameMaxLength } from '../protocol/username.ts'
import { passwordMaxBytes } from '../users/passwords.ts'
import { Time, Uuid } from './schemas.ts'

export const User = Type.Object(
  {
    sub: Uuid,
    username: Type.String(),
    roles: Type.Array(Type.String()),
    groups: Type.Array(Type.String()),
    claims: Type.Record(Type.String(), Type.Unknown(), { description: 'OpenID Connect Core §5.1' }),
    created_at: Time,
    disabled_at: Type.Union([Time, Type.Null()]),
  },
  { title: 'User' },
)

export const Roles = Type.Array(Type.String({ pattern: scopeToken.source, maxLength: roleLengthMax }), {
  maxItems: rolesMax,
  description: takesRole,
})

export const GroupName = Type.String({
  pattern: scopeToken.source,
  maxLength: groupNameMax,
  description: takesGroupName,
})

/** The groups of a new user. */
export const Groups = Type.Array(GroupName, {
  maxItems: groupsMax,
  description: 'names of groups that there are',
})

export const Username = Type.String({
  minLength: 1,
  maxLength: usernameMaxLength,
  description: 'the name to log in with',
})

export const Password = Type.String({ minLength: 1, maxLength: passwordMaxBytes })

export const Email = Type.String({ minLength: 3, maxLength: mailAddressMax })
