/**
 * Local stores are a cache: whatever their disk does, what was saved is seen, or the partition is
 * told to rebuild; nothing ends the process.
 */
import fc from 'fast-check'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { readEui64, type Eui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import { LocalStores } from '../../../core/store/local-stores.ts'
import { openLmdbRows } from '../../../core/store/lmdb-rows.ts'
import { setAsideOf, setAside } from '../../../core/store/set-aside.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { SimPartitionStore } from '../../../core/ports/sim/store.ts'
import type { PartitionStore } from '../../../core/ports/store.ts'
import { createMetrics } from '../../../core/ops/metrics.ts'
import { storeContract } from '../../contracts/store.ts'
import { diskFault, FailingDisk } from '../../support/failing-disk.ts'

const root = mkdtempSync(join(tmpdir(), 'busbar-local-'))
t.teardown(() => rmSync(root, { recursive: true, force: true }))
let folders = 0
const freshFolder = (): string => join(root, `${folders++}`)

const device = (number: number): Eui64 => {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(number, 4)
  return readEui64(bytes)
}
const mark = (sequence: number) => ({
  sequence,
  frameSequence: sequence,
  frameNumber: sequence,
  hash: Buffer.alloc(32, sequence),
})
const changesOf = (number: number, sequence: number, atMs = number + 1) => ({
  states: new Map([[device(number), Buffer.from(`state ${number} of ${sequence}`)]]),
  wakes: new Map([[device(number), atMs]]),
  checkpoint: mark(sequence),
})
const noSpace = diskFault('No space left on device', 28)
const tooLittle = diskFault('ENOSPC: 1 octets are free', 'ENOSPC')
const inputOutput = diskFault('Input/output error', 5)
const panic = diskFault(
  'MDB_PANIC: Update of meta page failed or environment had fatal error',
  -30_795,
)

/** Everything that a store shows. */
function contentOf(store: PartitionStore): unknown {
  const copy = store.copy()
  const records = [...(copy?.records() ?? [])].map(({ actor, state, wakeAtMs }) => [
    actor,
    Buffer.from(state).toString(),
    wakeAtMs,
  ])
  copy?.close()
  return {
    sequence: store.checkpoint()?.sequence,
    records,
    wakes: store.dueWakes(Number.MAX_SAFE_INTEGER - 1, 1_000),
    next: store.nextWakeMs(),
    isEmpty: store.isEmpty(),
  }
}

function storesOver(disk: FailingDisk) {
  const clock = new SimClock(1_000)
  const metrics = createMetrics()
  const stores = new LocalStores({ folder: 'memory', clock, metrics, disk })
  /** Lets retries that are due run to their end. */
  const pass = async (): Promise<void> => {
    clock.advanceBy(limits.storeFlushRetryMs)
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  return { clock, metrics, stores, pass }
}

t.test('contract over LMDB', (t) => {
  const stores = new LocalStores({ folder: freshFolder() })
  let partition = 0
  storeContract(t, () => stores.open(partition++))
  t.teardown(() => stores.close())
  t.end()
})

t.test('contract over a disk that cannot be opened', (t) => {
  const disk = new FailingDisk()
  disk.faultAt = (step) => (step === 'open' ? noSpace : undefined)
  const { stores } = storesOver(disk)
  let partition = 0
  storeContract(t, () => stores.open(partition++))
  t.match(stores.trouble, /No space left/)
  t.teardown(() => stores.close())
  t.end()
})

t.test('contract over a disk that takes every other write', (t) => {
  const disk = new FailingDisk()
  let writes = 0
  disk.isFull = true
  disk.faultAt = (step) =>
    (step === 'save' || step === 'clear') && writes++ % 2 === 0 ? noSpace : undefined
  const { stores } = storesOver(disk)
  let partition = 0
  storeContract(t, () => stores.open(partition++))
  t.teardown(() => stores.close())
  t.end()
})

t.test('a failed save is seen, counted, kept, and written when there is room', async (t) => {
  const disk = new FailingDisk()
  const { stores, metrics, pass } = storesOver(disk)
  const store = stores.open(0)
  await store.save(changesOf(1, 1))
  t.equal(stores.trouble, undefined)
  // Too little for a write of LMDB, enough for a small file.
  disk.faultAt = (step) => (step === 'save' ? tooLittle : undefined)
  for (let number = 2; number < 30; number++) await store.save(changesOf(number, number))
  for (let attempt = 0; attempt < 20; attempt++) await pass()
  t.same(disk.reasons, [], 'a full disk is no reason to give the store up')
  t.equal(store.checkpoint()?.sequence, 29)
  t.equal(Buffer.from(store.load(device(1))!).toString(), 'state 1 of 1', 'what is on the disk')
  t.equal(Buffer.from(store.load(device(7))!).toString(), 'state 7 of 7', 'and what is not')
  t.match(stores.trouble, /1 octets are free.*28 devices wait/)
  const text = await metrics.text()
  t.match(text, /busbar_store_unsaved_devices 28/)
  t.match(text, /busbar_store_failures_total [1-9]/)
  disk.faultAt = () => undefined
  const before = contentOf(store)
  await pass()
  t.equal(stores.trouble, undefined)
  t.same(contentOf(store), before)
  t.same(contentOf(disk.on(0)), before, 'and the disk has it')
  await stores.close()
})

t.test('a store that stays unwritable on a disk with room is set aside', async (t) => {
  const disk = new FailingDisk()
  const { stores, pass, metrics } = storesOver(disk)
  const [one, two] = [stores.open(1), stores.open(2)]
  stores.served()
  await one.save(changesOf(1, 1))
  await two.save(changesOf(2, 1))
  disk.faultAt = (step) => (step === 'save' && disk.reasons.length === 0 ? inputOutput : undefined)
  await one.save(changesOf(3, 2))
  for (let attempt = 0; attempt < 5; attempt++) await pass()
  t.same(disk.reasons, ['Input/output error'])
  t.match(await metrics.text(), /busbar_store_set_aside_total 1/)
  for (const store of [one, two]) {
    t.throws(() => store.load(device(9)), { code: 'STORE_DAMAGED' }, 'it is to be rebuilt')
    await t.rejects(store.save(changesOf(4, 4)), { code: 'STORE_DAMAGED' })
    await store.clear()
    t.equal(store.isEmpty(), true)
    await store.save(changesOf(5, 5))
  }
  await pass()
  t.equal(stores.trouble, undefined)
  t.equal(disk.on(1).checkpoint()?.sequence, 5)
  t.equal(disk.on(2).checkpoint()?.sequence, 5)
  await stores.close()
})

t.test('errors after which LMDB cannot go on set the store aside at once', async (t) => {
  for (const [step, fault] of [
    ['save', panic],
    ['read', diskFault('MDB_CORRUPTED: Located page was wrong type', -30_796)],
    ['read', diskFault('MDB_PAGE_NOTFOUND: Requested page not found', -30_797)],
    ['save', diskFault('MDB_BAD_TXN: Transaction must abort', -30_782)],
    ['read', inputOutput],
  ] as const) {
    const disk = new FailingDisk()
    const { stores, pass } = storesOver(disk)
    const store = stores.open(0)
    await store.save(changesOf(1, 1))
    disk.faultAt = (at) => (at === step && disk.reasons.length === 0 ? fault : undefined)
    if (step === 'save') await store.save(changesOf(2, 2))
    else t.throws(() => store.load(device(1)), { code: 'STORE_DAMAGED' })
    await pass()
    t.same(disk.reasons, [fault.message])
    t.throws(() => store.checkpoint() && store.load(device(1)), { code: 'STORE_DAMAGED' })
    await store.clear()
    await store.save(changesOf(3, 3))
    t.equal(disk.on(0).checkpoint()?.sequence, 3)
    t.equal(stores.trouble === undefined || (await pass(), stores.trouble === undefined), true)
    await stores.close()
  }
})

t.test('a disk that can be neither opened nor set aside is left alone until it can', async (t) => {
  const disk = new FailingDisk()
  disk.faultAt = (step) => (step === 'save' ? panic : undefined)
  const { stores, pass } = storesOver(disk)
  const store = stores.open(0)
  await store.save(changesOf(1, 1))
  disk.faultAt = (step) => (step === 'setAside' ? diskFault('read-only', 'EROFS') : undefined)
  for (let attempt = 0; attempt < 5; attempt++) await pass()
  await store.clear()
  await store.save(changesOf(2, 2))
  t.equal(store.checkpoint()?.sequence, 2, 'the partition is served from memory')
  t.match(stores.trouble, /read-only/)
  disk.faultAt = () => undefined
  await pass()
  t.equal(disk.on(0).checkpoint()?.sequence, 2)
  t.equal(stores.trouble, undefined)
  await stores.close()
})

t.test('property: over any failures a store shows what one in memory shows', async (t) => {
  const step = fc.record({
    number: fc.nat(12),
    atMs: fc.nat(9),
    fault: fc.constantFrom(undefined, undefined, noSpace, inputOutput, panic),
    act: fc.constantFrom('save', 'save', 'save', 'pass', 'clear'),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.boolean(), async (steps, isFull) => {
      const disk = new FailingDisk()
      disk.isFull = isFull
      const { stores, pass } = storesOver(disk)
      const store = stores.open(0)
      let twin = new SimPartitionStore()
      const rebuild = async (): Promise<void> => {
        const copy = twin.copy()
        await store.clear()
        if (copy === undefined) return
        const records = [...copy.records()]
        await store.save({
          states: new Map(records.map(({ actor, state }) => [actor, state])),
          wakes: new Map(records.map(({ actor, wakeAtMs }) => [actor, wakeAtMs])),
          checkpoint: copy.checkpoint,
        })
      }
      let sequence = 0
      for (const { number, atMs, fault, act } of steps) {
        disk.faultAt = (at) => (at === 'read' || at === 'setAside' ? undefined : fault)
        if (act === 'pass') await pass()
        else if (act === 'clear') {
          await store.clear()
          twin = new SimPartitionStore()
        } else {
          const changes = changesOf(number, ++sequence, atMs)
          await twin.save(changes)
          try {
            await store.save(changes)
          } catch (fault) {
            if ((fault as { code?: string }).code !== 'STORE_DAMAGED') throw fault
            await rebuild()
          }
        }
        try {
          t.same(contentOf(store), contentOf(twin))
        } catch (fault) {
          if ((fault as { code?: string }).code !== 'STORE_DAMAGED') throw fault
          await rebuild()
          t.same(contentOf(store), contentOf(twin))
        }
      }
      await stores.close()
    }),
    { numRuns: 150 },
  )
})

t.test(
  'the marker stands until the stores serve, and a start that finds it sets aside',
  async (t) => {
    const folder = freshFolder()
    const marker = join(folder, 'opening')
    let stores = new LocalStores({ folder })
    t.ok(existsSync(marker), 'it stands before anything is read')
    const store = stores.open(0)
    await store.save(changesOf(1, 1))
    stores.served()
    t.notOk(existsSync(marker))
    await store.close()
    await stores.close()
    stores = new LocalStores({ folder })
    t.equal(stores.open(0).checkpoint()?.sequence, 1)
    await stores.close()
    t.notOk(existsSync(marker), 'an end in order is no crash')
    writeFileSync(marker, '')
    for (let start = 0; start < 4; start++) {
      stores = new LocalStores({ folder })
      const opened = stores.open(0)
      t.equal(opened.checkpoint(), undefined, 'rebuilt from the ledger')
      await opened.save(changesOf(1, 1))
      await stores.close()
      writeFileSync(marker, '')
    }
    t.equal(setAsideOf(join(folder, 'data.mdb')).length, limits.setAsideMax, 'a bounded number')
  },
)

t.test(
  'rows of views: a folder that cannot be used rejects, and is used again when it can',
  async (t) => {
    const folder = freshFolder()
    writeFileSync(folder, 'a file in its place')
    const rows = openLmdbRows({ folder })
    t.throws(() => rows.get(Buffer.from('a')), { code: 'STORE_DAMAGED' })
    t.throws(() => [...rows.range(Buffer.from('a'), Buffer.from('b'))], { code: 'STORE_DAMAGED' })
    await t.rejects(rows.save([]), { code: 'STORE_DAMAGED' })
    await t.rejects(rows.clear(), { code: 'EEXIST' })
    rmSync(folder)
    await rows.clear()
    const row = { key: Buffer.from('a'), value: Buffer.from('1') }
    t.ok(existsSync(join(folder, 'opening')), 'neither read through nor written yet')
    await rows.save([row])
    t.notOk(existsSync(join(folder, 'opening')))
    t.same(
      [...rows.range(Buffer.from('a'), Buffer.from('b'))].map(({ key }) => key.toString()),
      ['a'],
    )
    await rows.clear()
    t.ok(existsSync(join(folder, 'opening')), 'emptied, it has to prove itself again')
    t.equal(rows.count(Buffer.from('a'), Buffer.from('b')), 0)
    t.notOk(existsSync(join(folder, 'opening')))
    await rows.close()
  },
)

t.test(
  'rows of views: who stops in the middle of a range keeps no place of a reader',
  async (t) => {
    const rows = openLmdbRows({ folder: freshFolder() })
    await rows.save([1, 2, 3].map((octet) => ({ key: Buffer.of(octet), value: Buffer.of(octet) })))
    // More often than an environment has places for readers, each in a turn of its own.
    for (let round = 0; round < 200; round++) {
      for (const { key } of rows.range(Buffer.of(0), Buffer.of(9))) {
        if (key[0] !== 1) t.fail('the first is the first')
        break
      }
      await rows.save([{ key: Buffer.of(4), value: Buffer.of(round) }])
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    t.equal(rows.count(Buffer.of(0), Buffer.of(9)), 4)
    await rows.close()
  },
)

t.test('what is set aside keeps its reason, and nothing is replaced', (t) => {
  const folder = freshFolder()
  mkdirSync(folder)
  const path = join(folder, 'thing')
  t.equal(setAside(path, 'nothing there', 0), undefined)
  for (const content of ['a', 'b']) {
    writeFileSync(path, content)
    t.ok(setAside(path, 'why', 1_000))
  }
  const kept = setAsideOf(path)
  t.equal(kept.length, 2, 'two at the same time are two')
  t.ok(kept.every((name) => existsSync(`${name}.reason`)))
  t.end()
})
