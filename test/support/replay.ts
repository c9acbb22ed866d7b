/**
 * Recorded conversations as the replays in both roles read them: who the two sides are, what they
 * say in the clear, and which challenges, counters and invoke ids chance or habit gave them.
 */
import { Conformance, DataAccessResult } from '../../core/dlms/apdu/constants.ts'
import { type Aare, type Aarq } from '../../core/dlms/apdu/acse.ts'
import { decodeApdu, type ApduOf } from '../../core/dlms/apdu/codec.ts'
import { Mechanism, Shape, suites, type Suite } from '../../core/dlms/security/index.ts'
import { shapeOfTag } from '../../core/dlms/security/suite.ts'
import type { CosemOperation, CosemResult } from '../../core/ports/wan.ts'
import { SecretKey } from '../../core/crypto/crypto.ts'
import type { Random } from '../../core/ports/random.ts'
import type { Captured } from './dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')

/** Keys and secret of the recorded conversations. @source ../shared/dlms, README */
export const recordedKeys = {
  unicast: new SecretKey(hex('000102030405060708090a0b0c0d0e0f')),
  authentication: new SecretKey(hex('d0d1d2d3d4d5d6d7d8d9dadbdcdddedf')),
}
export const recordedSecret: Buffer = hex('4775727578')

/**
 * One APDU, as it went by and in the clear; of AARQ, AARE and their release only the user
 * information is ever ciphered.
 */
export type Said = {
  apdu: Buffer
  plain: Buffer
  shape: Shape
  /** Security control and counter of what was ciphered. */
  control: number
  counter: number
}
/** A request, and what was answered; undefined where the recording has no answer. */
export type Turn = { request: Said; answer: Said | undefined; answerTrailing: Buffer }

function saidOf({ apdu: text, plaintext }: Captured): Said {
  const apdu = hex(text)
  const isAcse = apdu[0]! >= 0x60 && apdu[0]! <= 0x63
  const plain = plaintext === undefined || isAcse ? apdu : hex(plaintext)
  const said = { apdu, plain, shape: Shape.PLAIN as Shape, control: 0, counter: -1 }
  // glo-initiate within the user information, glo- or general-glo around a service: the octets
  // where its header stands.
  const within = /^6[0-3].*be..04..((?:21|28)..)/.exec(text)
  const at = within
    ? (within.index + within[0].length) / 2
    : plaintext === undefined || isAcse
      ? undefined
      : apdu[0] === 0xdb
        ? 2 + apdu[1]! + lengthOctets(apdu, 2 + apdu[1]!)
        : 1 + lengthOctets(apdu, 1)
  if (at === undefined) return said
  const shape = within ? Shape.GLOBAL : shapeOfTag(apdu[0]!)
  return { ...said, shape, control: apdu[at]!, counter: apdu.readUInt32BE(at + 1) }
}

const lengthOctets = (apdu: Buffer, at: number): number =>
  apdu[at]! < 0x80 ? 1 : 1 + (apdu[at]! & 0x7f)

export function turnsOf(session: readonly Captured[]): Turn[] {
  const turns: Turn[] = []
  for (const [i, captured] of session.entries()) {
    if (captured.dir !== 'client>server') continue
    const next = session[i + 1]
    const answered = next?.dir === 'server>client' ? next : undefined
    turns.push({
      request: saidOf(captured),
      answer: answered && saidOf(answered),
      answerTrailing: hex(answered?.trailing ?? ''),
    })
  }
  return turns
}

type Initiate = ApduOf<'initiate-request'> | ApduOf<'initiate-response'>
/** What AARQ and AARE of a session say, the ciphered parts in the clear. */
export type Parties = {
  aarq: Aarq
  request: ApduOf<'initiate-request'>
  aare: Aare | undefined
  response: ApduOf<'initiate-response'> | undefined
  mechanism: number
  isCiphered: boolean
  /** The RLRQ has no ciphered InitiateRequest. */
  releasesInClear: boolean
  suite: Suite
}

export function partiesIn(session: readonly Captured[]): Parties {
  const [first, second] = session
  const initiateIn = ({ plaintext }: Captured, { userInformation }: Aarq | Aare): Initiate =>
    (plaintext === undefined ? userInformation : decodeApdu(hex(plaintext))) as Initiate
  const aarq = decodeApdu(hex(first!.apdu)) as Aarq
  const aare = second && (decodeApdu(hex(second.apdu), { isTolerant: true }) as Aare)
  const { control } = saidOf(first!)
  return {
    aarq,
    request: initiateIn(first!, aarq) as ApduOf<'initiate-request'>,
    aare,
    response: aare && (initiateIn(second!, aare) as ApduOf<'initiate-response'>),
    mechanism: aarq.mechanismName ?? Mechanism.NONE,
    isCiphered: control !== 0,
    releasesInClear: !session.some(({ apdu }) => /^62.*be23/.test(apdu)),
    suite: suites[(control & 15) as 0 | 1 | 2],
  }
}

/** Gives `octets` when it is asked for random ones: the challenge that chance gave then. */
export const scriptedRandom = (octets: Buffer | undefined): Random => ({
  bytes: (count) => {
    if (octets?.length !== count) throw new Error(`${count} octets are not in the recording`)
    return Buffer.from(octets)
  },
  fraction: () => 0,
})

