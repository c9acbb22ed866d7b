/**
 * What translation costs a message: a request from protobuf wire through an envelope in a frame to APDU-ready operations,
 * and the meter's A-XDR results through a RESPONSE envelope in a frame to Delivery protobuf. Three ways do the same work
 * on the same octets and must give the same delivery:
 *   busbar    scan where it stands, one gather-write, constant operations, A-XDR straight to protobuf
 *   msgpack   ts-proto decode → object → msgpackr pack → unpack → operations … value tree → object → pack → unpack → ts-proto encode
 *   json      the same through JSON text
 * The naive ways use the same catalogue, the same finished operations and the same A-XDR tree codec: only the handing on differs.
 */
import { Packr } from 'msgpackr'
import { errorId, errorTable } from '../core/base/error-table.ts'
import { formatEui64, parseEui64 } from '../core/base/eui64.ts'
import { Lane } from '../core/base/lane.ts'
import { formatSrv, parseSrv } from '../core/base/srv.ts'
import { serviceRequestOf } from '../core/catalogue/service-requests.ts'
import { AxdrWriter, decodeValue, Tag, type AxdrValue } from '../core/dlms/axdr.ts'
import { readCosemDateTime, writeCosemDateTime } from '../core/dlms/date-time.ts'
import { parseObis } from '../core/dlms/obis.ts'
import { readBodyView, readSrv, writeEnvelope, type Header } from '../core/envelope/envelope.ts'
import { FrameWriter } from '../core/envelope/frame.ts'
import { headerBytes, Kind } from '../core/envelope/layout.ts'
import type { CosemOperation, CosemResult } from '../core/ports/wan.ts'
import { answerOf } from '../core/translate/answer.ts'
import { commandOf } from '../core/translate/command.ts'
import { appendDelivery } from '../core/translate/delivery.ts'
import { PlannedOperation } from '../core/translate/plan.ts'
import { ProtobufWriter } from '../core/translate/protobuf.ts'
import { forEachRequest, RequestScan, scanServiceRequest } from '../core/translate/scan.ts'
import { SubmitStreamRequest } from '../proto/gen/busbar/v1/input_gateway.ts'
import { ReceiveResponse } from '../proto/gen/busbar/v1/output_gateway.ts'
import type { ServiceRequest } from '../proto/gen/busbar/v1/service_request.ts'
import type { ServiceResponse, Unit, Value } from '../proto/gen/busbar/v1/service_response.ts'
import { allocatedBytes, nanoseconds } from './harness.ts'

export const name = 'translate'
export const describe = 'protobuf wire → envelope → operations, results → envelope → protobuf, beside msgpackr objects and JSON'

const nowMs = Date.UTC(2026, 10, 23, 12)
const halfHourMs = 1_800_000
const ok = errorId('OK')

/** One kind of message: what the party sends and what the meter answers. */
type Sample = { label: string; wire: Buffer; results: CosemResult[]; bodyBytes: number }

const axdr = (build: (writer: AxdrWriter) => AxdrWriter): CosemResult => ({ result: 0, value: build(new AxdrWriter()).take() })

function sampleOf(label: string, text: string, body: ServiceRequest['body'], results: CosemResult[]): Sample {
  const request: ServiceRequest = {
    requestId: { originator: '90-B3-D5-1F-30-01-00-00', target: '00-DB-12-34-56-78-90-A0', counter: 1_234_567n },
    serviceReferenceVariant: text,
    deadline: new Date(nowMs + 60_000),
    priority: 0,
    body,
  }
  const wire = Buffer.from(SubmitStreamRequest.encode({ requests: [request] }).finish())
  const scan = new RequestScan()
  forEachRequest(wire, (start, end) => void scanServiceRequest(wire, start, end, scan))
  return { label, wire, results, bodyBytes: scan.bodyEnd - scan.bodyStart }
}

const energyUnit = axdr((w) => w.structure(2).int8(0).enumeration(30))
const registerRead = sampleOf('register read 4.1.1', '4.1.1', undefined, [
  axdr((w) => w.uint32(12_345_678)),
  energyUnit,
  axdr((w) => w.uint32(2_345_678)),
  axdr((w) => w.structure(2).int8(0).enumeration(32)),
])

