/**
 * A client and a meter under suite 0 in the middle of a session: what comes is changed on the way,
 * or comes from somebody who has the keys and says anything at all. Keys, challenges and counters
 * come from seeds, so a recorded conversation fits a new pair each time.
 */
import fc from 'fast-check'
import { BrokerError } from '../../core/base/broker-error.ts'
import { type Aarq } from '../../core/dlms/apdu/acse.ts'
import { decodeApdu, encodeApdu } from '../../core/dlms/apdu/codec.ts'
import type { InformationApdu } from '../../core/dlms/apdu/information.ts'
import { conformanceSupported, Conformance } from '../../core/dlms/apdu/constants.ts'
import type { DlmsClient } from '../../core/dlms/client/client.ts'
import type { DlmsServer } from '../../core/dlms/server/server.ts'
import {
  Mechanism,
  InvocationCounter,
  SecurityChannel,
  Shape,
  suites,
} from '../../core/dlms/security/index.ts'
import { apdus } from '../support/apdu-values.ts'
import {
  both,
  clientTitle,
  exchange,
  meterTitle,
  operations,
  pairOf,
  type Pair,
} from '../support/secured-pair.ts'
import type { Target } from './fuzz.ts'

/**
 * One conversation each: every shape, with proofs, in blocks of the services and in general blocks.
 */
const kinds = [
  ...Object.values(Shape)
    .slice(1)
    .map((shape) => ({ shape, bytesMax: 0xffff, conformance: conformanceSupported })),
  { shape: Shape.GLOBAL, bytesMax: 128, conformance: conformanceSupported },
  {
    shape: Shape.GENERAL_GLOBAL,
    bytesMax: 128,
    conformance: conformanceSupported & ~Conformance.BLOCK_TRANSFER_WITH_GET,
  },
]
const kindAt = (octet: number | undefined): number => (octet ?? 0) % kinds.length

function newPair(number: number): Pair {
  const { shape, bytesMax, conformance } = kinds[number]!
  const mechanism = Mechanism.HIGH_GMAC
  return pairOf(
    0,
    { shape, protection: both },
    {
      client: { mechanism, apduBytesMax: bytesMax },
      server: { mechanism, apduBytesMax: bytesMax, conformance },
    },
  )
}

type Said = { apdu: Buffer; toServer: boolean }
const conversations = kinds.map((_kind, number) => {
  const pair = newPair(number)
  const said: Said[] = []
  pair.onWire = (apdu, toServer) => (said.push({ apdu: Buffer.from(apdu), toServer }), apdu)
  exchange(pair, operations)
  return said
})
const saidTo = (number: number, toServer: boolean): Buffer[] =>
  conversations[number]!.filter((one) => one.toServer === toServer).map(({ apdu }) => apdu)

/** All that `act` has to send behind; a window of general blocks has an end. */
function drain(one: DlmsClient | DlmsServer): void {
  for (let count = 0; one.more() !== undefined; count++)
    if (count > 64) throw new Error('sends without end')
}

/** A client that has taken the first `count` APDUs of its conversation. */
function clientAt(number: number, count: number): DlmsClient {
  const { client } = newPair(number)
  client.begin(operations)
  for (const apdu of saidTo(number, false).slice(0, count)) {
    client.receive(apdu)
    drain(client)
  }
  return client
}

function serverAt(number: number, count: number): DlmsServer {
  const { server } = newPair(number)
  for (const apdu of saidTo(number, true).slice(0, count)) {
    server.receive(apdu)
    drain(server)
  }
  return server
}

function giveToClient(client: DlmsClient, apdu: Buffer): void {
  try {
    client.receive(apdu)
    drain(client)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    if (client.state !== (error.code === 'DLMS_EXCEPTION' ? 'ASSOCIATED' : 'ENDED'))
      throw new Error(`${error.code} in ${client.state}`, { cause: error })
    throw error
  }
}

/** A server answers whatever comes. */
function giveToServer(server: DlmsServer, apdu: Buffer): void {
  try {
    server.receive(apdu)
    drain(server)
  } catch (error) {
    throw new Error(`thrown by a server: ${String(error)}`, { cause: error })
  }
}

/** The end of one who has the keys, behind all that was said in the conversation. */
function channelOf(number: number, role: 'client' | 'server'): SecurityChannel {
  const { clientOptions, serverOptions } = newPair(number)
  const isClient = role === 'client'
  const counter = new InvocationCounter(0x7000_0000)
  const channel = new SecurityChannel({
    role,
    suite: suites[0],
    ownTitle: isClient ? clientTitle : meterTitle,
    peerTitle: isClient ? meterTitle : clientTitle,
    keys: (isClient ? clientOptions : serverOptions).security!.keys,
    counters: { unicast: counter },
  })
  const { dedicatedKey } = clientOptions.security!
  if (dedicatedKey)
    channel.setDedicatedKey(dedicatedKey as Exclude<typeof dedicatedKey, () => unknown>, counter)
  return channel
}

/** `conversation u8 | place u8 | APDU`: as it went by, or what was within it. */
function corpusOf(toServer: boolean, isPlain: boolean): Buffer[] {
  return kinds.flatMap((_kind, number) => {
    const receiver = channelOf(number, toServer ? 'server' : 'client')
    return saidTo(number, toServer).flatMap((apdu, place) => {
      const isAcse = apdu[0] === 0x60 || apdu[0] === 0x61
      if (isPlain && (isAcse || apdu[0] === 0xe0)) return []
      const said = isPlain ? receiver.unprotect(apdu) : apdu
      return [Buffer.concat([Buffer.of(number, place), said])]
    })
  })
}

