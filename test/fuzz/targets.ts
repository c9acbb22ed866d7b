/** Every decoder that faces outside, with good inputs made by our own encoders. */
import { decodeLettersAside, encodeLettersAside } from '../../actors/kind/letters-aside.ts'
import { noLetter } from '../../core/base/letter-place.ts'
import fc from 'fast-check'
import { readFact, writeFact } from '../../actors/device/facts.ts'
import { beginReplacement, endReplacement, withKeys } from '../../actors/device/keyring.ts'
import { octetsInText } from '../../actors/cli/meter/log-octets.ts'
import { partiesOf, demoPartiesJson } from '../../core/access/parties.ts'
import { decodePartyChange, encodePartyChange } from '../../core/access/party-change.ts'
import {
  decodePartyRecord,
  encodePartyRecord,
  type PartyRecord,
} from '../../core/access/party-record.ts'
import { decodePresence, encodePresence } from '../../core/cluster/presence.ts'
import { decodeDeployment, encodeDeployment } from '../../core/ledger/identity.ts'
import { readRequestCounter } from '../../core/base/counter.ts'
import { Lane } from '../../core/base/lane.ts'
import { parseSrv } from '../../core/base/srv.ts'
import {
  decodeDeviceRecord,
  jsonOfDeviceEntry,
  deviceEntryOf,
  encodeDeviceRecord,
} from '../../core/inventory/device-record.ts'
import { decodePush, encodePush } from '../../core/envelope/device-push.ts'
import { envelopeEnd } from '../../core/envelope/envelope.ts'
import {
  chainLinkBytes,
  forEachEnvelope,
  FrameWriter,
  genesisHash,
  readChainLink,
  writeChainLink,
} from '../../core/envelope/frame.ts'
import { readTickMessage, writeTickMessage } from '../../core/envelope/tick-message.ts'
import { packState, unpackState } from '../../actors/device/state-codec.ts'
import { SnapshotReader, snapshotChunks } from '../../actors/runtime/recovery/snapshot-codec.ts'
import { emptyState, rememberEnded, type OpenRequest } from '../../actors/device/state.ts'
import { conformanceSupported } from '../../core/dlms/apdu/constants.ts'
import { decodeAare, decodeAarq, encodeAare, encodeAarq } from '../support/acse.ts'
import { decodeApdu, encodeApdu } from '../../core/dlms/apdu/codec.ts'
import { AxdrView } from '../../core/dlms/axdr/view.ts'
import { decodeSelection } from '../../core/dlms/apdu/descriptor.ts'
import {
  decodeObjectList,
  encodeObjectList,
  readAttribute,
  readProfile,
} from '../../core/dlms/cosem/index.ts'
import { explain } from '../../core/dlms/explain.ts'
import { DlmsClient } from '../../core/dlms/client/client.ts'
import { DlmsServer } from '../../core/dlms/server/server.ts'
import {
  GeneralKey,
  HlsAuthentication,
  holderOf,
  InvocationCounter,
  Mechanism,
  readSenderTitle,
  Shape,
  suites,
  type HlsOptions,
} from '../../core/dlms/security/index.ts'
import { readPublishAnswer } from '../../core/ledger/batch-wire.ts'
import {
  decodeSnapshotRecord,
  decodeTrimRecord,
  encodeSnapshotRecord,
  encodeTrimRecord,
} from '../../core/ports/snapshot.ts'
import { AxdrWriter, Tag } from '../../core/dlms/axdr/axdr.ts'
import { decodeType, decodeValue, encodeValue } from '../../core/dlms/axdr/value.ts'
import { hdlcAddress } from '../../core/dlms/framing/hdlc/address.ts'
import { HdlcClient } from '../../core/dlms/framing/hdlc/client.ts'
import { HdlcServer } from '../../core/dlms/framing/hdlc/server.ts'
import { encodeUnconfirmed, llcToClient } from '../../core/dlms/framing/hdlc/transfer.ts'
import { ModeEHandshake } from '../../core/dlms/framing/mode-e.ts'
import {
  MbusGatherer,
  mbusBytesAt,
  mbusDamageBytes,
  readMbusFrame,
} from '../../core/dlms/framing/mbus.ts'
import { readPushPayload } from '../../core/dlms/unsolicited/push-payload.ts'
import { PushStream } from '../../core/dlms/unsolicited/push-stream.ts'
import { classifyPush } from '../../core/dlms/unsolicited/push.ts'
import { readTelegram } from '../../core/dlms/unsolicited/telegram.ts'
import { retagBody } from '../../core/dlms/unsolicited/untagged.ts'
import { readWrapperDatagram, WrapperReader } from '../../core/dlms/framing/wrapper.ts'
import {
  decodeOffer,
  decodePrepared,
  encodeOffer,
  encodePrepared,
} from '../../core/cluster/handover-offer.ts'
import {
  decodeHostStatus,
  decodeWanStatus,
  encodeHostStatus,
  noKeyCounts,
  encodeWanStatus,
} from '../../core/cluster/process-status.ts'
import { decodeLease, encodeLease } from '../../core/cluster/lease-record.ts'
import type { CosemOperation } from '../../core/ports/wan.ts'
import {
  decodeExchanges,
  decodeReceipt,
  decodeResults,
  encodeExchanges,
  encodeReceipt,
  encodeResults,
} from '../../core/wan/remote/exchange-frame.ts'
import { alertBodyOf } from '../../core/translate/alert.ts'
import { RequestScan, scanRequestId, scanServiceRequest } from '../../core/translate/scan.ts'
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'
import {
  deviceKey,
  envelopeOf,
  plainRecord,
  registrationOf,
  supplier,
  supplierText,
} from '../support/envelopes.ts'
import { p256Anchor, p256Certificate } from '../support/certificates.ts'
import { channelPair, clientTitle, meterTitle, secretKeys } from '../support/security.ts'
import { otherKeys, securedRecord, suite0Keys, vault } from '../support/keys.ts'
import { apdus } from '../support/apdu-values.ts'
import { values } from '../support/dlms.ts'
import type { SecretKey } from '../../core/crypto/crypto.ts'
import type { Target } from './fuzz.ts'
import { securedTargets } from './secured-targets.ts'

