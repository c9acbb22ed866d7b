/**
 * `--json` of the party commands and `receive --idle`, against a real gateway with simulated hosts.
 */
import t from 'tap'
import {
  receiveCommand,
  statusCommand,
  submitCommand,
  type Terminal,
} from '../../../../actors/cli/party/party-session.ts'
import { readCounter, readKind } from '../../../../core/envelope/envelope.ts'
import { Kind } from '../../../../core/envelope/layout.ts'
import { systemClock, type Clock } from '../../../../core/ports/clock.ts'
import { ResponseBody, type Unit } from '../../../../proto/gen/busbar/v1/service_response.ts'
import {
  accepted,
  commitTick,
  deliver,
  makeRig,
  meter,
  outSubject,
  responseFrame,
  serveHost,
  supplier,
} from '../rig.ts'

type Lines = { lines: string[]; errors: string[]; terminal: Terminal }

function lineTerminal(clock: Clock = systemClock): Lines {
  const lines: string[] = []
  const errors: string[] = []
  const terminal: Terminal = {
    out: (line) => void lines.push(line),
    err: (line) => void errors.push(line),
    clock,
    onInterrupt: () => undefined,
  }
  return { lines, errors, terminal }
}

const objectsOf = ({ lines }: Lines): Record<string, unknown>[] =>
  lines.map((line) => JSON.parse(line) as Record<string, unknown>)

// 200 is a unit without a name in the proto.
const body = Buffer.from(
  ResponseBody.encode(
    ResponseBody.create({
      readings: [
        {
          obis: '1-0:1.8.0.255',
          attributeId: 2,
          status: 1,
          value: { kind: { $case: 'integer', value: 2n ** 60n } },
          scaler: -3,
          unit: 200 as Unit,
        },
      ],
    }),
  ).finish(),
)

t.test('one JSON object per line, and nothing else on stdout', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  const gateway = rig.address
  await serveHost(rig.bus, 'a', (frame, at) => {
    if (readKind(frame, at) === Kind.STATUS_QUERY)
      return { outcome: 'OK', status: { state: 3, acceptedMs: 1_700_000_000_000, endedMs: 1 } }
    if (readCounter(frame, at) === 9n) return { outcome: 'DEVICE_UNKNOWN' }
    const responses = responseFrame(supplier, [readCounter(frame, at)], body)
    void rig.ledger.commit([{ subject: outSubject(supplier), data: responses }])
    void commitTick(rig.ledger, supplier, responses)
    return accepted
  })
  const request = { gateway, party: supplier, device: meter, srv: '4.1.1', json: true }

  const waited = lineTerminal()
  const code = await submitCommand({ ...request, counter: '7', wait: true }, waited.terminal)
  t.equal(code, 0, waited.errors.join())
  t.match(objectsOf(waited), [
    { requestId: { counter: '7' }, responseCode: 'I99', reason: 'REQUEST_ACCEPTED' },
    {
      response: {
        requestId: { counter: '7' },
        responseCode: 'I0',
        body: { readings: [{ value: { integer: String(2n ** 60n) }, scaler: -3, unit: 200 }] },
      },
    },
  ])
  t.equal(waited.lines.length, 2)

  const rejected = lineTerminal()
  t.equal(await submitCommand({ ...request, counter: '9' }, rejected.terminal), 1)
  t.match(objectsOf(rejected), [{ requestId: { counter: '9' }, reason: 'DEVICE_UNKNOWN' }])
  t.equal(rejected.lines.length, 1)

  const wrong = lineTerminal()
  t.equal(await submitCommand({ ...request, srv: 'read' }, wrong.terminal), 2)
  t.same(wrong.lines, [])

  const status = lineTerminal()
  const query = { gateway, party: supplier, device: meter, counter: '7', json: true }
  t.equal(await statusCommand(query, status.terminal), 0)
  t.match(objectsOf(status), [
    { state: 'REQUEST_STATE_ENDED', acceptedAt: '2023-11-14T22:13:20.000Z' },
  ])

  await deliver(rig.ledger, supplier, 100, 101)
  const received = lineTerminal()
  const receiving = { gateway, party: supplier, count: '2', json: true }
  t.equal(await receiveCommand(receiving, received.terminal), 0)
  t.equal(received.lines.length, 2)
  for (const delivery of objectsOf(received))
    t.match(delivery, { deliveryId: /^\d+$/, response: { requestId: {} } })
})

t.test('receive --idle ends when no delivery has come for so long', async (t) => {
  const rig = await makeRig()
  t.teardown(() => rig.close())
  // Time stands still; the timers are fired by hand.
  const times: number[] = []
  const clock: Clock = {
    now: () => 5_000,
    elapsedMs: () => 0,
    at(time, action) {
      times.push(time)
      let isArmed = true
      const once = (): void => void (isArmed && action())
      armed = once
      return () => (isArmed = false)
    },
  }
  let armed = (): void => {}
  const { lines, errors, terminal } = lineTerminal(clock)
  let onLine = (): void => {}
  const came = new Promise<void>((resolve) => (onLine = resolve))
  const options = { gateway: rig.address, party: supplier, idle: '3', json: true }
  const ended = receiveCommand(options, {
    ...terminal,
    out: (line) => {
      terminal.out(line)
      onLine()
    },
  })
  const first = armed
  await deliver(rig.ledger, supplier, 100, 100)
  await came
  t.not(armed, first, 'a delivery arms the timer again')
  t.same([...new Set(times)], [8_000])
  let isOver = false
  void ended.then(() => (isOver = true))
  first()
  await new Promise((resolve) => setImmediate(resolve))
  t.notOk(isOver, 'the earlier timer has no effect')
  armed()
  t.equal(await ended, 0)
  t.equal(lines.length, 1)
  t.match(errors.join(), /1 deliveries acknowledged/)

  const wrong = lineTerminal()
  t.equal(await receiveCommand({ ...options, idle: 'long' }, wrong.terminal), 2)
  t.match(wrong.errors.join(), /--idle/)
})
