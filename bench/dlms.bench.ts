/**
 * What an APDU costs, in the clear and under suite 0 (authenticated and encrypted), as the product
 * makes and takes it: a client with canned answers, a server with canned questions, both with one
 * another over an association that is kept, and the protection alone. Beside what is protected
 * stands node:crypto alone on the same octets: createCipheriv or createDecipheriv with a cached
 * key, setAAD, update, final and the tag, and nothing of DLMS. Signatures are P-256.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  createSecretKey,
  verify,
} from 'node:crypto'
import { assert } from '../core/base/assert.ts'
import {
  AxdrView,
  AxdrWriter,
  decodeApdu,
  DlmsClient,
  DlmsServer,
  encodeApdu,
  encodeSelection,
  Mechanism,
  type ClientOptions,
  type ServerOptions,
} from '../core/dlms/index.ts'
import {
  authenticatedEncrypted,
  CounterWindow,
  InvocationCounter,
  Shape,
  suites,
  type ProtectionChoice,
} from '../core/dlms/security/index.ts'
import { tagBytes } from '../core/crypto/crypto.ts'
import { seededRandom } from '../core/ports/random.ts'
import type { CosemOperation } from '../core/ports/wan.ts'
import { channelPair, clientTitle, meterTitle, secretKeys } from '../test/support/security.ts'
import { measure, median, type BenchOptions, type Measurement } from './harness.ts'

export const name = 'dlms'
export const describe =
  'APDUs in the clear and under suite 0 through client, server and channel, beside node:crypto alone'

// ── what is asked ──

const slots = 48
const clock = (slot: number): Buffer =>
  Buffer.of(0x07, 0xea, 11, 25, 3, slot >> 1, slot & 1 ? 30 : 0, 0, 0, 0xff, 0xc4, 0)
const registerValue = new AxdrWriter(8).uint32(12_345_678).take()

/** A row is a time and a reading. */
function writeProfile(): Buffer {
  const writer = new AxdrWriter(1024).array(slots)
  for (let slot = 0; slot < slots; slot++)
    writer
      .structure(2)
      .octetString(times[slot]!)
      .uint32(123_456 + slot * 250)
  return writer.take()
}
const times = Array.from({ length: slots }, (_, slot) => clock(slot))
const profileValue = writeProfile()

/** As translation reads it: where it stands, a row at a time. */
function readProfile(bytes: Buffer): number {
  const rows = new AxdrView(bytes)
  let sum = 0
  for (let slot = 0; slot < rows.count; slot++) {
    const row = rows.element(slot)
    sum += row.element(0).octets()[5]! + row.element(1).number()
  }
  return sum
}

const profileOperation: CosemOperation = {
  kind: 'get',
  descriptor: Buffer.from('00070100630100ff02', 'hex'),
  selection: encodeSelection({
    type: 'range',
    restricting: {
      classId: 8,
      instanceId: '0-0:1.0.0.255',
      attributeId: 2,
      dataIndex: 0,
    },
    from: { tag: 9, value: clock(0) },
    to: { tag: 9, value: clock(slots - 1) },
    columns: [],
  }),
}
const registerOperation: CosemOperation = {
  kind: 'get',
  descriptor: Buffer.from('00030100010800ff02', 'hex'),
}
const kinds = [
  { label: 'register', operation: registerOperation, value: registerValue, count: 2_000 },
  { label: 'dayProfile', operation: profileOperation, value: profileValue, count: 1_000 },
] as const

// ── both ends ──

const [unicast, , authentication] = secretKeys(suites[0])
const choice: ProtectionChoice = { shape: Shape.GLOBAL, protection: authenticatedEncrypted }

/** Takes a counter again, so that a few canned APDUs do for any number of turns. */
class LenientWindow extends CounterWindow {
  override isFresh(): boolean {
    return true
  }
}

function security(ownTitle: Buffer) {
  return {
    suite: suites[0],
    ownTitle,
    keys: { unicast, authentication },
    counters: { unicast: new InvocationCounter() },
    windows: { unicast: new LenientWindow() },
  }
}

type Ends = { client: DlmsClient; server: DlmsServer }

/** Not associated yet; with `isSecured` under suite 0, proved with GMAC. */
function endsOf(isSecured: boolean, seed: number): Ends {
  const shared = (ownTitle: Buffer, ownSeed: number): ClientOptions =>
    isSecured
      ? {
          mechanism: Mechanism.HIGH_GMAC,
          random: seededRandom(ownSeed),
          security: security(ownTitle),
        }
      : {}
  const objects: ServerOptions['objects'] = {
    get: (descriptor) => (descriptor[1] === 7 ? profileValue : registerValue),
    set: () => 0,
    invoke: () => ({ result: 0 }),
  }
  return {
    client: new DlmsClient(shared(clientTitle, seed)),
    server: new DlmsServer({
      objects,
      ...(shared(meterTitle, seed + 1) as Partial<ServerOptions>),
    }),
  }
}