const id = { originator: supplierText, target: '00-DB-00-00-00-00-00-01', counter: 7n }
const requests = [
  { requestId: id, serviceReferenceVariant: '4.1.1' },
  { requestId: id, serviceReferenceVariant: '3.1', displayMessage: { text: 'Grüße' } },
  {
    requestId: id,
    serviceReferenceVariant: '4.8.1',
    readPeriod: { startTime: new Date(1e12), endTime: new Date(1.1e12) },
  },
].map((json) =>
  Buffer.from(ServiceRequest.encode(ServiceRequest.fromPartial(json as never)).finish()),
)
const scan = new RequestScan()

const sealedKeys = vault.seal(deviceKey(1), suite0Keys)
const secured = securedRecord(deviceKey(1))
const keysInHex = Object.fromEntries(
  Object.entries(suite0Keys).map(([name, key]) => [
    name,
    (key as SecretKey).copyOfOctets().toString('hex'),
  ]),
)
const factFrame = ((): Buffer => {
  const writer = new FrameWriter()
  writer.reserve(chainLinkBytes)
  const counter = readRequestCounter(Buffer.from([0, 0, 0, 0, 0, 0, 0, 7]), 0)
  const concerning = { originator: supplier, counter, time: 1e12, outcome: 1, attempt: 1 }
  writeFact(writer, deviceKey(1), {
    type: 'DEVICE_REGISTERED',
    time: 1e12,
    recordBytes: Buffer.from(encodeDeviceRecord(plainRecord)),
  })
  const recordBytes = Buffer.from(encodeDeviceRecord(plainRecord))
  for (const fact of [
    { type: 'DEVICE_ADDRESSED', time: 1e12, recordBytes },
    { type: 'DEVICE_KEYED', time: 1e12, sealedKeys },
    { type: 'DEVICE_ALERTS_ADDRESSED', time: 1e12, alertsTo: [supplier] },
    { type: 'DEVICE_REMOVED', time: 1e12, by: 'ann' },
  ] as const)
    writeFact(writer, deviceKey(1), fact)
  writeFact(writer, deviceKey(1), { type: 'ATTEMPT_FAILED', ...concerning, nextAttemptAt: 2e12 })
  writeFact(writer, deviceKey(1), { type: 'REQUEST_ENDED', ...concerning })
  const counters = { number: 1, next: 2 ** 32, received: -1 }
  writeFact(writer, deviceKey(1), { type: 'REQUEST_ENDED', ...concerning, counters })
  const about = { time: 1e12, number: 1 }
  const tried = { stage: 'PROVE_OLD', outcome: 44, attempt: 1, transfers: 0 } as const
  for (const fact of [
    { type: 'COUNTERS_RESERVED', ...about, from: 0, to: 16_384 },
    { type: 'KEYS_PENDING', ...about, sealedKeys },
    { type: 'KEYS_TRIED', ...about, ...tried, transferOutcome: 0, nextAttemptAt: 2e12, counters },
    { type: 'KEYS_PROVED', ...about, counters },
    { type: 'DEVICE_KEYS_SEALED', ...about, sealedKeys },
  ] as const)
    writeFact(writer, deviceKey(1), fact)
  const frame = Buffer.from(writer.lend())
  writeChainLink(frame, 0, { partition: 1, frameNumber: 1, previousHash: genesisHash })
  return frame
})()
const security = {
  device: deviceKey(1),
  sealedKeys,
  counters: { from: 0, to: 2 ** 32, received: -1 },
}
const envelopes = [
  envelopeOf({}),
  registrationOf(deviceKey(1)),
  envelopeOf({ body: Buffer.alloc(40, 7) }),
]
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const parsed = (input: Buffer): unknown => {
  try {
    return JSON.parse(input.toString('utf8'))
  } catch {
    // JSON's own refusal: what is behind it is asked about here.
    return undefined
  }
}

