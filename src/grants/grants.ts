import { deviceGrant, jwtBearer, tokenExchange, type GrantType } from '../protocol/grant-types.ts'
import { authorizationCode } from './authorization-code.ts'
import { clientCredentials } from './client-credentials.ts'
import { deviceCode } from './device-code.ts'
import type { Grant } from './grant.ts'
import { jwtBearerGrant } from './jwt-bearer.ts'
import { password } from './password.ts'
import { refreshToken } from './refresh-token.ts'
import { tokenExchangeGrant } from './token-exchange.ts'

/** Each grant type of protocol/grant-types.ts, and how it is decided. */
export const grants: Readonly<Record<GrantType, Grant>> = {
  authorization_code: authorizationCode,
  password,
  refresh_token: refreshToken,
  client_credentials: clientCredentials,
  [jwtBearer]: jwtBearerGrant,
  [tokenExchange]: tokenExchangeGrant,
  [deviceGrant]: deviceCode,
}
