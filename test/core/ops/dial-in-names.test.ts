/** The file of what devices call themselves: what it may hold, and that a change is seen. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDialInNames, readNamesFile } from '../../../core/ops/dial-in-names.ts'
import { limits } from '../../../core/base/limits.ts'
import { silentLog, type Log } from '../../../core/ports/log.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { deviceKey } from '../../support/envelopes.ts'

t.test('lines are names and EUI-64', async (t) => {
  const path = join(t.testdir({}), 'names')
  const write = (text: string): void => writeFileSync(path, text)
  t.throws(() => readNamesFile(path), { code: 'CONFIG_INVALID', message: /ENOENT/ })
  write(
    '# of the north\n\nMMM 17 04711  00-DB-00-00-00-00-00-01\n10.0.0.7\t00DB000000000002\r\n4d-4d-4d-00-00-00-00-01 00DB000000000003',
  )
  t.same(
    [...readNamesFile(path)],
    [
      ['MMM 17 04711', deviceKey(1)],
      ['10.0.0.7', deviceKey(2)],
      ['4D4D4D0000000001', deviceKey(3)],
    ],
  )
  for (const [text, why] of [
    ['a 00DB000000000001\nb', /line 2/],
    ['a 00DB', /line 1/],
    ['a 00DB000000000001\na 00DB000000000002', /line 2 twice/],
  ] as const) {
    write(text)
    t.throws(() => readNamesFile(path), { code: 'CONFIG_INVALID', message: why })
  }
})

t.test('a change is seen, a broken file is told of and the names of before go on', async (t) => {
  const path = join(t.testdir({}), 'names')
  const clock = new SimClock(1_800_000_000_000)
  let told = 0
  const log: Log = { ...silentLog, error: () => void told++ }
  writeFileSync(path, 'a 00DB000000000001\n')
  const find = openDialInNames(path, clock, log)
  t.equal(find('a'), deviceKey(1))
  t.equal(find('b'), undefined)
  writeFileSync(path, 'a 00DB000000000001\nb 00DB000000000002\n')
  t.equal(find('b'), undefined, 'not looked at for every name')
  clock.advanceBy(limits.dialInNamesLookMs)
  t.equal(find('b'), deviceKey(2))
  rmSync(path)
  for (let turn = 0; turn < 3; turn++) {
    clock.advanceBy(limits.dialInNamesLookMs)
    t.equal(find('b'), deviceKey(2))
  }
  t.equal(told, 1, 'once')
  writeFileSync(path, 'c 00DB000000000003\n')
  clock.advanceBy(limits.dialInNamesLookMs)
  t.equal(find('c'), deviceKey(3))
  t.equal(find('b'), undefined)
})