// structure { unsigned 1, octet-string of two }, array of none
const nested = Buffer.from('0203110109020a0b0100', 'hex')
const objectList = encodeObjectList(
  [
    {
      classId: 15,
      version: 3,
      instanceId: '0-0:40.0.0.255',
      attributes: [{ id: 2, mode: 1, selectors: [1, 2] }],
      methods: [{ id: 1, mode: 1 }],
    },
  ],
  3,
)
const aarq = Buffer.from(
  encodeAarq({ conformance: 0x1e1d, pduBytesMax: 1024, secret: Buffer.from('12345678') }),
)
const wrapped = Buffer.from('000100100001000401020304000100100001000205060708'.slice(0, 44), 'hex')

const axdrValue = ((): Buffer => {
  const writer = new AxdrWriter()
  writer.visibleString('v1')
  return Buffer.from(writer.take())
})()

/** APDUs of most types, always the same ones. */
const anyApdus = fc.sample(apdus, { seed: 4, numRuns: 300 }).map((apdu) => encodeApdu(apdu))
const anyValues = fc.sample(values, { seed: 4, numRuns: 100 }).map(encodeValue)

/** Goes through all of a value in place. */
function walk(view: AxdrView): void {
  if (view.tag === Tag.ARRAY || view.tag === Tag.STRUCTURE || view.tag === Tag.COMPACT_ARRAY)
    for (const element of view) walk(element)
  else view.value()
}

/**
 * Conversations of our own client and server, block transfer both ways included: what each side
 * received, as `number of conversation | APDU`.
 */
const operations = [
  [{ kind: 'get', descriptor: Buffer.alloc(9, 1) }],
  [
    { kind: 'get', descriptor: Buffer.alloc(9, 2) },
    { kind: 'get', descriptor: Buffer.alloc(9, 3), selection: Buffer.of(1, 0) },
  ],
  [{ kind: 'set', descriptor: Buffer.alloc(9, 4), value: octetString(600) }],
  [{ kind: 'action', descriptor: Buffer.alloc(9, 5), value: Buffer.of(0) }],
] as const satisfies CosemOperation[][]

function octetString(count: number): Buffer {
  return Buffer.concat([Buffer.of(9, 0x82, count >> 8, count & 0xff), Buffer.alloc(count, 7)])
}

function serverOf(): DlmsServer {
  const objects = {
    get: (descriptor: Buffer) => (descriptor[0] === 1 ? octetString(600) : 4),
    set: () => 0,
    invoke: () => ({ result: 0, value: Buffer.of(0) }),
  }
  return new DlmsServer({ objects, apduBytesMax: 128 })
}

