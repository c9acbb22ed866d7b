/**
 * What translation costs a message: a request from protobuf wire through an envelope in a frame to
 * APDU-ready operations, and the meter's A-XDR results through a RESPONSE envelope in a frame to
 * Delivery protobuf. Three ways do the same work on the same octets and must give the same
 * delivery:
 *   busbar    scan where it stands, one gather-write, constant operations, A-XDR straight to protobuf
 *   msgpack   ts-proto decode → object → msgpackr pack → unpack → operations … value tree → object → pack → unpack → ts-proto encode
 *   json      the same through JSON text
 * The naive ways use the same catalogue, the same finished operations and the same A-XDR tree
 * codec: only the handing on differs.
 */
import { Packr } from 'msgpackr'
import { emptyBytes } from '../core/base/bytes.ts'
import { assert } from '../core/base/assert.ts'
import { errorId, errorTable } from '../core/base/error-table.ts'
import { parseEui64 } from '../core/base/eui64.ts'
import { Lane } from '../core/base/lane.ts'
import { formatSrv, parseSrv } from '../core/base/srv.ts'
import { serviceRequestOf } from '../core/catalogue/service-requests.ts'
import { AxdrWriter, decodeValue, Tag, type AxdrValue } from '../core/dlms/axdr/axdr.ts'
import { readCosemDateTime, writeCosemDateTime } from '../core/dlms/axdr/date-time.ts'
import { parseObis } from '../core/dlms/axdr/obis.ts'
import {
  readBodyView,
  readCounter,
  readSrv,
  writeEnvelope,
  type Header,
} from '../core/envelope/envelope.ts'
import { forEachEnvelope, FrameWriter } from '../core/envelope/frame.ts'
import { headerBytes, Kind } from '../core/envelope/layout.ts'
import type { CosemOperation, CosemResult } from '../core/ports/wan.ts'
import { answerOf } from '../core/translate/answer.ts'
import { commandOf } from '../core/translate/command.ts'
import { appendDelivery } from '../core/translate/delivery.ts'
import type { PlannedOperation } from '../core/translate/plan.ts'
import { ProtobufWriter } from '../core/translate/protobuf.ts'
import { forEachRequest, RequestScan, scanServiceRequest } from '../core/translate/scan.ts'
import { SubmitStreamRequest } from '../proto/gen/busbar/v1/input_gateway.ts'
import { ReceiveResponse } from '../proto/gen/busbar/v1/output_gateway.ts'
import type { ServiceRequest } from '../proto/gen/busbar/v1/service_request.ts'
import { countCopies, measure, type BenchOptions } from './harness.ts'
import type { ServiceResponse, Unit, Value } from '../proto/gen/busbar/v1/service_response.ts'

export const name = 'translate'
export const describe =
  'protobuf wire → envelope → operations, results → envelope → protobuf, beside msgpackr objects and JSON'

const nowMs = Date.UTC(2026, 10, 23, 12)
const halfHourMs = 1_800_000
const ok = errorId('OK')

/**
 * One kind of message: a batch as a party sends it, and what the meter answers each request. `work`
 * is how many times as much work one is as a register read.
 */
type Sample = { label: string; wire: Buffer; results: CosemResult[]; batch: number; work: number }

const axdr = (build: (writer: AxdrWriter) => AxdrWriter): CosemResult => ({
  result: 0,
  value: build(new AxdrWriter()).take(),
})

type SampleTerms = Omit<Sample, 'wire'> & {
  /** Of the service reference variant. */
  text: string
  body: ServiceRequest['body']
}

function sampleOf({ label, text, body, results, batch, work }: SampleTerms): Sample {
  const requests = Array.from({ length: batch }, (_, i): ServiceRequest => ({
    requestId: {
      originator: '90-B3-D5-1F-30-01-00-00',
      target: '00-DB-12-34-56-78-90-A0',
      counter: 1_234_567n + BigInt(i),
    },
    serviceReferenceVariant: text,
    deadline: new Date(nowMs + 60_000),
    priority: 0,
    assignCounter: false,
    correlation: 0,
    commandVariant: 0,
    firstInSequence: false,
    precedingRequestId: undefined,
    executionTime: undefined,
    signature: undefined,
    body,
  }))
  // In memory of its own, as a message from a socket is: copies out of it are counted.
  const encoded = SubmitStreamRequest.encode({ requests }).finish()
  const wire = Buffer.allocUnsafeSlow(encoded.length)
  wire.set(encoded)
  return { label, wire, results, batch, work }
}

