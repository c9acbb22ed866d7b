/**
 * Damage to the files of one stream in the store of a nats-server that does not run: one bit
 * flipped, a block cut short, a file lost. Where it strikes follows from a seed.
 *
 * A block file (`msgs/<number>.blk`) holds records back to back: u32 length of the record, u64
 * sequence, u64 time, u16 length of the subject, subject, message, 8 octets of checksum; all
 * little-endian. The highest bit of the length is set when there are headers, and then a u32 with
 * their length stands behind the subject.
 */
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '../../core/ports/random.ts'

export const Damage = ['flip', 'truncate', 'lose'] as const
export type Damage = (typeof Damage)[number]

export const streamFolder = (storeDir: string, stream: string, account = '$G'): string =>
  join(storeDir, 'jetstream', account, 'streams', stream)

/** Paths of the blocks that hold messages, in order. */
export const blockFiles = (storeDir: string, stream: string): string[] => {
  const folder = join(streamFolder(storeDir, stream), 'msgs')
  return readdirSync(folder)
    .filter((name) => /^\d+\.blk$/.test(name))
    .sort((a, b) => Number.parseInt(a) - Number.parseInt(b))
    .map((name) => join(folder, name))
}

const headBytes = 22

/** Sequences of the records in a block, and where each begins. */
function recordsOf(block: Buffer): Array<{ sequence: number; at: number; bytes: number }> {
  const records: Array<{ sequence: number; at: number; bytes: number }> = []
  for (let at = 0; at + headBytes <= block.length;) {
    const bytes = block.readUInt32LE(at) & 0x7fff_ffff
    if (bytes < headBytes || at + bytes > block.length) break
    records.push({ sequence: Number(block.readBigUInt64LE(at + 4)), at, bytes })
    at += bytes
  }
  return records
}

/** What was done, for the test's output and its expectations. */
export type Done = { what: Damage; file: string; at: number; firstSequence: number }

/**
 * Damages one block of the stream, not the last record of the last block. The server must be
 * stopped.
 * @returns the first sequence that is gone or changed
 */
export function damage(storeDir: string, stream: string, what: Damage, seed: number): Done {
  const random = seededRandom(seed)
  const files = blockFiles(storeDir, stream)
  const file = files[Math.floor(random.fraction() * files.length)]!
  const block = readFileSync(file)
  const records = recordsOf(block)
  const record = records[Math.floor(random.fraction() * (records.length - 2)) + 1]!
  const { sequence: firstSequence, at: start, bytes } = record
  if (what === 'lose') {
    rmSync(file)
    return { what, file, at: 0, firstSequence: records[0]!.sequence }
  }
  const at = start + headBytes + Math.floor(random.fraction() * (bytes - headBytes))
  if (what === 'truncate') truncateSync(file, at)
  else {
    block[at]! ^= 1 << Math.floor(random.fraction() * 8)
    writeFileSync(file, block)
  }
  return { what, file, at, firstSequence }
}