const commands = [...operations.map((cosem) => ({ cosem })), { opaque: Buffer.of(0xdf, 1) }]
const conversations = operations.map((asked) => {
  const client = new DlmsClient({ apduBytesMax: 128 })
  const server = serverOf()
  const toServer: Buffer[] = []
  const toClient: Buffer[] = []
  let sent: Buffer | undefined = client.begin(asked)
  while (sent !== undefined) {
    toServer.push(Buffer.from(sent))
    const answer: Buffer = server.receive(sent)!
    toClient.push(Buffer.from(answer))
    const step = client.receive(answer)
    sent = 'send' in step ? step.send : undefined
  }
  return { toServer, toClient }
})
/** `conversation u8 | which APDU u8 | the APDU` for one side of all of them. */
const apdusOf = (side: 'toServer' | 'toClient'): Buffer[] =>
  conversations.flatMap((conversation, number) =>
    conversation[side].map((apdu, index) => Buffer.concat([Buffer.of(number, index), apdu])),
  )

/** One APDU of each shape, as a meter of suite 1 gets them. */
const protectedApdus = ((): Buffer[] => {
  const { client } = channelPair(suites[1])
  const plain = Buffer.from('c001c100030100010800ff0200', 'hex')
  return [
    ...Object.values(Shape)
      .slice(1)
      .map((shape) => ({ shape, protection: 0x30 })),
    ...Object.values(GeneralKey).map((generalKey) => ({
      shape: Shape.GENERAL,
      protection: 0x10,
      generalKey,
      signature: 'around' as const,
    })),
  ].map((choice) => Buffer.from(client.protect(plain, choice)))
})()
const gmac = ((): { options: HlsOptions; proof: Buffer } => {
  const [unicast, , authentication] = secretKeys(suites[0])
  const options = {
    mechanism: Mechanism.HIGH_GMAC,
    suite: suites[0],
    ownTitle: clientTitle,
    peerTitle: meterTitle,
    ownChallenge: Buffer.alloc(16, 1),
    peerChallenge: Buffer.alloc(16, 2),
    keys: { unicast, authentication },
  }
  const meter = new HlsAuthentication({
    ...options,
    ownTitle: meterTitle,
    ownChallenge: options.peerChallenge,
    peerChallenge: options.ownChallenge,
    counter: new InvocationCounter(),
  })
  return { options, proof: meter.proof() }
})()
const stations = { client: hdlcAddress(16), server: hdlcAddress(1, 17) }
/**
 * Both ends of an HDLC link, connected, a question of 300 octets sent: what each side was sent
 * meanwhile.
 */
function hdlcEnds() {
  const client = new HdlcClient({
    ...stations,
    parameters: { transmitBytesMax: 64, receiveWindow: 3 },
  })
  const server = new HdlcServer({
    servers: [stations.server],
    parameters: { transmitBytesMax: 64 },
  })
  const toServer: Buffer[] = []
  const toClient: Buffer[] = []
  const settle = (): void => {
    for (let isMoving = true; isMoving;) {
      isMoving = false
      for (let step; (step = client.next(0)) !== undefined; isMoving = true) {
        if (!('send' in step)) continue
        toServer.push(step.send)
        server.receive(step.send)
      }
      for (let next; (next = server.next(0)) !== undefined; isMoving = true) {
        const { link, step } = next
        if ('apdu' in step) link!.send(step.apdu)
        if (!('send' in step)) continue
        toClient.push(step.send)
        client.receive(step.send, 0)
      }
    }
  }
  client.connect(0)
  settle()
  client.send(Buffer.alloc(300, 7), 0)
  settle()
  return { client, server, toServer, toClient }
}
const linked = hdlcEnds()
const unsolicited = encodeUnconfirmed(
  { local: stations.server, remote: stations.client },
  llcToClient,
  Buffer.of(0x0f, 0, 0, 0, 1),
)
const raw = Buffer.from('45313233343536373839303132333435362c00000001', 'hex')

