/**
 * Records conversations of our client with our server, in the form of the recorded conversations of
 * other makers: run it and keep what it prints as recorded-exchanges.jsonl. The replays in
 * test/core/dlms hold both roles to these octets, so a change of what goes over the wire is seen;
 * record them again only when such a change is meant.
 *
 *   node test/support/record-exchanges.ts > test/support/recorded-exchanges.jsonl
 */
import { Conformance, DataAccessResult } from '../../core/dlms/apdu/constants.ts'
import type { Aare, Aarq } from '../../core/dlms/apdu/acse.ts'
import { decodeApdu } from '../../core/dlms/apdu/codec.ts'
import { encodeValue, Tag } from '../../core/dlms/axdr/axdr.ts'
import { encodeDescriptor } from '../../core/dlms/apdu/descriptor.ts'
import { DlmsClient, type ClientOptions } from '../../core/dlms/client/client.ts'
import {
  authenticatedEncrypted,
  InvocationCounter,
  Mechanism,
  SecurityChannel,
  Shape,
  suites,
  type ProtectionChoice,
} from '../../core/dlms/security/index.ts'
import { DlmsServer, type CosemObjects } from '../../core/dlms/server/server.ts'
import { seededRandom } from '../../core/ports/random.ts'
import type { CosemOperation } from '../../core/ports/wan.ts'
import type { Captured } from './dlms.ts'
import { recordedKeys, recordedSecret } from './replay.ts'
import { clientTitle, exchange, meterTitle, type Pair } from './secured-pair.ts'

const attribute = (classId: number, instanceId: string, memberId: number): Buffer =>
  encodeDescriptor({ classId, instanceId, memberId })
const clock = attribute(8, '0-0:1.0.0.255', 2)
const energy = attribute(3, '1-0:1.8.0.255', 2)
const unit = attribute(3, '1-0:1.8.0.255', 3)
const name = attribute(1, '0-0:42.0.0.255', 2)
const profile = attribute(7, '1-0:99.1.0.255', 2)
const absent = attribute(1, '1-2:3.4.5.255', 2)
const disconnect = attribute(70, '0-0:96.3.10.255', 1)

const octetString = (value: Buffer): Buffer => encodeValue({ tag: Tag.OCTET_STRING, value })
const values = new Map<string, Buffer>(
  (
    [
      [clock, octetString(Buffer.from('07ea0b17010b0d0c00003c00', 'hex'))],
      [energy, encodeValue({ tag: Tag.DOUBLE_LONG_UNSIGNED, value: 12_345_678 })],
      [unit, Buffer.from('02020f00161e', 'hex')],
      [name, octetString(Buffer.from('4255534d0000000000000007', 'hex'))],
      // More than one APDU holds: it comes in blocks.
      [profile, octetString(Buffer.from(Array.from({ length: 600 }, (_, i) => i & 0xff)))],
    ] as const
  ).map(([descriptor, value]) => [descriptor.toString('hex'), value]),
)
const objects: CosemObjects = {
  get: (asked) => values.get(asked.toString('hex')) ?? DataAccessResult.OBJECT_UNDEFINED,
  set: (asked) => (values.has(asked.toString('hex')) ? 0 : DataAccessResult.READ_WRITE_DENIED),
  invoke: () => ({ result: 0 }),
}

const asked: readonly (readonly CosemOperation[])[] = [
  [clock, energy, unit, name].map((descriptor) => ({ kind: 'get', descriptor })),
  [{ kind: 'get', descriptor: profile }],
  [{ kind: 'get', descriptor: absent }],
  [{ kind: 'set', descriptor: clock, value: values.get(clock.toString('hex'))! }],
  [{ kind: 'action', descriptor: disconnect, value: Buffer.of(Tag.INTEGER, 0) }],
  [{ kind: 'get', descriptor: energy }],
]

const conformance =
  Conformance.GET |
  Conformance.SET |
  Conformance.ACTION |
  Conformance.BLOCK_TRANSFER_WITH_GET |
  Conformance.MULTIPLE_REFERENCES

