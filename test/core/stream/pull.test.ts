/** The demand-driven source: nothing is taken before the step before has settled. */
import { firstValueFrom, take, toArray } from 'rxjs'
import t from 'tap'
import { pullFrom, type PullSource } from '../../../core/stream/pull.ts'

class Queue implements PullSource<number> {
  items: number[] = []
  takes = 0
  private ready = (): void => {}
  take(countMax: number): number[] {
    this.takes++
    return this.items.splice(0, countMax)
  }
  onReady(ready: () => void): void {
    this.ready = ready
  }
  post(...items: number[]): void {
    this.items.push(...items)
    this.ready()
  }
}

t.test('one batch at a time; what comes meanwhile goes together', async (t) => {
  const queue = new Queue()
  const batches: number[][] = []
  let working = 0
  const release: Array<() => void> = []
  const results = firstValueFrom(
    pullFrom(queue, async (batch) => {
      t.equal(++working, 1)
      batches.push(batch)
      await new Promise<void>((resolve) => release.push(resolve))
      working--
      return batch.length
    }).pipe(take(3), toArray()),
  )
  queue.post(1)
  queue.post(2)
  t.strictSame(batches, [], 'not within the turn that posts')
  await Promise.resolve()
  t.strictSame(batches, [[1, 2]])
  for (let i = 3; i < 1_000; i++) queue.post(i)
  await Promise.resolve()
  t.equal(queue.items.length, 997, 'it waits in the source')
  release.shift()?.()
  while (release.length === 0) await Promise.resolve()
  queue.post(1_000)
  release.shift()?.()
  while (release.length === 0) await Promise.resolve()
  release.shift()?.()
  t.strictSame(await results, [2, 997, 1])
})

t.test('batches are bounded, steps may be synchronous, and the stack does not grow', async (t) => {
  const queue = new Queue()
  queue.items = Array.from({ length: 20_000 }, (_, i) => i)
  const sums = await firstValueFrom(
    pullFrom(queue, (batch) => batch.length, { batchMax: 1 }).pipe(take(20_000), toArray()),
  )
  t.equal(sums.length, 20_000)
  t.equal(queue.items.length, 0)
})

t.test('after unsubscribing nothing is taken', async (t) => {
  const queue = new Queue()
  let settle = (): void => {}
  const seen: unknown[] = []
  const subscription = pullFrom(
    queue,
    () => new Promise<void>((resolve) => (settle = resolve)),
  ).subscribe((value) => seen.push(value))
  queue.post(1)
  await Promise.resolve()
  queue.post(2)
  subscription.unsubscribe()
  settle()
  await Promise.resolve()
  await Promise.resolve()
  queue.post(3)
  await Promise.resolve()
  t.strictSame(queue.items, [2, 3])
  t.strictSame(seen, [])
})

t.test('an error of the step ends the stream', async (t) => {
  const queue = new Queue()
  const fault = new Error('of the step')
  const sync = firstValueFrom(
    pullFrom(queue, () => {
      throw fault
    }),
  )
  queue.post(1)
  await t.rejects(sync, fault)
  const other = new Queue()
  const later = firstValueFrom(pullFrom(other, () => Promise.reject(fault)))
  other.post(1)
  await t.rejects(later, fault)
  other.post(2)
  t.strictSame(other.items, [2])
})
