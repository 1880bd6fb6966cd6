import { Option, type Command } from '@commander-js/extra-typings'
import {
  createOwnClaim,
  deleteOwnClaimOf,
  describeOwnClaim,
  listOwnClaims,
  updateOwnClaim,
} from '../admin/own-claims.ts'
import {
  ownClaimKinds,
  userFields,
  type ClaimMap,
  type ClaimSource,
  type OwnClaimKind,
} from '../protocol/own-claims.ts'
import { command, verb as addVerb, type Terminal } from './shell/command.ts'
import { answerUpdate } from './shell/differences.ts'
import { UsageError } from './shell/failures.ts'
import { pairs, type Pair } from './shell/options.ts'
import { facts } from './shell/output.ts'

const sources = `
Where its value comes from, one of:
  --from-user FIELD       a field of the user: ${[...userFields.keys()].slice(0, 4).join(', ')} …, address.country …
  --constant VALUE…       the same in every token; an array has several
  --from-roles ROLE=VALUE…, --from-groups GROUP=VALUE…
                          the value of the first of these that the user has, or for an array those of all; --otherwise VALUE
                          where there is none, or else the claim is left out

It is in no token before \`mintmark resource update URI --claims …\` or \`mintmark client update ID --claims …\` wants it.`

/** `mintmark claim`: claims of the installation's own. */
export function claimCommands(program: Command, terminal: Terminal): void {
  const claim = program.command('claim').description('claims of your own, for tokens that want them')

  withSources(
    addVerb(claim, 'create', 'add a claim', [
      'mintmark claim create plan --from-roles gold=gold silver=silver --otherwise free',
      'mintmark claim create https://example.com/level --kind number --from-groups staff=3 guests=1',
      'mintmark claim create tenant --constant acme',
      'mintmark claim create language --from-user locale',
    ]),
  )
    .argument('<name>', 'its name in tokens; no name of a standard')
    .addOption(
      new Option('--kind <kind>', 'what its values are').choices(ownClaimKinds).default('string' as const),
    )
    .action(
      command(terminal, async ({ open }, name, { kind, ...given }) => {
        const source = sourceOf(kind, given)
        if (!source) throw new UsageError(`it needs a source: ${sourceOptions}`)
        const json = describeOwnClaim(await createOwnClaim(await open(), { name, kind, source }))
        return {
          text: `Created the claim ${name}\n${facts({ kind, source: JSON.stringify(json.source) })}`,
          json,
        }
      }),
    )

  withSources(
    addVerb(claim, 'update', 'change a claim; what is not given stays', [
      'mintmark claim update plan --from-roles gold=gold --otherwise free',
    ]),
  )
    .argument('<name>', 'its name')
    .addOption(new Option('--kind <kind>', 'what its values are').choices(ownClaimKinds))
    .action(
      command(terminal, async ({ open }, name, { kind, ...given }) => {
        const admin = await open()
        const found = (await listOwnClaims(admin)).find(row => row.name === name)
        const source = sourceOf(kind ?? found?.kind ?? 'string', given)
        const { differences } = await updateOwnClaim(admin, name, { kind, source })
        return answerUpdate('claim', name, differences)
      }),
    )

  addVerb(claim, 'list', 'show all claims of your own', ['mintmark claim list']).action(
    command(terminal, async ({ open }) => ({
      columns: ['NAME', 'KIND', 'SOURCE'],
      rows: (await listOwnClaims(await open())).map(describeOwnClaim).map(json => ({
        cells: [json.name, json.kind, JSON.stringify(json.source)],
        json,
      })),
      none: 'There is no claim of your own yet: `mintmark claim create NAME` adds one.',
    })),
  )

  addVerb(claim, 'delete', 'remove a claim', ['mintmark claim delete plan --force'])
    .argument('<name>', 'its name')
    .option('--force', 'take it from what wants it')
    .action(
      command(terminal, async ({ open }, name, { force = false }) => {
        const wantedBy = await deleteOwnClaimOf(await open(), name, { force })
        const from = wantedBy.length > 0 ? ` It was taken from ${wantedBy.join(', ')}.` : ''
        return {
          text: `Deleted the claim ${name}.${from}`,
          json: { name, deleted: true, taken_from: wantedBy },
        }
      }),
    )
}

const sourceOptions = '--from-user, --constant, --from-roles or --from-groups'

function withSources(verb: ReturnType<typeof addVerb>) {
  return verb
    .addHelpText('after', sources)
    .option('--from-user <field>', 'a field of the user')
    .option('--constant <value...>', 'always this')
    .option('--from-roles <role=value...>', 'by roles', pairs)
    .option('--from-groups <group=value...>', 'by groups', pairs)
    .option('--otherwise <value>', 'where the user has none of them')
}

interface GivenSource {
  readonly fromUser?: string | undefined
  readonly constant?: readonly string[] | undefined
  readonly fromRoles?: readonly Pair[] | undefined
  readonly fromGroups?: readonly Pair[] | undefined
  readonly otherwise?: string | undefined
}

/** Undefined where no source is given. */
function sourceOf(kind: OwnClaimKind, given: GivenSource): ClaimSource | undefined {
  const { fromUser, constant, fromRoles, fromGroups, otherwise } = given
  const count = [fromUser, constant, fromRoles, fromGroups].filter(one => one !== undefined).length
  if (count > 1) throw new UsageError(`it has one source: ${sourceOptions}`)
  const map = fromRoles ?? fromGroups
  if (otherwise !== undefined && !map)
    throw new UsageError('--otherwise goes with --from-roles or --from-groups')
  if (fromUser !== undefined) return { user: fromUser }
  if (constant) return { constant: kind === 'array' ? constant : valueOf(kind, constant.join(' ')) }
  const more = otherwise === undefined ? {} : { otherwise: valueOf(kind, otherwise) }
  if (fromRoles) return { roles: mapOf(kind, fromRoles), ...more }
  return fromGroups && { groups: mapOf(kind, fromGroups), ...more }
}

function mapOf(kind: OwnClaimKind, pairs: readonly Pair[]): ClaimMap {
  return Object.fromEntries(pairs.map(([name, value]) => [name, valueOf(kind, value)]))
}

function valueOf(kind: OwnClaimKind, text: string): string | number | boolean {
  if (kind === 'number' && text.trim() !== '' && Number.isFinite(Number(text))) return Number(text)
  if (kind === 'boolean' && /^(?:true|false)$/.test(text)) return text === 'true'
  if (kind === 'string' || kind === 'array') return text
  throw new UsageError(`${JSON.stringify(text)} is no ${kind}`)
}
