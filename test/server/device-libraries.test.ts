import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import t from 'tap'
import { openBrowser } from '../helpers/browser.ts'
import { devicesOf, forDevices } from '../helpers/devices.ts'
import { freePort } from '../helpers/free-port.ts'
import { startServer } from '../helpers/server.ts'

t.test('openid-client and oauth4webapi log people in at a device, by the issuer alone', async t => {
  const port = await freePort()
  const issuer = new URL(`http://127.0.0.1:${port}`)
  const env = { MINTMARK_ISSUER: issuer.origin }
  const server = await startServer(t, env, Math.floor(Date.now() / 1000))
  await server.app.listen({ host: '127.0.0.1', port })
  const tv = await server.client('tv', forDevices)
  const ada = await server.user()
  const { confirm } = devicesOf(server, tv, ada)

  await t.test('openid-client', async t => {
    const config = await openid.discovery(issuer, tv.id, undefined, openid.None(), {
      execute: [openid.allowInsecureRequests],
    })
    const asked = await openid.initiateDeviceAuthorization(config, { scope: 'openid read' })
    t.match(asked.verification_uri_complete, `${issuer.origin}/device?user_code=`)
    await confirm(asked, openBrowser(server))
    const tokens = await openid.pollDeviceAuthorizationGrant(config, { ...asked, interval: 1 })
    t.equal(tokens.claims()?.sub, ada.sub)
    t.ok((await openid.refreshTokenGrant(config, tokens.refresh_token ?? '')).access_token)
  })

  await t.test('oauth4webapi', async t => {
    const insecure = { [oauth.allowInsecureRequests]: true }
    const client = { client_id: tv.id }
    const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure))
    const asked = await oauth.processDeviceAuthorizationResponse(
      as,
      client,
      await oauth.deviceAuthorizationRequest(as, client, oauth.None(), { scope: 'read' }, insecure),
    )
    const poll = async () =>
      oauth.processDeviceCodeResponse(
        as,
        client,
        await oauth.deviceCodeGrantRequest(as, client, oauth.None(), asked.device_code, insecure),
      )
    const refusal = () =>
      poll().then(
        () => 'none',
        (error: oauth.ResponseBodyError) => error.error,
      )
    t.equal(await refusal(), 'authorization_pending')
    t.equal(await refusal(), 'slow_down')
    await confirm(asked, openBrowser(server))
    t.match(await poll(), { token_type: 'bearer', scope: 'read' })
    t.equal(await refusal(), 'invalid_grant')
  })
})
