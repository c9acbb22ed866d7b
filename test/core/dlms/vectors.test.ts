/**
 * The client and the server, and the codec of data, against vectors of other code bases, read in
 * place. What belongs to security, HDLC, notifications and services not served yet is counted and
 * left out here; all APDUs as values are in apdu-vectors.test.ts, recorded conversations in
 * replay-client.test.ts and replay-server.test.ts.
 */
import t, { type Test } from 'tap'
import {
  decodeAare,
  decodeAarq,
  encodeAare,
  encodeAarq,
  encodeRlre,
  encodeRlrq,
} from '../../support/acse.ts'
import { conformanceSupported } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, encodeValue, skipValue, Tag } from '../../../core/dlms/axdr/axdr.ts'
import { DlmsClient } from '../../../core/dlms/client/client.ts'
import {
  cosemDateTimeBytes,
  readClockStatus,
  readCosemDateTime,
  readLocalMs,
  readDeviation,
} from '../../../core/dlms/axdr/date-time.ts'
import { parseObis } from '../../../core/dlms/axdr/obis.ts'
import { DlmsServer, type CosemObjects } from '../../../core/dlms/server/server.ts'
import { WrapperReader } from '../../../core/dlms/framing/wrapper.ts'
import type { CosemOperation, CosemResult } from '../../../core/ports/wan.ts'
import { loadVectors, meaningOf, outcomeOf, type Meaning, type Vector } from '../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const vectors = loadVectors()
const absent =
  'SKIPPED: ../shared/dlms is not there, so the codec is NOT tried against vectors of others'

type Attribute = {
  class: number
  instance: string
  attribute?: number
  method?: number
  access_selection?: { selector: number } | null
}

function descriptorOf({ class: classId, instance, attribute, method }: Attribute): Buffer {
  return Buffer.concat([
    Buffer.of(classId >> 8, classId),
    parseObis(instance),
    Buffer.of(attribute ?? method ?? 0),
  ])
}

const all: CosemObjects = { get: () => hex('00'), set: () => 0, invoke: () => ({ result: 0 }) }

/** A server that keeps what it is asked for. */
function recordingServer(): {
  server: DlmsServer
  asked: { descriptor: string; selection?: string; value?: string }[]
} {
  const asked: { descriptor: string; selection?: string; value?: string }[] = []
  const record = (
    descriptor: Buffer,
    selection: Buffer | undefined,
    value: Buffer | undefined,
  ): void => {
    asked.push({
      descriptor: descriptor.toString('hex'),
      ...(selection && { selection: selection.toString('hex') }),
      ...(value && { value: value.toString('hex') }),
    })
  }
  const server = new DlmsServer({
    objects: {
      get: (descriptor, selection) => (record(descriptor, selection, undefined), hex('00')),
      set: (descriptor, selection, value) => (record(descriptor, selection, value), 0),
      invoke: (descriptor, parameter) => (record(descriptor, undefined, parameter), { result: 0 }),
    },
  })
  server.receive(encodeAarq({ conformance: conformanceSupported, pduBytesMax: 0 }))
  return { server, asked }
}

/** A client that has sent `operations` under `invokeId`, and what it sent. */
function clientAt(
  invokeId: number,
  operations: CosemOperation[],
  conformance: number = conformanceSupported,
): { client: DlmsClient; sent: Buffer } {
  const client = new DlmsClient()
  const server = new DlmsServer({ objects: all, conformance })
  const step = (apdu: Buffer): Buffer | undefined => {
    const next = client.receive(server.receive(apdu)!)
    return 'send' in next ? next.send : undefined
  }
  const nothing: CosemOperation[] = [{ kind: 'get', descriptor: Buffer.alloc(9) }]
  // Fifteen rounds bring the invoke id to where it is wanted.
  let apdu: Buffer | undefined = step(client.begin(nothing))
  while (apdu !== undefined && (apdu[2]! & 15) !== ((invokeId + 15) & 15)) {
    step(apdu)
    apdu = client.begin(nothing)
  }
  step(apdu!)
  return { client, sent: client.begin(operations) }
}

const operation = (
  kind: CosemOperation['kind'],
  descriptor: Buffer,
  selection?: Buffer,
  value?: Buffer,
): CosemOperation => ({
  kind,
  descriptor,
  ...(selection && { selection }),
  ...(value && { value }),
})