const letterPlace = { sequence: 9, index: 2 }
const checkpoint = { sequence: 9, frameSequence: 8, frameNumber: 3, hash: Buffer.alloc(32, 1) }
const stateBytes = ((): Buffer => {
  const state = emptyState()
  state.record = decodeDeviceRecord(Buffer.from(encodeDeviceRecord(plainRecord)))
  const counter = readRequestCounter(Buffer.from([0, 0, 0, 0, 0, 0, 0, 7]), 0)
  state.originators = [{ key: supplier, highest: counter, floor: undefined }]
  const request: OpenRequest = {
    originator: supplier,
    counter,
    lane: Lane.NORMAL,
    srv: parseSrv('4.1.1'),
    bodyType: 0,
    contentHash: 1,
    acceptedAt: 1e12,
    deadline: 2e12,
    attempt: 1,
    nextAttemptAt: 1.5e12,
    lastOutcome: 1,
    bodyBytes: Buffer.of(8, 1),
  }
  state.open = [request]
  const end = { endedAt: 1e12, outcome: 1, attempt: 1 }
  rememberEnded(state, request, end)
  return packState(state)
})()
/** A device whose keys are being replaced. */
const keyedStateBytes = ((): Buffer => {
  const state = emptyState()
  state.record = decodeDeviceRecord(Buffer.from(encodeDeviceRecord(plainRecord)))
  state.keyring = withKeys(undefined, sealedKeys)
  beginReplacement(state.keyring, 2, vault.seal(deviceKey(1), otherKeys(5)), 1e12)
  endReplacement(state.keyring)
  beginReplacement(state.keyring, 3, vault.seal(deviceKey(1), otherKeys(7)), 1e12)
  return packState(state)
})()
const snapshotOctets = Buffer.concat([
  ...snapshotChunks([
    { actor: deviceKey(1), state: stateBytes, wakeAtMs: 0 },
    { actor: deviceKey(2), state: stateBytes, wakeAtMs: 1e12 },
  ]),
])

const codes = 'DLMS_'
/** How many octets come at once. */
const pieces = [1, 5, 50]

function mbusOf(part: Buffer): Buffer {
  const upper = Buffer.concat([Buffer.of(0x53, 0xff, 0x10, 1, 0x67), part])
  const sum = upper.reduce((all, octet) => all + octet, 0) & 0xff
  const length = upper.length & 0xff
  return Buffer.concat([Buffer.of(0x68, length, length, 0x68), upper, Buffer.of(sum, 0x16)])
}
const notificationOf = (value: number): Buffer => Buffer.of(0x0f, 0, 0, 0, 1, 0, 0x11, value)
const pushEnds = { local: hdlcAddress(1), remote: hdlcAddress(16) }
const noted = (): void => undefined
/** A notification whose descriptors have no data tags. */
const untaggedPush = Buffer.from(
  '0f00000001000202160101020202000100006001' + '01ff0209023132020200030100010800ff020600003039',
  'hex',
)

const partyRecord: PartyRecord = {
  revision: 1,
  status: 'active',
  role: 'IS',
  name: 'One',
  changedAtMs: 1,
  by: 'ann',
}

