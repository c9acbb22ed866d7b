/**
 * The watched folder: a file is taken once it rests, whatever notices the system gives; what cannot
 * be taken for the moment stays, and is named.
 */
import { appendFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { WatchedFolder } from '../../../actors/broker/watched-folder.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import type { Chunks } from '../../../core/registration/file-reader.ts'
import { polled } from '../../support/polled.ts'

class Trial {
  readonly folder: string
  readonly clock = new SimClock(1_000_000)
  readonly taken: string[] = []
  refusal: BrokerError | undefined
  readonly watched: WatchedFolder

  constructor(t: Test) {
    this.folder = t.testdir()
    const { folder, clock } = this
    const take = async (chunks: Chunks): Promise<never> => {
      if (this.refusal !== undefined) throw this.refusal
      let text = ''
      for await (const chunk of chunks) text += Buffer.from(chunk).toString()
      this.taken.push(text)
      return {} as never
    }
    this.watched = new WatchedFolder({ folder, files: { take }, clock, log: silentLog })
    t.teardown(() => this.watched.close())
  }

  /** Lets `ms` pass; settles when the look that is due has ended. */
  async pass(ms: number): Promise<void> {
    this.clock.advanceBy(ms)
    await polled(
      () => this.clock.nextMs(),
      (next) => next !== undefined && next > this.clock.now(),
    )
  }

  names(of = '.'): string[] {
    return readdirSync(join(this.folder, of), { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => name)
  }
}

t.test('a file that grows is taken when it rests', async (t) => {
  const trial = new Trial(t)
  writeFileSync(join(trial.folder, 'a.txt'), 'one ')
  for (const name of ['.a', 'b.part', 'c.tmp']) writeFileSync(join(trial.folder, name), 'x')
  await trial.watched.start()
  await trial.pass(0)
  appendFileSync(join(trial.folder, 'a.txt'), 'two')
  await trial.pass(limits.registrationStableMs)
  t.same(trial.taken, [], 'it has changed since the look before')
  await trial.pass(limits.registrationStableMs)
  t.same(trial.taken, ['one two'])
  t.same(trial.names('taken'), ['a.txt'])
  await trial.pass(10 * limits.registrationStableMs)
  t.same(trial.names(), ['.a', 'b.part', 'c.tmp'], 'names of files that are being written')
})

t.test('what cannot be taken for the moment stays, and is named', async (t) => {
  const trial = new Trial(t)
  trial.refusal = new BrokerError('BROKER_PARTITION_UNAVAILABLE')
  writeFileSync(join(trial.folder, 'a.txt'), 'one')
  await trial.watched.start()
  await trial.pass(0)
  await trial.pass(limits.registrationStableMs)
  t.match(trial.watched.trouble, /^a\.txt is not taken: .*BROKER_PARTITION_UNAVAILABLE/)
  t.same(trial.names(), ['a.txt'])
  trial.refusal = undefined
  await trial.pass(limits.sourceLookMs)
  t.equal(trial.watched.trouble, undefined)
  t.same(trial.taken, ['one'])
  const other = new WatchedFolder({
    clock: trial.clock,
    folder: '/dev/null/x',
    files: {} as never,
    log: silentLog,
  })
  await t.rejects(other.start(), { code: 'CONFIG_INVALID' })
})
