import { resolve } from 'node:path'
import type { KeyPolicy } from '../../db/installation/installation.ts'
import { ConfigError } from '../errors.ts'
import { policyProblems } from '../protocol/key-lead.ts'
import { isRpIdOf } from '../protocol/rp-id.ts'
import { formatDuration } from '../values/duration.ts'
import { nearestName } from '../values/suggestion.ts'
import { databaseUrlOf } from './database-url.ts'
import { passwordHookOf } from './password-hook.ts'
import { readSettings, textOf, type SettingValues } from './read-settings.ts'
import { prefix, settings, type Setting } from './settings.ts'
import { parseSmtpUrl } from './smtp-url.ts'
import { urlOf } from './url-setting.ts'

/** Every setting, checked. Durations are whole seconds; paths are absolute. */
export type Config = Readonly<ReturnType<typeof configOf>>

/**
 * Reads all settings at once, so that one start shows every problem. An unknown name is a problem too. Throws
 * a `ConfigError`.
 */
export function loadConfig(env: NodeJS.ProcessEnv, workingDirectory: string): Config {
  const problems: string[] = []
  const values = readSettings(env, problems)
  const home = resolve(workingDirectory, values.home ?? '.')
  const config = configOf(values, home, keyPolicySet(env, values), problems)
  problems.push(...contradictions(config), ...unknownNames(env))
  if (problems.length === 0) return config
  throw new ConfigError(`The configuration is not valid:\n- ${problems.join('\n- ')}`)
}

/** The settings, and what follows from several of them. */
function configOf(
  { databaseUrl, databaseUrlFile, smtpUrl, smtpUrlFile, ...others }: SettingValues,
  home: string,
  keyPolicySet: Partial<KeyPolicy>,
  problems: string[],
) {
  const { passwordHookUrl, passwordHookSecret, passwordHookSecretFile, ...values } = others
  const { rootKeyFile, port, accessTokenSeconds, logoFile } = values
  const issuer = values.issuer ?? `http://127.0.0.1:${port}`
  return {
    ...values,
    home,
    issuer,
    databaseUrl: databaseUrlOf({ text: databaseUrl, file: databaseUrlFile }, home, problems),
    /** Undefined where no mail can be sent. */
    smtp: urlOf(
      { text: smtpUrl, file: smtpUrlFile },
      { settings: [settings.smtpUrl, settings.smtpUrlFile], home, parse: parseSmtpUrl },
      problems,
    ),
    /** Undefined where there is no old system to be asked. */
    passwordHook: passwordHookOf(
      { url: passwordHookUrl, secret: passwordHookSecret, file: passwordHookSecretFile },
      home,
      problems,
    ),
    rootKeyFile: resolve(home, rootKeyFile ?? 'keys/root.key'),
    /** The file comes from elsewhere, and its mode is not ours to judge. */
    rootKeyIsMounted: rootKeyFile !== undefined,
    /** The part of the key ring's policy that was set, and is no default. */
    keyPolicySet,
    statusListDelaySeconds: values.statusListDelaySeconds ?? Math.min(60, Math.floor(accessTokenSeconds / 2)),
    mtlsUrl: values.mtlsUrl ?? issuer,
    adminUrl: values.adminUrl ?? ownAdminUrl(values) ?? issuer,
    passkeyRpId: values.passkeyRpId ?? URL.parse(issuer)?.hostname ?? issuer,
    name: values.name ?? hostOf(issuer),
    logoFile: logoFile === undefined ? undefined : resolve(home, logoFile),
  }
}

