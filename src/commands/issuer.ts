import type { Command } from '@commander-js/extra-typings'
import type { Admin } from '../admin/admin.ts'
import {
  createTrustedIssuer,
  deleteTrustedIssuer,
  describeTrustedIssuer,
  existingTrustedIssuer,
  keyFaultOf,
  listTrustedIssuers,
  trustedIssuerWarnings,
  updateTrustedIssuer,
  type ChangedTrustedIssuer,
} from '../admin/trusted-issuers.ts'
import {
  defaultLifeSeconds,
  lifeLimits,
  trustedIssuerMetadata,
  type TrustedIssuerMetadata,
} from '../clients/trusted-issuer.ts'
import { Refusal } from '../errors.ts'
import { nameOf, type TrustedSubject } from '../protocol/trusted-subjects.ts'
import { formatDuration } from '../values/duration.ts'
import { readJwks } from './client/client-keys.ts'
import { command, verb, type Run, type Terminal } from './shell/command.ts'
import { answerUpdate } from './shell/differences.ts'
import { UsageError } from './shell/failures.ts'
import { duration, pairs, toChange, type Pair } from './shell/options.ts'
import { facts } from './shell/output.ts'

const audienceHelp = 'the only aud of its JWTs; the issuer of this server unless told'
const lifeHelp = `how long its JWTs may live, up to ${formatDuration(lifeLimits[1])}; ${formatDuration(defaultLifeSeconds)} unless told`
const reusableHelp =
  'one JWT may be used more than once, until its end: for Kubernetes, where a pod has one for long'

const matching = `
A pattern stands for whole parts of the sub, between : and /. A * is one part, a ** at the end is one or more:
  repo:acme/*:ref:refs/heads/main    the branch main of each repository of acme, and never of acme-evil
  repo:acme/shop:ref:refs/tags/**    each tag of acme/shop
The first two parts are spelt out. Without --subject-pattern the sub must be exactly the one that is given.
docs/workload-identity.md has the whole set-up for GitHub Actions, GitLab CI and Kubernetes.`

