/**
 * The configuration of one broker process: environment and command line in, frozen numbers with
 * units out. Pure: what it reads is its argument. Called once, by the process entry; nothing else
 * reads the environment.
 */
import { resolve } from 'node:path'
import type { z } from 'zod'
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { formatHostPort } from '../base/host-port.ts'
import { limits } from '../base/limits.ts'
import { isLoopbackAddress } from '../base/loopback.ts'
import type { SecretKey } from '../crypto/crypto.ts'
import type { BrokerConfig } from './broker-config.ts'
import { keyEncryptionKeyOf } from './key-encryption-keys.ts'
import { operatorsFolderIn } from './operators-folder.ts'
import { flagOf, settings, type Setting } from './settings.ts'

/** Texts of the outside, by the name of a setting. */
export type ConfigSource = {
  readonly env: Readonly<Record<string, string | undefined>>
  /**
   * Options of the command line by their long name in camelCase, `dataDir` for --data-dir; they win
   * over the environment.
   */
  readonly options?: Readonly<Record<string, string | number | boolean | undefined>>
  /** How a fault names an option; as on the command line, `--data-dir`, when left out. */
  readonly nameOfOption?: (option: string) => string
  /** Where values of `env` come from that a settings file gave, by name: `busbar.env, line 3`. */
  readonly places?: ReadonlyMap<string, string>
  /** Faults that were found before, to be reported with those found here. */
  readonly faults?: readonly string[]
  /** Absolute; relative paths start here. */
  readonly workingDir: string
}

/** What was given for a setting: the command line's, else the environment's, else nothing. */
function givenText(
  { env, options = {}, nameOfOption = (option) => flagOf({ option }), places }: ConfigSource,
  setting: Setting,
): { text: string; from: string } | undefined {
  const option = setting.isEnvironmentOnly ? undefined : options[setting.option]
  if (option !== undefined) {
    return { text: String(option), from: nameOfOption(setting.option) }
  }
  const text = env[setting.env]
  // An empty variable is how a shell unsets one.
  const place = places?.get(setting.env)
  const from = place === undefined ? setting.env : `${setting.env} (${place})`
  return text ? { text, from } : undefined
}

function freezeDeep<T extends object>(value: T): T {
  for (const inner of Object.values(value))
    if (typeof inner === 'object' && inner !== null) freezeDeep(inner as object)
  return Object.freeze(value)
}

/** An address that two doors are given. */
function sharedAddressOf({ grpc, http, ops, dialIn }: BrokerConfig): string | undefined {
  const doors = [grpc, http, ops, ...(dialIn ? [dialIn] : [])]
  const addresses = doors.map(({ host, port }) => formatHostPort(host, port))
  return addresses.find(
    (address, index) => !address.endsWith(':0') && addresses.indexOf(address) !== index,
  )
}

function pkiOf(given: string | undefined, dataDir: string, insecure: boolean): BrokerConfig['pki'] {
  if (insecure) return undefined
  return { folder: given ?? resolve(dataDir, 'pki'), isDevelopment: given === undefined }
}

/** Processes that share an embedded nats-server on one machine share their operators, too. */
function operatorsOf(
  given: string | undefined,
  { dataDir, joinedDir }: { dataDir: string; joinedDir: string | undefined },
  insecure: boolean,
): BrokerConfig['operators'] {
  if (insecure) return undefined
  const folder = given ?? operatorsFolderIn(joinedDir ?? dataDir)
  return { folder, isDevelopment: given === undefined }
}

/** An operators' door that others than this machine reach has operators of its own. */
function openOperatorsFaults({ ops, operators }: BrokerConfig): string[] {
  if (ops === undefined || isLoopbackAddress(ops.host) || operators?.isDevelopment === false)
    return []
  const address = formatHostPort(ops.host, ops.port)
  return [
    `${address} is no loopback address: the operators' door needs operators of its own there; make them with \`busbar operators token\` and name their folder (${settings.operators.env})`,
  ]
}

/** Doors without TLS that others than this machine reach. */
function openDoorFaults({ pki, grpc, http, roles }: BrokerConfig): string[] {
  if (pki !== undefined || !roles?.includes('gateway')) return []
  return [grpc, http]
    .filter((door) => door !== undefined && !isLoopbackAddress(door.host))
    .map(
      ({ host, port }) =>
        `${formatHostPort(host, port)} is no loopback address: with ${settings.insecurePartyHeader.env} everybody who reaches it could name any party; use certificates (${settings.pki.env})`,
    )
}

function natsOf(joinedDir: string | undefined, url: string): BrokerConfig['nats'] {
  if (joinedDir !== undefined) return { kind: 'joined', dataDir: joinedDir }
  return url ? { kind: 'external', url } : { kind: 'embedded' }
}

