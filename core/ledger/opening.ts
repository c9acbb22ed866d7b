/**
 * What happens to the stream of the ledger when a process opens it: it is looked at, judged against
 * what the data directory knows (identity.ts), and only then made, named or used. A refused start
 * has changed nothing.
 *
 * @source core/decisions/0006, core/decisions/0017
 */
import { jetstreamManager, type StreamConfig } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { formatLatest } from '../cluster/format.ts'
import type { Clock } from '../ports/clock.ts'
import type { KnownLedger, SeenMessage } from '../ports/known-ledger.ts'
import type { Ledger, LedgerMessage } from '../ports/ledger.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'
import { decodeTrimRecord, trimSubject } from '../ports/snapshot.ts'
import { insist } from '../nats/connection.ts'
import {
  decodeDeployment,
  digestOf,
  encodeDeployment,
  judgeLedger,
  labelKey,
  labelOf,
  withIncarnation,
  type Deployment,
  type FoundLedger,
  type LedgerIdentity,
  type Verdict,
} from './identity.ts'
import { creationFault } from './server-storage.ts'
import {
  ledgerStreamConfig,
  subjectsToAdd,
  unsafeLedgerSettings,
  type LedgerStreamOptions,
} from './stream-settings.ts'

export const deploymentSubject = 'meta.deployment'
export const ledgerStreamNameDefault = 'LEDGER'
/** Octets at the end of an id that tell the buckets of one ledger from those of another. */
const suffixDigits = 8
/** The bucket streams of every deployment that has never shared its NATS with another one. */
const bucketStreams = ['KV_CURSORS', 'OBJ_SNAPSHOTS'] as const

// err_code of the server: no stream of this name.
export const streamNotFoundCode = 10059

/** The answer to STREAM.INFO, as far as it is used. */
export type StreamLook = {
  error?: { err_code: number; description: string }
  created?: string
  config?: StreamConfig
  state?: { messages: number; bytes: number; last_seq: number }
}

export type OpeningPorts = {
  connection: NatsConnection
  clock: Clock
  log: Log
  random: Random
  stream: LedgerStreamOptions
  partitionCount: number
  /** STREAM.INFO of the ledger's stream. */
  info(waitMs?: number): Promise<StreamLook>
} & Pick<Ledger, 'lastOn' | 'at' | 'commit'>

/** What a data directory brings, and what is done about it. */
export type OpeningTerms = {
  known?: KnownLedger | undefined
  /** An operator has said `--new-ledger`. */
  isNewAccepted?: boolean | undefined
  /** Looks for what the local stores were folded from; says what is not there. */
  contradictionIn?: ((ledger: Pick<Ledger, 'at'>) => Promise<string | undefined>) | undefined
  /** Called after the judgement and before anything is written; a fault ends the start. */
  beforeChange?: ((verdict: Verdict) => Promise<void> | void) | undefined
}

export type OpenedLedger = {
  verdict: Verdict
  deployment: Deployment & { identity: LedgerIdentity }
}

type Look = FoundLedger & { info: StreamLook; recordSequence: number }

/**
 * Opens the ledger for a process that serves.
 * @throws BrokerError LEDGER_MISSING, LEDGER_IDENTITY_MISMATCH, LEDGER_ROLLED_BACK,
 * LEDGER_IDENTITY_UNREADABLE, LEDGER_SETTINGS_UNSAFE, LEDGER_DEPLOYMENT_MISMATCH,
 * BROKER_LEDGER_UNAVAILABLE
 */
export async function openServing(ports: OpeningPorts, terms: OpeningTerms): Promise<OpenedLedger> {
  const { connection, clock, stream } = ports
  // In a cluster a member that was cut off may answer, or one that is catching up.
  const found = await insist(connection, () => examine(ports, terms), clock)
  if (found instanceof BrokerError) throw found
  if (found.look.deployment !== undefined) checkPartitions(ports, found.look.deployment)
  if (found.look.messages !== undefined) checkSettings(stream, found.look.info)
  await terms.beforeChange?.(found.verdict)
  if (found.look.messages === undefined) await createStream(ports)
  else await addSubjects(ports, found.look.info)
  // A stream that was just made in a cluster may have no leader yet.
  const deployment = await insist(connection, () => record(ports, found), clock)
  checkPartitions(ports, deployment)
  await labelStream({ ...ports, streamName: stream.streamName }, deployment.identity)
  return { verdict: found.verdict, deployment }
}

/** Opens the stream of a ledger that a backup is brought into, and makes it when needed. */
export async function openForRestore(ports: OpeningPorts): Promise<void> {
  const look = await lookAt(ports, {})
  if (look.deployment !== undefined)
    throw new BrokerError('LEDGER_DEPLOYMENT_MISMATCH', 'there is a deployment already')
  if (look.messages === undefined) await createStream(ports)
  else checkSettings(ports.stream, look.info)
}

