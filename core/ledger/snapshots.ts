/**
 * Snapshots of partitions in a JetStream object store beside the ledger. An object is chunks and,
 * written last, its information with a SHA-256 of them: what was broken off is not there, what was
 * changed is refused. Who refers to an object is said in the ledger.
 */
import { createHash } from 'node:crypto'
import { Objm, type ObjectInfo, type ObjectStore } from '@nats-io/obj'
import { jetstreamManager, StorageType } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { systemClock, type Clock } from '../ports/clock.ts'
import { silentLog, type Log } from '../ports/log.ts'
import type { SnapshotStore } from '../ports/snapshot.ts'
import { claimBucket } from './bucket-label.ts'
import { ConnectionHealth, insist } from '../nats/connection.ts'
import { creationFault } from './server-storage.ts'
import { SubjectReader } from './subject-reader.ts'

export type SnapshotBucketOptions = {
  connection: NatsConnection
  bucketName?: string | undefined
  replicas?: number | undefined
  /** Octets of all snapshots; while one is replaced both count. */
  bytesMax?: number | undefined
  /** The ledger that the snapshots are of; left out, the bucket belongs to none. */
  ledgerId?: string | undefined
  clock?: Clock | undefined
  log?: Log | undefined
}

export const snapshotBucketNameDefault = 'SNAPSHOTS'
/** Beside a ledger of so many octets. */
export const snapshotBytesMaxOf = (ledgerBytesMax: number): number =>
  Math.max(256 * 1024 ** 2, Math.floor(ledgerBytesMax / 4))

const unavailable = (what: string, cause: unknown): BrokerError =>
  new BrokerError('BROKER_LEDGER_UNAVAILABLE', what, { cause })

class ObjectSnapshots implements SnapshotStore {
  private readonly bucket: ObjectStore
  private readonly bucketName: string
  private readonly connection: NatsConnection
  private readonly health: ConnectionHealth
  private readonly clock: Clock
  private readonly log: Log

  constructor(bucket: ObjectStore, bucketName: string, options: SnapshotBucketOptions) {
    this.bucket = bucket
    this.bucketName = bucketName
    this.connection = options.connection
    this.clock = options.clock ?? systemClock
    this.log = options.log ?? silentLog
    this.health = new ConnectionHealth(options.connection, this.clock, this.log)
    this.health.start()
  }

  async put(name: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const iterator = chunks[Symbol.asyncIterator]()
    let ownFault: unknown
    const source = new ReadableStream<Uint8Array>({
      async pull(controller) {
        try {
          const { done, value } = await iterator.next()
          if (done === true) controller.close()
          else controller.enqueue(value)
        } catch (fault) {
          ownFault = fault
          controller.error(fault)
        }
      },
    })
    try {
      await this.bucket.put(
        { name, options: { max_chunk_size: limits.snapshotChunkBytes } },
        source,
        {
          timeout: limits.ledgerAskMsMax,
        },
      )
    } catch (cause) {
      await iterator.return?.().catch(() => undefined)
      if (ownFault !== undefined) throw ownFault
      // Without room: perhaps for the chunks of those that were broken off by a crash.
      await this.forgetFragments().catch(() => undefined)
      throw unavailable(`snapshot ${name}`, cause)
    }
  }

  /**
   * By a reader of ours: the library's has no back-pressure, and a snapshot may be larger than
   * memory.
   */
  async get(name: string, onChunk: (chunk: Uint8Array) => Promise<void>): Promise<void> {
    let found: ObjectInfo | null
    try {
      found = await this.bucket.info(name)
    } catch (cause) {
      throw unavailable(`snapshot ${name}`, cause)
    }
    if (found === null || found.deleted)
      throw new BrokerError('SNAPSHOT_DAMAGED', `${name} is not there`)
    const hash = createHash('sha256')
    const { connection, health, clock, log } = this
    const reader = new SubjectReader({
      connection,
      health,
      clock,
      log,
      streamName: `OBJ_${this.bucketName}`,
      subjectPrefix: `$O.${this.bucketName}.C`,
      subject: found.nuid,
      fromSequence: 1,
      isBounded: true,
      prefetchMessagesMax: limits.snapshotPrefetchMessagesMax,
      onMessage: ({ data }) => {
        hash.update(data)
        return onChunk(data)
      },
    })
    if (found.size > 0) {
      reader.start()
      await reader.ended
    }
    // "SHA-256=" and base64url, padded.
    const digest = `SHA-256=${hash.digest('base64url')}`
    if (found.digest.replace(/=+$/, '') !== digest)
      throw new BrokerError('SNAPSHOT_DAMAGED', `${name} is not whole`)
  }

  async remove(name: string): Promise<void> {
    try {
      if ((await this.bucket.info(name)) !== null) await this.bucket.delete(name)
    } catch (cause) {
      throw unavailable(`snapshot ${name}`, cause)
    }
  }

  async names(): Promise<string[]> {
    try {
      return (await this.bucket.list()).filter(({ deleted }) => !deleted).map(({ name }) => name)
    } catch (cause) {
      throw unavailable('the names of snapshots', cause)
    }
  }

  /**
   * Chunks that no object names. One that is being written at this moment by another host fails by
   * it, and is written again.
   */
  private async forgetFragments(): Promise<void> {
    const manager = await jetstreamManager(this.connection, { checkAPI: false })
    const stream = `OBJ_${this.bucketName}`
    const chunksOf = `$O.${this.bucketName}.C.`
    const known = new Set((await this.bucket.list()).map(({ nuid }) => nuid))
    const { state } = await manager.streams.info(stream, { subjects_filter: `${chunksOf}*` })
    for (const subject of Object.keys(state.subjects ?? {})) {
      if (!known.has(subject.slice(chunksOf.length)))
        await manager.streams.purge(stream, { filter: subject })
    }
  }
}

/**
 * @throws BrokerError LEDGER_SETTINGS_UNSAFE, LEDGER_IDENTITY_MISMATCH, BROKER_LEDGER_UNAVAILABLE
 */
export async function createSnapshotStore(options: SnapshotBucketOptions): Promise<SnapshotStore> {
  const name = options.bucketName ?? snapshotBucketNameDefault
  let bucket: ObjectStore
  let isOnFile: boolean
  try {
    const replicas = options.replicas ?? 1
    const make = () =>
      new Objm(options.connection).create(name, {
        storage: StorageType.File,
        replicas,
        compression: true,
        ...(options.bytesMax !== undefined && { max_bytes: options.bytesMax }),
      })
    bucket = await insist(options.connection, make, options.clock ?? systemClock)
    isOnFile = (await bucket.status()).storage === StorageType.File
    await claimBucket(options.connection, `OBJ_${name}`, options.ledgerId)
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    const what = `snapshots, bucket ${name}, a quarter of the ledger beside it,`
    throw await creationFault(options.connection, what, options.bytesMax ?? 0, cause)
  }
  if (!isOnFile)
    throw new BrokerError('LEDGER_SETTINGS_UNSAFE', `bucket ${name}: storage is not file`)
  return new ObjectSnapshots(bucket, name, options)
}
