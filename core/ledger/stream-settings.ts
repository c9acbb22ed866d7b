/**
 * The settings of the ledger's stream, and the check of one that exists already: without them
 * "nothing accepted is lost" is not true (core/decisions/0006). Pure.
 */
import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from '@nats-io/jetstream'

export type LedgerStreamOptions = {
  streamName: string
  /** First token of every subject. */
  subjectPrefix: string
  /** 1 on one machine, 3 in a cluster. */
  replicas: number
  /** The stream refuses when it holds so many octets, instead of forgetting. */
  bytesMax: number
  /** Sequence of the first message of a stream that is made; 1 when left out. */
  firstSequence?: number
}

// The client library has no field for persist_mode yet; the server gives it back when it is set.
type LedgerStreamConfig = StreamConfig & { persist_mode?: string }

const firstSubjectKinds = ['log', 'lease', 'meta'] as const
/** Those that a later version has added: streams of the version before lack them. */
const addedSubjectKinds = ['directory'] as const

const subjectsOf = (kinds: readonly string[], { subjectPrefix }: LedgerStreamOptions): string[] =>
  kinds.map((kind) => `${subjectPrefix}.${kind}.*`)

/**
 * What the stream is created with. No deduplication by message id is used: the shortest window
 * costs least.
 */
export function ledgerStreamConfig(
  options: LedgerStreamOptions,
): Partial<StreamConfig> & { name: string } {
  return {
    name: options.streamName,
    subjects: subjectsOf([...firstSubjectKinds, ...addedSubjectKinds], options),
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    max_bytes: options.bytesMax,
    max_age: 0,
    max_msgs: -1,
    max_msgs_per_subject: -1,
    num_replicas: options.replicas,
    ...((options.firstSequence ?? 1) > 1 && { first_seq: options.firstSequence! }),
    allow_direct: true,
    allow_atomic: true,
    // Nobody may take a fact out of the chain by hand. Purging below a sequence stays possible.
    deny_delete: true,
    duplicate_window: 100_000_000,
  }
}

/**
 * What makes an existing stream unfit to be the ledger, in words for the operator; empty when
 * nothing does.
 */
export function unsafeLedgerSettings(found: StreamConfig, options: LedgerStreamOptions): string[] {
  const config: LedgerStreamConfig = found
  const faults: string[] = []
  const must = (holds: boolean, fault: string): void => {
    if (!holds) faults.push(fault)
  }
  must(config.storage === StorageType.File, 'storage is not file')
  must(config.retention === RetentionPolicy.Limits, 'retention is not limits')
  must(config.discard === DiscardPolicy.New, 'discard is not new: a full disk would forget')
  must(config.max_bytes > 0, 'max_bytes is not set')
  must((config.max_age ?? 0) === 0, 'max_age is set: facts would age away')
  must((config.max_msgs ?? -1) <= 0, 'max_msgs is set')
  must(
    (config.max_msgs_per_subject ?? -1) <= 0,
    'max_msgs_per_subject is set: facts would be pushed out',
  )
  must(config.allow_atomic === true, 'allow_atomic is off: batches could be torn')
  must(
    config.persist_mode === undefined || config.persist_mode === 'default',
    'persist_mode is async: acknowledged is not on disk',
  )
  must(
    config.num_replicas >= options.replicas,
    `num_replicas is ${config.num_replicas}, ${options.replicas} wanted`,
  )
  must(config.no_ack !== true, 'no_ack is on: nothing would be acknowledged')
  must(config.sealed !== true, 'the stream is sealed')
  must(
    config.mirror === undefined && (config.sources ?? []).length === 0,
    'the stream copies another',
  )
  must(config.subject_transform === undefined, 'subjects are transformed')
  for (const subject of subjectsOf(firstSubjectKinds, options))
    must((config.subjects ?? []).includes(subject), `subject ${subject} is missing`)
  return faults
}

/** Subjects that a stream of the version before lacks. */
export const subjectsToAdd = (found: StreamConfig, options: LedgerStreamOptions): string[] =>
  subjectsOf(addedSubjectKinds, options).filter(
    (subject) => !(found.subjects ?? []).includes(subject),
  )
