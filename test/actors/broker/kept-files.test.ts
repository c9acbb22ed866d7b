/**
 * Registration files on disk: what is whole is kept, and found again after a restart; what is not,
 * or is too large, leaves nothing behind.
 */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { KeptFiles, type KeptFile } from '../../../actors/broker/kept-files.ts'
import type { StructureFault } from '../../../core/registration/file-reader.ts'
import { electricityFile, suppliersOf } from '../../support/registration-files.ts'

const octets = (sequence: number, count = 2): Buffer[] => [
  Buffer.from(electricityFile({ sequence, suppliers: suppliersOf(0, count, 'AAAA') })),
]
const keptIn = (found: { kept: KeptFile } | StructureFault): KeptFile => {
  if ('code' in found) throw new Error(found.reason)
  return found.kept
}
const terms = { checkDigit: true }

t.test('a whole file is kept, once, also across a restart', async (t) => {
  const folder = t.testdir()
  const kept = new KeptFiles(folder, 'one')
  await kept.start()
  const first = keptIn(await kept.take(octets(1), { ...terms, responseTo: '/some/where' }))
  t.match(first, { file: { sequence: 1, keeper: 'one', records: 2 }, responseTo: '/some/where' })
  t.same(await kept.take(octets(1), terms), { kept: first, isKnown: true })
  writeFileSync(join(folder, '1-9.part'), 'half')
  const again = new KeptFiles(folder, 'one')
  await again.start()
  t.same(again.all, [first])
  t.notOk(readdirSync(folder).includes('1-9.part'), 'what had not arrived is removed')
  writeFileSync(first.responsePath, 'r')
  writeFileSync(first.rejectedPath, '')
  await again.remove(first)
  t.equal(readdirSync(folder).length, 2, 'its response stays')
  await again.forget(first.source, [])
  t.same(readdirSync(folder), [])
})

t.test('what is not whole, or too large, leaves nothing', async (t) => {
  const folder = t.testdir()
  const bytes = octets(1)[0]!.length
  const kept = new KeptFiles(folder, 'one', { fileBytesMax: bytes, filesBytesMax: 2 * bytes })
  await kept.start()
  t.match(await kept.take([octets(1)[0]!.subarray(0, 80)], terms), {
    code: 'REGISTRATION_FILE_MALFORMED',
  })
  await t.rejects(kept.take(octets(1, 3), terms), { code: 'SOURCE_FILE_TOO_LARGE' })
  t.same(readdirSync(folder), [])
  const first = keptIn(await kept.take(octets(1), terms))
  await kept.take(octets(2), terms)
  await t.rejects(kept.take(octets(3), terms), { code: 'SOURCE_FILE_TOO_LARGE' })
  await kept.remove(first)
  keptIn(await kept.take(octets(3), terms))
  t.equal(kept.all.length, 2, 'there is room again')
})
