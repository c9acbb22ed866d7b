/**
 * A client and a server of one meter under a security suite, and what goes by between them: for the
 * tests of secured associations.
 */
import type { BrokerError } from '../../core/base/broker-error.ts'
import { DataAccessResult } from '../../core/dlms/apdu/constants.ts'
import { encodeValue, Tag } from '../../core/dlms/axdr/axdr.ts'
import { DlmsClient, type ClientOptions } from '../../core/dlms/client/client.ts'
import {
  InvocationCounter,
  Protection,
  Shape,
  suites,
  type CounterWindow,
  type ProtectionChoice,
  type SecurityKeys,
} from '../../core/dlms/security/index.ts'
import { DlmsServer, type CosemObjects, type ServerOptions } from '../../core/dlms/server/server.ts'
import { PrivateKey, SecretKey } from '../../core/crypto/crypto.ts'
import { seededRandom } from '../../core/ports/random.ts'
import type { CosemOperation, CosemResult } from '../../core/ports/wan.ts'

export const clientTitle: Buffer = Buffer.from('4255530000000001', 'hex')
export const meterTitle: Buffer = Buffer.from('4255534d00000007', 'hex')
export const descriptor: Buffer = Buffer.from('0003 0100010800ff 02'.replaceAll(' ', ''), 'hex')
const value = (bytes: number): Buffer =>
  encodeValue({ tag: Tag.OCTET_STRING, value: Buffer.alloc(bytes, 7) })

export const objects: CosemObjects = {
  get: (asked) => (asked.equals(descriptor) ? value(300) : DataAccessResult.OBJECT_UNDEFINED),
  set: () => 0,
  invoke: (_asked, parameterView) => ({
    result: 0,
    value: parameterView && Buffer.from(parameterView),
  }),
}
export const operations: CosemOperation[] = [
  { kind: 'get', descriptor },
  { kind: 'set', descriptor, value: value(200) },
  { kind: 'action', descriptor, value: value(20) },
]

/** Keys of one meter; both sides of a suite with curves have pairs. */
export function keysOf(suiteId: 0 | 1 | 2): { client: SecurityKeys; meter: SecurityKeys } {
  const { keyBytes, curve } = suites[suiteId]
  const random = seededRandom(5)
  const secret = {
    unicast: SecretKey.random(random, keyBytes),
    authentication: SecretKey.random(random, keyBytes),
    master: SecretKey.random(random, keyBytes),
  }
  if (curve === undefined) return { client: secret, meter: secret }
  const [ours, theirs] = [PrivateKey.generate(curve), PrivateKey.generate(curve)]
  return {
    client: {
      ...secret,
      signing: ours,
      peerSigning: theirs.publicKey,
      agreement: ours,
      peerAgreement: theirs.publicKey,
    },
    meter: {
      ...secret,
      signing: theirs,
      peerSigning: ours.publicKey,
      agreement: theirs,
      peerAgreement: ours.publicKey,
    },
  }
}

export type Pair = {
  client: DlmsClient
  server: DlmsServer
  clientOptions: ClientOptions
  serverOptions: ServerOptions
  refused: string[]
  /** Changes what goes by; undefined drops it. */
  onWire: (apdu: Buffer, toServer: boolean) => Buffer | undefined
}

export function pairOf(
  suiteId: 0 | 1 | 2,
  choice: ProtectionChoice,
  more: {
    client?: Partial<ClientOptions>
    server?: Partial<ServerOptions>
    windows?: CounterWindow
  } = {},
): Pair {
  const keys = keysOf(suiteId)
  const suite = suites[suiteId]
  const random = seededRandom(11)
  const refused: string[] = []
  const isDedicated = choice.shape === Shape.DEDICATED || choice.shape === Shape.GENERAL_DEDICATED
  const dedicatedKey = isDedicated ? SecretKey.random(random, suite.keyBytes) : undefined
  const counters = () => ({
    unicast: new InvocationCounter(100),
    session: new InvocationCounter(1),
  })
  const clientOptions: ClientOptions = {
    random,
    security: {
      suite,
      ownTitle: clientTitle,
      ...(choice.shape === Shape.GENERAL && { peerTitle: meterTitle }),
      keys: keys.client,
      counters: counters(),
      choice,
      dedicatedKey,
    },
    ...more.client,
  }
  const serverOptions: ServerOptions = {
    objects,
    random: seededRandom(12),
    security: {
      suite,
      ownTitle: meterTitle,
      keys: keys.meter,
      counters: counters(),
      ...(more.windows && { windows: { unicast: more.windows } }),
      isCipheringNeeded: more.client?.security?.isCiphered !== false,
      policy: { request: choice.protection & 0x130, response: 0 },
    },
    onRefused: (error: BrokerError) => void refused.push(error.code),
    ...more.server,
  }
  return {
    client: new DlmsClient(clientOptions),
    server: new DlmsServer(serverOptions),
    clientOptions,
    serverOptions,
    refused,
    onWire: (apdu) => apdu,
  }
}

export function exchange(pair: Pair, asked: readonly CosemOperation[]): CosemResult[] {
  const { client, server } = pair
  const answers: Buffer[] = []
  const toServer = (first: Buffer): void => {
    for (let apdu: Buffer | undefined = first; apdu !== undefined; apdu = client.more()) {
      const arrived = pair.onWire(Buffer.from(apdu), true)
      const answer = arrived && server.receive(arrived)
      // As in a read buffer that serves many connections.
      arrived?.fill(0xee)
      for (let next = answer; next !== undefined; next = server.more()) answers.push(next)
    }
  }
  toServer(client.begin(asked))
  for (let answer = answers.shift(); answer !== undefined; answer = answers.shift()) {
    const arrived = pair.onWire(Buffer.from(answer), false)
    if (arrived === undefined) continue
    const step = client.receive(arrived)
    arrived.fill(0xee)
    if ('send' in step) toServer(step.send)
    else if ('results' in step) return step.results
  }
  throw new Error('nobody has anything to say')
}

export const plainResults: CosemResult[] = [
  { value: value(300), result: 0 },
  { value: undefined, result: 0 },
  { value: value(20), result: 0 },
]
export const both: number = Protection.AUTHENTICATED | Protection.ENCRYPTED
