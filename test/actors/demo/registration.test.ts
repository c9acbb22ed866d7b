/** The registration files of the demonstration, read as any registration file is. */
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import t from 'tap'
import { registrationLines, type SupplierChange } from '../../../actors/demo/registration.ts'
import {
  changedAt,
  meterPointsOf,
  meterPointText,
  suppliedByFirst,
  writeRegistrationFile,
} from '../../../actors/demo/registration-system.ts'
import {
  checkStructure,
  isStructureFault,
  records,
} from '../../../core/registration/file-reader.ts'
import type { Fuel } from '../../../core/registration/registration-record.ts'

const created = Date.UTC(2026, 11, 1)
const devices = ['ESME', 'GSME', 'GPF', 'ESME'].map((type, index) => ({ eui64: `${index}`, type }))

async function recordsIn(path: string) {
  const structure = await checkStructure(createReadStream(path))
  if (isStructureFault(structure)) throw new Error(structure.reason)
  const found = []
  for await (const entries of records(createReadStream(path), { checkDigit: true }))
    found.push(...entries)
  return { header: structure.header, found }
}

t.test('each device has meter points of its own, and every record is accepted', async (t) => {
  const folder = t.testdir({})
  const points = devices.flatMap(meterPointsOf)
  t.equal(new Set(points.map(meterPointText)).size, points.length)
  for (const fuel of ['electricity', 'gas'] as const) {
    const own = points.filter((point) => point.fuel === fuel)
    const kind = { fuel, kind: 'refresh' } as const
    const path = await writeRegistrationFile(folder, kind, own.map(suppliedByFirst), created)
    const { header, found } = await recordsIn(path)
    t.match(header, { kind: 'refresh', sequence: 1 })
    t.match(
      found,
      own.map(({ number }) => ({ record: { point: { number } } })),
    )
    t.equal(found.length, own.length)
  }
})

t.test(
  'a change of supplier is the next file, and ends the first supply the day before',
  async (t) => {
    const folder = t.testdir({})
    for (const [fuel, index] of [
      ['electricity', 0],
      ['gas', 1],
    ] as [Fuel, number][]) {
      const point = meterPointsOf(devices[index]!, index)[0]!
      for (const sequence of [1, 2]) {
        const kind = { fuel, kind: 'update' } as const
        const supply = changedAt(point, 20261201, 20261130)
        const path = await writeRegistrationFile(folder, kind, [supply], created)
        t.equal(basename(path), `${fuel}-00000${sequence}-update.txt`)
        const { header, found } = await recordsIn(path)
        t.match(header, { kind: 'update', sequence })
        const [first] = found
        t.match(first && 'record' in first ? first.record.items : [], [
          { item: 'supplier', value: 'SUPA', from: 20200101, to: 20261130 },
          { item: 'supplier', value: 'SUPB', from: 20261201 },
        ])
      }
    }
  },
)

t.test('people see what each supplier got, and why', (t) => {
  const registered = { meterPoints: 5, files: ['a', 'b'], seconds: 1 }
  t.same(registrationLines(registered, undefined), ['5 meter points registered by a and b in 1 s'])
  const change = {
    meterPoint: 'mpan:1000000000000',
    device: 'EUI',
    file: 'c',
    losing: { party: 'P', participant: 'SUPA', code: 'PARTY_NOT_REGISTERED' },
    gaining: { party: 'Q', participant: 'SUPB', response: undefined },
    access: { checks: [{ id: 'registration', result: 'failed', ground: 'not registered' }] },
  } as unknown as SupplierChange
  const text = registrationLines(registered, change).join('\n')
  t.match(text, /SUPA reads it, 4\.1\.1: PARTY_NOT_REGISTERED\n/)
  t.match(text, /SUPB reads it, 4\.1\.1: no answer\n/)
  t.match(text, /registration +failed +not registered$/)
  t.end()
})