export const targets: readonly Target[] = [
  ...securedTargets,
  {
    name: 'protobuf scan: service request',
    corpus: requests,
    decode: (input) => scanServiceRequest(input, 0, input.length, scan),
  },
  {
    name: 'protobuf scan: request id',
    corpus: requests,
    decode: (input) => scanRequestId(input, 0, input.length, scan),
  },
  {
    name: 'envelope',
    corpus: envelopes,
    decode: (input) => forEachEnvelope(input, 0, (at) => envelopeEnd(input, at)),
  },
  {
    name: 'frame',
    corpus: [Buffer.concat(envelopes)],
    decode: (input) => forEachEnvelope(input, 0, () => undefined),
  },
  { name: 'chain link', corpus: [factFrame], decode: (input) => readChainLink(input) },
  {
    name: 'facts',
    corpus: [factFrame],
    decode: (input) => forEachEnvelope(input, chainLinkBytes, (at) => readFact(input, at)),
  },
  {
    name: 'tick',
    corpus: [
      writeTickMessage(
        [{ partition: 1, frame: factFrame }],
        [{ party: supplier, frame: envelopes[0]! }],
      ),
    ],
    decode: (input) =>
      readTickMessage(
        input,
        () => undefined,
        () => undefined,
      ),
  },
  {
    name: 'push in an envelope',
    corpus: [encodePush({ protection: 0x30, apduBytes: Buffer.from('0f00', 'hex') })],
    decode: decodePush,
  },
  {
    name: 'alert',
    corpus: anyApdus,
    decode: (input) =>
      alertBodyOf({ apduView: input, alarmView: Buffer.of(0, 0, 0, 1), protection: 0 }),
  },
  {
    name: 'device record',
    corpus: [plainRecord, secured].map((record) => Buffer.from(encodeDeviceRecord(record))),
    decode: decodeDeviceRecord,
  },
  {
    name: 'device entry (JSON)',
    corpus: [
      json({ eui64: id.target, ...plainRecord }),
      json({ ...jsonOfDeviceEntry(id.target, secured), keys: keysInHex }),
    ],
    decode: (input) => deviceEntryOf(parsed(input)),
  },
  {
    name: 'sealed keys',
    corpus: [sealedKeys],
    decode: (input) => vault.open(deviceKey(1), input),
  },
  {
    name: 'parties (JSON)',
    corpus: [json(demoPartiesJson)],
    decode: (input) => partiesOf(parsed(input)),
  },
  {
    name: 'record of a party',
    corpus: [encodePartyRecord(partyRecord)],
    decode: decodePartyRecord,
  },
  {
    name: 'change of a party',
    corpus: [
      encodePartyChange({ change: 'add', revision: 0, role: 'IS', name: 'One', by: 'ann' }),
      encodePartyChange({ change: 'suspend', revision: 1, by: 'ann' }),
    ],
    decode: decodePartyChange,
  },
  {
    name: 'record of the deployment',
    corpus: [
      encodeDeployment({ partitionCount: 4, identity: undefined, bucketSuffix: '_a', format: 2 }),
    ],
    decode: decodeDeployment,
  },
  {
    name: 'presence of a process',
    corpus: [
      Buffer.from(encodePresence({ processId: 'a', roles: ['host'], version: '1', reads: 2 })),
    ],
    decode: decodePresence,
  },
  {
    name: 'lease',
    corpus: [encodeLease({ hostId: 'a', takenAtMs: 1, nonce: 'n' })],
    decode: decodeLease,
  },
  {
    name: 'offer of partitions',
    corpus: [encodeOffer({ from: 'a', partitions: [1, 2] })],
    decode: decodeOffer,
  },
  {
    name: 'prepared partitions',
    corpus: [encodePrepared([{ partition: 1, nonce: 'n' }])],
    decode: decodePrepared,
  },
  {
    name: 'status of a host',
    corpus: [
      encodeHostStatus({
        hostId: 'a',
        roles: ['host'],
        partitions: [
          {
            number: 1,
            sequence: 1,
            savedSequence: 1,
            snapshotSequence: 0,
            awake: 1,
            waiting: 0,
            keys: { ...noKeyCounts, keyed: 3 },
          },
        ],
        letters: { unreadMax: 3, oldestMs: 20 },
      }),
    ],
    decode: decodeHostStatus,
  },
  {
    name: 'status of a wan process',
    corpus: [encodeWanStatus({ wanId: 'a', roles: ['wan'], exchanges: 1, connections: 1 })],
    decode: decodeWanStatus,
  },
  {
    name: 'frame of exchanges',
    corpus: commands.map((command, number) =>
      encodeExchanges('c', [
        { number, lane: Lane.NORMAL, address: plainRecord.address, command },
        { number: 9, lane: Lane.BULK, address: secured.address, command: { cosem: [] }, security },
      ]),
    ),
    decode: decodeExchanges,
  },
  {
    name: 'frame of results',
    corpus: [
      encodeResults('w', [
        { number: 1, result: { ok: true, results: [{ value: axdrValue, result: 0 }] } },
        { number: 2, result: { ok: false, code: 'DEVICE_SILENT', detail: 'why' } },
        { number: 3, result: { ok: true, results: [], counters: { next: 2 ** 32, received: 7 } } },
      ]),
      encodeResults('w', [
        { number: 1, result: { ok: true, results: [], answerBytes: axdrValue } },
      ]),
    ],
    decode: decodeResults,
  },
  { name: 'receipt of a frame', corpus: [encodeReceipt(0)], decode: decodeReceipt },
  {
    name: 'A-XDR value',
    codes,
    corpus: [axdrValue, nested],
    decode: (input) => encodeValue(decodeValue(input)),
  },
  {
    name: 'A-XDR type',
    codes,
    corpus: [Buffer.of(2, 2, 18, 17)],
    decode: (input) => decodeType(input),
  },
  {
    name: 'A-XDR value in place',
    codes,
    corpus: anyValues,
    decode: (input) => walk(new AxdrView(input)),
  },
  {
    name: 'selective access',
    codes,
    corpus: [Buffer.from('02020406000000010600000003120001120000', 'hex')],
    decode: decodeSelection,
  },
  {
    name: 'attribute in words',
    codes,
    corpus: [objectList],
    decode: (input) => readAttribute({ classId: 15, version: 3 }, 2, input),
  },
  { name: 'object list', codes, corpus: [objectList], decode: (input) => decodeObjectList(input) },
  {
    name: 'profile',
    codes,
    corpus: [...anyValues, Buffer.from('010202021100060000006402021c0100', 'hex')],
    decode: (input) =>
      readProfile(
        input,
        [2, 3].map((attributeId) => ({
          classId: 8,
          instanceId: '0-0:1.0.0.255',
          attributeId,
          dataIndex: 0,
        })),
        { capturePeriodSeconds: 60 },
      ),
  },
  { name: 'any APDU', codes, corpus: anyApdus, decode: (input) => encodeApdu(decodeApdu(input)) },
  {
    name: 'any APDU, tolerantly',
    codes,
    corpus: anyApdus,
    decode: (input) => decodeApdu(input, { isTolerant: true }),
  },
  { name: 'explanation of an APDU', codes, corpus: anyApdus, decode: (input) => explain(input) },
  { name: 'AARQ', codes, corpus: [aarq], decode: decodeAarq },
  {
    name: 'AARE',
    codes,
    corpus: [
      encodeAare({
        result: 0,
        diagnostic: 0,
        initiate: { conformance: conformanceSupported, pduBytesMax: 512 },
      }),
      encodeAare({ result: 1, diagnostic: 13, initiateError: 1 }),
    ].map((aare) => Buffer.from(aare)),
    decode: decodeAare,
  },
  {
    name: 'APDU to a client, at any point of a conversation',
    codes,
    corpus: apdusOf('toClient'),
    decode: (input) => {
      const number = (input[0] ?? 0) % conversations.length
      const { toClient } = conversations[number]!
      const client = new DlmsClient({ apduBytesMax: 128 })
      client.begin(operations[number]!)
      for (const apdu of toClient.slice(0, (input[1] ?? 0) % toClient.length)) client.receive(apdu)
      client.receive(input.subarray(2))
    },
  },
  {
    name: 'APDU to a meter, at any point of a conversation',
    codes,
    corpus: apdusOf('toServer'),
    decode: (input) => {
      const { toServer } = conversations[(input[0] ?? 0) % conversations.length]!
      const server = serverOf()
      for (const apdu of toServer.slice(0, (input[1] ?? 0) % toServer.length)) server.receive(apdu)
      server.receive(input.subarray(2))
    },
  },
  {
    name: 'protected APDU',
    codes,
    corpus: protectedApdus,
    decode: (input) => {
      readSenderTitle(input)
      // New each time: one that has been taken would be refused the next time.
      return channelPair(suites[1]).meter.unprotect(input)
    },
  },
  {
    name: 'proof of high level security',
    codes,
    corpus: [gmac.proof],
    decode: (input) => new HlsAuthentication(gmac.options).check(input),
  },
  {
    name: 'certificate',
    corpus: [p256Certificate],
    decode: (input) => holderOf(input, Date.UTC(2027, 0, 1), p256Anchor),
  },
  { name: 'state of a device', corpus: [stateBytes, keyedStateBytes], decode: unpackState },
  {
    name: 'snapshot',
    corpus: [snapshotOctets],
    decode: (input) => {
      const reader = new SnapshotReader()
      for (let at = 0; at < input.length; at += 100)
        for (const { state } of reader.push(input.subarray(at, at + 100))) unpackState(state)
      reader.end()
    },
  },
  {
    name: 'letters set aside',
    corpus: [encodeLettersAside({ after: noLetter, through: letterPlace, count: 3, by: 'me' })],
    decode: decodeLettersAside,
  },
  {
    name: 'record of a snapshot (JSON)',
    corpus: [
      encodeSnapshotRecord({ name: '1.9.a', devices: 2, takenAtMs: 1e12, ...checkpoint }),
      encodeSnapshotRecord({
        ...{ name: '1.9.a', devices: 2, takenAtMs: 1e12, ...checkpoint },
        lettersRead: letterPlace,
      }),
    ],
    decode: decodeSnapshotRecord,
  },
  {
    name: 'record of what was forgotten (JSON)',
    corpus: [encodeTrimRecord({ through: 9, heads: new Map([[1, checkpoint]]) })],
    decode: decodeTrimRecord,
  },
  {
    name: 'acknowledgement of nats-server (JSON)',
    corpus: [json({ stream: 'LEDGER', seq: 7 }), json({ error: { err_code: 10071 } })],
    decode: (input) => readPublishAnswer(input.toString('utf8')),
  },
  {
    name: 'HDLC to a client',
    codes,
    corpus: [...linked.toClient, unsolicited],
    decode: (input) => {
      for (const piece of pieces) {
        const { client } = hdlcEnds()
        client.send(Buffer.alloc(300, 7), 0)
        for (let at = 0; at < input.length; at += piece) {
          client.receive(input.subarray(at, at + piece), at)
          while (client.next(at) !== undefined);
        }
      }
    },
  },
  {
    name: 'HDLC to a meter',
    codes,
    corpus: linked.toServer,
    decode: (input) => {
      for (const piece of pieces) {
        const { server } = hdlcEnds()
        for (let at = 0; at < input.length; at += piece) {
          server.receive(input.subarray(at, at + piece))
          while (server.next(at) !== undefined);
        }
      }
    },
  },
  {
    name: 'push of a meter that dials in',
    codes,
    corpus: [wrapped, unsolicited, raw, Buffer.from('METER-7\r\n')],
    decode: (input) => {
      const come = Math.min(input.length, 64)
      for (let bytes = 0; bytes < come; bytes++) classifyPush(input.subarray(0, bytes), false)
      classifyPush(input, false)
      classifyPush(input, true)
    },
  },
  {
    name: 'M-Bus frames',
    codes,
    corpus: [mbusOf(anyApdus[0]!), mbusOf(Buffer.alloc(600, 0x0f)), mbusOf(Buffer.alloc(10, 1))],
    decode: (input) => {
      const bytes = mbusBytesAt(input, true)
      if (typeof bytes === 'number' && bytes > 0)
        new MbusGatherer().add(readMbusFrame(input, bytes))
      else mbusDamageBytes(input)
    },
  },
  {
    name: 'payload of a push',
    codes,
    corpus: [Buffer.concat([notificationOf(1), notificationOf(2)]), untaggedPush],
    decode: (input) => readPushPayload(input),
  },
  {
    name: 'body with untagged descriptors',
    codes,
    corpus: [untaggedPush.subarray(6)],
    decode: (input) => {
      const retagged = retagBody(input, 0, input.length)
      if (retagged !== undefined) decodeValue(retagged.valueBytes)
    },
  },
  {
    name: 'stream of pushes',
    codes,
    corpus: [
      Buffer.concat([mbusOf(notificationOf(1)), untaggedPush]),
      Buffer.concat([encodeUnconfirmed(pushEnds, llcToClient, notificationOf(1))]),
    ],
    decode: (input) => {
      const stream = new PushStream({ octets: noted, heard: noted, wrong: noted, send: noted })
      const half = input.length >> 1
      stream.receive(input.subarray(0, half))
      stream.receive(input.subarray(half))
      stream.end()
    },
  },
  {
    name: 'telegram of text',
    codes,
    corpus: [Buffer.from('/ABC5\\X\r\n\r\n1-0:1.8.0(000123.4*kWh)\r\n!1F28\r\n', 'latin1')],
    decode: (input) => readTelegram(input),
  },
  {
    name: 'octets in a log',
    codes,
    corpus: [
      Buffer.from('[12:00:01] TX: 7e a0 07 03\n0000  c0 01 c1 00  ....\n-> c001zz', 'latin1'),
    ],
    decode: (input) => octetsInText(input.toString('latin1')),
  },
  {
    name: 'wrapper datagram',
    codes,
    corpus: [wrapped.subarray(0, 12)],
    decode: (input) => readWrapperDatagram(input),
  },
  {
    name: 'mode E',
    codes,
    corpus: [Buffer.from('/ISK5\\2ME\r\n\x06252\r\n')],
    decode: (input) => {
      const handshake = new ModeEHandshake()
      handshake.begin(0)
      handshake.receive(input, 0)
      handshake.next(0)
    },
  },
  {
    name: 'wrapper',
    codes,
    corpus: [wrapped],
    decode: (input) => {
      for (const piece of pieces) {
        const reader = new WrapperReader()
        for (let at = 0; at < input.length; at += piece) {
          reader.push(input.subarray(at, at + piece))
          while (reader.next() !== undefined);
        }
      }
    },
  },
]
