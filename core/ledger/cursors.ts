/**
 * Cursors of parties in a JetStream key-value bucket with a history of one. A cursor that is older
 * than it was costs a party a repeated delivery, never a lost one.
 */
import { StorageType } from '@nats-io/jetstream'
import { Kvm, type KV } from '@nats-io/kv'
import type { NatsConnection } from '@nats-io/transport-node'
import { limits } from '../base/limits.ts'
import { BrokerError } from '../base/broker-error.ts'
import { decodeCursor, deliveryIdOf, encodeCursor } from '../envelope/delivery-id.ts'
import { systemClock } from '../ports/clock.ts'
import type { CursorStore } from '../ports/ledger.ts'
import { viewsCursorPrefix, viewsCursorsIn, writeViewsCursor } from '../cluster/views-cursor.ts'
import { claimBucket } from './bucket-label.ts'
import { insist } from '../nats/connection.ts'
import { creationFault } from './server-storage.ts'

export type CursorStoreOptions = {
  connection: NatsConnection
  bucketName?: string | undefined
  replicas?: number | undefined
  bytesMax?: number | undefined
  /** The ledger that the cursors point into; left out, the bucket belongs to none. */
  ledgerId?: string | undefined
}

export const cursorBucketNameDefault = 'CURSORS'

class KvCursorStore implements CursorStore {
  private readonly bucket: KV
  private readonly connection: NatsConnection

  constructor(bucket: KV, connection: NatsConnection) {
    this.bucket = bucket
    this.connection = connection
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    try {
      const entry = await insist(this.connection, () => this.bucket.get(name), systemClock)
      return entry === null || entry.operation !== 'PUT' ? undefined : entry.value
    } catch (cause) {
      throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', `cursor ${name}`, { cause })
    }
  }

  async names(): Promise<string[]> {
    try {
      const readAll = async (): Promise<string[]> => {
        const names: string[] = []
        for await (const name of await this.bucket.keys()) names.push(name)
        return names
      }
      return await insist(this.connection, readAll, systemClock)
    } catch (cause) {
      throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', 'the names of cursors', { cause })
    }
  }

  async put(name: string, value: Uint8Array): Promise<void> {
    try {
      await this.bucket.put(name, value)
    } catch (cause) {
      throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', `cursor ${name}`, { cause })
    }
  }
}

/**
 * @throws BrokerError LEDGER_SETTINGS_UNSAFE, LEDGER_IDENTITY_MISMATCH, BROKER_LEDGER_UNAVAILABLE
 */
export async function createCursorStore(options: CursorStoreOptions): Promise<CursorStore> {
  const name = options.bucketName ?? cursorBucketNameDefault
  const { replicas = 1 } = options
  let bucket: KV | undefined
  let isOnFile: boolean
  try {
    const make = async (): Promise<boolean> => {
      bucket = await new Kvm(options.connection).create(name, {
        history: 1,
        storage: StorageType.File,
        replicas,
        maxValueSize: limits.cursorBytesMax,
        // A replica that has not caught up would answer with an old cursor.
        allow_direct: false,
        max_bytes: options.bytesMax ?? limits.cursorBucketBytesMax,
      })
      return (await bucket.status()).storage === StorageType.File
    }
    isOnFile = await insist(options.connection, make, systemClock)
    await claimBucket(options.connection, `KV_${name}`, options.ledgerId)
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    const what = `cursors, bucket ${name},`
    throw await creationFault(
      options.connection,
      what,
      options.bytesMax ?? limits.cursorBucketBytesMax,
      cause,
    )
  }
  if (!isOnFile)
    throw new BrokerError('LEDGER_SETTINGS_UNSAFE', `bucket ${name}: storage is not file`)
  return new KvCursorStore(bucket!, options.connection)
}

/**
 * Sets back cursors that point behind `lastSequence`, the end of a ledger that has lost messages:
 * they would skip what takes the place of those.
 * @throws BrokerError BROKER_LEDGER_UNAVAILABLE
 */
export async function clampCursors(cursors: CursorStore, lastSequence: number): Promise<void> {
  const last = deliveryIdOf(lastSequence + 1, 0) - 1
  for (const name of await cursors.names())
    if (!name.startsWith(viewsCursorPrefix) && decodeCursor(await cursors.get(name)) > last)
      await cursors.put(name, encodeCursor(last))
  for (const cursor of await viewsCursorsIn(cursors))
    if (cursor.sequence > lastSequence)
      await writeViewsCursor(cursors, { ...cursor, sequence: lastSequence })
}