/**
 * Octet 2 of a service holds priority and class besides the invoke id; both are the sender's to
 * choose.
 */
function withOurPriority(apdu: Buffer): string {
  const copy = Buffer.from(apdu)
  copy[2] = (copy[2]! & 15) | 0xc0
  return copy.toString('hex')
}

const invokeIdOf = (meaning: Meaning): number => meaning['invoke_id'] as number

/** How each kind of vector is tried; each throws or asserts on what is wrong. */
const trials: Record<string, (t: Test, vector: Vector, bytes: Buffer) => void> = {
  aarq(t, { meaning }, bytes) {
    const request = decodeAarq(bytes)
    t.equal(
      request.context,
      { LN: 1, SN: 2, 'LN-ciphered': 3 }[meaning['application_context'] as string],
    )
    t.equal(request.secretView?.toString('hex'), meaning['calling_authentication_value'])
    const initiate = (meaning['user_information'] as Meaning)['initiate-request'] as Meaning
    t.equal(
      request.conformance,
      parseInt((initiate['conformance'] as Meaning)['hex'] as string, 16),
    )
    t.equal(request.pduBytesMax, initiate['max_receive_pdu'])
    const isOurs =
      meaning['calling_ap_title'] === undefined && request.context === 1 && request.mechanism < 2
    if (isOurs)
      t.same(
        encodeAarq({
          secret: request.secretView,
          conformance: request.conformance,
          pduBytesMax: request.pduBytesMax,
        }),
        bytes,
      )
  },
  aare(t, { meaning }, bytes) {
    const response = decodeAare(bytes)
    t.equal(response.result, meaning['result'])
    t.equal(response.diagnostic, (meaning['result_source_diagnostic'] as Meaning)['value'])
    const information = meaning['user_information'] as Meaning
    const initiate = information['initiate-response'] as Meaning | undefined
    if (initiate) {
      t.equal(
        response.initiate?.conformance,
        parseInt((initiate['conformance'] as Meaning)['hex'] as string, 16),
      )
      t.equal(response.initiate?.pduBytesMax, initiate['max_receive_pdu'])
    } else
      t.equal(response.initiateError, (information['confirmed-service-error'] as Meaning)['error'])
    if (meaning['mechanism'] === undefined) t.same(encodeAare(response), bytes)
  },
  rlrq(t, _vector, bytes) {
    const { server } = recordingServer()
    t.same(server.receive(bytes), encodeRlre())
    if (bytes.length === 5) t.same(encodeRlrq(), bytes)
  },
  rlre(t, _vector, bytes) {
    const { client } = clientAt(1, [operation('get', Buffer.alloc(9))])
    client.receive(hex('c401c10000'))
    client.release()
    t.same(client.receive(bytes), { released: true })
  },
  'get-request-normal'(t, { meaning }, bytes) {
    const descriptor = descriptorOf(meaning['attribute'] as Attribute)
    const selection = bytes[12] === 1 ? bytes.subarray(13) : undefined
    t.equal((meaning['attribute'] as Attribute).access_selection === null, selection === undefined)
    tryRequest(t, bytes, [operation('get', descriptor, selection)])
  },
  'get-request-with-list'(t, { meaning }, bytes) {
    const attributes = meaning['attributes'] as Attribute[]
    const operations = attributes.map((attribute) => operation('get', descriptorOf(attribute)))
    if (attributes.every(({ access_selection }) => access_selection === null))
      return tryRequest(t, bytes, operations)
    const { server, asked } = recordingServer()
    t.equal(server.receive(bytes)![1], 3)
    t.same(
      asked.map(({ descriptor }) => descriptor),
      operations.map(({ descriptor }) => Buffer.from(descriptor).toString('hex')),
    )
  },
  'get-request-next'(t, { meaning }, bytes) {
    const { client } = clientAt(invokeIdOf(meaning), [operation('get', Buffer.alloc(9))])
    let sent: Buffer = Buffer.alloc(0)
    for (let blockNumber = 1; blockNumber <= (meaning['block'] as number); blockNumber++) {
      const step = client.receive(
        Buffer.concat([
          hex('c402'),
          Buffer.of(0xc0 | invokeIdOf(meaning)),
          hex('00'),
          u32(blockNumber),
          hex('000100'),
        ]),
      )
      if ('send' in step) sent = step.send
    }
    t.equal(sent.toString('hex'), withOurPriority(bytes))
  },
  'set-request-normal'(t, { meaning }, bytes) {
    tryRequest(t, bytes, [
      operation(
        'set',
        descriptorOf(meaning['attribute'] as Attribute),
        undefined,
        bytes.subarray(13),
      ),
    ])
    t.same(meaningOf(decodeValue(bytes, 13)), meaning['value'])
  },
  'action-request-normal'(t, { meaning }, bytes) {
    const parameter = bytes[12] === 1 ? bytes.subarray(13) : undefined
    tryRequest(t, bytes, [
      operation('action', descriptorOf(meaning['method'] as Attribute), undefined, parameter),
    ])
    if (parameter) t.same(meaningOf(decodeValue(parameter)), meaning['parameter'])
  },
  'set-request-with-first-datablock'(t, { meaning }, bytes) {
    const { server } = recordingServer()
    t.same(
      server.receive(bytes),
      Buffer.concat([
        hex('c502'),
        bytes.subarray(2, 3),
        u32((meaning['datablock'] as Meaning)['block'] as number),
      ]),
    )
  },
  'get-response-normal'(t, { meaning }, bytes) {
    const { value, result } = tryResponse(t, 'get', meaning, bytes)[0]!
    // A refusal that says "success" has no value all the same.
    if (meaning['data'] === undefined) t.equal(result, bytes[4] || 250)
    else t.same(meaningOf(decodeValue(Buffer.from(value!))), meaning['data'])
  },
  'get-response-with-list'(t, { meaning }, bytes) {
    const results = tryResponse(t, 'get', meaning, bytes, (meaning['results'] as unknown[]).length)
    for (const [i, wanted] of (meaning['results'] as Meaning[]).entries()) {
      const { value, result } = results[i]!
      if (wanted['data'] === undefined) t.equal(result, wanted['error'])
      else t.same(meaningOf(decodeValue(Buffer.from(value!))), wanted['data'])
    }
  },
  'get-response-with-datablock'(t, { meaning }, bytes) {
    const { client } = clientAt(invokeIdOf(meaning), [operation('get', Buffer.alloc(9))])
    // Blocks before it say that a long octet-string comes.
    const block = meaning['block'] as number
    for (let blockNumber = 1; blockNumber < block; blockNumber++) {
      const raw = blockNumber === 1 ? hex('06098410000000') : hex('01aa')
      client.receive(
        Buffer.concat([
          hex('c402'),
          Buffer.of(invokeIdOf(meaning)),
          hex('00'),
          u32(blockNumber),
          hex('00'),
          raw,
        ]),
      )
    }
    const outcome = outcomeOf(() => client.receive(bytes))
    const isWhole =
      outcomeOf(() => skipValue(hex((meaning['raw'] as string | undefined) ?? ''), 0)).code ===
      undefined
    if (bytes[8] === 1) t.same(outcome.value, { results: [{ value: undefined, result: bytes[9] }] })
    else if (!meaning['last'])
      t.same(outcome.value, {
        send: Buffer.concat([hex('c002'), Buffer.of(0xc0 | invokeIdOf(meaning)), u32(block)]),
      })
    else if (block > 1 || !isWhole) t.equal(outcome.code, 'DLMS_TRANSFER_ABORTED')
    else t.same(outcome.value, { results: [{ value: hex(meaning['raw'] as string), result: 0 }] })
  },
  'set-response-normal'(t, { meaning }, bytes) {
    t.equal(tryResponse(t, 'set', meaning, bytes)[0]!.result, meaning['result'])
  },
  'set-response-datablock'(t, { meaning }, bytes) {
    const value = Buffer.concat([hex('09820200'), Buffer.alloc(512)])
    const { client } = clientOfBlocks(invokeIdOf(meaning), value)
    const step = client.receive(bytes)
    t.ok('send' in step && step.send[0] === 0xc1 && step.send[1] === 3)
  },
  'action-response-normal'(t, { meaning }, bytes) {
    const { value, result } = tryResponse(t, 'action', meaning, bytes)[0]!
    const returned = meaning['return'] as Meaning | null
    if (returned === null) t.equal(result, meaning['result'])
    else if (returned['data'] === undefined) t.equal(result, returned['error'])
    else t.same(meaningOf(decodeValue(Buffer.from(value!))), returned['data'])
  },
  'exception-response'(t, { meaning }, bytes) {
    const { client } = clientAt(1, [operation('get', Buffer.alloc(9))])
    const detail = new RegExp(
      `state ${String(meaning['state_error'])}, service ${String(meaning['service_error'])}`,
    )
    t.throws(() => client.receive(bytes), { code: 'DLMS_EXCEPTION', detail })
    t.equal(client.state, 'ASSOCIATED')
  },
  'confirmed-service-error'(t, { meaning }, bytes) {
    const { client } = clientAt(1, [operation('get', Buffer.alloc(9))])
    const detail = `confirmed service error, service ${String(meaning['service'])}, group ${String(meaning['error_group'])}, error ${String(meaning['error'])}`
    t.throws(() => client.receive(bytes), { code: 'DLMS_EXCEPTION', detail })
  },
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** The client makes the same octets, and the server reads them as the same operations. */
function tryRequest(t: Test, bytes: Buffer, operations: CosemOperation[]): void {
  const { sent } = clientAt(bytes[2]! & 15, operations)
  t.equal(sent.toString('hex'), withOurPriority(bytes))
  const { server, asked } = recordingServer()
  const answer = server.receive(bytes)!
  t.equal(answer[0], bytes[0]! + 4)
  t.equal(answer[2], bytes[2])
  t.same(
    asked,
    operations.map(({ descriptor, selection, value }) => ({
      descriptor: Buffer.from(descriptor).toString('hex'),
      ...(selection && { selection: Buffer.from(selection).toString('hex') }),
      ...(value && { value: Buffer.from(value).toString('hex') }),
    })),
  )
}

function tryResponse(
  t: Test,
  kind: CosemOperation['kind'],
  meaning: Meaning,
  bytes: Buffer,
  count = 1,
): CosemResult[] {
  const value = kind === 'set' ? hex('00') : undefined
  const operations = Array.from({ length: count }, () =>
    operation(kind, Buffer.alloc(9), undefined, value),
  )
  const { client } = clientAt(invokeIdOf(meaning), operations)
  const step = client.receive(bytes)
  t.ok('results' in step)
  return 'results' in step ? step.results : []
}

function clientOfBlocks(invokeId: number, value: Buffer): { client: DlmsClient } {
  const client = new DlmsClient()
  const server = new DlmsServer({ objects: all, apduBytesMax: 200 })
  client.receive(server.receive(client.begin([operation('action', Buffer.alloc(9))]))!)
  client.receive(hex('c701c100'))
  let sent = client.begin([operation('set', Buffer.alloc(9), undefined, value)])
  while ((sent[2]! & 15) !== invokeId) {
    client.receive(Buffer.concat([hex('c501'), sent.subarray(2, 3), hex('00')]))
    sent = client.begin([operation('set', Buffer.alloc(9), undefined, value)])
  }
  return { client }
}

t.test('vectors of clear APDUs', { skip: vectors === undefined && absent }, (t) => {
  if (vectors === undefined) return t.end()
  const tried = new Map<string, number>()
  const left = new Map<string, number>()
  const count = (counts: Map<string, number>, kind: string): unknown =>
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
  for (const vector of vectors) {
    const { group, kind } = vector
    if (group !== 'acse' && group !== 'xdlms') continue
    const isClear = !Object.keys(
      (vector.meaning['user_information'] as Meaning | undefined) ?? {},
    ).some((name) => name.startsWith('glo-'))
    const trial = trials[kind]
    if (trial === undefined || (!isClear && kind !== 'rlre') || vector.valid !== true) {
      count(
        left,
        vector.valid !== true
          ? `${kind} (${String(vector.valid)})`
          : isClear
            ? kind
            : `${kind} (ciphered)`,
      )
      continue
    }
    count(tried, kind)
    t.test(vector.id, (t) => {
      trial(t, vector, hex(vector.hex))
      t.end()
    })
  }
  const listed = (counts: Map<string, number>): string =>
    [...counts].map(([kind, number]) => `${kind} ${number}`).join(', ')
  t.comment(`tried: ${listed(tried)}`)
  t.comment(`left: ${listed(left)}`)
  t.ok([...tried.values()].reduce((sum, number) => sum + number, 0) > 100)
  t.end()
})

t.test(
  'vectors that are to be put right or refused',
  { skip: vectors === undefined && absent },
  (t) => {
    if (vectors === undefined) return t.end()
    const byId = new Map(vectors.map((vector) => [vector.id, hex(vector.hex)]))
    const read = (
      id: string,
      kind: CosemOperation['kind'] = 'get',
    ): ReturnType<typeof outcomeOf> => {
      const bytes = byId.get(id)!
      return outcomeOf(() =>
        clientAt(bytes[2]! & 15, [operation(kind, Buffer.alloc(9))]).client.receive(bytes),
      )
    }
    t.match(read('xdlms/get-response-normal/008').value, {
      results: [{ value: hex('18c002000000000000'), result: 0 }],
    })
    t.equal(read('xdlms/get-response-normal/050').code, 'DLMS_LENGTH_INVALID')
    t.throws(() => decodeAare(byId.get('acse/aare/040')!), { code: 'DLMS_LENGTH_INVALID' })
    for (const id of ['acse/aarq/050', 'acse/aarq/051'])
      t.throws(() => decodeAarq(byId.get(id)!), { code: 'DLMS_LENGTH_INVALID' })
    for (const id of ['invalid/undecodable/002', 'invalid/undecodable/013']) {
      const bytes = byId.get(id)!
      const { client } = clientAt(bytes[2]! & 15, [
        operation('get', Buffer.alloc(9)),
        operation('get', Buffer.alloc(9)),
      ])
      const step = client.receive(bytes)
      t.ok('send' in step && step.send[1] === 1, `${id}: asked again one by one`)
    }
    for (const { id, hex: text } of vectors.filter(
      ({ group, hex }) => group === 'invalid' && hex.startsWith('63'),
    )) {
      const { client } = clientAt(1, [operation('get', Buffer.alloc(9))])
      client.receive(hex('c401c10000'))
      client.release()
      t.same(
        client.receive(hex(text)),
        { released: true },
        `${id}: nothing in an RLRE is worth failing on`,
      )
    }
    t.end()
  },
)

t.test(
  'vectors of COSEM data, date-times and wrapper frames',
  { skip: vectors === undefined && absent },
  (t) => {
    if (vectors === undefined) return t.end()
    for (const { id, group, hex: text, meaning, valid } of vectors) {
      const bytes = hex(text)
      if (group === 'axdr') {
        const value = decodeValue(bytes)
        t.same(meaningOf(value), meaning, id)
        t.same(encodeValue(value), bytes, id)
        t.equal(skipValue(bytes, 0), bytes.length)
      } else if (group === 'datetime') {
        const { year, month, day, hour, minute, second, hundredths, deviation, status } =
          meaning as Record<string, number | null>
        const local = Date.UTC(
          year!,
          month! - 1,
          day!,
          hour!,
          minute!,
          second!,
          (hundredths ?? 0) * 10,
        )
        const isDate = new Date(local).getUTCDate() === day
        t.equal(bytes.length, cosemDateTimeBytes)
        t.equal(
          readCosemDateTime(bytes, 0),
          isDate && deviation !== null ? local + deviation! * 60_000 : undefined,
          id,
        )
        if (deviation === null) t.equal(readLocalMs(bytes, 0), isDate ? local : undefined, id)
        t.equal(readDeviation(bytes, 0), deviation ?? -0x8000)
        t.equal(readClockStatus(bytes, 0), status)
      } else if (group === 'wrapper') {
        const reader = new WrapperReader()
        reader.push(bytes)
        const outcome = outcomeOf(() => reader.next())
        if (valid === false) t.equal(outcome.code, 'DLMS_WRAPPER_INVALID', id)
        else if (bytes.length === 8) t.equal(outcome.value, undefined, id)
        else {
          t.same(outcome.value?.apduView, bytes.subarray(8), id)
          if (meaning['source'] !== undefined)
            t.match(
              outcome.value,
              { source: meaning['source'], destination: meaning['destination'] },
              id,
            )
        }
      }
    }
    t.end()
  },
)

t.test('tags have names in the vectors', (t) => {
  t.same(meaningOf({ tag: Tag.DOUBLE_LONG_UNSIGNED, value: 1 }), {
    t: 'double-long-unsigned',
    v: 1,
  })
  t.end()
})