const dayRows = 48
const dayProfile = sampleOf(
  'day profile 4.8.1',
  '4.8.1',
  { $case: 'readPeriod', value: { from: new Date(nowMs - dayRows * halfHourMs), to: new Date(nowMs) } },
  [
    axdr((w) => {
      w.array(dayRows)
      for (let i = 1; i <= dayRows; i++) {
        const time = Buffer.alloc(12)
        writeCosemDateTime(time, 0, nowMs - (dayRows - i) * halfHourMs)
        w.structure(3).octetString(time).uint8(0).uint32(12_345_678 + i * 250)
      }
      return w
    }),
    axdr((w) => {
      w.array(3)
      w.structure(4).uint16(8).octetString(parseObis('0-0:1.0.0.255')).int8(2).uint16(0)
      w.structure(4).uint16(1).octetString(parseObis('0-0:96.10.1.255')).int8(2).uint16(0)
      return w.structure(4).uint16(3).octetString(parseObis('1-0:1.8.0.255')).int8(2).uint16(0)
    }),
    axdr((w) => w.uint32(1800)),
    energyUnit,
    { result: 4 },
  ],
)

/** One whole way of a message there and back; returns the octets that the party receives. */
type Way = (sample: Sample) => Buffer

function busbarWay(): Way {
  const scan = new RequestScan()
  const frame = new FrameWriter(1 << 16)
  const writer = new ProtobufWriter()
  const header: Header = { kind: Kind.SERVICE_REQUEST, lane: Lane.NORMAL, srv: parseSrv('4.1.1'), outcome: 0, bodyType: 0, attempt: 0, originator: scan.originator, target: scan.target, counter: 0n, time: nowMs, deadline: 0, correlation: 1 }
  const append = (kind: Kind, bodyView: Uint8Array): void => {
    header.kind = kind
    header.correlation = nowMs
    const at = frame.reserve(headerBytes + bodyView.length)
    writeEnvelope(frame.target, at, header, bodyView)
  }
  return ({ wire, results }) => {
    let answered = wire
    forEachRequest(wire, (start, end) => {
      if (scanServiceRequest(wire, start, end, scan) !== undefined) throw new TypeError('sample')
      header.srv = scan.srv
      header.bodyType = scan.bodyType
      header.counter = scan.counter
      header.deadline = scan.deadlineMs
      append(Kind.SERVICE_REQUEST, wire.subarray(scan.bodyStart, scan.bodyEnd))
      const received = frame.take()
      const row = serviceRequestOf(readSrv(received, 0))!
      const operations = commandOf(row, readBodyView(received, 0), nowMs, 'ESME')
      const { outcome, bodyBytes } = answerOf(row, operations, results)
      header.outcome = errorId(outcome)
      header.attempt = 1
      append(Kind.RESPONSE, bodyBytes)
      appendDelivery(writer, 77, frame.take(), 0)
      answered = writer.take()
    })
    return answered
  }
}

const packr = new Packr({ useRecords: false, int64AsType: 'bigint' })
const viaMsgpack = (tree: unknown): unknown => packr.unpack(packr.pack(tree))
// bigint and octets have no JSON form of their own.
const viaJson = (tree: unknown): unknown => JSON.parse(JSON.stringify(tree, (_name, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)))
const bigintOf = (value: unknown): bigint => (typeof value === 'string' ? BigInt(value.slice(0, -1)) : BigInt(value as number))

const numberTags = new Set<number>([Tag.DOUBLE_LONG, Tag.DOUBLE_LONG_UNSIGNED, Tag.INTEGER, Tag.UNSIGNED, Tag.LONG, Tag.LONG_UNSIGNED, Tag.ENUM])
const elementsOf = (value: AxdrValue | undefined): AxdrValue[] => (value !== undefined && 'elements' in value ? value.elements : [])
const numberOf = (value: AxdrValue | undefined): number => (value !== undefined && 'value' in value ? Number(value.value) : 0)
const octetsOf = (value: AxdrValue | undefined): Buffer => (value !== undefined && 'value' in value ? (value.value as Buffer) : Buffer.alloc(0))
const kindOf = (value: AxdrValue): Value => (numberTags.has(value.tag) ? { kind: { $case: 'integer', value: BigInt(numberOf(value)) } } : { kind: undefined })

