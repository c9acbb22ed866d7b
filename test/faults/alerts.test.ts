/**
 * Alerts through real processes: secured meters push to a process with the WAN, the host decides
 * and is killed in between, parties get each alert once, over gRPC, over HTTP and on the command
 * line. What is not to be believed is refused by name.
 */
import { spawnSync } from 'node:child_process'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import { addressOf, openOperatorLedger } from '../../actors/cli/operator/operator-ledger.ts'
import type { Child } from '../../actors/demo/children.ts'
import { limits } from '../../core/base/limits.ts'
import { encodeApdu } from '../../core/dlms/apdu/codec.ts'
import { encodeValue, Tag } from '../../core/dlms/axdr/axdr.ts'
import { wrapInPlace } from '../../core/dlms/framing/wrapper.ts'
import { SupplierClient, type DeliveryStream } from '../../core/client/supplier-client.ts'
import type { DeviceAlert } from '../../proto/gen/busbar/v1/device_alert.ts'
import { ReadingStatus } from '../../proto/gen/busbar/v1/service_response.ts'
import { Deployment, kill } from '../support/deployment.ts'
import { InsistentSupplier } from '../support/insistent-supplier.ts'
import { supplierText } from '../support/envelopes.ts'
import { polled } from '../support/polled.ts'

const entry = fileURLToPath(new URL('../../actors/main.ts', import.meta.url))
const anotherParty = '90-B3-D5-1F-30-05-00-00'
const meterCount = 20
const marginMs = 5_000

type Ended = Record<string, number>

/** What became of pushes, by the metrics of the process that has the WAN. */
async function metricsOf(
  ops: string,
): Promise<{ ended: Ended; handedOn: number; waiting: number }> {
  const text = await (await fetch(`http://${ops}/metrics`)).text()
  const valueOf = (name: string): number =>
    Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
  const ended: Ended = {}
  for (const [, code = '', count] of text.matchAll(
    /^busbar_wan_pushes_ended_total\{outcome="(\w+)"\} (\d+)$/gm,
  ))
    ended[code] = Number(count)
  return {
    ended,
    handedOn: valueOf('busbar_wan_pushes_total'),
    waiting: valueOf('busbar_wan_pushes_waiting'),
  }
}

/** Takes alerts of a party over gRPC with a small credit, acknowledging as it goes. */
class Listener {
  /** Delivery ids by what the alert says: whose it is, and when by the device's clock. */
  readonly ids = new Map<string, Set<bigint>>()
  readonly alerts: DeviceAlert[] = []
  private readonly client: SupplierClient
  private readonly stream: DeliveryStream
  private onAlert: () => void = () => undefined

  constructor(address: string) {
    this.client = new SupplierClient({ address, credentials: { party: supplierText } })
    this.stream = this.client.receive(7, (list) => {
      for (const { content, deliveryId } of list) {
        if (content?.$case !== 'alert') continue
        const { device, deviceTime } = content.value
        const key = `${device} ${deviceTime?.toISOString()}`
        this.ids.set(key, (this.ids.get(key) ?? new Set()).add(deliveryId))
        this.alerts.push(content.value)
      }
      this.stream.acknowledge(list.at(-1)!.deliveryId)
      this.onAlert()
    })
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => (this.onAlert = resolve))
  }

  async close(): Promise<void> {
    await this.stream.end()
    this.client.close()
  }
}

