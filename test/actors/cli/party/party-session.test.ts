/**
 * The command line for people, against a real gateway with simulated hosts; and values as exact
 * text.
 */
import fc from 'fast-check'
import t from 'tap'
import {
  alertLines,
  decimalText,
  readingLines,
  unitText,
  valueText,
} from '../../../../actors/cli/party/reading-text.ts'
import {
  receiveCommand,
  statusCommand,
  submitCommand,
  type Terminal,
} from '../../../../actors/cli/party/party-session.ts'
import { busbarCode } from '../../../../core/client/supplier-client.ts'
import { readCounter, readKind } from '../../../../core/envelope/envelope.ts'
import { Kind } from '../../../../core/envelope/layout.ts'
import { systemClock } from '../../../../core/ports/clock.ts'
import { DeviceAlert, DeviceAlertKind } from '../../../../proto/gen/busbar/v1/device_alert.ts'
import type { Delivery } from '../../../../proto/gen/busbar/v1/output_gateway.ts'
import { ResponseBody } from '../../../../proto/gen/busbar/v1/service_response.ts'
import {
  accepted,
  commitTick,
  deliver,
  fault,
  Inbox,
  makeRig,
  meter,
  outSubject,
  responseFrame,
  serveHost,
  supplier,
} from '../../../core/gateway/rig.ts'

class TestTerminal implements Terminal {
  readonly lines: string[] = []
  readonly errors: string[] = []
  readonly clock = systemClock
  interrupt = (): void => {}
  out = (line: string): void => void this.lines.push(line)
  err = (line: string): void => void this.errors.push(line)
  onInterrupt(action: () => void): void {
    this.interrupt = action
  }
}

const body = Buffer.from(
  ResponseBody.encode(
    ResponseBody.create({
      readings: [
        {
          obis: '1-0:1.8.0.255',
          attributeId: 2,
          status: 1,
          value: { kind: { $case: 'integer', value: 1_234_567n } },
          scaler: -3,
          unit: 30,
        },
        { obis: '0-0:96.1.0.255', attributeId: 2, status: 3 },
      ],
      profiles: [
        {
          obis: '1-0:99.1.0.255',
          status: 1,
          columns: [
            { obis: '0-0:1.0.0.255', classId: 8, attributeId: 2 },
            { obis: '1-0:1.8.0.255', classId: 3, attributeId: 2, scaler: 1, unit: 30 },
          ],
          entries: [1n, 2n, 3n].map((value) => ({
            capturedAt: new Date(1_700_000_000_000),
            values: [{ kind: { $case: 'integer' as const, value } }],
          })),
        },
      ],
    }),
  ).finish(),
)

t.test('submit, wait, receive, status', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const gateway = rig.address
  await serveHost(rig.bus, 'a', (frame, at) => {
    if (readKind(frame, at) === Kind.STATUS_QUERY)
      return {
        outcome: 'OK',
        status: { state: 3, acceptedMs: 1_700_000_000_000, endedMs: 1_700_000_001_000 },
      }
    const responses = responseFrame(supplier, [readCounter(frame, at)], body)
    void rig.ledger.commit([{ subject: outSubject(supplier), data: responses }])
    void commitTick(rig.ledger, supplier, responses)
    return accepted
  })
  const waiting = new TestTerminal()
  t.equal(
    await submitCommand(
      { gateway, party: supplier, device: meter, srv: '4.1.1', counter: '7', wait: true },
      waiting,
    ),
    0,
    waiting.errors.join(),
  )
  t.match(
    waiting.lines.join('\n'),
    /I99 REQUEST_ACCEPTED {2}counter 7[\s\S]*I0 OK[\s\S]*1-0:1\.8\.0\.255 {2}Electricity, active energy import[^:]*: 1234\.567 Wh\n/,
  )
  t.match(waiting.lines.join('\n'), /\(denied\)[\s\S]*2023-11-14T22:13:20Z +10/)
  const first = new TestTerminal()
  t.equal(
    await submitCommand(
      { gateway, party: supplier, device: meter, srv: '4.1.1', counter: '8' },
      first,
    ),
    0,
  )
  const taken = new TestTerminal()
  t.equal(await receiveCommand({ gateway, party: supplier, count: '1', entries: '1' }, taken), 0)
  t.match(
    taken.lines.join('\n'),
    /counter 7[\s\S]*and 2 more/,
    'the one before was not acknowledged by submit --wait',
  )
  await deliver(rig.ledger, supplier, 100, 101)
  const kept = new TestTerminal()
  t.equal(await receiveCommand({ gateway, party: supplier, count: '3', keep: true }, kept), 0)
  t.equal(
    kept.lines.filter((line) => line.startsWith('delivery')).length,
    3,
    'nobody else’s deliveries were acknowledged',
  )
  const status = new TestTerminal()
  t.equal(await statusCommand({ gateway, party: supplier, device: meter, counter: '7' }, status), 0)
  t.match(status.lines.join('\n'), /^ended[\s\S]*accepted 2023-11-14T22:13:20Z[\s\S]*I0 OK/)
  const interrupted = new TestTerminal()
  const receiving = receiveCommand({ gateway, party: supplier, keep: true }, interrupted)
  while (interrupted.lines.length === 0) await new Promise<void>((resolve) => setImmediate(resolve))
  interrupted.interrupt()
  t.equal(await receiving, 0)
})

