import { once } from 'node:events'
import { createServer } from 'node:https'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import type { Test } from 'tap'
import { testCertificate, type TestCertificate } from './certificates.ts'

/** What a page of the site answers. */
export interface SiteAnswer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** A web site over TLS, whose pages a test writes: clients are known by documents on it. */
export interface DocumentSite {
  readonly origin: string
  /** With its port. */
  readonly host: string
  /** By path. A page that is `silent` never answers. */
  readonly pages: Map<string, SiteAnswer | 'silent'>
  /** The paths that were asked for, and with what. */
  readonly asked: { readonly path: string; readonly headers: IncomingHttpHeaders }[]
  /** Publishes a document; returns its URL, which is its client's id. */
  publish(path: string, members?: object, headers?: Readonly<Record<string, string>>): string
  /** Ends the site, as if the machine were off. */
  close(): void
}

/** What a document says unless told. */
export function clientDocument(id: string, members: object = {}): object {
  return {
    client_id: id,
    client_name: 'Sample agent',
    redirect_uris: ['https://agent.example/callback', 'http://127.0.0.1:3000/callback'],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    ...members,
  }
}

let ofAllSites: Promise<TestCertificate> | undefined

async function believedCertificate(): Promise<TestCertificate> {
  const names = [{ type: 'ip', value: '127.0.0.1' }] as const
  const made = await testCertificate({ subject: 'CN=document site', names })
  setDefaultCACertificates([...getCACertificates('default'), made.certificate])
  return made
}

/** Opens one on the loopback interface, whose certificate this process believes from now on. */
export async function openDocumentSite(t: Pick<Test, 'teardown'>): Promise<DocumentSite> {
  const { privateKey: key, certificate: cert } = await (ofAllSites ??= believedCertificate())
  const pages: DocumentSite['pages'] = new Map()
  const asked: DocumentSite['asked'] = []
  const server = createServer({ key, cert }, ({ url: path = '', headers }, response) => {
    asked.push({ path, headers })
    const page = pages.get(path) ?? { status: 404 }
    if (page === 'silent') return
    response.writeHead(page.status ?? 200, { 'content-type': 'application/json', ...page.headers })
    response.end(page.body)
  })
  const sockets = new Set<Duplex>()
  server.on('connection', (socket: Duplex) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const origin = `https://${host}`
  const close = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  t.teardown(close)
  return {
    origin,
    host,
    pages,
    asked,
    publish: (path, members = {}, headers = {}) => {
      const id = origin + path
      pages.set(path, { headers, body: JSON.stringify(clientDocument(id, members)) })
      return id
    },
    close,
  }
}