function keyEncryptionOf(
  keys: readonly SecretKey[] | undefined,
  file: string | undefined,
): BrokerConfig['keyEncryption'] {
  if (keys?.length) return { kind: 'given', keys }
  return file === undefined ? { kind: 'none' } : { kind: 'file', path: file }
}

function registrationOf(
  read: <T>(setting: Setting & { schema: z.ZodType<T, string> }) => T,
  path: (text: string) => string | undefined,
): BrokerConfig['registration'] {
  return {
    folder: path(read(settings.registrationFiles)),
    changePercentMax: read(settings.registrationChangePercent),
    ageMsMax: read(settings.registrationAgeMs),
  }
}

/**
 * Compiles the configuration.
 *
 * @throws BrokerError CONFIG_INVALID, naming every fault of every setting at once
 */
export function loadConfig(source: ConfigSource): BrokerConfig {
  const faults: string[] = [...(source.faults ?? [])]
  const read = <T>(setting: Setting & { schema: z.ZodType<T, string> }): T => {
    const given = givenText(source, setting)
    const result = setting.schema.safeParse(given?.text ?? setting.default)
    if (result.success) return result.data
    // Credentials may stand in an address: the text is not repeated.
    const why = result.error.issues.map(({ message }) => message).join(', ')
    faults.push(`${given?.from ?? setting.env}: ${why}`)
    return undefined as T
  }
  const path = (text: string): string | undefined =>
    text ? resolve(source.workingDir, text) : undefined
  const dataDir = resolve(source.workingDir, read(settings.dataDir) ?? '')
  const partiesFile = read(settings.partiesFile)
  const url = read(settings.natsUrl)
  const keys = read(settings.keyEncryptionKey)?.map((text) => keyEncryptionKeyOf(text)!)
  const keyFile = read(settings.keyEncryptionKeyFile)
  const oneOf = (one: Setting, other: Setting): void =>
    void faults.push(`${one.env} and ${other.env} are both given; give one`)
  if (keys?.length && keyFile) oneOf(settings.keyEncryptionKey, settings.keyEncryptionKeyFile)
  const join = read(settings.join)
  if (url && join) oneOf(settings.natsUrl, settings.join)
  const insecure = read(settings.insecurePartyHeader)
  const joinedDir = path(join)
  if (joinedDir !== undefined && joinedDir === dataDir) {
    const { env } = settings.dataDir
    faults.push(`${env}: a process that joins ${joinedDir} needs a data directory of its own`)
  }
  const config: BrokerConfig = {
    dataDir,
    roles: read(settings.roles),
    workerCount: read(settings.workers),
    partitionCount: read(settings.partitionCount),
    grpc: read(settings.grpc),
    http: read(settings.http),
    ops: read(settings.ops),
    site: { hosts: read(settings.httpHosts), origins: read(settings.httpOrigins) },
    pki: pkiOf(path(read(settings.pki)), dataDir, insecure),
    operators: operatorsOf(
      path(read(settings.operators)),
      { dataDir, joinedDir },
      read(settings.insecureOperators),
    ),
    partiesFile: path(partiesFile) ?? resolve(dataDir, 'parties.json'),
    nats: natsOf(joinedDir, url),
    keyEncryption: keyEncryptionOf(keys, path(keyFile ?? '')),
    wanConnectionsMax: read(settings.wanConnectionsMax),
    dialInPerAddress: read(settings.dialInPerAddress),
    dialIn: read(settings.dialIn),
    dialInNamesFile: path(read(settings.dialInNames)),
    ledgerBytesMax: read(settings.ledgerBytesMax),
    diskReserveBytes: read(settings.diskReserveBytes),
    diskReservePercent: read(settings.diskReservePercent),
    replicas: read(settings.replicas),
    deliveryKeepMs: read(settings.deliveryKeepMs),
    actorsAwakeMax: read(settings.actorsAwakeMax),
    actorIdleMs: read(settings.actorIdleMs),
    registration: registrationOf(read, path),
    logLevel: read(settings.logLevel),
  }
  faults.push(...openDoorFaults(config), ...openOperatorsFaults(config))
  const shared = faults.length === 0 ? sharedAddressOf(config) : undefined
  if (shared)
    faults.push(`${shared} is given to two of gRPC, HTTP, ops and dial-in; give each its own`)
  if (faults.length > 0) throw new BrokerError('CONFIG_INVALID', faults.join('; '))
  assert(config.actorIdleMs >= limits.requestLifetimeMs, 'an actor stays awake for a whole request')
  return freezeDeep(config)
}