const energyUnit = axdr((w) => w.structure(2).int8(0).enumeration(30))
const registerRead = (batch: number): Sample =>
  sampleOf({
    label: 'register read 4.1.1',
    text: '4.1.1',
    body: undefined,
    results: [
      axdr((w) => w.uint32(12_345_678)),
      energyUnit,
      axdr((w) => w.uint32(2_345_678)),
      axdr((w) => w.structure(2).int8(0).enumeration(32)),
    ],
    batch,
    work: 1,
  })

const dayRows = 48
const dayProfile = (batch: number): Sample =>
  sampleOf({
    label: 'day profile 4.8.1',
    text: '4.8.1',
    body: {
      $case: 'readPeriod',
      value: { startTime: new Date(nowMs - dayRows * halfHourMs), endTime: new Date(nowMs) },
    },
    results: [
      axdr((w) => {
        w.array(dayRows)
        for (let i = 1; i <= dayRows; i++) {
          const time = Buffer.alloc(12)
          writeCosemDateTime(time, 0, nowMs - (dayRows - i) * halfHourMs)
          w.structure(3)
            .octetString(time)
            .uint8(0)
            .uint32(12_345_678 + i * 250)
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
    batch,
    work: 8,
  })

/** One whole way of a batch there and back; returns the octets that the party receives. */
type Way = (sample: Sample) => Uint8Array

function busbarWay(): Way {
  const scan = new RequestScan()
  const frame = new FrameWriter()
  const writer = new ProtobufWriter()
  const header: Header = {
    kind: Kind.SERVICE_REQUEST,
    lane: Lane.NORMAL,
    srv: parseSrv('4.1.1'),
    outcome: 0,
    bodyType: 0,
    attempt: 0,
    originator: scan.originator,
    target: scan.target,
    counter: 0n,
    time: nowMs,
    deadline: 0,
    correlation: 1,
  }
  const append = (kind: Kind, bodyView: Uint8Array): void => {
    header.kind = kind
    header.correlation = nowMs
    const at = frame.reserve(headerBytes + bodyView.length)
    writeEnvelope(frame.target, at, header, bodyView)
  }
  return ({ wire, results }) => {
    forEachRequest(wire, (start, end) => {
      assert(scanServiceRequest(wire, start, end, scan) === undefined, 'the sample is well formed')
      header.srv = scan.srv
      header.bodyType = scan.bodyType
      header.counter = scan.counter
      header.deadline = scan.deadlineMs
      append(Kind.SERVICE_REQUEST, wire.subarray(scan.bodyStart, scan.bodyEnd))
    })
    const requests = frame.take()
    forEachEnvelope(requests, 0, (at) => {
      const row = serviceRequestOf(readSrv(requests, at))!
      const operations = commandOf(row, readBodyView(requests, at), nowMs, 'ESME')
      const { outcome, bodyBytes } = answerOf(row, operations, results)
      header.srv = row.srv
      header.outcome = errorId(outcome)
      header.attempt = 1
      header.counter = readCounter(requests, at)
      append(Kind.RESPONSE, bodyBytes)
    })
    const responses = frame.take()
    forEachEnvelope(responses, 0, (at) => appendDelivery(writer, 77, responses, at))
    return writer.take()
  }
}

const packr = new Packr({ useRecords: false, int64AsType: 'bigint' })
const viaMsgpack = (tree: unknown): unknown => packr.unpack(packr.pack(tree))
// bigint and octets have no JSON form of their own.
const viaJson = (tree: unknown): unknown =>
  JSON.parse(
    JSON.stringify(tree, (_name, value: unknown) =>
      typeof value === 'bigint' ? `${value}n` : value,
    ),
  )
const bigintOf = (value: unknown): bigint =>
  typeof value === 'string' ? BigInt(value.slice(0, -1)) : BigInt(value as number)

const numberTags = new Set<number>([
  Tag.DOUBLE_LONG,
  Tag.DOUBLE_LONG_UNSIGNED,
  Tag.INTEGER,
  Tag.UNSIGNED,
  Tag.LONG,
  Tag.LONG_UNSIGNED,
  Tag.ENUM,
])
const elementsOf = (value: AxdrValue | undefined): AxdrValue[] =>
  value !== undefined && 'elements' in value ? value.elements : []
const numberOf = (value: AxdrValue | undefined): number =>
  value !== undefined && 'value' in value ? Number(value.value) : 0
const octetsOf = (value: AxdrValue | undefined): Buffer =>
  value !== undefined && 'value' in value ? (value.value as Buffer) : emptyBytes
const kindOf = (value: AxdrValue): Value =>
  numberTags.has(value.tag)
    ? { kind: { $case: 'integer', value: BigInt(numberOf(value)) } }
    : { kind: undefined }

function bodyOfTrees(
  operations: readonly CosemOperation[],
  trees: (AxdrValue | undefined)[],
): NonNullable<ServiceResponse['body']> {
  const body: NonNullable<ServiceResponse['body']> = { readings: [], profiles: [], schedules: [] }
  const templates = operations.map((operation) => (operation as PlannedOperation).plan.template)
  const scalerOf = (classId: number, obis: string): AxdrValue[] =>
    elementsOf(
      trees[
        templates.findIndex(
          (each) => each.yields === 'scaler-unit' && each.classId === classId && each.obis === obis,
        )
      ],
    )
  templates.forEach(({ yields, obis, classId, index }, i) => {
    if (yields === 'reading') {
      const [scaler, unit] = scalerOf(classId, obis)
      body.readings.push({
        obis,
        classId,
        attributeId: index,
        isMethod: false,
        status: 1,
        value: kindOf(trees[i]!),
        scaler: numberOf(scaler),
        unit: numberOf(unit) as Unit,
        statusDetail: '',
      })
    } else if (yields === 'profile') {
      const [scaler, unit] = scalerOf(3, '1-0:1.8.0.255')
      body.profiles.push({
        obis,
        status: 1,
        columns: [
          {
            obis: '1-0:1.8.0.255',
            classId: 3,
            attributeId: 2,
            scaler: numberOf(scaler),
            unit: numberOf(unit) as Unit,
          },
        ],
        entries: elementsOf(trees[i]).map((row) => {
          const [time, status, value] = elementsOf(row)
          return {
            capturedAt: new Date(readCosemDateTime(octetsOf(time), 0)!),
            values: [kindOf(value!)],
            status: numberOf(status),
            capturedAtLocal: '',
          }
        }),
        rowsOutside: 0,
      })
    }
  })
  return body
}

type NaiveRequest = {
  originator: string
  target: string
  counter: unknown
  srv: string
  deadline: unknown
  period: { from: unknown; to: unknown } | undefined
}

type NaiveResponse = NaiveRequest & {
  outcome: number
  attempts: number
  acceptedAt: number
  answeredAt: number
  body: NonNullable<ServiceResponse['body']>
}

/** Objects at every step, `handOn` between the processes. */
function naiveWay(handOn: (tree: unknown) => unknown): Way {
  const respond = (request: ServiceRequest, results: readonly CosemResult[]): ServiceResponse => {
    const { requestId, serviceReferenceVariant, deadline, body } = request
    assert(
      parseEui64(requestId!.originator) !== undefined &&
        parseEui64(requestId!.target) !== undefined,
      'the sample is well formed',
    )
    const received = handOn({
      originator: requestId!.originator,
      target: requestId!.target,
      counter: requestId!.counter,
      srv: serviceReferenceVariant,
      deadline: deadline!.getTime(),
      period:
        body?.$case === 'readPeriod'
          ? { from: body.value.startTime!.getTime(), to: body.value.endTime!.getTime() }
          : undefined,
    }) as NaiveRequest
    const row = serviceRequestOf(parseSrv(received.srv))!
    const trees = results.map(({ value }) =>
      value === undefined ? undefined : decodeValue(value as Buffer, 0),
    )
    const envelope = handOn({
      ...received,
      outcome: ok,
      attempts: 1,
      acceptedAt: nowMs,
      answeredAt: nowMs,
      body: bodyOfTrees(naiveOperations.get(row.text)!, trees),
    }) as NaiveResponse
    // What JSON and MessagePack cannot hold is put right again: bigint and Date.
    for (const { value } of envelope.body.readings)
      if (value?.kind?.$case === 'integer') value.kind.value = bigintOf(value.kind.value)
    for (const { entries } of envelope.body.profiles) {
      for (const entry of entries) {
        entry.capturedAt = new Date(entry.capturedAt!)
        for (const { kind } of entry.values)
          if (kind?.$case === 'integer') kind.value = bigintOf(kind.value)
      }
    }
    return {
      requestId: {
        originator: envelope.originator,
        target: envelope.target,
        counter: bigintOf(envelope.counter),
      },
      serviceReferenceVariant: formatSrv(row.srv),
      responseCode: errorTable.OK.duis,
      reason: 'OK',
      message: '',
      acceptedAt: new Date(envelope.acceptedAt),
      answeredAt: new Date(envelope.answeredAt),
      attempts: envelope.attempts,
      scheduleId: 0n,
      body: envelope.body,
    }
  }
  return ({ wire, results }) => {
    const { requests } = SubmitStreamRequest.decode(wire)
    const deliveries = requests.map((request) => ({
      deliveryId: 77n,
      content: { $case: 'response' as const, value: respond(request, results) },
    }))
    return ReceiveResponse.encode({ deliveries }).finish()
  }
}

// The naive ways get their operations ready made: building them is not what is compared.
const naiveOperations = new Map<string, readonly CosemOperation[]>(
  ['4.1.1', '4.8.1'].map((text) => {
    const row = serviceRequestOf(parseSrv(text))!
    const scan = new RequestScan()
    const { wire } = text === '4.1.1' ? registerRead(1) : dayProfile(1)
    forEachRequest(wire, (start, end) => void scanServiceRequest(wire, start, end, scan))
    return [
      text,
      commandOf(
        row,
        row.bodyType === 0 ? emptyBytes : wire.subarray(scan.bodyStart, scan.bodyEnd),
        nowMs,
        'ESME',
      ),
    ]
  }),
)

// Copies that one use of `way` makes out of the received octets, through the methods of typed
// arrays.
function countReceivedCopies(way: Way, sample: Sample): number {
  const { set } = Uint8Array.prototype
  const { copy } = Buffer.prototype
  let copies = 0
  Uint8Array.prototype.set = function (source: ArrayLike<number>, offset?: number) {
    if (ArrayBuffer.isView(source) && source.buffer === sample.wire.buffer) copies++
    return set.call(this, source, offset)
  }
  Buffer.prototype.copy = function (target: Uint8Array, at?: number, start?: number, end?: number) {
    if (this.buffer === sample.wire.buffer) copies++
    return copy.call(this, target, at, start, end)
  }
  try {
    way(sample)
  } finally {
    Uint8Array.prototype.set = set
    Buffer.prototype.copy = copy
  }
  return copies
}

export async function run({ smoke, log }: BenchOptions): Promise<Record<string, unknown>> {
  const ways: readonly (readonly [string, Way])[] = [
    ['busbar', busbarWay()],
    ['msgpack', naiveWay(viaMsgpack)],
    ['json', naiveWay(viaJson)],
  ]
  // As many as gateways take in one message when they are busy.
  const batch = smoke ? 2 : 40
  const figures: Record<string, unknown> = {}
  for (const [key, sample] of [
    ['registerRead', registerRead(batch)],
    ['dayProfile', dayProfile(batch)],
  ] as const) {
    const deliveries = ways.map(([, way]) =>
      JSON.stringify(ReceiveResponse.toJSON(ReceiveResponse.decode(way(sample)))),
    )
    assert(
      deliveries.every((each) => each === deliveries[0]),
      'every way gives the same deliveries',
    )
    const nanoseconds: Record<string, number> = {}
    const allocatedBytes: Record<string, number | undefined> = {}
    const copiedBytes: Record<string, number> = {}
    // The ways take turns, so that a busy moment of the machine does not fall on one alone.
    const works = ways.map(([label, way]) => ({ label, op: (): Uint8Array => way(sample) }))
    for (let turn = 0; turn < (smoke ? 1 : 2); turn++) {
      for (const { label, op } of works) {
        const { nsPerOp, bytesPerOp } = measure({
          op,
          count: Math.ceil(4_000 / sample.batch / sample.work),
          smoke,
          // A day profile goes through some twenty functions, which are compiled one after another.
          warmUpCpuMs: 700,
        })
        nanoseconds[label] = Math.min(nanoseconds[label] ?? Infinity, nsPerOp / sample.batch)
        if (bytesPerOp !== undefined)
          allocatedBytes[label] = Math.min(
            allocatedBytes[label] ?? Infinity,
            bytesPerOp / sample.batch,
          )
      }
    }
    for (const [label, way] of ways)
      copiedBytes[label] = countCopies(() => way(sample)).bytes / sample.batch
    const ratioToMsgpack = nanoseconds['msgpack']! / nanoseconds['busbar']!
    const ratioToJson = nanoseconds['json']! / nanoseconds['busbar']!
    figures[key] = {
      batch: sample.batch,
      nanoseconds,
      allocatedBytes,
      copiedBytes,
      ratioToMsgpack,
      ratioToJson,
    }
    for (const [label] of ways)
      log(
        `${sample.label}, ${label}: ${Math.round(nanoseconds[label]!)} ns, ${Math.round(allocatedBytes[label] ?? NaN)} octets allocated, ${Math.round(copiedBytes[label]!)} B copied`,
      )
    log(`${sample.label}: ${ratioToMsgpack.toFixed(1)} × msgpack, ${ratioToJson.toFixed(1)} × json`)
  }
  // The gather-write into the frame, and no other.
  figures['receivedPayloadCopies'] = countReceivedCopies(busbarWay(), dayProfile(1))
  return figures
}
