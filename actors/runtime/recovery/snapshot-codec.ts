/**
 * A partition's store as octets, for a snapshot. Pure.
 *
 *   records: octets of the actor 8 | kind u8 | wake u56, UTC ms, 0 for never | length u32 | packed state
 *
 * Integers are big-endian. Whose it is, its checkpoint and how many records there are stands in its
 * record on the ledger. Unlike a store a snapshot is no cache: a new version of states must be able
 * to read the older ones. Earlier versions knew devices alone, kind 0, and wrote the wake as u64:
 * the same octets.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { writeOctetsOf } from '../../../core/base/bytes.ts'
import { actorIdOf, kindOfActor } from '../../../core/base/actor-id.ts'
import { readEui64 } from '../../../core/base/eui64.ts'
import type { StoreRecord } from '../../../core/ports/store.ts'

const headBytes = 8 + 8 + 4
/** A device with a full queue of the largest requests and all that it remembers stays below. */
const stateBytesMax = 16 * 1024 * 1024
const chunkBytes = 256 * 1024

/** Chunks of whole records, each of its own memory. */
export function* snapshotChunks(records: Iterable<StoreRecord>): Generator<Buffer> {
  let parts: Buffer[] = []
  let bytes = 0
  for (const { actor, state, wakeAtMs } of records) {
    const record = Buffer.allocUnsafe(headBytes + state.length)
    writeOctetsOf(actor, record, 0)
    record.writeBigUInt64BE(BigInt(wakeAtMs), 8)
    record[8] = kindOfActor(actor)
    record.writeUInt32BE(state.length, 16)
    record.set(state, headBytes)
    parts.push(record)
    bytes += record.length
    if (bytes < chunkBytes) continue
    yield Buffer.concat(parts)
    parts = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(parts)
}

/** Takes chunks of any size. */
export class SnapshotReader {
  private rest: Buffer = Buffer.alloc(0)

  /**
   * The records that are whole now; they borrow from this and the chunks before. @throws
   * BrokerError SNAPSHOT_DAMAGED
   */
  push(chunk: Uint8Array): StoreRecord[] {
    const octets = this.rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.rest, chunk])
    const records: StoreRecord[] = []
    let at = 0
    while (octets.length - at >= headBytes) {
      const length = octets.readUInt32BE(at + 16)
      if (length > stateBytesMax)
        throw new BrokerError('SNAPSHOT_DAMAGED', `a state of ${length} octets`)
      const end = at + headBytes + length
      if (octets.length < end) break
      records.push({
        actor: actorIdOf(octets[at + 8]!, readEui64(octets, at)),
        wakeAtMs: octets.readUInt8(at + 9) * 2 ** 48 + octets.readUIntBE(at + 10, 6),
        state: octets.subarray(at + headBytes, end),
      })
      at = end
    }
    this.rest = octets.subarray(at)
    return records
  }

  /** @throws BrokerError SNAPSHOT_DAMAGED when a record is cut off */
  end(): void {
    if (this.rest.length > 0) throw new BrokerError('SNAPSHOT_DAMAGED', 'a record is cut off')
  }
}