t.test('what goes wrong is said in words, with its exit code', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const gateway = rig.address
  await serveHost(rig.bus, 'a', () => ({ outcome: 'DEVICE_UNKNOWN' }))
  const good = { gateway, party: supplier, device: meter, srv: '4.1.1' }
  const cases: [Parameters<typeof submitCommand>[0], number, RegExp][] = [
    [good, 1, /DEVICE_UNKNOWN.*No device/],
    [{ ...good, gateway: '127.0.0.1:1' }, 3, /Nobody listens at 127\.0\.0\.1:1.*npm start/],
    [{ ...good, party: '00-00-00-00-00-00-00-01' }, 1, /PARTY_UNKNOWN/],
    [{ ...good, party: 'me' }, 2, /--party/],
    [{ ...good, device: 'it' }, 2, /--device/],
    [{ ...good, srv: 'read' }, 2, /--srv/],
    [{ ...good, counter: '-1' }, 2, /--counter/],
    [{ ...good, priority: 'now' }, 2, /--priority/],
    [{ ...good, srv: '4.8.1', from: '2026-01-01' }, 2, /--from and --to/],
    [{ ...good, srv: '4.8.1', from: 'x', to: 'y' }, 2, /--from/],
    [{ ...good, srv: '4.8.1', from: '2026-01-02', to: '2026-01-01' }, 1, /REQUEST_RANGE_BACKWARDS/],
    [{ ...good, srv: '3.1' }, 1, /REQUEST_BODY_MISMATCH/],
    [{ ...good, srv: '3.1', text: 'x'.repeat(500) }, 1, /REQUEST_BODY_MALFORMED/],
    [{ ...good, srv: '6.11' }, 1, /DEVICE_UNKNOWN/],
  ]
  for (const [options, code, words] of cases) {
    const terminal = new TestTerminal()
    t.equal(await submitCommand(options, terminal), code, String(words))
    t.match(terminal.errors.join(' '), words)
  }
  const terminal = new TestTerminal()
  t.equal(await receiveCommand({ gateway, party: supplier, credit: '0' }, terminal), 1)
  t.match(terminal.errors.join(), /DELIVERY_CREDIT_INVALID/)
})

t.test('decimal text is exact', (t) => {
  t.equal(decimalText(12_345n, -3), '12.345')
  t.equal(decimalText(-5n, -3), '-0.005')
  t.equal(decimalText(5n, 2), '500')
  t.equal(decimalText(0n, 2), '0')
  t.equal(decimalText(2n ** 63n, -1), '922337203685477580.8')
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }),
      fc.integer({ min: -128, max: 127 }),
      (value, scaler) => {
        const [whole = '', fraction = ''] = decimalText(value, scaler).split('.')
        const back = BigInt(whole.replace('-', '') + fraction) * (whole.startsWith('-') ? -1n : 1n)
        return scaler >= 0
          ? fraction === '' && back === value * 10n ** BigInt(scaler)
          : fraction.length === -scaler && back === value
      },
    ),
  )
  t.equal(unitText(30), 'Wh')
  for (const none of [0, 255]) t.equal(unitText(none), '')
  t.equal(unitText(200), 'unit 200')
  t.equal(valueText({ kind: { $case: 'octets', value: Buffer.from('00ff', 'hex') } }, 0), '00ff')
  t.equal(
    valueText({ kind: { $case: 'text', value: '\u001b[31m' } }, 0),
    '"\\u001b[31m"',
    'a device writes no escape sequences to a terminal',
  )
  t.same(readingLines(undefined), [])
  const method = { obis: '0-0:1.0.0.255', isMethod: true, attributeId: 4, status: 1 as const }
  t.same(readingLines(ResponseBody.fromPartial({ readings: [method] })), [
    '0-0:1.0.0.255  Abstract, clock, method 4',
  ])
  const odd = ResponseBody.fromPartial({
    readings: [{ obis: 'not a code', value: { kind: { $case: 'integer', value: 5n } }, unit: 27 }],
    profiles: [{ obis: '1-0:99.1.0.255', columns: [{ obis: '1-0:1.8.0.255', unit: 30 }] }],
  })
  t.match(readingLines(odd), [
    'not a code: 5 W',
    /^profile 1-0:99\.1\.0\.255 {2}Electricity, [^:]+: 0 entries$/,
    /^ {2}column 1-0:1\.8\.0\.255 {2}Electricity, active energy import/,
  ])
  t.end()
})