/** Question and answer until the results are there. */
function exchange({ client, server }: Ends, operations: readonly CosemOperation[]): Buffer {
  for (let apdu = client.begin(operations); ;) {
    const step = client.receive(server.receive(apdu)!)
    if ('results' in step) return step.results[0]!.value as Buffer
    apdu = (step as { send: Buffer }).send
  }
}

/** Ends that are associated, and the sixteen questions and answers by invoke id that come next. */
function canned(isSecured: boolean, operations: readonly CosemOperation[], seed: number) {
  const ends = endsOf(isSecured, seed)
  exchange(ends, operations)
  const questions: Buffer[] = []
  const answers: Buffer[] = []
  for (let i = 0; i < 16; i++) {
    const question = ends.client.begin(operations)
    const answer = ends.server.receive(question)!
    questions[ends.client.invokeIdLast] = Buffer.from(question)
    answers[ends.client.invokeIdLast] = Buffer.from(answer)
    ends.client.receive(answer)
  }
  return { ...ends, questions, answers }
}

// ── the floor ──

const gcmOptions = { authTagLength: tagBytes }
const key = createSecretKey(unicast!.copyOfOctets())
const aad = Buffer.concat([Buffer.of(authenticatedEncrypted), authentication!.copyOfOctets()])
const clientVector = Buffer.concat([clientTitle, Buffer.alloc(4)])
const meterVector = Buffer.concat([meterTitle, Buffer.alloc(4)])

/**
 * A plain APDU and its cipher text, sealed and opened with as little as it can be done with: octets
 * as node:crypto gives them.
 */
class Sealed {
  private readonly plain: Buffer
  private readonly vector: Buffer
  private readonly content: Buffer
  private readonly tag: Buffer

  constructor(vector: Buffer, plain: Buffer) {
    this.plain = plain
    this.vector = vector
    const cipher = createCipheriv('aes-128-gcm', key, vector, gcmOptions)
    cipher.setAAD(aad)
    this.content = cipher.update(plain)
    cipher.final()
    this.tag = cipher.getAuthTag()
    assert(this.open().equals(plain), 'what was sealed opens')
  }

  seal(): number {
    const cipher = createCipheriv('aes-128-gcm', key, this.vector, gcmOptions)
    cipher.setAAD(aad)
    const content = cipher.update(this.plain)
    cipher.final()
    return content[0]! ^ cipher.getAuthTag()[0]!
  }

  open(): Buffer {
    const decipher = createDecipheriv('aes-128-gcm', key, this.vector, gcmOptions)
    decipher.setAAD(aad)
    decipher.setAuthTag(this.tag)
    const plain = decipher.update(this.content)
    decipher.final()
    return plain
  }
}

// ── measuring ──

const turns = 9

type Work = { ours: () => number; floor?: (() => number) | undefined; count: number }

/**
 * Measures ours, and its floor when it has one, in turns, and takes the fastest turn of each: a
 * busy machine slows both, but not at the same time. The hash of neither matters: what they give is
 * checked before.
 */
function beside({ ours, floor, count }: Work, smoke: boolean): Record<string, number | undefined> {
  const taken: Measurement[] = []
  const least: Measurement[] = []
  for (let turn = 0; turn < (smoke ? 1 : turns); turn++) {
    if (floor !== undefined) least.push(measure({ op: floor, count, samples: 1, smoke }))
    taken.push(measure({ op: ours, count, samples: 1, smoke }))
  }
  const [ns, bytes] = [fastestOf(taken), bytesOf(taken)]
  if (floor === undefined) return { ns, bytes }
  const floorNs = fastestOf(least)
  return { ns, bytes, floorNs, floorBytes: bytesOf(least), ratio: ns / floorNs }
}

const fastestOf = (taken: readonly Measurement[]): number =>
  Math.min(...taken.map(({ nsPerOp }) => nsPerOp))

function bytesOf(taken: readonly Measurement[]): number | undefined {
  const known = taken.flatMap(({ bytesPerOp }) => bytesPerOp ?? [])
  return known.length === 0 ? undefined : median(known)
}

type Recorder = (label: string, work: Work) => void

/**
 * What the two ends do with the questions and answers of an association, each by itself and
 * together.
 */