/** `mintmark issuer`: outside issuers that are trusted to name clients (RFC 7523). */
export function issuerCommands(program: Command, terminal: Terminal): void {
  const issuer = program
    .command('issuer')
    .description('outside issuers (a CI, a cluster) that say which client a program is')

  withSubject(
    verb(issuer, 'create', 'trust an outside issuer to name clients', [
      'mintmark issuer create https://ci.example --client deploy --subject repo:acme/shop:environment:production --claim repository_id=74',
      'mintmark issuer create https://gitlab.example --client deploy --subject project_path:acme/shop:ref_type:branch:ref:main',
      'mintmark issuer create https://k8s.example --jwks keys.json --reusable --client shop --subject system:serviceaccount:prod:shop',
    ]),
  )
    .argument('<url>', 'the iss of its JWTs, to the last slash')
    .option('--audience <aud>', audienceHelp)
    .option('--jwks <file>', 'its public keys, where this server cannot fetch them')
    .option('--jwks-uri <url>', 'where its keys are; what its metadata say unless told')
    .option('--max-life <duration>', lifeHelp, duration(...lifeLimits))
    .option('--reusable', reusableHelp)
    .addHelpText('after', matching)
    .action(
      command(terminal, async (run, url, { audience, jwks, jwksUri, maxLife, reusable, ...given }) => {
        const subject = subjectOf(given)
        const declared: TrustedIssuerMetadata = {
          issuer: url,
          audience: audience ?? null,
          jwks: jwks === undefined ? null : await readJwks(run, jwks),
          jwks_uri: jwksUri ?? null,
          max_life: maxLife ?? null,
          reusable: reusable ?? false,
          subjects: subject ? [subject] : [],
        }
        const admin = await run.open()
        const row = await createTrustedIssuer(admin, declared)
        await noteAbout(run, admin, declared)
        return {
          text: `Trusted the issuer ${url}\n${drawn(admin, declared)}`,
          json: describeTrustedIssuer(row),
        }
      }),
    )

  withSubject(
    verb(issuer, 'trust', 'let a trusted issuer name a client by one more subject', [
      'mintmark issuer trust https://ci.example --client docs --subject-pattern "repo:acme/*:pull_request" --claim owner_id=9',
    ]),
  )
    .argument('<url>', 'the issuer')
    .addHelpText('after', matching)
    .action(
      command(terminal, async ({ open }, url, given) => {
        const subject = subjectOf(given)
        if (!subject) throw new UsageError('it needs --client, and --subject or --subject-pattern')
        const changed = await updateTrustedIssuer(await open(), url, ({ subjects }) => ({
          subjects: [...subjects, subject],
        }))
        return answerSubjects(changed)
      }),
    )

  verb(issuer, 'distrust', 'let an issuer no more name a client by a subject', [
    'mintmark issuer distrust https://ci.example --subject repo:acme/shop:environment:production',
  ])
    .argument('<url>', 'the issuer')
    .requiredOption('--subject <sub>', 'the subject, or the pattern, as `mintmark issuer show` shows it')
    .option('--client <client_id>', 'for this client alone')
    .action(
      command(terminal, async ({ open }, url, { subject, client }) => {
        const isMeant = (one: TrustedSubject) =>
          nameOf(one) === subject && (client === undefined || one.client === client)
        const changed = await updateTrustedIssuer(await open(), url, ({ subjects }) => {
          const left = subjects.filter(one => !isMeant(one))
          if (left.length === subjects.length)
            throw new Refusal(
              'not_found',
              `${url} is not trusted for ${subject}`,
              '`mintmark issuer show` shows for what it is',
            )
          return { subjects: left }
        })
        return answerSubjects(changed)
      }),
    )

  verb(issuer, 'list', 'show all trusted issuers', ['mintmark issuer list']).action(
    command(terminal, async ({ open }) => {
      const admin = await open()
      return {
        columns: ['ISSUER', 'KEYS', 'SUBJECTS', 'CLIENTS'],
        rows: (await listTrustedIssuers(admin)).map(row => {
          const json = describeTrustedIssuer(row)
          const clients = [...new Set(json.subjects.map(({ client }) => client))]
          return { cells: [json.issuer, keysOf(json), String(json.subjects.length), clients.join(' ')], json }
        }),
        none: 'There is no trusted issuer yet: `mintmark issuer create URL` adds one.',
      }
    }),
  )

  verb(issuer, 'show', 'show one trusted issuer, and whether its keys can be had', [
    'mintmark issuer show https://ci.example',
  ])
    .argument('<url>', 'the issuer')
    .action(
      command(terminal, async ({ open }, url) => {
        const admin = await open()
        const row = await existingTrustedIssuer(admin, url)
        const metadata = trustedIssuerMetadata(row)
        const fault = (await keyFaultOf(admin, metadata)) ?? null
        const told = `The issuer ${url}\n${drawn(admin, metadata)}`
        return {
          text: fault === null ? told : `${told}\nIts keys cannot be had now: ${fault}`,
          json: { ...describeTrustedIssuer(row), key_fault: fault },
        }
      }),
    )

  verb(issuer, 'update', 'change a trusted issuer; what is not given stays', [
    'mintmark issuer update https://kubernetes.default.svc --jwks jwks.json',
    'mintmark issuer update https://gitlab.example --max-life 3h',
  ])
    .argument('<url>', 'the issuer')
    .option('--audience <aud>', audienceHelp)
    .option('--no-audience', 'the issuer of this server')
    .option('--jwks <file>', 'its public keys, where this server cannot fetch them')
    .option('--jwks-uri <url>', 'where its keys are')
    .option('--discover', 'its metadata say where its keys are')
    .option('--max-life <duration>', lifeHelp, duration(...lifeLimits))
    .option('--no-max-life', formatDuration(defaultLifeSeconds))
    .option('--reusable', reusableHelp)
    .option('--no-reusable', 'one JWT with a jti may be used once')
    .action(
      command(terminal, async (run, url, { audience, jwks, jwksUri, discover, maxLife, reusable }) => {
        if ([jwks, jwksUri, discover].filter(one => one !== undefined).length > 1)
          throw new UsageError(
            '--jwks, --jwks-uri and --discover each say where its keys are: use one of them',
          )
        const isMoved = jwks !== undefined || jwksUri !== undefined || discover !== undefined
        const keys = {
          jwks: jwks === undefined ? null : await readJwks(run, jwks),
          jwks_uri: jwksUri ?? null,
        }
        const admin = await run.open()
        const { issuer: row, differences } = await updateTrustedIssuer(admin, url, {
          audience: toChange(audience),
          max_life: toChange(maxLife),
          reusable,
          ...(isMoved && keys),
        })
        if (isMoved) await noteKeys(run, admin, trustedIssuerMetadata(row))
        return answerUpdate('issuer', url, differences)
      }),
    )

  verb(issuer, 'delete', 'trust an issuer no more', ['mintmark issuer delete https://gitlab.example'])
    .argument('<url>', 'the issuer')
    .action(
      command(terminal, async ({ open }, url) => {
        await deleteTrustedIssuer(await open(), url)
        return {
          text: `The issuer ${url} is trusted no more. Tokens that it has led to run out by themselves.`,
          json: { issuer: url, deleted: true },
        }
      }),
    )
}