t.test('an alert in words', (t) => {
  const receivedAt = new Date(1_700_000_000_000)
  const alert = DeviceAlert.fromPartial({
    device: meter,
    receivedAt,
    deviceTime: receivedAt,
    kind: DeviceAlertKind.DEVICE_ALERT_KIND_EVENT_NOTIFICATION,
    isAuthenticated: true,
    isEncrypted: true,
    readings: [
      { obis: '0-0:97.98.0.255', value: { kind: { $case: 'integer', value: 1n } }, status: 1 },
    ],
    values: [{ kind: { $case: 'text', value: '\u001b[2J' } }],
    alarm: Buffer.of(1, 2),
  })
  t.match(
    alertLines(alert).join('\n'),
    /^alert {2}event notification {2}device 00-DB.*\n {2}received 2023-11-14T22:13:20Z, 2023-11-14T22:13:20Z by the device, authenticated and encrypted\n {2}0-0:97\.98\.0\.255 {2}Abstract, [^:\n]+: 1\n {2}"\\u001b\[2J"\n {2}alarm 0102$/,
  )
  const coded = DeviceAlert.fromPartial({ alarm: Buffer.of(0, 0, 97, 98, 0, 255) })
  t.match(alertLines(coded).join('\n'), /\n {2}alarm 0-0:97\.98\.0\.255 {2}Abstract, \w/)
  const bare = DeviceAlert.fromPartial({ device: meter })
  t.match(alertLines(bare).join(), /kind 0.*received -, not protected/)
  t.end()
})

t.test('neither submit --wait nor receive takes the seat of a running receiver', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const common = { gateway: rig.address, party: supplier }
  const host = { isSlow: true }
  await serveHost(rig.bus, 'a', (frame, at) => {
    if (readKind(frame, at) !== Kind.STATUS_QUERY) return accepted
    if (host.isSlow) {
      host.isSlow = false
      return { outcome: 'BROKER_PARTITION_BUSY', retryMs: 1 }
    }
    void commitTick(rig.ledger, supplier, responseFrame(supplier, [5n]))
    return { outcome: 'OK', status: { state: 1, acceptedMs: 1, endedMs: 0 } }
  })
  const inbox = new Inbox<Delivery>()
  const stream = rig.client().receive(10, (list) => inbox.put(...list))
  await deliver(rig.ledger, supplier, 1, 1)
  await inbox.until(1)
  const waiting = new TestTerminal()
  const options = { ...common, device: meter, srv: '4.1.1', counter: '5', wait: true }
  t.equal(await submitCommand(options, waiting), 0, waiting.errors.join())
  t.match(waiting.lines.join('\n'), /I99[\s\S]*I0 OK/, 'after a gateway without room, too')
  const refused = new TestTerminal()
  t.equal(await receiveCommand({ ...common, count: '1' }, refused), 1)
  t.match(refused.errors.join(), /DELIVERY_RECEIVER_PRESENT.*--take-over/)
  await deliver(rig.ledger, supplier, 2, 2)
  t.equal((await inbox.until(2)).length, 2, 'the receiver goes on')
  const taking = new TestTerminal()
  t.equal(await receiveCommand({ ...common, count: '2', takeOver: true }, taking), 0)
  t.equal(busbarCode(await fault(stream.done)), 'DELIVERY_RECEIVER_SUPERSEDED')
})

t.test('submit --wait ends when its time is over, or at Ctrl-C', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  let asked = 0
  await serveHost(rig.bus, 'a', (frame, at) => {
    if (readKind(frame, at) !== Kind.STATUS_QUERY) return accepted
    asked++
    return { outcome: 'OK', status: { state: 1, acceptedMs: 1, endedMs: 0 } }
  })
  const options = { gateway: rig.address, party: supplier, device: meter, srv: '4.1.1', wait: true }
  const late = new TestTerminal()
  t.equal(await submitCommand({ ...options, timeout: '0' }, late), 1)
  t.match(late.errors.join(), /No response came in time.*busbar receive/)
  const interrupted = new TestTerminal()
  const waiting = submitCommand(options, interrupted)
  while (asked < 2) await new Promise<void>((resolve) => setImmediate(resolve))
  interrupted.interrupt()
  t.equal(await waiting, 1)
})
