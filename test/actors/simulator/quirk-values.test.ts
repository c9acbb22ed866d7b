/**
 * Meters of other makers: what they agree to, how they show values, how they send blocks, and how
 * clients prove themselves.
 */
import t from 'tap'
import { DataAccessResult, Conformance } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import { DlmsClient } from '../../../core/dlms/client/client.ts'
import { shortNameBook } from '../../../core/dlms/cosem/short-name-book.ts'
import { cosemDateTimeBytes, writeCosemDateTime } from '../../../core/dlms/axdr/date-time.ts'
import { encodeSelection } from '../../../core/dlms/apdu/descriptor.ts'
import { InvocationCounter, Mechanism, Shape } from '../../../core/dlms/security/index.ts'
import { SecretKey } from '../../../core/crypto/crypto.ts'
import type { SimClock } from '../../../core/ports/sim/clock.ts'
import type { CosemOperation, CosemResult } from '../../../core/ports/wan.ts'
import { OddLine, oddClient, oddMeter, type OddOptions } from '../../support/odd-line.ts'

const get = (text: string, selection?: Buffer): CosemOperation => ({
  kind: 'get',
  descriptor: Buffer.from(text.replaceAll(' ', ''), 'hex'),
  ...(selection && { selection }),
})
const name = get('0001 00002a0000ff 02')
const clock = '0008 0000010000ff'
const halfHours = '0007 0100630100ff'
const publicClient = 16
const nowMs = Date.UTC(2026, 6, 1, 10, 0)

const lineOf = (quirks: string, options: OddOptions = {}): OddLine =>
  new OddLine(oddMeter(quirks, { nowMs, ...options }))
/** Of a meter in the clear. */
const ask = (line: OddLine, ...operations: CosemOperation[]): CosemResult[] =>
  line.exchange(new DlmsClient(), operations, publicClient)!
const valueOf = ({ value }: CosemResult): AxdrValue => decodeValue(Buffer.from(value!))
const octetsOf = (value: AxdrValue): Buffer => (value as { value: Buffer }).value
const elementsOf = (value: AxdrValue): AxdrValue[] => (value as { elements: AxdrValue[] }).elements

/** A date-time as octets: of a deviation, or without one for `undefined`. */
function dateTime(shownMs: number, deviation?: number): Buffer {
  const octets = Buffer.alloc(cosemDateTimeBytes)
  writeCosemDateTime(octets, 0, shownMs)
  octets.writeInt16BE(deviation ?? -0x8000, 9)
  if (deviation === undefined) octets[11] = 0xff
  return octets
}
const range = (from: Buffer, to: Buffer): Buffer =>
  encodeSelection({
    type: 'range',
    restricting: { classId: 8, instanceId: '0-0:1.0.0.255', attributeId: 2, dataIndex: 0 },
    from: { tag: 9, value: from },
    to: { tag: 9, value: to },
    columns: [],
  })
const rowsOf = ([result]: CosemResult[]): Buffer[] =>
  elementsOf(valueOf(result!)).map((row) => octetsOf(elementsOf(row)[0]!))

t.test('every mechanism that the library has', async (t) => {
  for (const suite of [0, 1, 2] as const)
    for (const mechanism of Object.values(Mechanism).filter((one) => one >= Mechanism.HIGH)) {
      if (mechanism === Mechanism.HIGH_ECDSA && suite === 0) continue
      const line = lineOf('', { suite, mechanism })
      t.equal(line.meter.mechanism, mechanism)
      const results = line.exchange(oddClient(line), [name, get('000f 0000280000ff 06')], 1)!
      t.equal(octetsOf(valueOf(results[0]!)).toString('latin1'), 'BSBE000000000007')
      const [, , , , , , number] = elementsOf(valueOf(results[1]!))
      t.match(number, { value: mechanism }, 'the association object says so')
    }
})

t.test('a wrong secret is refused', async (t) => {
  const line = lineOf('', { suite: 0, mechanism: Mechanism.HIGH_SHA1 })
  const client = oddClient(line, { secret: Buffer.alloc(16, 1) })
  t.throws(() => line.exchange(client, [name], 1), { code: 'DLMS_ASSOCIATION_REFUSED' })
})