function withSubject(verb: ReturnType<Command['command']>) {
  return verb
    .option('--client <client_id>', 'the client that the subject names')
    .option('--user <name>', 'the user in whose name the client acts; none unless told')
    .option('--subject <sub>', 'the sub of its JWTs, exactly')
    .option('--subject-pattern <pattern>', 'or a pattern for it: see below')
    .option(
      '--claim <name=value...>',
      'a further claim that must be so; /a/b=VALUE is the member b of the claim a',
      pairs,
    )
}

interface GivenSubject {
  readonly client?: string | undefined
  readonly user?: string | undefined
  readonly subject?: string | undefined
  readonly subjectPattern?: string | undefined
  readonly claim?: readonly Pair[] | undefined
}

/** Undefined where none is given. */
function subjectOf({
  client,
  user,
  subject,
  subjectPattern,
  claim,
}: GivenSubject): TrustedSubject | undefined {
  const isGiven = subject !== undefined || subjectPattern !== undefined
  if (client === undefined && !isGiven && user === undefined && claim === undefined) return undefined
  if (client === undefined || (subject === undefined) === (subjectPattern === undefined))
    throw new UsageError('a subject is said by --client, and one of --subject and --subject-pattern')
  const claims = new Map(claim)
  if (claims.size < (claim?.length ?? 0)) throw new UsageError('--claim says each claim once')
  return {
    subject: subject ?? null,
    subject_pattern: subjectPattern ?? null,
    claims: Object.fromEntries(claims),
    client,
    user: user ?? null,
  }
}

async function noteAbout(run: Run, admin: Admin, declared: TrustedIssuerMetadata): Promise<void> {
  for (const warning of trustedIssuerWarnings(declared)) run.note(`note: ${warning}`)
  await noteKeys(run, admin, declared)
}

async function noteKeys(run: Run, admin: Admin, declared: TrustedIssuerMetadata): Promise<void> {
  const fault = await keyFaultOf(admin, declared)
  if (fault !== undefined)
    run.note(
      `note: its keys cannot be had from here now, and until they can its JWTs are answered with 503: ${fault}`,
    )
}

const keysOf = ({ jwks, jwks_uri }: Pick<TrustedIssuerMetadata, 'jwks' | 'jwks_uri'>) =>
  jwks_uri ?? (jwks === null ? 'as its metadata say' : 'given here')

function drawn({ config }: Pick<Admin, 'config'>, declared: TrustedIssuerMetadata): string {
  const { audience, max_life, reusable, subjects } = declared
  const told = facts({
    audience: audience ?? config.issuer,
    keys: keysOf(declared),
    'a JWT may live': formatDuration(max_life ?? defaultLifeSeconds),
    'and be used': reusable ? 'until its end' : 'once, where it has a jti',
  })
  return [told, ...drawnSubjects(subjects)].join('\n')
}

function drawnSubjects(subjects: readonly TrustedSubject[]): readonly string[] {
  return subjects.map(subject => {
    const { claims, client, user } = subject
    const more = Object.entries(claims).map(([name, value]) => `, ${name}=${value}`)
    const who = user === null ? client : `${client} for the user ${user}`
    return `  ${nameOf(subject)}${more.join('')} is ${who}`
  })
}

/** The answer of a change of whom an issuer may name: all that it may then. */
function answerSubjects({ issuer: row, differences }: ChangedTrustedIssuer) {
  const { issuer, subjects } = trustedIssuerMetadata(row)
  const lines = drawnSubjects(subjects)
  const title = lines.length === 0 ? `The issuer ${issuer} names nobody now.` : `To the issuer ${issuer}`
  return { text: [title, ...lines].join('\n'), json: answerUpdate('issuer', issuer, differences).json }
}
