import type { Metric } from '../upkeep/metric.ts'
import type { Counts } from './counts.ts'

/** What becomes of a refresh token, in the words of the documentation. */
const verdictNames = {
  rotate: 'rotated',
  reuse: 'reused',
  repeat: 'repeated',
  late: 'late',
  heal: 'healed',
  theft: 'theft',
  expired: 'expired',
  exhausted: 'exhausted',
} as const

/** Shows what was counted. */
export function countMetrics(counts: Counts): readonly Metric[] {
  return [
    {
      kind: 'counter',
      name: 'mintmark_token_requests_total',
      help: 'Answers of /token, by grant, client and outcome (granted, throttled, or the error)',
      labels: ['grant', 'client_id', 'outcome'],
      samples: function* () {
        for (const [client_id, grants] of counts.tokens) {
          for (const [grant, { granted, refused }] of grants) {
            yield [{ grant, client_id, outcome: 'granted' }, granted]
            for (const [outcome, count] of refused) yield [{ grant, client_id, outcome }, count]
          }
        }
      },
    },
    {
      kind: 'counter',
      name: 'mintmark_refresh_verdicts_total',
      help: 'Genuine refresh tokens, by what was done with them',
      labels: ['verdict'],
      samples: function* () {
        for (const [kind, verdict] of Object.entries(verdictNames)) {
          yield [{ verdict }, counts.verdicts[kind as keyof typeof verdictNames]]
        }
      },
    },
    {
      kind: 'counter',
      name: 'mintmark_sign_ins_total',
      help: 'Log-ins at the pages by outcome (started, renewed, failed, throttled), and sign-ins that were ended',
      labels: ['outcome'],
      samples: function* () {
        for (const [outcome, count] of Object.entries(counts.signIns)) yield [{ outcome }, count]
      },
    },
    deviceMetric(counts),
    {
      kind: 'counter',
      name: 'mintmark_revocations_total',
      help: 'Sessions, or all sessions of a user, that this server has ended, by who wanted it; and those of commands',
      labels: ['by'],
      samples: function* () {
        for (const [by, count] of Object.entries(counts.revocations)) yield [{ by }, count]
        yield [{ by: 'theft' }, counts.verdicts.theft]
      },
    },
    personalTokenMetric(counts),
    ...exportMetrics(counts),
    one(
      'mintmark_mails_withheld_total',
      'Mails that were asked for and not sent, since all together have asked for too many',
      () => counts.mailsWithheld,
    ),
    one(
      'mintmark_log_lines_lost_total',
      'Lines of the log that could not be written, since the disk is full or nobody reads them',
      counts.logLinesLost,
    ),
    ...namedCounts(counts),
  ]
}

/** Counts whose names are not known before. */
function namedCounts(counts: Counts): readonly Metric[] {
  return [
    two(
      'mintmark_assertions_total',
      'Assertions of trusted issuers, by issuer and outcome (accepted, refused, or unavailable: no keys)',
      ['issuer', 'outcome'],
      counts.assertions,
    ),
    two('mintmark_errors_total', 'Errors answered', ['error', 'status'], counts.errors),
    two(
      'mintmark_admin_requests_total',
      'Answers of the admin API, by operation and status',
      ['operation', 'status'],
      counts.adminRequests,
    ),
  ]
}

function personalTokenMetric({ personalTokens }: Counts): Metric {
  return {
    kind: 'counter',
    name: 'mintmark_personal_access_tokens_total',
    help: 'Personal access tokens that were made, and shown: introspected, exchanged, or of no use (unknown, ended, refused)',
    labels: ['outcome'],
    samples: function* () {
      for (const [outcome, count] of Object.entries(personalTokens)) yield [{ outcome }, count]
    },
  }
}

function deviceMetric({ devices }: Counts): Metric {
  return {
    kind: 'counter',
    name: 'mintmark_device_authorizations_total',
    help: 'Devices that asked (asked, or withheld), what people said (approved, denied), and codes of no use (wrong_code, throttled)',
    labels: ['outcome'],
    samples: function* () {
      for (const [outcome, count] of Object.entries(devices)) yield [{ outcome }, count]
    },
  }
}

function exportMetrics({ exports }: Counts): readonly Metric[] {
  return [
    {
      kind: 'counter',
      name: 'mintmark_user_exports_total',
      help: 'Exports of users by HTTP, by whether they had all or were cut off',
      labels: ['end'],
      samples: function* () {
        yield [{ end: 'whole' }, exports.whole]
        yield [{ end: 'cut_off' }, exports.cut_off]
      },
    },
    one('mintmark_users_exported_total', 'Users that exports by HTTP had', () => exports.users),
  ]
}

/** A counter without labels. */
function one(name: string, help: string, count: () => number): Metric {
  return { kind: 'counter', name, help, labels: [], samples: () => [[{}, count()]] }
}

/** A counter whose keys are the values of two labels, with a space between them. */
function two<Label extends string>(
  name: string,
  help: string,
  labels: readonly [Label, Label],
  counts: ReadonlyMap<string, number>,
): Metric {
  return {
    kind: 'counter',
    name,
    help,
    labels,
    samples: function* () {
      for (const [key, count] of counts) {
        const [first = '', second = ''] = key.split(' ')
        yield [{ [labels[0]]: first, [labels[1]]: second }, count]
      }
    },
  }
}