t.test('proof-without-ciphering: the proof alone lets a client in', async (t) => {
  const line = lineOf('proof-without-ciphering', { suite: 0 })
  const client = oddClient(line, { security: { isCiphered: false } })
  t.equal(line.exchange(client, [name], 1)?.[0]?.result, 0)
  const strict = lineOf('', { suite: 0 })
  t.throws(
    () => strict.exchange(oddClient(strict, { security: { isCiphered: false } }), [name], 1),
    { code: 'DLMS_ASSOCIATION_REFUSED' },
  )
})

t.test('proof-under-global-key', async (t) => {
  const line = lineOf('proof-under-global-key', { suite: 0 })
  const dedicated = {
    dedicatedKey: new SecretKey(Buffer.alloc(16, 7)),
    choice: { shape: Shape.DEDICATED, protection: 0x30 },
  }
  const ours = oddClient(line, { security: dedicated })
  t.throws(() => line.exchange(ours, [name], 1), { code: 'DLMS_ASSOCIATION_REFUSED' })
  line.connect()
  const security = { ...dedicated, proofKey: 'global' } as const
  const theirs = oddClient(line, { security }, new InvocationCounter(100))
  t.equal(line.exchange(theirs, [name], 1)?.[0]?.result, 0)
})

t.test('releases in the clear and protected', async (t) => {
  for (const [quirks, clear, ciphered] of [
    ['', 0x63, 0x63],
    ['clear-release', 0x63, 0xd8],
    ['protected-release', 0xd8, 0x63],
  ] as const)
    for (const releasesInClear of [true, false]) {
      const line = lineOf(quirks, { suite: 0 })
      const client = oddClient(line, { security: { releasesInClear } })
      line.exchange(client, [name], 1)
      const [answer] = line.send(client.release(), 1)
      t.equal(answer!.apdu[0], releasesInClear ? clear : ciphered, `${quirks} ${releasesInClear}`)
    }
})

t.test('the counter object elsewhere', async (t) => {
  const places = {
    '0': '0001 00002b0100ff 02',
    '3': '0001 00002b0103ff 02',
    '8': '0001 00002b0108ff 02',
  }
  for (const [quirks, place, client] of [
    ['', '0', 16],
    ['counter-for-settings', '3', 16],
    ['counter-elsewhere', '8', 32],
    ['counter-untold', undefined, 16],
  ] as const)
    for (const [one, descriptor] of Object.entries(places)) {
      const line = lineOf(quirks, { suite: 0 })
      line.meter.security!.advance(77)
      const [result] = line.exchange(new DlmsClient(), [get(descriptor)], client)!
      if (one === place) t.match(valueOf(result!), { value: 76 }, `${quirks} ${one}`)
      else t.equal(result!.result, DataAccessResult.OBJECT_UNDEFINED, `${quirks} ${one}`)
    }
  const line = lineOf('counter-elsewhere', { suite: 0 })
  t.throws(() => ask(line, name), { code: 'DLMS_ASSOCIATION_REFUSED' }, 'client 16 is not public')
})

t.test('short-names-only', async (t) => {
  const line = lineOf('short-names-only')
  t.throws(() => ask(line, name), { code: 'DLMS_ASSOCIATION_REFUSED' })
  line.connect()
  const client = new DlmsClient({ shortNames: shortNameBook() })
  const [result] = line.exchange(client, [name], publicClient)!
  t.equal(octetsOf(valueOf(result!)).toString('latin1'), 'BSBE000000000007')
})

t.test(
  'short-names-only under a suite: the public client finds the counter by its short name',
  async (t) => {
    const line = lineOf('short-names-only', { suite: 0 })
    line.meter.security!.advance(77)
    const publicNames = new DlmsClient({ shortNames: shortNameBook() })
    const told = line.exchange(publicNames, [get('0001 00002b0100ff 02'), name], publicClient)!
    t.match(valueOf(told[0]!), { value: 76 })
    t.equal(told[1]!.result, 0)
    const registers = new DlmsClient({ shortNames: shortNameBook() })
    line.connect()
    const [hidden] = line.exchange(registers, [get('0003 0100010800ff 02')], publicClient)!
    t.not(hidden!.result, 0, 'and nothing that is not for everybody')
    line.connect()
    const client = oddClient(line, { shortNames: shortNameBook() }, new InvocationCounter(78))
    const [result] = line.exchange(client, [get('0003 0100010800ff 02')], 1)!
    t.equal(result!.result, 0)
  },
)