/** The record of the deployment. @throws BrokerError LEDGER_DEPLOYMENT_MISMATCH without one */
export async function readDeployment(ledger: Pick<Ledger, 'lastOn'>): Promise<Deployment> {
  const found = await ledger.lastOn(deploymentSubject)
  if (found === undefined)
    throw new BrokerError('LEDGER_DEPLOYMENT_MISMATCH', 'there is no deployment')
  return decodeDeployment(found.data)
}

/** The suffix for the buckets of a ledger with this id: empty where no others are in the way. */
export async function freeBucketSuffix(connection: NatsConnection, id: string): Promise<string> {
  const { streams } = await jetstreamManager(connection, { checkAPI: false })
  let suffix = ''
  for (const name of bucketStreams) {
    try {
      await streams.info(name)
      suffix = `_${id.slice(0, suffixDigits)}`
    } catch (cause) {
      if (!isNotFound(cause)) throw unavailable(name, cause)
    }
  }
  return suffix
}

/**
 * Releases the room that the buckets of another ledger reserve beyond their content; they stay. To
 * be called only once the record of our own ledger, which has a suffix, is written: before that
 * they may be those of a process that has just made the same ledger.
 */
export async function releaseOtherBuckets(connection: NatsConnection): Promise<void> {
  const { streams } = await jetstreamManager(connection, { checkAPI: false })
  for (const name of bucketStreams) {
    try {
      const { state, config } = await streams.info(name)
      const usedBytes = Math.max(1, state.bytes)
      if (config.max_bytes > usedBytes) await streams.update(name, { max_bytes: usedBytes })
    } catch (cause) {
      if (!isNotFound(cause)) throw unavailable(name, cause)
    }
  }
}

const isNotFound = (cause: unknown): boolean =>
  (cause as { code?: number }).code === streamNotFoundCode

const unavailable = (stream: string, cause: unknown): BrokerError =>
  new BrokerError('BROKER_LEDGER_UNAVAILABLE', `stream ${stream}`, { cause })

/** Names the stream after its ledger. Where that is not permitted the record alone says it. */
export async function labelStream(
  {
    connection,
    log,
    clock,
    streamName,
  }: Pick<OpeningPorts, 'connection' | 'log' | 'clock'> & { streamName: string },
  identity: LedgerIdentity,
): Promise<void> {
  const wanted = labelOf(identity)
  try {
    const { streams } = await jetstreamManager(connection, { checkAPI: false })
    const label = async (): Promise<void> => {
      const { metadata } = (await streams.info(streamName)).config
      if (metadata?.[labelKey] === wanted) return
      await streams.update(streamName, { metadata: { ...metadata, [labelKey]: wanted } })
    }
    await insist(connection, label, clock)
  } catch (fault) {
    log.warn({ fault: String(fault) }, 'the stream of the ledger could not be named')
  }
}

async function examine(
  ports: OpeningPorts,
  terms: OpeningTerms,
): Promise<{ verdict: Verdict; look: Look } | BrokerError> {
  const { known, isNewAccepted = false } = terms
  const look = await lookAt(ports, terms)
  const { streamName } = ports.stream
  const verdict = judgeLedger(known, look, isNewAccepted)
  if (typeof verdict === 'object') {
    const { code, detail } = verdict
    const where = `in stream ${streamName} at ${ports.connection.getServer()}`
    const fault = new BrokerError(code, `${detail}, ${where}`)
    // Of another ledger a server that is cut off knows as much as the others.
    if (code === 'LEDGER_IDENTITY_MISMATCH') return fault
    throw fault
  }
  return { verdict, look }
}

async function lookAt(
  ports: OpeningPorts,
  { known, contradictionIn }: OpeningTerms,
): Promise<Look> {
  const seen = known?.seen
  const info = await ports.info(limits.ledgerStartMsMax)
  const isMissing = info.error?.err_code === streamNotFoundCode
  if (info.error !== undefined && !isMissing)
    throw new BrokerError(
      'BROKER_LEDGER_UNAVAILABLE',
      `${info.error.err_code} ${info.error.description}`,
    )
  const record = isMissing ? undefined : await ports.lastOn(deploymentSubject)
  return {
    info,
    messages: isMissing ? undefined : (info.state?.messages ?? 0),
    lastSequence: info.state?.last_seq ?? 0,
    label: info.config?.metadata?.[labelKey],
    deployment: record && decodeDeployment(record.data),
    recordSequence: record?.sequence ?? 0,
    seen: isMissing || seen === undefined ? 'unknown' : await whatIsAt(ports, seen),
    contradiction: isMissing ? undefined : await contradictionIn?.(ports),
  }
}

/** What stands on the ledger where `seen` stood. */
async function whatIsAt(
  ports: Pick<Ledger, 'at' | 'lastOn'>,
  { sequence, digest, isTick }: SeenMessage,
): Promise<FoundLedger['seen']> {
  const message: LedgerMessage | undefined = await ports.at(sequence)
  if (message !== undefined)
    return digest === undefined || digestOf(message) === digest ? 'same' : 'other'
  // Records that are replaced are removed; ticks go by trimming alone, which is recorded first.
  if (isTick !== true) return 'unknown'
  const trimmed = await ports.lastOn(trimSubject)
  const through = trimmed === undefined ? 0 : decodeTrimRecord(trimmed.data).through
  return sequence <= through ? 'trimmed' : 'gone'
}

