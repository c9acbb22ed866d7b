/**
 * What every SnapshotStore does, in memory and over JetStream alike. `create` gives an empty one
 * each time.
 */
import type { Test } from 'tap'
import type { SnapshotStore } from '../../core/ports/snapshot.ts'

async function* chunksOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield chunk
}

export async function readWhole(snapshots: SnapshotStore, name: string): Promise<Buffer> {
  const parts: Buffer[] = []
  await snapshots.get(name, async (chunk) => void parts.push(Buffer.from(chunk)))
  return Buffer.concat(parts)
}

export function snapshotContract(t: Test, create: () => Promise<SnapshotStore>): void {
  t.test('snapshots are kept whole by name, and removed', async (t) => {
    const snapshots = await create()
    t.strictSame(await snapshots.names(), [])
    const large = Array.from({ length: 30 }, (_, i) => Buffer.alloc(100_000, i))
    await snapshots.put('3.100.a', chunksOf(large))
    await snapshots.put('3.200.a', chunksOf([Buffer.from('small')]))
    await snapshots.put('4.1.a', chunksOf([]))
    t.strictSame((await snapshots.names()).sort(), ['3.100.a', '3.200.a', '4.1.a'])
    t.ok((await readWhole(snapshots, '3.100.a')).equals(Buffer.concat(large)))
    t.equal((await readWhole(snapshots, '3.200.a')).toString(), 'small')
    t.equal((await readWhole(snapshots, '4.1.a')).length, 0)
    await snapshots.remove('3.100.a')
    await snapshots.remove('nobody')
    t.strictSame((await snapshots.names()).sort(), ['3.200.a', '4.1.a'])
    await t.rejects(readWhole(snapshots, '3.100.a'), { code: 'SNAPSHOT_DAMAGED' })
  })

  t.test('one whose source fails is not there, and its fault is told', async (t) => {
    const snapshots = await create()
    const fault = new Error('of the source')
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(700_000)
      throw fault
    }
    await t.rejects(snapshots.put('3.1.a', failing()), fault)
    t.strictSame(await snapshots.names(), [])
  })

  t.test("a reader's own fault is its own", async (t) => {
    const snapshots = await create()
    await snapshots.put('3.1.a', chunksOf([Buffer.from('x')]))
    const fault = new Error('of the reader')
    await t.rejects(
      snapshots.get('3.1.a', () => Promise.reject(fault)),
      fault,
    )
  })
}
