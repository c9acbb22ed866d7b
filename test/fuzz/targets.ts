/** Every decoder that faces outside, with good inputs made by our own encoders. */
import { readFact, writeFact } from '../../actors/device/facts.ts'
import { partiesOf, demoPartiesJson } from '../../core/access/parties.ts'
import { counterKey } from '../../core/base/counter.ts'
import {
  decodeDeviceRecord,
  deviceEntryOf,
  encodeDeviceRecord,
} from '../../core/catalogue/device-record.ts'
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
import { decodeAarq, encodeAarq } from '../../core/dlms/acse.ts'
import { AxdrWriter } from '../../core/dlms/axdr.ts'
import { decodeType, decodeValue, encodeValue } from '../../core/dlms/axdr-value.ts'
import { WrapperReader } from '../../core/dlms/wrapper.ts'
import {
  decodeOffer,
  decodePrepared,
  encodeOffer,
  encodePrepared,
} from '../../core/ports/handover.ts'
import { decodeHostStatus, encodeHostStatus } from '../../core/ports/host-status.ts'
import { decodeLease, encodeLease } from '../../core/ports/lease.ts'
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
import type { Target } from './fuzz.ts'

const id = { originator: supplierText, target: '00-DB-00-00-00-00-00-01', counter: 7n }
const requests = [
  { requestId: id, serviceReferenceVariant: '4.1.1' },
  { requestId: id, serviceReferenceVariant: '3.1', displayMessage: { text: 'Grüße' } },
  {
    requestId: id,
    serviceReferenceVariant: '4.8.1',
    readPeriod: { from: new Date(1e12), to: new Date(1.1e12) },
  },
].map((json) =>
  Buffer.from(ServiceRequest.encode(ServiceRequest.fromPartial(json as never)).finish()),
)
const scan = new RequestScan()

const factFrame = ((): Buffer => {
  const writer = new FrameWriter()
  writer.reserve(chainLinkBytes)
  const counter = counterKey(Buffer.from([0, 0, 0, 0, 0, 0, 0, 7]), 0)
  const concerning = { originator: supplier, counter, time: 1e12, outcome: 1, attempt: 1 }
  writeFact(writer, deviceKey(1), {
    type: 'DEVICE_REGISTERED',
    time: 1e12,
    recordBytes: Buffer.from(encodeDeviceRecord(plainRecord)),
  })
  writeFact(writer, deviceKey(1), { type: 'ATTEMPT_FAILED', ...concerning, nextAttemptAt: 2e12 })
  writeFact(writer, deviceKey(1), { type: 'REQUEST_ENDED', ...concerning })
  const frame = Buffer.from(writer.lend())
  writeChainLink(frame, 0, { partition: 1, frameNumber: 1, previousHash: genesisHash })
  return frame
})()
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
const aarq = Buffer.from(
  encodeAarq({ conformance: 0x1e1d, pduBytesMax: 1024, secret: Buffer.from('12345678') }),
)
const wrapped = Buffer.from('000100100001000401020304000100100001000205060708'.slice(0, 44), 'hex')

const axdrValue = ((): Buffer => {
  const writer = new AxdrWriter()
  writer.visibleString('v1')
  return Buffer.from(writer.take())
})()

export const targets: readonly Target[] = [
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
    name: 'device record',
    corpus: [Buffer.from(encodeDeviceRecord(plainRecord))],
    decode: decodeDeviceRecord,
  },
  {
    name: 'device entry (JSON)',
    corpus: [json({ eui64: id.target, ...plainRecord })],
    decode: (input) => deviceEntryOf(parsed(input)),
  },
  {
    name: 'parties (JSON)',
    corpus: [json(demoPartiesJson)],
    decode: (input) => partiesOf(parsed(input)),
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
          { number: 1, sequence: 1, savedSequence: 1, snapshotSequence: 0, awake: 1, waiting: 0 },
        ],
      }),
    ],
    decode: decodeHostStatus,
  },
  {
    name: 'A-XDR value',
    corpus: [axdrValue, nested],
    decode: (input) => encodeValue(decodeValue(input)),
  },
  { name: 'A-XDR type', corpus: [Buffer.of(2, 2, 18, 17)], decode: (input) => decodeType(input) },
  { name: 'AARQ', corpus: [aarq], decode: decodeAarq },
  {
    name: 'wrapper',
    corpus: [wrapped],
    decode: (input) => {
      const reader = new WrapperReader()
      for (let at = 0; at < input.length; at += 5) {
        reader.push(input.subarray(at, at + 5))
        while (reader.next() !== undefined);
      }
    },
  },
]