function checkPartitions(
  { partitionCount: asked }: OpeningPorts,
  { partitionCount: recorded }: Deployment,
): void {
  if (recorded !== asked)
    throw new BrokerError('LEDGER_DEPLOYMENT_MISMATCH', `recorded ${recorded}, asked ${asked}`)
}

function checkSettings(stream: LedgerStreamOptions, { config }: StreamLook): void {
  const faults = config === undefined ? ['no settings'] : unsafeLedgerSettings(config, stream)
  if (faults.length > 0)
    throw new BrokerError('LEDGER_SETTINGS_UNSAFE', `${stream.streamName}: ${faults.join('; ')}`)
}

/** A stream of the version before takes what this one writes, too; that version goes on with it. */
async function addSubjects(
  { connection, clock, log, stream }: OpeningPorts,
  { config }: StreamLook,
): Promise<void> {
  const added = config === undefined ? [] : subjectsToAdd(config, stream)
  if (config === undefined || added.length === 0) return
  const { streamName } = stream
  const manager = await jetstreamManager(connection, { checkAPI: false })
  const subjects = [...config.subjects, ...added]
  const add = () => manager.streams.update(streamName, { subjects })
  await insist(connection, add, clock).catch((cause: unknown) => {
    const detail = `${streamName}: subjects ${added.join(', ')} cannot be added`
    throw new BrokerError('LEDGER_SETTINGS_UNSAFE', detail, { cause })
  })
  log.info(
    { stream: streamName, added: added.join() },
    'subjects of this version were added to the ledger',
  )
}

async function createStream({ connection, clock, log, stream, info }: OpeningPorts): Promise<void> {
  const { streamName, bytesMax, replicas } = stream
  try {
    const manager = await jetstreamManager(connection, { checkAPI: false })
    const make = () => manager.streams.add(ledgerStreamConfig(stream))
    await insist(connection, make, clock)
    log.info({ stream: streamName, bytesMax, replicas }, 'ledger created')
  } catch (cause) {
    // Another process may have made it, and named it, in between.
    const isThere = (await info().catch(() => undefined))?.config !== undefined
    if (!isThere)
      throw await creationFault(connection, `the ledger, stream ${streamName},`, bytesMax, cause)
  }
  checkSettings(stream, await info(limits.ledgerStartMsMax))
}

/**
 * The record with an identity: the one found, or the one that this start writes, on condition that
 * nobody else has written meanwhile.
 */
async function record(
  ports: OpeningPorts,
  { verdict, look }: { verdict: Verdict; look: Look },
): Promise<OpenedLedger['deployment']> {
  const identity = look.deployment?.identity
  if (look.deployment !== undefined && identity !== undefined && verdict !== 'accept')
    return { ...look.deployment, identity }
  const made = await deploymentFor(ports, verdict, look)
  const outcome = await ports.commit([
    {
      subject: deploymentSubject,
      data: encodeDeployment(made),
      expect: { subject: deploymentSubject, sequence: look.recordSequence },
    },
  ])
  if (outcome.refused === undefined) {
    const { id } = made.identity
    ports.log.info({ ledger: id, verdict }, 'the identity of the ledger was recorded')
    if (look.deployment === undefined && made.bucketSuffix !== '')
      await releaseOtherBuckets(ports.connection)
    return made
  }
  const found = await ports.lastOn(deploymentSubject)
  const written = found && found.sequence > look.recordSequence && decodeDeployment(found.data)
  if (written && written.identity !== undefined) return { ...written, identity: written.identity }
  throw new BrokerError(
    'BROKER_LEDGER_UNAVAILABLE',
    `deployment record: ${outcome.refused} ${outcome.detail}`,
  )
}

async function deploymentFor(
  { connection, clock, random, partitionCount, stream }: OpeningPorts,
  verdict: Verdict,
  { deployment, info, lastSequence }: Look,
): Promise<OpenedLedger['deployment']> {
  const fresh = random.bytes(16).toString('hex')
  const createdAtMs = Date.parse(info.created ?? '') || clock.now()
  const identity = deployment?.identity ?? { id: fresh, createdAtMs, incarnations: [] }
  if (verdict === 'accept' && deployment?.identity !== undefined)
    return {
      ...deployment,
      identity: withIncarnation(identity, {
        id: fresh,
        kind: 'accepted',
        atMs: clock.now(),
        throughSequence: lastSequence,
      }),
    }
  if (deployment !== undefined) return { ...deployment, identity }
  // Cursors of another ledger would have parties skip deliveries of this one.
  const isAlone = stream.streamName === ledgerStreamNameDefault
  const bucketSuffix = isAlone ? await freeBucketSuffix(connection, fresh) : ''
  return { partitionCount, identity, bucketSuffix, format: formatLatest }
}
