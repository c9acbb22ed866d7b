/** The store on LMDB: the contract, life after a restart, and files that are damaged. */
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { readEui64, type Eui64 } from '../../../core/base/eui64.ts'
import { openLmdbStores, type LmdbStores } from '../../../core/store/lmdb-partitions.ts'
import { setAsideOf } from '../../../core/store/set-aside.ts'
import { silentLog, type Log } from '../../../core/ports/log.ts'
import { storeContract } from '../../contracts/store.ts'

const root = mkdtempSync(join(tmpdir(), 'busbar-lmdb-'))
t.teardown(() => rmSync(root, { recursive: true, force: true }))
let folders = 0
const freshFolder = (): string => join(root, `${folders++}`)

const device = (number: number): Eui64 => {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(number, 4)
  return readEui64(bytes)
}
const checkpoint = {
  sequence: 2 ** 50,
  frameSequence: 1,
  frameNumber: 12,
  hash: Buffer.alloc(32, 9),
}
const stateOf = (number: number): Buffer => Buffer.alloc(900, number)

/** A store with 500 devices, closed; returns its folder. */
async function written(): Promise<string> {
  const folder = freshFolder()
  const stores = openLmdbStores({ folder })
  const store = stores.open(3)
  const states = new Map(Array.from({ length: 500 }, (_, i) => [device(i), stateOf(i)]))
  const wakes = new Map(Array.from({ length: 500 }, (_, i) => [device(i), 1_000 + i]))
  await store.save({ states, wakes, checkpoint })
  await store.close()
  await stores.close()
  return folder
}

function watched(): { log: Log; warnings: string[] } {
  const warnings: string[] = []
  const note = (): void => {}
  return {
    warnings,
    log: {
      debug: note,
      info: note,
      error: note,
      warn: (fields) => void warnings.push(String(fields['reason'])),
    },
  }
}

t.test('contract', (t) => {
  const stores = openLmdbStores({ folder: freshFolder() })
  let partition = 0
  storeContract(t, () => stores.open(partition++))
  t.teardown(() => stores.close())
  t.end()
})

t.test('what is saved is there after a restart, partition by partition', async (t) => {
  const folder = await written()
  const { log, warnings } = watched()
  const stores = openLmdbStores({ folder, log })
  const store = stores.open(3)
  t.strictSame(warnings, [])
  t.equal(store.isEmpty(), false)
  t.same(store.checkpoint(), checkpoint)
  t.same(store.load(device(77)), stateOf(77))
  t.equal(store.nextWakeMs(), 1_000)
  t.equal(store.dueWakes(1_009, 100).length, 10)
  t.equal(stores.open(4).isEmpty(), true)
  t.throws(() => stores.open(3), { name: 'AssertionFault' }, 'once only')
  await store.close()
  t.equal(stores.open(3).isEmpty(), false)
  await stores.close()
})

t.test('a damaged file is put aside with a warning, and the store begins empty', async (t) => {
  const damages: Record<string, (file: string) => void> = {
    'cut in half': (file) => truncateSync(file, Math.floor(statSync(file).size / 2)),
    'cut to one page and a half': (file) => truncateSync(file, 6_000),
    'cut within the first page': (file) => truncateSync(file, 10),
    'another kind of file': (file) => writeFileSync(file, Buffer.alloc(100_000, 'not a database')),
    'first page overwritten': (file) => {
      const bytes = readFileSync(file)
      bytes.fill(0xee, 0, 4_096)
      writeFileSync(file, bytes)
    },
  }
  for (const [name, damage] of Object.entries(damages)) {
    const folder = await written()
    damage(join(folder, 'data.mdb'))
    const { log, warnings } = watched()
    let stores: LmdbStores = openLmdbStores({ folder, log })
    let store = stores.open(3)
    t.equal(warnings.length, 1, `${name}: ${warnings[0] ?? ''}`)
    t.equal(store.checkpoint(), undefined)
    t.equal(store.isEmpty(), true)
    t.equal(setAsideOf(join(folder, 'data.mdb')).length, 1, 'kept for an operator to look at')
    await store.save({ states: new Map([[device(1), stateOf(1)]]), wakes: new Map(), checkpoint })
    await store.close()
    await stores.close()
    stores = openLmdbStores({ folder })
    store = stores.open(3)
    t.same(store.load(device(1)), stateOf(1), 'and is used again')
    await stores.close()
  }
})

