import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testCertificate } from '../test/helpers/certificates.ts'
import { redirectUri, resource } from './clients.ts'

/** A site with the document of a client (draft-ietf-oauth-client-id-metadata-document). */
export interface DocumentSite {
  /** Its URL. */
  readonly clientId: string
  /** With which a server takes it, and believes its certificate. */
  readonly env: Readonly<Record<string, string>>
  close(): void
}

export async function openDocumentSite(): Promise<DocumentSite> {
  const directory = mkdtempSync(join(tmpdir(), 'mintmark-bench-site-'))
  const names = [{ type: 'ip', value: '127.0.0.1' }] as const
  const { privateKey: key, certificate: cert } = await testCertificate({ subject: 'CN=site', names })
  writeFileSync(join(directory, 'site.pem'), cert)
  const site = createServer({ key, cert }, (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=3600' })
    response.end(JSON.stringify({ client_id: clientId, redirect_uris: [redirectUri] }))
  })
  site.listen(0, '127.0.0.1')
  await once(site, 'listening')
  const clientId = `https://127.0.0.1:${(site.address() as AddressInfo).port}/agent.json`
  return {
    clientId,
    env: {
      // In a private network documents are fetched from hosts alone that are named.
      MINTMARK_CLIENT_DOCUMENT_HOSTS: new URL(clientId).host,
      MINTMARK_JWKS_URI_NETWORKS: '127.0.0.0/8',
      NODE_EXTRA_CA_CERTS: join(directory, 'site.pem'),
    },
    close: () => {
      site.close()
      rmSync(directory, { recursive: true })
    },
  }
}

/** What such a client pushes (RFC 9126). */
export const pushedForm = (clientId: string): string =>
  new URLSearchParams({
    client_id: clientId,
    response_type: 'code',
    redirect_uri: redirectUri,
    scope: 'orders:read',
    resource,
    state: 'af0ifjsldkj',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  }).toString()