function bodyOfTrees(operations: readonly CosemOperation[], trees: (AxdrValue | undefined)[]): NonNullable<ServiceResponse['body']> {
  const body: NonNullable<ServiceResponse['body']> = { readings: [], profiles: [] }
  const templates = operations.map((operation) => (operation as PlannedOperation).plan.template)
  const scalerOf = (classId: number, obis: string): AxdrValue[] =>
    elementsOf(trees[templates.findIndex((each) => each.yields === 'scaler-unit' && each.classId === classId && each.obis === obis)])
  templates.forEach(({ yields, obis, classId, index }, i) => {
    if (yields === 'reading') {
      const [scaler, unit] = scalerOf(classId, obis)
      body.readings.push({ obis, classId, attributeId: index, isMethod: false, status: 1, value: kindOf(trees[i]!), scaler: numberOf(scaler), unit: numberOf(unit) as Unit })
    } else if (yields === 'profile') {
      const [scaler, unit] = scalerOf(3, '1-0:1.8.0.255')
      body.profiles.push({
        obis,
        status: 1,
        columns: [{ obis: '1-0:1.8.0.255', classId: 3, attributeId: 2, scaler: numberOf(scaler), unit: numberOf(unit) as Unit }],
        entries: elementsOf(trees[i]).map((row) => {
          const [time, status, value] = elementsOf(row)
          return { capturedAt: new Date(readCosemDateTime(octetsOf(time), 0)!), values: [kindOf(value!)], status: numberOf(status) }
        }),
      })
    }
  })
  return body
}

type NaiveRequest = { originator: string; target: string; counter: unknown; srv: string; deadline: unknown; period: { from: unknown; to: unknown } | undefined }

/** Objects at every step, `handOn` between the processes. */
function naiveWay(handOn: (tree: unknown) => unknown): Way {
  return ({ wire, results }) => {
    const [request] = SubmitStreamRequest.decode(wire).requests
    const { requestId, serviceReferenceVariant, deadline, body } = request!
    if (parseEui64(requestId!.originator) === undefined || parseEui64(requestId!.target) === undefined) throw new TypeError('sample')
    const received = handOn({
      originator: requestId!.originator,
      target: requestId!.target,
      counter: requestId!.counter,
      srv: serviceReferenceVariant,
      deadline: deadline!.getTime(),
      period: body?.$case === 'readPeriod' ? { from: body.value.from!.getTime(), to: body.value.to!.getTime() } : undefined,
    }) as NaiveRequest
    const row = serviceRequestOf(parseSrv(received.srv))!
    const operations = naiveOperations.get(row.text)!
    const trees = results.map(({ value }) => (value === undefined ? undefined : decodeValue(value as Buffer, 0)))
    const envelope = handOn({
      ...received,
      outcome: ok,
      attempts: 1,
      acceptedAt: nowMs,
      answeredAt: nowMs,
      body: bodyOfTrees(operations, trees),
    }) as NaiveRequest & { outcome: number; attempts: number; acceptedAt: number; answeredAt: number; body: NonNullable<ServiceResponse['body']> }
    // What JSON and MessagePack cannot hold is put right again: bigint and Date.
    for (const { value } of envelope.body.readings) if (value?.kind?.$case === 'integer') value.kind.value = bigintOf(value.kind.value)
    for (const { entries } of envelope.body.profiles) {
      for (const entry of entries) {
        entry.capturedAt = new Date(entry.capturedAt!)
        for (const { kind } of entry.values) if (kind?.$case === 'integer') kind.value = bigintOf(kind.value)
      }
    }
    const response: ServiceResponse = {
      requestId: { originator: envelope.originator, target: envelope.target, counter: bigintOf(envelope.counter) },
      serviceReferenceVariant: formatSrv(row.srv),
      responseCode: errorTable.OK.duis,
      reason: 'OK',
      message: '',
      acceptedAt: new Date(envelope.acceptedAt),
      answeredAt: new Date(envelope.answeredAt),
      attempts: envelope.attempts,
      body: envelope.body,
    }
    return Buffer.from(ReceiveResponse.encode({ deliveries: [{ deliveryId: 77n, content: { $case: 'response', value: response } }] }).finish())
  }
}

