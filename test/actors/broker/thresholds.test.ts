/**
 * Anomaly detection in real processes, with kill -9 of broker and nats-server in the middle: what
 * passes is exactly the threshold; the rest is in quarantine until it is released or deleted.
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { SupplierClient } from '../../../core/client/supplier-client.ts'
import { RequestState } from '../../../proto/gen/busbar/v1/input_gateway.ts'
import { Deployment } from '../../support/deployment.ts'
import { supplierText } from '../../support/envelopes.ts'
import { InsistentSupplier } from '../../support/insistent-supplier.ts'
import { polled } from '../../support/polled.ts'

const lets = 25
const roundCount = 3

const deployment = new Deployment()
t.teardown(() => deployment.stop())
const command = ['--disable-warning=ExperimentalWarning', resolve('actors/main.ts')]

/** stdout of a command, whatever its exit code is. */
async function busbar(...words: string[]): Promise<string> {
  const args = [...command, ...words, '--ops', deployment.listening.ops]
  const run = promisify(execFile)(process.execPath, args)
  return run.then(
    ({ stdout }) => stdout,
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr,
  )
}

type Held = { held: number; requests: Array<{ event: number; requestId: string }> }
const held = async (): Promise<Held> =>
  JSON.parse(await busbar('quarantine', 'list', supplierText, '--json')) as Held

t.test('kill -9 lets no more than the threshold pass, and loses nothing', async (t) => {
  await deployment.start(20)
  const path = join(deployment.dataDir, 'thresholds.csv')
  // A window of 31 days: a test that runs at midnight sees one window, too.
  const lines = ['busbar-thresholds,1,1', `${supplierText},*,31d,20,${lets}`]
  writeFileSync(path, lines.join('\n'))
  t.match(await busbar('thresholds', 'load', path), /file 1 is loaded, SHA-256 [0-9a-f]{64}/)
  writeFileSync(path, [...lines, `${supplierText},*,1h,3,2`].join('\n'))
  t.match(await busbar('thresholds', 'load', path), /THRESHOLDS_MALFORMED.*line 3/s)
  writeFileSync(path, lines.join('\n').replace('20,', '19,'))
  t.match(await busbar('thresholds', 'load', path), /THRESHOLDS_FILE_OLD/)

  const supplier = new InsistentSupplier(deployment.listening.grpc)
  t.teardown(() => supplier.close())
  supplier.receive()
  const devices = deployment.devices.filter(({ type }) => type === 'ESME')
  const total = roundCount * devices.length
  t.ok(total > lets * 1.5, `${total} requests`)
  const deadline = new Date(Date.now() + 3_600_000)
  const rounds = Array.from({ length: roundCount }, (_, round) =>
    devices.map(({ eui64 }) => ({ ...supplier.request(eui64, round + 1, '11.2'), deadline })),
  )
  await supplier.submit(rounds[0]!)
  const submitting = (async () => {
    for (const round of rounds.slice(1)) await supplier.submit(round)
  })()
  await deployment.killBroker()
  await deployment.startBroker()
  await submitting
  t.equal(supplier.accepted.size, total, 'what goes to quarantine is acknowledged, too')
  const atRest = (one: Held): boolean =>
    one.held === total - lets && one.requests.length === one.held
  const list = await polled(held, atRest)
  await supplier.until(() => supplier.delivered.size === lets)
  deployment.killNats()
  await deployment.killBroker()
  await deployment.startBroker()
  t.strictSame((await polled(held, ({ requests }) => requests.length > 0)).requests, list.requests)
  t.match(
    await busbar('thresholds', 'show'),
    new RegExp(`${supplierText} +\\* +744h +\\S+ +${lets} +20 +${lets}`),
  )

  const [first, second, ...rest] = list.requests
  const [originator = '', target = '', counter = ''] = first!.requestId.split(':')
  const requestId = { originator, target, counter: BigInt(counter) }
  const client = new SupplierClient({
    address: deployment.listening.grpc,
    credentials: { party: supplierText },
  })
  t.equal((await client.status(requestId)).state, RequestState.REQUEST_STATE_QUARANTINED)
  t.match(await client.releaseQuarantined(requestId), { responseCode: 'I99' }, 'by the party')
  client.close()
  await supplier.until(() => supplier.delivered.size === lets + 1)
  const id = second!.requestId
  const url = `http://${deployment.listening.http}/v1/service-requests/${id}/quarantine`
  const headers = { 'x-busbar-party': supplierText }
  const answer = await fetch(`${url}/delete`, { method: 'POST', headers })
  t.match(await answer.json(), { responseCode: 'I99' })
  const again = await fetch(`${url}/release`, { method: 'POST', headers })
  t.match(await again.json(), { code: 'REQUEST_NOT_IN_QUARANTINE' })
  const event = String(rest[0]!.event)
  t.match(
    await busbar('quarantine', 'delete', '--party', supplierText, '--event', event, '--by', 'ann'),
    /1 deleted/,
  )
  await deployment.killBroker()
  await deployment.startBroker()
  t.match(await busbar('quarantine', 'release', '--party', supplierText), /\d+ released/)
  await supplier.until(() => supplier.delivered.size === total)
  const codes = [...supplier.responses.values()].map(({ responseCode, reason }) =>
    responseCode === 'I0' ? 'I0' : reason,
  )
  t.equal(codes.filter((code) => code === 'REQUEST_DELETED_FROM_QUARANTINE').length, 2)
  t.equal(codes.filter((code) => code === 'I0').length, total - 2, 'all others were carried out')
  const twice = [...supplier.delivered].filter(([, ids]) => ids.size !== 1)
  t.same(twice, [], 'each ended once')
  await polled(held, (one) => one.held === 0 && one.requests.length === 0)
  t.equal(await busbar('quarantine', 'list', supplierText), 'nothing is in quarantine\n')
})
