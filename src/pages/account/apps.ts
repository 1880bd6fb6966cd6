import type { FastifyInstance } from 'fastify'
import { listApps, withdrawApp, type AllowedApp } from '../../account/apps.ts'
import type { Context } from '../../context.ts'
import { readStoredDetails } from '../../protocol/authorization-details.ts'
import { describeDetails, describeScopes } from '../consent.ts'
import type { Pages } from '../pages.ts'
import { appsView, type AppsData } from '../views/account/apps.ts'
import type { DetailInWords } from '../views/details.ts'
import { namesOf } from '../visit.ts'
import { changeHandler, leadToDone, ownPage, showOwn, type Change, type OwnVisit } from './own-visit.ts'

const path = '/account/apps'

/** GET and POST /account/apps: what was allowed to whom, and how that is taken back. */
export function appsPage(app: FastifyInstance, ctx: Context, pages: Pages): void {
  app.get(path, ownPage(ctx, pages, show))
  app.post(path, changeHandler(ctx, pages, withdraw))
}

async function show(visit: OwnVisit): Promise<void> {
  const apps: AppsData['apps'][number][] = []
  for (const allowed of await listApps(visit.ctx, visit.owner)) apps.push(await described(visit.ctx, allowed))
  showOwn(visit, (frame, state) => appsView(frame, state, { apps }))
}

async function described(ctx: Context, { client, consents }: AllowedApp): Promise<AppsData['apps'][number]> {
  const scopes = new Map<string, AppsData['apps'][number]['scopes'][number]>()
  const details: DetailInWords[] = []
  for (const { resource, scope, authorization_details } of consents) {
    // A damaged row hides no app: its user can take back what it is about.
    const allowed = readStoredDetails(authorization_details ?? '[]') ?? []
    details.push(...(await describeDetails(ctx, { resource, details: allowed })))
    const named = { resource: resource === '' ? null : resource, resources: client.resources }
    for (const one of await describeScopes(
      ctx,
      named,
      scope.split(' ').filter(name => name !== ''),
    ))
      scopes.set(`${one.name} ${one.words}`, one)
  }
  return {
    id: client.client_id,
    client: namesOf({ ...client, id: client.client_id }),
    operator: client.operator,
    grantedAt: Math.min(...consents.map(consent => consent.granted_at)),
    scopes: [...scopes.values()],
    details,
  }
}

async function withdraw(change: Change): Promise<void> {
  const clientId = change.form.get('client_id')
  const isDone = clientId !== undefined && (await withdrawApp(change.ctx, change.owner, clientId))
  leadToDone(change, path, isDone ? 'consent_withdrawn' : 'gone')
}