/** Of a listener for the admin API; undefined where that has none. */
function ownAdminUrl({
  adminHost: host,
  adminPort: port,
}: Pick<SettingValues, 'adminHost' | 'adminPort'>): string | undefined {
  return port === undefined ? undefined : `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Of an issuer, which need not be one yet. */
function hostOf(issuer: string): string {
  return URL.parse(issuer)?.host ?? issuer
}

function keyPolicySet(env: NodeJS.ProcessEnv, values: SettingValues): Partial<KeyPolicy> {
  const isSet = (setting: Setting<number>) => textOf(env, setting) !== undefined
  const { keyRotationSeconds, jwksMaxAgeSeconds, clockSkewSeconds } = settings
  return {
    ...(isSet(keyRotationSeconds) && { key_rotation_seconds: values.keyRotationSeconds }),
    ...(isSet(jwksMaxAgeSeconds) && { jwks_max_age_seconds: values.jwksMaxAgeSeconds }),
    ...(isSet(clockSkewSeconds) && { clock_skew_seconds: values.clockSkewSeconds }),
  }
}

/** Settings that are right alone, and wrong together. */
function contradictions(config: Config): string[] {
  const problems: string[] = []
  if (config.refreshIdleSeconds > config.refreshAbsoluteSeconds) {
    problems.push(
      `${prefix}REFRESH_IDLE_TTL (${formatDuration(config.refreshIdleSeconds)}) is longer than ` +
        `${prefix}REFRESH_ABSOLUTE_TTL (${formatDuration(config.refreshAbsoluteSeconds)}), but no session outlives the latter`,
    )
  }
  if (config.statusListDelaySeconds >= config.accessTokenSeconds) {
    problems.push(
      `${prefix}STATUS_LIST_DELAY (${formatDuration(config.statusListDelaySeconds)}) is not shorter than ` +
        `${prefix}ACCESS_TOKEN_TTL (${formatDuration(config.accessTokenSeconds)}), so no list could tell of a revocation in time`,
    )
  }
  if (config.port !== 0 && config.port === config.metricsPort && config.host === config.metricsHost) {
    problems.push(
      `${prefix}METRICS_PORT is ${config.metricsPort}, the same as ${prefix}PORT: choose another, or 0 for no metrics`,
    )
  }
  const { adminPort } = config
  if (adminPort && [config.port, config.metricsPort].includes(adminPort)) {
    problems.push(
      `${prefix}ADMIN_PORT is ${adminPort}, the same as ${prefix}${adminPort === config.port ? 'PORT' : 'METRICS_PORT'}: ` +
        'choose another, or leave it out, and the admin API is beside all else',
    )
  }
  if (adminPort === undefined && config.adminUrl !== config.issuer) {
    problems.push(`${prefix}ADMIN_URL counts only with ${prefix}ADMIN_PORT`)
  }
  for (const problem of policyProblems(
    { key_rotation_seconds: config.keyRotationSeconds },
    config.jwksMaxAgeSeconds,
  )) {
    problems.push(`${prefix}KEY_ROTATION_INTERVAL and ${prefix}JWKS_MAX_AGE do not fit: ${problem}`)
  }
  if (config.clientCert !== 'off' && config.trustProxy.length === 0) {
    problems.push(
      `${prefix}CLIENT_CERT is ${config.clientCert}, but certificates are only believed from a proxy: set ${prefix}TRUST_PROXY`,
    )
  }
  if (config.clientCert === 'off' && config.mtlsUrl !== config.issuer) {
    problems.push(`${prefix}MTLS_URL counts only with ${prefix}CLIENT_CERT: set that to verified or any`)
  }
  if (config.smtp && !config.mailFrom) {
    problems.push(`${prefix}SMTP_URL is set, but not who sends the mails: set ${prefix}MAIL_FROM`)
  }
  if (!isRpIdOf(config.passkeyRpId, config.issuer)) {
    problems.push(
      `${prefix}PASSKEY_RP_ID is ${config.passkeyRpId}, but browsers take only the host of ${config.issuer}, or a domain above ` +
        'it that somebody has registered',
    )
  }
  return problems
}

/** Kubernetes gives each pod variables that are named after the services around it. */
const serviceLink = /^MINTMARK_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP|SCTP))/

/** A misspelt setting would silently not count. */
function unknownNames(env: NodeJS.ProcessEnv): string[] {
  const known = Object.values(settings).map(({ name }) => name)
  const isKnown = (name: string) => known.some(other => prefix + other === name)
  const names = Object.keys(env).filter(name => name.startsWith(prefix) && !isKnown(name))
  const problems = names
    .filter(name => !serviceLink.test(name))
    .map(name => {
      const nearest = nearestName(name.slice(prefix.length), known)
      return `${name} is not a setting of Mintmark${nearest ? `; did you mean ${prefix}${nearest}?` : ''}`
    })
  if (names.some(name => serviceLink.test(name))) {
    problems.push(
      `Kubernetes has set ${prefix}PORT and others for a service named mintmark: add enableServiceLinks: false to the pod`,
    )
  }
  return problems
}