t.test('conformance that is not agreed to', async (t) => {
  for (const [quirks, bit] of [
    ['no-selective-access', Conformance.SELECTIVE_ACCESS],
    ['no-general-blocks', Conformance.GENERAL_BLOCK_TRANSFER],
  ] as const) {
    const line = lineOf(quirks)
    const client = new DlmsClient()
    line.exchange(client, [name], publicClient)
    t.equal(client.negotiated.conformance & bit, 0)
  }
  const both = lineOf('no-selective-access+no-general-blocks')
  const client = new DlmsClient()
  both.exchange(client, [name], publicClient)
  const { SELECTIVE_ACCESS, GENERAL_BLOCK_TRANSFER } = Conformance
  t.equal(client.negotiated.conformance & (SELECTIVE_ACCESS | GENERAL_BLOCK_TRANSFER), 0)
  const whole = range(dateTime(nowMs, 0), dateTime(nowMs, 0))
  t.equal(ask(lineOf('no-selective-access'), get(`${halfHours}02`, whole))[0]!.result, 13)
  const [rows, inUse, most] = ask(
    lineOf('no-selective-access'),
    get(`${halfHours}02`),
    get(`${halfHours}07`),
    get(`${halfHours}08`),
  )
  t.equal(elementsOf(valueOf(rows!)).length, 480)
  t.match(valueOf(inUse!), { value: 480 })
  t.match(valueOf(most!), { value: 480 })
})

t.test('ranges: ignored, refused with a deviation', async (t) => {
  const hour = range(dateTime(nowMs - 3_600_000, 0), dateTime(nowMs, 0))
  t.equal(rowsOf(ask(lineOf(''), get(`${halfHours}02`, hour))).length, 3)
  t.equal(rowsOf(ask(lineOf('range-ignored'), get(`${halfHours}02`, hour))).length, 480)
  const [refused] = ask(lineOf('range-deviation-refused'), get(`${halfHours}02`, hour))
  t.equal(refused!.result, DataAccessResult.TYPE_UNMATCHED)
  const local = range(dateTime(nowMs - 3_600_000), dateTime(nowMs))
  t.equal(rowsOf(ask(lineOf('range-deviation-refused'), get(`${halfHours}02`, local))).length, 3)
  const both = lineOf('range-deviation-refused+local-time')
  const berlin = range(dateTime(nowMs + 3_600_000), dateTime(nowMs + 7_200_000))
  t.equal(rowsOf(ask(both, get(`${halfHours}02`, berlin))).length, 3, '11:00 to 12:00 in Berlin')
})

t.test('local times: clock and rows', async (t) => {
  const shown = (hour: number, status: number): string => {
    const octets = dateTime(Date.UTC(2026, 6, 1, hour))
    octets[11] = status
    return octets.toString('hex')
  }
  const two = range(dateTime(nowMs, 0), dateTime(nowMs, 0))
  for (const [quirks, hour, status, zoneMinutes, timeZone] of [
    ['local-time', 12, 0x80, -60, 'Europe/Berlin'],
    ['local-time-unmarked', 12, 0xff, -60, 'Europe/Berlin'],
    ['local-standard-time', 11, 0xff, -60, 'Europe/Berlin'],
    ['local-time', 15, 0, -330, 'Asia/Kolkata'],
    ['local-time', 7, 0, 180, 'America/Sao_Paulo'],
  ] as const) {
    const line = lineOf(quirks, { timeZone })
    const { meter } = line
    meter.clockAheadMs = 0
    const minutes = timeZone === 'Asia/Kolkata' ? 30 : 0
    const [time, zone, row] = ask(
      line,
      get(`${clock}02`),
      get(`${clock}03`),
      get(`${halfHours}02`, two),
    )
    const expected = Buffer.from(shown(hour, status), 'hex')
    expected[6] = minutes
    t.equal(octetsOf(valueOf(time!)).toString('hex'), expected.toString('hex'), timeZone)
    t.match(valueOf(zone!), { value: zoneMinutes })
    t.equal(rowsOf([row!])[0]!.toString('hex'), expected.toString('hex'), 'the row, too')
  }
  // Set by a local time, it shows that time.
  const line = lineOf('local-time')
  const value = Buffer.concat([Buffer.of(9, 12), dateTime(Date.UTC(2026, 6, 1, 12, 30))])
  const [set] = ask(line, { ...get(`${clock}02`), kind: 'set', value })
  t.equal(set!.result, 0)
  t.equal(line.meter.timeAt((line.meter.model.clock as SimClock).now()), nowMs + 1_800_000)
})