const replyToHls = '000f0000280000ff01'
/**
 * True for the request that brings the client's proof, and for its answer when given that request.
 */
export const isProof = ({ plain }: Said): boolean =>
  plain[0] === 0xc3 && plain.toString('hex', 3, 12) === replyToHls

/**
 * The counter in a proof of GMAC: octets behind `c3 01 id`, descriptor, flag, `09 11 10`; in the
 * answer behind `c7 01 id 00 01 00 09 11 10`.
 */
export function proofCounter({ plain }: Said): number | undefined {
  const at = plain[0] === 0xc3 ? 15 : 8
  return plain[at - 1] === 0x11 ? plain.readUInt32BE(at + 1) : undefined
}

/**
 * The operations that a recorded request begins, or undefined when it goes on with something or is
 * none of GET, SET and ACTION.
 */
export function operationsOf(plain: Buffer): CosemOperation[] | undefined {
  const apdu = decodeApdu(plain)
  switch (apdu.type) {
    case 'get-request-normal':
      return [operationOf('get', apdu.descriptorView, apdu.selectionView)]
    case 'get-request-with-list':
      return apdu.attributes.map(({ descriptorView, selectionView }) =>
        operationOf('get', descriptorView, selectionView),
      )
    case 'set-request-normal':
      return [operationOf('set', apdu.descriptorView, apdu.selectionView, apdu.valueView)]
    case 'set-request-with-first-datablock':
      return [
        operationOf(
          'set',
          apdu.descriptorView,
          apdu.selectionView,
          wholeOf(apdu.datablock.rawDataView),
        ),
      ]
    case 'action-request-normal':
      return [operationOf('action', apdu.descriptorView, undefined, apdu.parametersView)]
    default:
      return undefined
  }
}

function operationOf(
  kind: CosemOperation['kind'],
  descriptor: Buffer,
  selection?: Buffer,
  value?: Buffer,
): CosemOperation {
  return { kind, descriptor, ...(selection && { selection }), ...(value && { value }) }
}

/** A value of which the recording has the first block: an octet-string that counts upwards. */
function wholeOf(firstBlock: Buffer): Buffer {
  const head = 4
  if (firstBlock.readUInt16BE(0) !== 0x0982) throw new Error('not an octet-string of that kind')
  const whole = Buffer.alloc(head + firstBlock.readUInt16BE(2))
  for (let i = head; i < whole.length; i++) whole[i] = (i - head) & 0xff
  firstBlock.copy(whole)
  return whole
}

/** Bits of `conformance` that a meter must have agreed to for the request to be right. */
export function neededFor(plain: Buffer): number {
  const { type } = decodeApdu(plain)
  if (type === 'get-request-with-list') return Conformance.MULTIPLE_REFERENCES
  if (type === 'set-request-with-first-datablock') return Conformance.BLOCK_TRANSFER_WITH_SET
  if (type === 'access-request') return Conformance.ACCESS | Conformance.GENERAL_BLOCK_TRANSFER
  return 0
}

/** A get-request-next: the service before it goes on. */
export const isGoingOn = ({ plain }: Said): boolean => plain[0] === 0xc0 && plain[1] === 2

/**
 * The results that the answers to one service say, read from the octets that the recording has in
 * the clear.
 */
export function resultsIn(turns: readonly Turn[]): CosemResult[] {
  const raw: Buffer[] = []
  for (const { answer, answerTrailing } of turns) {
    const { plain } = answer!
    const apdu = decodeApdu(plain, { isTolerant: true })
    if (apdu.type === 'get-response-with-datablock') {
      if (apdu.datablock.result.type !== 'raw-data') throw new Error('a refusal in a block')
      raw.push(apdu.datablock.result.rawDataView)
      continue
    }
    switch (apdu.type) {
      case 'get-response-normal': {
        if (plain[3] === 1) return [{ value: undefined, result: plain[4]! }]
        const end = plain.length - answerTrailing.length
        // Floats with a length octet: the value is what is left without it, up to the octet that
        // was taken for a trailing one.
        const isLong = /^(1704|1808)/.test(plain.toString('hex', 4))
        const value = isLong
          ? Buffer.concat([plain.subarray(4, 5), plain.subarray(6)])
          : plain.subarray(4, end)
        return [{ value, result: 0 }]
      }
      case 'get-response-with-list':
        return apdu.results.map((one) =>
          one.type === 'data'
            ? { value: one.valueView, result: 0 }
            : { value: undefined, result: one.result },
        )
      case 'set-response-normal':
      case 'action-response-normal':
        return [{ value: undefined, result: apdu.result }]
      case 'exception-response':
        return [{ value: undefined, result: DataAccessResult.SCOPE_OF_ACCESS_VIOLATED }]
      default:
        throw new Error(`${apdu.type} is no answer to a service`)
    }
  }
  const value = Buffer.concat(raw)
  // An empty profile, said once a block.
  return [{ value: value.equals(hex('01000100')) ? hex('0100') : value, result: 0 }]
}