t.test('meters push, the host is killed: each alert once, refusals by name', async (t) => {
  const deployment = new Deployment({
    roles: 'gateway,wan',
    alertsTo: [supplierText, anotherParty],
    meterArguments: ['--security-shares', '0.6,0.2,0.2', '--push-every', '1'],
  })
  t.teardown(() => deployment.stop())
  let host: Child | undefined
  const startHost = async (): Promise<void> => {
    host = await deployment.startHost('host', 'host')
  }
  t.teardown(() => host?.stop())
  await deployment.start(meterCount, '', startHost)
  const { ops, http, grpc } = deployment.listening
  t.equal((deployment.broker!.said['listening'] as { dialIn: string }).dialIn, deployment.dialIn)
  const listener = new Listener(grpc)
  t.teardown(() => listener.close())

  await listener.until(() => listener.ids.size >= 2 * meterCount)
  // Some are on their way to it, and it answers for none of them any more.
  const awaySince = performance.now()
  host!.process.kill('SIGSTOP')
  await polled(
    () => metricsOf(ops),
    ({ waiting }) => waiting >= 5,
  )
  await kill(host!)
  const atKill = listener.ids.size
  await startHost()
  const { ops: hostOps } = host!.said['listening'] as { ops: string }
  await polled(
    () => fetch(`http://${hostOps}/health/ready`),
    ({ status }) => status === 200,
  )
  const awayMs = performance.now() - awaySince
  await listener.until(() => listener.ids.size >= atKill + 3 * meterCount)
  // One that was under way when the meters ended has come in or not; both will do.
  await deployment.meters!.stop()
  const endedCount = ({ ended }: { ended: Ended }): number =>
    Object.values(ended).reduce((sum, count) => sum + count, 0)
  let seen = await polled(
    () => metricsOf(ops),
    (its) => its.waiting === 0 && endedCount(its) >= its.handedOn,
  )
  const { REQUEST_ACCEPTED = 0, DLMS_COUNTER_REPLAYED = 0, DEVICE_UNKNOWN = 0 } = seen.ended
  // An alert waits `pushWaitMsMax` for a host; on a busy machine the next one may take longer to
  // serve, and to take what waits.
  const { DEVICE_PUSH_DROPPED: dropped = 0 } = seen.ended
  if (awayMs < limits.pushWaitMsMax - marginMs)
    t.equal(dropped, 0, `a host was back after ${Math.round(awayMs)} ms`)
  t.equal(
    REQUEST_ACCEPTED + DLMS_COUNTER_REPLAYED + DEVICE_UNKNOWN + dropped,
    seen.handedOn,
    `${JSON.stringify(seen.ended)}: nothing was dropped but what came before registration`,
  )
  // What the host had written when it was killed, and nobody was told of, was sent again and known
  // again.
  const written = REQUEST_ACCEPTED + DLMS_COUNTER_REPLAYED
  await listener.until(() => listener.ids.size >= written)
  t.equal(listener.ids.size, written, 'all that was accepted has come')
  t.same(
    [...listener.ids].filter(([, ids]) => ids.size !== 1),
    [],
    'each under one delivery id',
  )
  t.comment(
    `${written} alerts, ${DLMS_COUNTER_REPLAYED} of them written and not answered for at kill -9`,
  )
  t.ok(listener.alerts.every(({ isAuthenticated, isEncrypted }) => isAuthenticated && isEncrypted))
  t.equal(new Set(listener.alerts.map(({ device }) => device)).size, meterCount)

  const deliveries = await fetch(`http://${http}/v1/deliveries?max=3`, {
    headers: { 'x-busbar-party': anotherParty },
  })
  const [first] = (
    (await deliveries.json()) as { deliveries: { alert?: Record<string, unknown> }[] }
  ).deliveries
  t.match(first?.alert, {
    device: /^00-DB-10-/,
    kind: 'DEVICE_ALERT_KIND_DATA_NOTIFICATION',
    isEncrypted: true,
    values: [{ octets: String }, { integer: String }],
  })
  const shown = spawnSync(
    process.execPath,
    [
      entry,
      'receive',
      '--gateway',
      grpc,
      '--party',
      anotherParty,
      '--count',
      '1',
      '--keep',
      '--take-over',
    ],
    { encoding: 'utf8' },
  )
  t.match(
    shown.stdout,
    /alert {2}data notification {2}device 00-DB-10-[\s\S]*authenticated and encrypted/,
  )

  // Anybody who reaches the door.
  const say = async (octets: Buffer): Promise<void> => {
    const [hostName = '', port] = deployment.dialIn.split(':')
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostName)
      socket.on('close', () => resolve()).on('error', () => undefined)
      socket.on('data', () => undefined)
      socket.end(octets)
    })
  }
  const clear = (name: string, size = 0): Buffer =>
    wrapInPlace(
      encodeApdu({
        type: 'data-notification',
        longInvokeIdAndPriority: 1,
        dateTimeView: Buffer.alloc(0),
        valueView: encodeValue({
          tag: Tag.STRUCTURE,
          elements: [
            { tag: Tag.OCTET_STRING, value: Buffer.from(name) },
            { tag: Tag.OCTET_STRING, value: Buffer.alloc(size) },
          ],
        }),
      }),
      1,
      1,
    )
  const refusals: Array<[string, Buffer]> = [
    ['DLMS_PROTECTION_INSUFFICIENT', clear(deployment.devices[0]!.eui64)],
    ['DLMS_SIZE_EXCEEDED', clear(deployment.devices[0]!.eui64, 40_000)],
    ['DEVICE_PUSH_UNATTRIBUTED', clear('a meter')],
    ['DEVICE_UNKNOWN', clear('00-DB-10-00-FF-FF-FF-FF')],
  ]
  for (const [code, octets] of refusals) {
    const before = seen.ended[code] ?? 0
    await say(octets)
    seen = await polled(
      () => metricsOf(ops),
      ({ ended }) => (ended[code] ?? 0) !== before,
    )
    t.equal(seen.ended[code], before + 1, code)
  }
  t.equal(seen.ended['REQUEST_ACCEPTED'], REQUEST_ACCEPTED)

  const operator = await openOperatorLedger(addressOf({ dataDir: deployment.brokerDir }))
  t.teardown(() => operator.close())
  const audit = await auditOf(operator.ledger)
  t.same(audit.faults, [])
  t.match(audit, { accepted: 0, ended: 0, deliveries: 2 * written })
})

t.test(
  'meters that dial in answer on their own connections, and push between answers',
  async (t) => {
    const deployment = new Deployment({
      alertsTo: [supplierText],
      meterArguments: ['--security-shares', '0.5,0,0.2'],
      isDialIn: true,
    })
    t.teardown(() => deployment.stop())
    // Half of the devices are this one's, which has connections of its own and no door.
    let other: Child | undefined
    await deployment.start(8, '', async () => {
      other = await deployment.startHost('other', 'host,wan')
    })
    t.teardown(() => other?.stop())
    const { grpc } = deployment.listening
    const supplier = new InsistentSupplier(grpc)
    t.teardown(() => supplier.close())
    const round = (counter: number): Promise<void> =>
      supplier.submit(
        deployment.devices.map(({ eui64 }) => supplier.request(eui64, counter, '11.2')),
      )
    supplier.receive()
    await round(1)
    for (const line of ['push 0 data', 'push 1 event', 'push 2 data'])
      await deployment.tellMeters(line)
    await round(2)
    await supplier.until(
      () =>
        supplier.delivered.size === 2 * deployment.devices.length && supplier.alerts.length >= 3,
    )
    t.same([...new Set(Array.from(supplier.responses.values(), (one) => one.reason))], ['OK'])
    t.equal(supplier.alerts.length, 3)
    const event = supplier.alerts.find(({ readings }) => readings.length > 0)
    t.equal(event?.device, deployment.devices[1]!.eui64)
    t.match(event?.readings, [
      { obis: '0-0:97.98.0.255', classId: 1, status: ReadingStatus.READING_STATUS_GOOD },
    ])
  },
)
