/**
 * kill -9 in the middle of a registration file: the broker goes on with it after its restart, and
 * every record is registered once, rejected ones included.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadFile } from '../../actors/cli/operator/registration-load.ts'
import type { EndedFileJson, SourceJson } from '../../actors/broker/source-door.ts'
import { Deployment } from '../support/deployment.ts'
import { polled } from '../support/polled.ts'
import { electricityFile, mpanOf, suppliersOf } from '../support/registration-files.ts'

const recordCount = 30_000

t.test('a file that was cut off by kill -9 is applied as if nothing had happened', async (t) => {
  const deployment = new Deployment()
  t.teardown(() => deployment.stop())
  await deployment.start(1)
  const { ops } = deployment.listening
  const get = async <T>(path: string): Promise<T> =>
    (await fetch(`http://${ops}${path}`)).json() as Promise<T>
  const source = '/v1/sources/electricity:EELC'
  const text = electricityFile({ sequence: 1, suppliers: suppliersOf(0, recordCount, 'AAAA') })
  // One record before the cut, and one behind it, with a check digit that does not fit.
  const wrong = [2, recordCount - 2].map((number) => mpanOf(number))
  const file = join(deployment.dataDir, 'update.txt')
  writeFileSync(
    file,
    wrong.reduce(
      (all, mpan) => all.replace(mpan, `${mpan.slice(0, 12)}${(Number(mpan[12]) + 1) % 10}`),
      text,
    ),
  )
  const options = { ops, checkDigit: true, response: undefined }
  const first = loadFile(file, options, () => undefined).catch((fault: unknown) => fault)
  const isUnderWay = ({ open }: SourceJson): boolean => (open?.progress.done ?? 0) > 0
  const { open } = await polled(() => get<SourceJson>(source), isUnderWay)
  t.ok(open!.progress.done < recordCount, `killed behind record ${open!.progress.done}`)
  await deployment.killBroker()
  t.type(await first, Error, 'the command says that nobody answers')
  await deployment.startBroker()
  const second = await loadFile(file, options, () => undefined).catch((fault: unknown) => fault)
  t.comment(
    `loaded again meanwhile: ${second instanceof Error ? second.message.slice(0, 80) : 'repeat'}`,
  )
  const found = await polled(
    () => get<SourceJson>(source),
    ({ taken }) => taken === 1,
  )
  const progress = { done: recordCount, rejected: 2, changed: 0 }
  t.match(found.ended, [{ sequence: 1, outcome: 'applied', progress }])
  t.equal(found.meterPoints <= recordCount - 2, true)
  const { rejectedRecords } = await get<EndedFileJson>(`${source}/files/1`)
  t.same(
    rejectedRecords.map(({ line, code }) => [line, code]),
    [
      [7, '901'],
      [2 * (recordCount - 2) + 3, '901'],
    ],
  )
  for (const number of [0, 1, recordCount / 2, recordCount - 1])
    t.match(await get(`/v1/meter-points/mpan:${mpanOf(number)}`), { version: 1 })
  t.match(await get(`/v1/meter-points/mpan:${wrong[0]}`), { code: 'METER_POINT_UNKNOWN' })
  const response = await (await fetch(`http://${ops}${source}/files/1/response`)).text()
  t.match(
    response,
    new RegExp(`\\n357\\|3\\|RGTO\\|\\d{8}\\|F1\\|${recordCount}\\|${recordCount - 2}\\|2\\|`),
  )
})