// The naive ways get their operations ready made: building them is not what is compared.
const noBody = Buffer.alloc(0)
const naiveOperations = new Map<string, readonly CosemOperation[]>(
  ['4.1.1', '4.8.1'].map((text) => {
    const row = serviceRequestOf(parseSrv(text))!
    const scan = new RequestScan()
    const { wire } = text === '4.1.1' ? registerRead : dayProfile
    forEachRequest(wire, (start, end) => void scanServiceRequest(wire, start, end, scan))
    return [text, commandOf(row, row.bodyType === 0 ? noBody : wire.subarray(scan.bodyStart, scan.bodyEnd), nowMs, 'ESME')]
  }),
)

// Copies of at least `bytes` octets that one use of `way` makes through the typed array methods.
function countCopies(way: Way, sample: Sample, bytes: number): number {
  const { set, copyWithin } = Uint8Array.prototype
  const { copy } = Buffer.prototype
  let copies = 0
  Uint8Array.prototype.set = function (...args) {
    if (args[0].length >= bytes) copies++
    return set.apply(this, args)
  }
  Uint8Array.prototype.copyWithin = function (target, start, end) {
    if ((end ?? this.length) - start >= bytes) copies++
    return copyWithin.call(this, target, start, end) as never
  }
  Buffer.prototype.copy = function (target, at, start = 0, end = this.length) {
    if (end - start >= bytes) copies++
    return copy.call(this, target, at, start, end)
  }
  try {
    way(sample)
  } finally {
    Object.assign(Uint8Array.prototype, { set, copyWithin })
    Buffer.prototype.copy = copy
  }
  return copies
}

type Options = { smoke: boolean; seed: number; log: (line: string) => void }

export async function run({ smoke, log }: Options): Promise<Record<string, unknown>> {
  const ways: [string, Way][] = [['busbar', busbarWay()], ['msgpack', naiveWay(viaMsgpack)], ['json', naiveWay(viaJson)]]
  const figures: Record<string, unknown> = {}
  for (const sample of [registerRead, dayProfile]) {
    const expected = ReceiveResponse.decode(ways[0]![1](sample))
    const nanos: Record<string, number> = {}
    const bytes: Record<string, number> = {}
    for (const [label, way] of ways) {
      if (JSON.stringify(ReceiveResponse.toJSON(ReceiveResponse.decode(way(sample)))) !== JSON.stringify(ReceiveResponse.toJSON(expected))) throw new TypeError(`${label} gives another delivery`)
    }
    const per = nanoseconds(Object.fromEntries(ways.map(([label, way]) => [label, () => way(sample).length])), smoke)
    for (const [label, way] of ways) {
      nanos[label] = Math.round(per[label]!)
      bytes[label] = Math.round(allocatedBytes(() => way(sample).length, smoke ? 20 : 200))
    }
    const key = sample === registerRead ? 'registerRead' : 'dayProfile'
    const ratio = (other: string): number => Number((nanos[other]! / nanos['busbar']!).toFixed(2))
    figures[key] = { nanoseconds: nanos, allocatedBytes: bytes, ratioToMsgpack: ratio('msgpack'), ratioToJson: ratio('json') }
    log(`${sample.label}: busbar ${nanos['busbar']} ns ${bytes['busbar']} B, msgpack ${nanos['msgpack']} ns ${bytes['msgpack']} B (×${ratio('msgpack')}), json ${nanos['json']} ns ${bytes['json']} B (×${ratio('json')})`)
  }
  figures['requestBodyCopies'] = countCopies(busbarWay(), dayProfile, dayProfile.bodyBytes) 
  return figures
}