t.test('a record that was altered on disk is noticed when it is read', async (t) => {
  const folder = await written()
  const file = join(folder, 'data.mdb')
  const bytes = readFileSync(file)
  // One octet of the state of device 200, wherever its copies lie.
  const state = stateOf(200)
  let altered = 0
  for (let at = bytes.indexOf(state); at >= 0; at = bytes.indexOf(state, at + 1)) {
    bytes[at + 450]! ^= 1
    altered++
  }
  t.ok(altered > 0)
  writeFileSync(file, bytes)
  copyFileSync(file, `${file}.kept`)
  const stores = openLmdbStores({ folder })
  const store = stores.open(3)
  t.throws(() => store.load(device(200)), { code: 'STORE_DAMAGED' })
  t.same(store.load(device(201)), stateOf(201))
  await store.clear()
  t.equal(store.load(device(200)), undefined, 'cleared, it can be rebuilt')
  await stores.close()
})

t.test('a store of another format is put aside', async (t) => {
  const folder = freshFolder()
  const { open } = await import('lmdb')
  const other = open<Buffer, Buffer>({
    path: folder,
    maxDbs: 10,
    keyEncoding: 'binary',
    encoding: 'binary',
  })
  await other.put(Buffer.from('format'), Buffer.of(99))
  await other.close()
  const { log, warnings } = watched()
  const stores = openLmdbStores({ folder, log })
  t.match(warnings, [/format 63/])
  t.equal(stores.open(0).checkpoint(), undefined)
  await stores.close()
})

t.test(
  'a store of format 2, of devices alone, reads as it is and becomes one of format 3',
  async (t) => {
    const folder = await written()
    const { open } = await import('lmdb')
    const options = { path: folder, maxDbs: 10, keyEncoding: 'binary', encoding: 'binary' } as const
    const earlier = open<Buffer, Buffer>(options)
    t.same(earlier.getBinary(Buffer.from('format')), Buffer.of(3))
    await earlier.put(Buffer.from('format'), Buffer.of(2))
    await earlier.close()
    const { log, warnings } = watched()
    const stores = openLmdbStores({ folder, log })
    const store = stores.open(3)
    t.same(warnings, [])
    t.same(store.load(device(200)), stateOf(200))
    await stores.close()
    const later = open<Buffer, Buffer>(options)
    t.same(later.getBinary(Buffer.from('format')), Buffer.of(3))
    await later.close()
  },
)

t.test('a folder that was wiped is an empty store', async (t) => {
  const folder = await written()
  rmSync(folder, { recursive: true })
  const stores = openLmdbStores({ folder })
  t.equal(stores.open(3).isEmpty(), true)
  await stores.close()
})

t.test(
  'a store that is read after everything was closed says so, and the process lives on',
  async (t) => {
    const stores = openLmdbStores({ folder: freshFolder(), log: silentLog })
    const store = stores.open(1)
    t.equal(store.nextWakeMs(), undefined)
    const closed = stores.close()
    t.throws(() => store.nextWakeMs(), { code: 'BROKER_DRAINING' })
    t.throws(() => store.checkpoint(), { code: 'BROKER_DRAINING' })
    t.throws(() => store.copy(), { code: 'BROKER_DRAINING' })
    await closed
    t.throws(() => store.load('\0'.repeat(8) as Eui64), { code: 'BROKER_DRAINING' })
  },
)