t.test('local times: the hour that clocks show twice', async (t) => {
  const backMs = Date.UTC(2026, 9, 25, 1)
  const around = range(dateTime(backMs - 3_600_000, 0), dateTime(backMs + 1_800_000, 0))
  const line = lineOf('local-time', { nowMs: backMs + 7_200_000 })
  const rows = rowsOf(ask(line, get(`${halfHours}02`, around)))
  t.same(
    rows.map((row) => [row[5], row[6], row[11]]),
    [
      [2, 0, 0x80],
      [2, 30, 0x80],
      [2, 0, 0],
      [2, 30, 0],
    ],
  )
  // Bounds without a deviation: from the first 02:00 to the second 02:30.
  const shown = range(dateTime(Date.UTC(2026, 9, 25, 2)), dateTime(Date.UTC(2026, 9, 25, 2, 30)))
  t.equal(rowsOf(ask(line, get(`${halfHours}02`, shown))).length, 4)
})

t.test('clock-nested', async (t) => {
  const [time] = ask(lineOf('clock-nested'), get(`${clock}02`))
  const outer = octetsOf(valueOf(time!))
  t.equal(outer.length, 14)
  t.same(outer.subarray(0, 2), Buffer.of(9, 12))
})

const day = range(dateTime(nowMs - 86_400_000, 0), dateTime(nowMs, 0))
t.test('general blocks: in windows, all at once, streaming', async (t) => {
  const plain = rowsOf(ask(lineOf(''), get(`${halfHours}02`, day)))
  t.equal(plain.length, 49)
  const askedFor = get(`${halfHours}02`, day)
  const flood = lineOf('block-flood')
  const client = new DlmsClient({ generalBlockWindow: 2 })
  t.ok(flood.exchange(client, [name], publicClient))
  const frames = flood.send(client.begin([askedFor]), publicClient)
  t.ok(frames.length > 3, `${frames.length} blocks at once`)
  for (const [at, { apdu }] of frames.entries()) {
    t.equal(apdu[0], 0xe0)
    t.ok(apdu.length <= 256)
    t.equal(apdu.readUInt16BE(2), at + 1, 'in order')
    const isLast = at === frames.length - 1
    t.equal(apdu[1]! & 0xc0, isLast ? 0x80 : 0x40, 'streaming in all but the last')
  }
  const streaming = lineOf('block-streaming')
  const other = new DlmsClient({ generalBlockWindow: 2 })
  t.ok(streaming.exchange(other, [name], publicClient))
  const [first] = streaming.send(other.begin([askedFor]), publicClient)
  const step = other.receive(first!.apdu) as { send: Buffer }
  const controls = streaming.send(step.send, publicClient).map(({ apdu }) => apdu[1]! & 0xc0)
  t.same(controls, [0x40, 0x40], 'streaming in all of the window')
  const whole = lineOf('block-flood')
  const rows = whole.exchange(new DlmsClient(), [get(`${halfHours}02`, day)], publicClient)!
  t.same(rowsOf(rows), plain, 'a client that takes the flood has it all')
  const windows = lineOf('block-streaming')
  const more = windows.exchange(new DlmsClient(), [get(`${halfHours}02`, day)], publicClient)
  t.same(more && rowsOf(more), plain, 'a client that acknowledges a full window goes on')
})

t.test('notifications in front of answers, empty frames', async (t) => {
  const line = lineOf('notifications-first+empty-frames')
  const client = new DlmsClient()
  const tags = line.send(client.begin([name]), publicClient).map(({ apdu }) => apdu[0])
  t.same(tags, [0x0f, 0x0f, 0x0f, 0x61])
  t.equal(line.emptyFrames, 1)
})

t.test('useless APDUs without an end, until the connection closes', async (t) => {
  for (const [quirks, tag] of [
    ['useless-notifications', 0x0f],
    ['useless-blocks', 0xe0],
  ] as const) {
    const line = lineOf(quirks)
    const clock = line.meter.model.clock as SimClock
    const client = new DlmsClient()
    const [aare] = line.send(client.begin([name]), publicClient)
    const step = client.receive(aare!.apdu) as { send: Buffer }
    const [first, ...rest] = line.send(step.send, publicClient)
    t.equal(first!.apdu[0], tag)
    t.same(rest, [])
    clock.advanceTo(nowMs + 2_000)
    t.equal(line.late().length, 20)
    line.connect()
    clock.advanceTo(nowMs + 4_000)
    t.equal(line.late().length, 0, 'it has ended')
  }
})