function measureEnds(
  record: Recorder,
  isSecured: boolean,
  { label, operation, value, count }: (typeof kinds)[number],
  seed: number,
): void {
  const operations = [operation]
  const { client, server, questions, answers } = canned(isSecured, operations, seed)
  const plain = canned(false, operations, seed)
  const asked = new Sealed(clientVector, plain.questions[0]!)
  const answered = new Sealed(meterVector, plain.answers[0]!)
  const whole = endsOf(isSecured, seed)
  assert(exchange(whole, operations).equals(value), 'the value comes as the meter has it')
  const asClient = (): number => {
    client.begin(operations)
    const step = client.receive(answers[client.invokeIdLast]!)
    return 'results' in step ? step.results[0]!.value![0]! : -1
  }
  const asServer = (): number => server.receive(questions[3]!)![3]!
  assert(asClient() === value[0], 'canned answers are taken')
  assert(server.receive(questions[3]!)!.length === answers[3]!.length, 'so are canned questions')
  const works = {
    client: { ours: asClient, floor: () => asked.seal() ^ answered.open()[0]! },
    server: { ours: asServer, floor: () => asked.open()[0]! ^ answered.seal() },
    exchange: {
      ours: () => exchange(whole, operations)[0]!,
      floor: () => asked.seal() ^ asked.open()[0]! ^ answered.seal() ^ answered.open()[0]!,
    },
  }
  for (const [end, { ours, floor }] of Object.entries(works))
    record(`${isSecured ? 'suite0' : 'clear'}.${label}.${end}`, {
      ours,
      floor: isSecured ? floor : undefined,
      count: isSecured ? count : 10 * count,
    })
}

/** Protection alone. */
function measureChannel(record: Recorder, label: string, plain: Buffer, count: number): void {
  const { client } = channelPair(suites[0])
  const { meter } = channelPair(suites[0], { windows: { unicast: new LenientWindow() } })
  const apdu = Buffer.from(client.protect(plain, choice))
  const sealed = new Sealed(clientVector, plain)
  assert(meter.unprotect(apdu).equals(plain), 'what was protected comes out again')
  const at = apdu.length - 1
  record(`channel.${label}.protect`, {
    ours: () => client.protect(plain, choice)[at]!,
    floor: () => sealed.seal(),
    count,
  })
  record(`channel.${label}.unprotect`, {
    ours: () => meter.unprotect(apdu)[0]!,
    floor: () => sealed.open()[0]!,
    count,
  })
}

/** general-signing over a get-request in the clear. */
function measureVerify(record: Recorder, plain: Buffer): void {
  const { client, meter, options } = channelPair(suites[1])
  const signed = client.protect(plain, { shape: Shape.PLAIN, protection: 0, signature: 'around' })
  const point = options.keys.signing!.publicKey.pointBytes
  const [x, y] = [point.subarray(0, 32), point.subarray(32)].map((part) =>
    part.toString('base64url'),
  )
  const publicKey = createPublicKey({
    key: { kty: 'EC', crv: 'P-256', x: x!, y: y! },
    format: 'jwk',
  })
  const signature = signed.subarray(-64)
  const header = signed.subarray(1, signed.length - 65 - 1 - plain.length)
  const covered = Buffer.concat([header, plain])
  const floor = (): number =>
    verify('sha256', covered, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature) ? 1 : 0
  assert(floor() === 1, 'the floor verifies the same octets')
  record('verifySigned', { ours: () => meter.unprotect(signed)[0]!, floor, count: 200 })
}

export async function run({ smoke, seed, log }: BenchOptions): Promise<Record<string, unknown>> {
  const figures: Record<string, Record<string, number | undefined>> = {}
  const record: Recorder = (label, work) => {
    const figure = beside(work, smoke)
    figures[label] = figure
    const { ns, bytes, floorNs, ratio } = figure
    const floor =
      floorNs === undefined ? '' : `, floor ${Math.round(floorNs)} ns, ratio ${ratio!.toFixed(2)}`
    log(`${label}: ${Math.round(ns!)} ns, ${Math.round(bytes ?? NaN)} octets${floor}`)
  }
  for (const kind of kinds)
    for (const isSecured of [false, true]) measureEnds(record, isSecured, kind, seed)
  for (const { label, operation, count } of kinds) {
    const { questions, answers } = canned(false, [operation], seed)
    measureChannel(record, `${label}Request`, questions[0]!, count)
    measureChannel(record, `${label}Response`, answers[0]!, count)
    for (const [part, apdu] of [
      ['Request', questions[0]!],
      ['Response', answers[0]!],
    ] as const)
      record(`codec.${label}${part}`, {
        ours: () => encodeApdu(decodeApdu(apdu))[0]!,
        count: 10 * count,
      })
  }
  record('codec.dayProfile.write', { ours: () => writeProfile()[0]!, count: 1_000 })
  record('codec.dayProfile.read', { ours: () => readProfile(profileValue), count: 1_000 })
  for (const isSecured of [false, true])
    record(`${isSecured ? 'suite0' : 'clear'}.associate`, {
      ours: () => exchange(endsOf(isSecured, seed), [registerOperation])[0]!,
      count: 500,
    })
  measureVerify(record, canned(false, [registerOperation], seed).questions[0]!)
  return { ...figures, clearApduNs: figures['clear.register.exchange']!['ns']! / 2 }
}