type Session = { mechanism: ClientOptions['mechanism']; suiteId?: 0 | 1; shape?: Shape }
const sessions: readonly Session[] = [
  { mechanism: Mechanism.NONE },
  { mechanism: Mechanism.LOW },
  { mechanism: Mechanism.HIGH_MD5 },
  { mechanism: Mechanism.HIGH_SHA1 },
  { mechanism: Mechanism.LOW, suiteId: 0, shape: Shape.GLOBAL },
  { mechanism: Mechanism.HIGH_GMAC, suiteId: 0, shape: Shape.GLOBAL },
  { mechanism: Mechanism.HIGH_GMAC, suiteId: 0, shape: Shape.GENERAL_GLOBAL },
  { mechanism: Mechanism.HIGH_GMAC, suiteId: 1, shape: Shape.GLOBAL },
]

function pairOf({ mechanism, suiteId, shape = Shape.PLAIN }: Session, number: number): Pair {
  const secret = mechanism === Mechanism.NONE ? {} : { secret: recordedSecret }
  const choice: ProtectionChoice = { shape, protection: authenticatedEncrypted }
  const isSecured = suiteId !== undefined
  const clientOptions: ClientOptions = {
    mechanism,
    ...secret,
    random: seededRandom(number),
    conformance,
    apduBytesMax: 400,
    ...(isSecured && {
      security: {
        suite: suites[suiteId],
        ownTitle: clientTitle,
        keys: recordedKeys,
        counters: { unicast: new InvocationCounter(100) },
        choice,
      },
    }),
  }
  const serverOptions = {
    objects,
    mechanism: mechanism as 0,
    ...secret,
    random: seededRandom(100 + number),
    conformance,
    apduBytesMax: 400,
    ...(isSecured && {
      security: {
        suite: suites[suiteId],
        ownTitle: meterTitle,
        keys: recordedKeys,
        counters: { unicast: new InvocationCounter(1_000) },
        isCipheringNeeded: true,
        policy: { request: authenticatedEncrypted, response: authenticatedEncrypted },
      },
    }),
  }
  const [client, server] = [new DlmsClient(clientOptions), new DlmsServer(serverOptions)]
  return { client, server, clientOptions, serverOptions, refused: [], onWire: (apdu) => apdu }
}

/**
 * What an APDU has in the clear: of AARQ, AARE, RLRQ and RLRE the initiate in their user
 * information; undefined for a plain one.
 */
function plaintextOf(apdu: Buffer, suiteId: 0 | 1, toServer: boolean): Buffer | undefined {
  const ends = {
    ownTitle: toServer ? meterTitle : clientTitle,
    peerTitle: toServer ? clientTitle : meterTitle,
  }
  const channel = new SecurityChannel({
    role: toServer ? 'server' : 'client',
    suite: suites[suiteId],
    ...ends,
    keys: recordedKeys,
    counters: {},
  })
  if (apdu[0]! < 0x60 || apdu[0]! > 0x63) return channel.unprotect(apdu)
  const { userInformation } = decodeApdu(apdu) as Aarq | Aare
  if (userInformation?.type.startsWith('glo-') !== true) return undefined
  // The initiate is the last octet-string of the user information, behind `04` and its length.
  const at = apdu.indexOf(Buffer.of(0xbe)) + 4
  return channel.unprotect(apdu.subarray(at, at + apdu[at - 1]!))
}

for (const [index, session] of sessions.entries()) {
  const pair = pairOf(session, index + 1)
  const capture = 'busbar-vs-busbar'
  const note = (apdu: Buffer, toServer: boolean): Buffer => {
    const plain =
      session.suiteId === undefined
        ? undefined
        : plaintextOf(Buffer.from(apdu), session.suiteId, toServer)
    const captured: Captured = {
      capture,
      session: index + 1,
      dir: toServer ? 'client>server' : 'server>client',
      apdu: apdu.toString('hex'),
      kind: decodeApdu(Buffer.from(apdu)).type,
      ...(plain && { plaintext: plain.toString('hex') }),
    }
    process.stdout.write(`${JSON.stringify(captured)}\n`)
    return apdu
  }
  pair.onWire = note
  for (const operations of asked) exchange(pair, operations)
  const release = Buffer.from(note(pair.client.release(), true))
  note(pair.server.receive(release)!, false)
}
