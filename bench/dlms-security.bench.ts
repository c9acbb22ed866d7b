/**
 * What protecting an APDU costs, suite 0, authenticated and encrypted, beside node:crypto alone on the same octets: the floor is
 * createCipheriv or createDecipheriv with a cached key, setAAD, update, final and the tag, and nothing of DLMS. Signatures are P-256.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  createSecretKey,
  verify,
} from 'node:crypto'
import { assert } from '../core/base/assert.ts'
import { Shape, suites, type ProtectionChoice } from '../core/dlms/security/index.ts'
import { tagBytes } from '../core/ports/crypto.ts'
import { channelPair, clientTitle, secretKeys } from '../test/support/security.ts'
import { measure, type BenchOptions, type Measurement } from './harness.ts'

export const name = 'dlms-security'
export const describe =
  'protect and unprotect get-request, get-response and a day of half hours, beside node:crypto alone'

const getRequest = Buffer.from('c001c100030100010800ff0200', 'hex')
const getResponse = Buffer.from('c401c1000600bc614e', 'hex')
/** 48 rows of a time and a reading. */
const dayProfile = Buffer.concat([
  Buffer.from('c401c1000130', 'hex'),
  ...Array.from({ length: 48 }, (_, row) =>
    Buffer.from(
      `0202090c07ea0b1901${(row >> 1).toString(16).padStart(2, '0')}${row & 1 ? '1e' : '00'}0000ffc40006${(123_456 + row * 250).toString(16).padStart(8, '0')}`,
      'hex',
    ),
  ),
])

const choice: ProtectionChoice = { shape: Shape.GLOBAL, protection: 0x30 }
const gcmOptions = { authTagLength: tagBytes }
const [unicast, , authentication] = secretKeys(suites[0])
const key = createSecretKey(unicast!.copyOfOctets())
const aad = Buffer.concat([Buffer.of(0x30), authentication!.copyOfOctets()])

function vector(counter: number): Buffer {
  const iv = Buffer.alloc(12)
  clientTitle.copy(iv)
  iv.writeUInt32BE(counter, 8)
  return iv
}

/** Enciphers as little as it can be done with: content and tag as node:crypto gives them. */
function floorSeal(iv: Buffer, plain: Buffer): number {
  const cipher = createCipheriv('aes-128-gcm', key, iv, gcmOptions)
  cipher.setAAD(aad)
  const content = cipher.update(plain)
  cipher.final()
  return content[0]! ^ cipher.getAuthTag()[0]!
}

function floorOpen(iv: Buffer, content: Buffer, tag: Buffer): Buffer {
  const decipher = createDecipheriv('aes-128-gcm', key, iv, gcmOptions)
  decipher.setAAD(aad)
  decipher.setAuthTag(tag)
  const plain = decipher.update(content)
  decipher.final()
  return plain
}

const turns = 3

/**
 * Measures ours and its floor in turns, and takes the fastest turn of each: a busy machine slows both, but not at the same time.
 * The hash of neither matters: what they give is checked before.
 */
function beside(
  { ours, floor }: { ours: () => number; floor: () => number },
  count: number,
  smoke: boolean,
): Record<string, unknown> {
  const fastest: { ours?: Measurement; floor?: Measurement } = {}
  for (let turn = 0; turn < turns; turn++)
    for (const [name, op] of [
      ['floor', floor],
      ['ours', ours],
    ] as const) {
      const measured = measure({ op, count, smoke })
      if (!(measured.nsPerOp >= (fastest[name]?.nsPerOp ?? Infinity))) fastest[name] = measured
    }
  const { ours: own, floor: least } = fastest as Required<typeof fastest>
  return {
    ns: Math.round(own.nsPerOp),
    floorNs: Math.round(least.nsPerOp),
    bytes: own.bytesPerOp && Math.round(own.bytesPerOp),
    floorBytes: least.bytesPerOp && Math.round(least.bytesPerOp),
    ratio: own.nsPerOp / least.nsPerOp,
  }
}

export async function run({ smoke, log }: BenchOptions): Promise<Record<string, unknown>> {
  const figures: Record<string, unknown> = {}
  const record = (label: string, figure: Record<string, unknown>): void => {
    figures[label] = figure
    log(`${label}: ${figure['ns']} ns, floor ${figure['floorNs']} ns`)
  }
  for (const [label, plain, count] of [
    ['GetRequest', getRequest, 5_000],
    ['GetResponse', getResponse, 5_000],
    ['DayProfile', dayProfile, 2_000],
  ] as const) {
    const { client } = channelPair(suites[0])
    const iv = vector(1)
    const seal = {
      ours: () => client.protect(plain, choice)[20]!,
      floor: () => floorSeal(iv, plain),
    }
    record(`protect${label}`, beside(seal, count, smoke))

    // Each APDU once, as a meter takes them: a counter is good for one.
    const apdus = Array.from({ length: turns * (smoke ? 2 * 20 : 10 * count) }, () =>
      Buffer.from(client.protect(plain, choice)),
    )
    const { meter } = channelPair(suites[0])
    let next = 0
    const sample = apdus[0]!
    const start = sample.length - plain.length - tagBytes
    const ivOfSample = vector(sample.readUInt32BE(start - 4))
    const [content, tag] = [sample.subarray(start, -tagBytes), sample.subarray(-tagBytes)]
    assert(floorOpen(ivOfSample, content, tag).equals(plain), 'the floor opens the same octets')
    const open = {
      ours: () => meter.unprotect(apdus[next++]!)[0]!,
      floor: () => floorOpen(ivOfSample, content, tag)[0]!,
    }
    record(`unprotect${label}`, beside(open, count, smoke))
    assert(next === apdus.length, 'each APDU was taken once')
  }

  const { client, meter, options } = channelPair(suites[1])
  const signed = client.protect(getRequest, {
    shape: Shape.PLAIN,
    protection: 0,
    signature: 'around',
  })
  const point = options.keys.signing!.publicKey.pointBytes
  const [x, y] = [point.subarray(0, 32), point.subarray(32)].map((part) =>
    part.toString('base64url'),
  )
  const publicKey = createPublicKey({
    key: { kty: 'EC', crv: 'P-256', x: x!, y: y! },
    format: 'jwk',
  })
  const covered = Buffer.concat([
    signed.subarray(1, signed.length - 65 - 1 - getRequest.length),
    getRequest,
  ])
  const signature = signed.subarray(-64)
  const verifyOnly = (): number =>
    verify('sha256', covered, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature) ? 1 : 0
  assert(verifyOnly() === 1, 'the floor verifies the same octets')
  const verifying = { ours: () => meter.unprotect(signed)[0]!, floor: verifyOnly }
  record('verifySigned', beside(verifying, 200, smoke))
  return figures
}
