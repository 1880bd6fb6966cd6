import type { ComponentType } from 'preact'
import { AuditView } from './views/audit.tsx'
import { ClaimView } from './views/claim.tsx'
import { ClaimsView } from './views/claims.tsx'
import { ClientsView } from './views/clients.tsx'
import { ClientView } from './views/client.tsx'
import { ExplainView } from './views/explain.tsx'
import { GroupView } from './views/group.tsx'
import { GroupsView } from './views/groups.tsx'
import { ImportView } from './views/import.tsx'
import { ImportsView } from './views/imports.tsx'
import { IssuersView } from './views/issuers.tsx'
import { IssuerView } from './views/issuer.tsx'
import { KeyPolicyView } from './views/key-policy.tsx'
import { KeysView } from './views/keys.tsx'
import { LeakView, LeakedView } from './views/leaked.tsx'
import { OverviewView } from './views/overview.tsx'
import { RegistrationTokensView } from './views/registration-tokens.tsx'
import { ResourcesView } from './views/resources.tsx'
import { ResourceView } from './views/resource.tsx'
import { SessionsView } from './views/sessions.tsx'
import { SessionView } from './views/session.tsx'
import { StreamsView } from './views/streams.tsx'
import { StreamView } from './views/stream.tsx'
import { UsersView } from './views/users.tsx'
import { UserView } from './views/user.tsx'

/** One thing to look at. */
export interface View {
  /** Below the console; `:name` stands for a parameter, which the component is given. */
  readonly pattern: string
  readonly component: ComponentType<any>
  /** In the navigation; one without a title is of the one before it that has. */
  readonly title?: string
  /** Is not for people who may not see everything; nor is a view under one of the navigation that is not. */
  readonly needsAll?: boolean
}

/** All views, in the order of the navigation. */
export const views: readonly View[] = [
  { pattern: '/', title: 'Overview', component: OverviewView },
  { pattern: '/users', title: 'Users', component: UsersView },
  { pattern: '/users/:sub', component: UserView },
  { pattern: '/imports', needsAll: true, component: ImportsView },
  { pattern: '/imports/:id', needsAll: true, component: ImportView },
  { pattern: '/groups', title: 'Groups', component: GroupsView },
  { pattern: '/groups/:name', component: GroupView },
  { pattern: '/clients', needsAll: true, title: 'Clients', component: ClientsView },
  { pattern: '/clients/:id', component: ClientView },
  { pattern: '/registration-tokens', component: RegistrationTokensView },
  { pattern: '/issuers', component: IssuersView },
  { pattern: '/issuers/:issuer', component: IssuerView },
  { pattern: '/resources', needsAll: true, title: 'Resources', component: ResourcesView },
  { pattern: '/resources/:uri', component: ResourceView },
  { pattern: '/claims', needsAll: true, title: 'Claims', component: ClaimsView },
  { pattern: '/claims/:name', component: ClaimView },
  { pattern: '/streams', needsAll: true, title: 'Event streams', component: StreamsView },
  { pattern: '/streams/:id', component: StreamView },
  { pattern: '/keys', needsAll: true, title: 'Keys', component: KeysView },
  { pattern: '/keys/policy', component: KeyPolicyView },
  { pattern: '/sessions', title: 'Sessions', component: SessionsView },
  { pattern: '/sessions/:sid', component: SessionView },
  { pattern: '/explain', needsAll: true, title: 'Explain', component: ExplainView },
  { pattern: '/audit', needsAll: true, title: 'What happened', component: AuditView },
  { pattern: '/leaked', title: 'Something leaked', component: LeakedView },
  { pattern: '/leaked/:what', component: LeakView },
]
