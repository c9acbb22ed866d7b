/**
 * One case of store-disk.test.ts: uses a local store in the folder that is named; asks for the disk
 * to be filled and freed by a line each.
 */
import { createInterface } from 'node:readline'
import { readEui64, type Eui64 } from '../../core/base/eui64.ts'
import { openLmdbRows } from '../../core/store/lmdb-rows.ts'
import { LocalStores } from '../../core/store/local-stores.ts'

const [name = '', folder = ''] = process.argv.slice(2)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const say = (line: string): void => void process.stdout.write(`${line}\n`)
/** Has the test fill or free the disk. */
const ask = async (what: 'fill' | 'free'): Promise<void> => {
  say(what)
  await lines.next()
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const device = (number: number): Eui64 => {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(number, 4)
  return readEui64(bytes)
}
const devicesPerSave = 100
const changesOf = (sequence: number) => {
  const numbers = Array.from({ length: devicesPerSave }, (_, i) => i)
  return {
    states: new Map(numbers.map((i) => [device(i), Buffer.alloc(1_000, sequence)] as const)),
    wakes: new Map(numbers.map((i) => [device(i), sequence + i] as const)),
    checkpoint: {
      sequence,
      frameSequence: sequence,
      frameNumber: sequence,
      hash: Buffer.alloc(32),
    },
  }
}

/** What is in `folder` is what was saved last, read by a process that begins. */
async function checkOnDisk(stores: LocalStores, sequence: number): Promise<void> {
  while (stores.trouble !== undefined) await turn()
  await stores.close()
  const again = new LocalStores({ folder })
  const store = again.open(0)
  const isRight =
    store.checkpoint()?.sequence === sequence &&
    store.load(device(7))?.[999] === sequence &&
    store.dueWakes(2 ** 50, 1_000).length === devicesPerSave
  say(isRight ? 'on disk' : 'not on disk')
  say(again.trouble ?? 'no trouble')
  await again.close()
}

async function runStores(): Promise<void> {
  if (name === 'full at the first start') await ask('fill')
  else if (name === 'full at a later start') {
    const before = new LocalStores({ folder })
    await before.open(0).save(changesOf(1))
    before.served()
    await before.close()
    say('saved')
    await ask('fill')
  }
  const stores = new LocalStores({ folder })
  const store = stores.open(0)
  if (name === 'full while it is used') {
    await store.save(changesOf(1))
    say('saved')
    await ask('fill')
  }
  for (let sequence = 2; sequence < 12; sequence++) await store.save(changesOf(sequence))
  stores.served()
  if (store.checkpoint()?.sequence !== 11) say('not seen')
  if (name === 'full while it is used') say('saved on a full disk')
  if (name === 'full at the first start') say('served from memory')
  if (name === 'full at a later start') say('served')
  if (stores.trouble === undefined) say('no word of it')
  await ask('free')
  await checkOnDisk(stores, 11)
}

async function runViews(): Promise<void> {
  const row = (number: number) => ({
    key: Buffer.from(`row ${number}`),
    value: Buffer.alloc(100_000, number),
  })
  if (name === 'views full at the start') await ask('fill')
  const rows = openLmdbRows({ folder })
  if (name === 'views full at the start') {
    try {
      rows.get(row(1).key)
    } catch {
      say('read rejected')
    }
  } else {
    await rows.save([row(1)])
    await ask('fill')
    for (let number = 2; ; number++) {
      try {
        await rows.save([row(number)])
      } catch {
        say('save rejected')
        break
      }
    }
  }
  await ask('free')
  await rows.clear()
  await rows.save([row(9)])
  if (rows.get(row(9).key)?.[0] === 9) say('saved')
  await rows.close()
}

await (name.startsWith('views') ? runViews() : runStores())
process.exit(0)