/** Protected as one with the keys does it: in the shape of the conversation. */
function sealed(number: number, role: 'client' | 'server', plain: Buffer): Buffer {
  const { shape } = kinds[number]!
  return channelOf(number, role).protect(plain, { shape, protection: both })
}

const codes = 'DLMS_'

/**
 * `conversation u8`, then `sealed u8 (odd) | length u16 | APDU` one behind the other: a session of
 * somebody who has the keys.
 */
function sessionOf(number: number, toServer: boolean): Buffer {
  const said = saidTo(number, toServer).slice(1)
  const pieces = said.flatMap((apdu) => {
    const head = Buffer.of(0, apdu.length >> 8, apdu.length & 0xff)
    return [head, apdu]
  })
  const plain = Buffer.from('c001c100030100010800ff0200', 'hex')
  return Buffer.concat([Buffer.of(number), ...pieces, Buffer.of(1, 0, plain.length), plain])
}

function forEachSaid(input: Buffer, role: 'client' | 'server', give: (apdu: Buffer) => void): void {
  const number = kindAt(input[0])
  const { shape } = kinds[number]!
  const channel = channelOf(number, role)
  for (let at = 1; at + 3 < input.length;) {
    const bytes = Math.min(input.readUInt16BE(at + 1) % 700, input.length - at - 3)
    const apdu = input.subarray(at + 3, at + 3 + bytes)
    const isSealed = (input[at]! & 1) !== 0 && bytes > 0
    give(isSealed ? channel.protect(apdu, { shape, protection: both }) : apdu)
    at += 3 + bytes
  }
}

/** The AARQ or AARE of a conversation with `plain` as its ciphered user information. */
function withInformation(number: number, toServer: boolean, plain: Buffer): Buffer {
  const [acse] = saidTo(number, toServer)
  const role = toServer ? 'client' : 'server'
  const protectedBytes = channelOf(number, role).protect(plain, {
    shape: Shape.GENERAL_GLOBAL,
    protection: both,
  })
  const userInformation = decodeApdu(protectedBytes) as InformationApdu
  return encodeApdu({ ...(decodeApdu(acse!) as Aarq & { type: 'aarq' }), userInformation })
}
const initiates = fc
  .sample(apdus, { seed: 7, numRuns: 2_000 })
  .filter(({ type }) => type.startsWith('initiate-') || type === 'confirmed-service-error')
  .map((apdu) => Buffer.concat([Buffer.of(0), encodeApdu(apdu)]))

export const securedTargets: readonly Target[] = [
  {
    name: 'ciphered APDU to a client, at any point of a conversation',
    codes,
    corpus: corpusOf(false, false),
    decode(input) {
      const number = kindAt(input[0])
      const place = (input[1] ?? 0) % saidTo(number, false).length
      giveToClient(clientAt(number, place), input.subarray(2))
    },
  },
  {
    name: 'ciphered APDU to a meter, at any point of a conversation',
    codes,
    corpus: corpusOf(true, false),
    decode(input) {
      const number = kindAt(input[0])
      const place = (input[1] ?? 0) % saidTo(number, true).length
      giveToServer(serverAt(number, place), input.subarray(2))
    },
  },
  {
    name: 'any APDU to a client from one with the keys',
    codes,
    corpus: corpusOf(false, true),
    decode(input) {
      if (input.length < 3) return
      const number = kindAt(input[0])
      const place = Math.max(1, (input[1] ?? 0) % saidTo(number, false).length)
      giveToClient(clientAt(number, place), sealed(number, 'server', input.subarray(2)))
    },
  },
  {
    name: 'any APDU to a meter from one with the keys',
    codes,
    corpus: corpusOf(true, true),
    decode(input) {
      if (input.length < 3) return
      const number = kindAt(input[0])
      const place = Math.max(1, (input[1] ?? 0) % saidTo(number, true).length)
      giveToServer(serverAt(number, place), sealed(number, 'client', input.subarray(2)))
    },
  },
  {
    name: 'any InitiateRequest to a meter from one with the keys',
    codes,
    corpus: initiates,
    decode(input) {
      if (input.length < 2) return
      const number = kindAt(input[0])
      giveToServer(serverAt(number, 0), withInformation(number, true, input.subarray(1)))
    },
  },
  {
    name: 'any InitiateResponse to a client from one with the keys',
    codes,
    corpus: initiates,
    decode(input) {
      if (input.length < 2) return
      const number = kindAt(input[0])
      giveToClient(clientAt(number, 0), withInformation(number, false, input.subarray(1)))
    },
  },
  {
    name: 'any session of ciphered APDUs with a meter',
    codes,
    corpus: kinds.map((_kind, number) => sessionOf(number, true)),
    decode(input) {
      const server = serverAt(kindAt(input[0]), 1)
      forEachSaid(input, 'client', (apdu) => giveToServer(server, apdu))
    },
  },
  {
    name: 'any session of ciphered APDUs with a client',
    codes,
    corpus: kinds.map((_kind, number) => sessionOf(number, false)),
    decode(input) {
      const client = clientAt(kindAt(input[0]), 1)
      forEachSaid(input, 'server', (apdu) => giveToClient(client, apdu))
    },
  },
]
