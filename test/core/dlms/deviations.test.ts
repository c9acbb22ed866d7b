/**
 * Models that deviate: proposed conformance, selections that were not agreed, floods of blocks,
 * keys of proofs, short names that are told.
 */
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { deviceProfileOf } from '../../../core/inventory/device-profiles.ts'
import { Conformance, conformanceSupported } from '../../../core/dlms/apdu/constants.ts'
import { decodeApdu } from '../../../core/dlms/apdu/codec.ts'
import { encodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import { DlmsClient, type ClientOptions } from '../../../core/dlms/client/client.ts'
import { shortNameBook } from '../../../core/dlms/cosem/index.ts'
import { encodeDescriptor, encodeSelection } from '../../../core/dlms/apdu/descriptor.ts'
import { GeneralBlocks } from '../../../core/dlms/transfer/general-blocks.ts'
import { parseObis } from '../../../core/dlms/axdr/obis.ts'
import { Shape } from '../../../core/dlms/security/index.ts'
import { DlmsServer, type CosemObjects } from '../../../core/dlms/server/server.ts'
import type { CosemOperation, CosemResult } from '../../../core/ports/wan.ts'
import { clientOptionsOf } from '../../../core/wan/sockets/client-terms.ts'
import { seededRandom } from '../../../core/ports/random.ts'
import { both, exchange, operations, pairOf, plainResults } from '../../support/secured-pair.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const address = { host: 'h', port: 4059, logicalDevice: 1, client: 1 }
const terms = { apduBytesMax: 1_024, invokeIdLast: 0, random: seededRandom(1) }

/** Carries out `asked` with a server; gives the results and the requests. */
function carryOut(
  options: ClientOptions,
  asked: readonly CosemOperation[],
  objects: CosemObjects,
  conformance?: number,
  hasShortNames = false,
): { results: CosemResult[]; sent: Buffer[]; client: DlmsClient } {
  const client = new DlmsClient(options)
  const server = new DlmsServer({
    objects,
    ...(conformance !== undefined && { conformance }),
    ...(hasShortNames && { memberOf: objectNames }),
  })
  const sent: Buffer[] = []
  let apdu = client.begin(asked)
  for (;;) {
    sent.push(Buffer.from(apdu))
    const step = client.receive(server.receive(Buffer.from(apdu))!)
    if ('results' in step) return { results: step.results, sent, client }
    if (!('send' in step)) throw new Error(JSON.stringify(step))
    apdu = step.send
  }
}

const proposedBy = (options: ClientOptions): number => {
  const aarq = decodeApdu(new DlmsClient(options).begin(operations.slice(0, 1))) as never as {
    userInformation: { proposedConformance: number }
  }
  return aarq.userInformation.proposedConformance
}

t.test(
  'the conformance that is proposed: all, without bits by profile, or as the record has it',
  async (t) => {
    const proposed = (profile?: string, conformance?: number): number =>
      proposedBy(clientOptionsOf({ ...address, profile, conformance }, terms))
    const { GENERAL_BLOCK_TRANSFER, SELECTIVE_ACCESS, ACCESS } = Conformance
    t.equal(proposed(), conformanceSupported)
    t.equal(proposed('no-general-blocks'), conformanceSupported & ~GENERAL_BLOCK_TRANSFER)
    t.equal(
      proposed('no-general-blocks+no-access+no-selective-access'),
      conformanceSupported & ~GENERAL_BLOCK_TRANSFER & ~ACCESS & ~SELECTIVE_ACCESS,
      'rows together',
    )
    t.equal(proposed('no-general-blocks', 0x1a_1d), 0x1a_1d, 'the record has the last word')
    t.equal(proposed('short-names') & Conformance.GET, 0)
    t.ok(proposed('short-names+no-general-blocks') & Conformance.READ)
  },
)

const profile = encodeDescriptor({ classId: 7, instanceId: '1-0:99.1.0.255', memberId: 2 })
const selection = encodeSelection({
  type: 'entry',
  fromEntry: 1,
  toEntry: 2,
  fromColumn: 1,
  toColumn: 0,
})
const buffer = encodeValue({ tag: Tag.OCTET_STRING, value: Buffer.from('all') })
const part = encodeValue({ tag: Tag.OCTET_STRING, value: Buffer.from('part') })
const buffers: CosemObjects = {
  get: (_asked, selectionView) => (selectionView === undefined ? buffer : part),
  set: () => 0,
  invoke: () => ({ result: 0 }),
}

t.test(
  'a selection goes out where it was agreed; else the attribute is read whole and says so',
  async (t) => {
    const asked: CosemOperation[] = [
      { kind: 'get', descriptor: profile, selection },
      { kind: 'get', descriptor: profile },
    ]
    const without = conformanceSupported & ~Conformance.SELECTIVE_ACCESS
    const read = (conformance: number, name?: string): CosemResult[] =>
      carryOut(clientOptionsOf({ ...address, profile: name }, terms), asked, buffers, conformance)
        .results
    const whole = [
      { value: buffer, result: 0, isWhole: true },
      { value: buffer, result: 0 },
    ]
    t.same(read(conformanceSupported), [
      { value: part, result: 0 },
      { value: buffer, result: 0 },
    ])
    t.same(read(without), whole)
    t.same(read(conformanceSupported, 'no-selective-access'), whole, 'whatever it agrees to')
    const { results } = carryOut({}, asked.slice(0, 1), buffers, conformanceSupported)
    t.same(results, [{ value: part, result: 0 }], 'the codec by itself changes nothing')
  },
)

// ── general blocks ──

const block = (control: number, number: number, text = 'aa'): Buffer => {
  const octets = hex(text)
  const head = Buffer.from([0xe0, control, number >> 8, number & 0xff, 0, 1, octets.length])
  return Buffer.concat([head, octets])
}

t.test('a full window is acknowledged although the other side streams', async (t) => {
  const blocks = new GeneralBlocks(3, false)
  t.equal(blocks.receive(block(0x41, 1)), undefined)
  t.equal(blocks.receive(block(0x41, 2)), undefined)
  t.same(blocks.receive(block(0x41, 3)), { send: hex('e0 83 0001 0003 00') })
  t.equal(blocks.receive(block(0x41, 4)), undefined)
  t.equal(blocks.receive(block(0x41, 5)), undefined)
  t.same(blocks.receive(block(0x41, 6)), { send: hex('e0 83 0002 0006 00') })
  t.same(blocks.receive(block(0x81, 7, 'bb')), { apdu: hex('aaaaaaaaaaaabb') })
})

t.test('a flood of general blocks ends, and says what helps', async (t) => {
  const floods: [string, (index: number) => Buffer][] = [
    ['the same block', () => block(0x41, 1)],
    ['blocks behind a gap', (index) => block(0x41, 9 + (index % 100))],
    [
      'empty blocks',
      (index) => hex(`e001${(2 + (index % 9_000)).toString(16).padStart(4, '0')}000100`),
    ],
  ]
  for (const [what, flood] of floods) {
    const blocks = new GeneralBlocks(8, false)
    blocks.receive(block(0x41, 1))
    let fault: unknown
    let count = 0
    for (; fault === undefined && count < 10_000; count++)
      try {
        blocks.receive(flood(count))
      } catch (error) {
        fault = error
      }
    t.match(fault, { code: 'DLMS_TRANSFER_ABORTED', detail: /profile no-general-blocks/ }, what)
    t.ok(count <= limits.generalBlocksUselessMax + 1, `${what}: ${count}`)
  }
  const blocks = new GeneralBlocks(8, false)
  for (let number = 1; number <= 2_000; number++) blocks.receive(block(0x41, number))
  t.equal(blocks.blocksReceived, 2_000, 'a long answer is no flood')
})

// ── keys of proofs ──

t.test('pass 3 under the dedicated key, or under the global one', async (t) => {
  for (const [shape, dedicatedTag, globalTag] of [
    [Shape.DEDICATED, 0xd3, 0xcb],
    [Shape.GENERAL_DEDICATED, 0xdc, 0xdb],
  ] as const)
    for (const proofKey of [undefined, 'dedicated', 'global'] as const) {
      const pair = pairOf(0, { shape, protection: both })
      const security = { ...pair.clientOptions.security!, proofKey }
      pair.client = new DlmsClient({ ...pair.clientOptions, mechanism: 5, security })
      pair.server = new DlmsServer({ ...pair.serverOptions, mechanism: 5 })
      const tags: number[] = []
      pair.onWire = (apdu, toServer) => {
        if (toServer) tags.push(apdu[0]!)
        return apdu
      }
      t.same(exchange(pair, operations), plainResults)
      t.equal(tags[1], proofKey === 'global' ? globalTag : dedicatedTag, `${shape} ${proofKey}`)
      t.ok(tags[2] !== globalTag, 'what follows goes under the dedicated key')
    }
  t.equal(deviceProfileOf('dedicated-key+proof-under-global-key')?.proofKey, 'global')
})

// ── short names ──

const energyBase = 0x2af8
const listed: AxdrValue = {
  tag: Tag.ARRAY,
  elements: [
    [energyBase, 3, 0, '1-0:1.8.0.255'],
    [0x3000, 70, 0, '0-0:96.3.10.255'],
    [-1_536, 12, 2, '0-0:40.0.0.255'],
  ].map(([base, classId, version, obis]): AxdrValue => ({
    tag: Tag.STRUCTURE,
    elements: [
      { tag: Tag.LONG, value: base as number },
      { tag: Tag.LONG_UNSIGNED, value: classId as number },
      { tag: Tag.UNSIGNED, value: version as number },
      { tag: Tag.OCTET_STRING, value: parseObis(obis as string) },
    ],
  })),
}
const list = encodeDescriptor({ classId: 12, instanceId: '0-0:40.0.0.255', memberId: 2 })
const energy = encodeDescriptor({ classId: 3, instanceId: '1-0:1.8.0.255', memberId: 2 })
const nobody = encodeDescriptor({ classId: 3, instanceId: '1-0:9.9.9.255', memberId: 2 })
const disconnect = encodeDescriptor({ classId: 70, instanceId: '0-0:96.3.10.255', memberId: 1 })
const kwh = encodeValue({ tag: Tag.DOUBLE_LONG_UNSIGNED, value: 42 })

/** What stands at a short name of the server. */
const objectNames = (name: number) => {
  if (name === 0xfa08) return { kind: 'attribute' as const, descriptor: list }
  if (name === energyBase + 8) return { kind: 'attribute' as const, descriptor: energy }
  if (name === 0x3000 + 0x20) return { kind: 'method' as const, descriptor: disconnect }
  return undefined
}

t.test('a book of short names', async (t) => {
  const book = shortNameBook()
  t.notOk(book.isComplete)
  const get = (descriptor: Buffer): number | undefined => book.nameOf({ kind: 'get', descriptor })
  t.equal(get(list), 0xfa08, 'the one place that is fixed')
  t.equal(get(energy), undefined)
  book.learn(encodeValue(listed))
  t.ok(book.isComplete)
  t.equal(get(energy), energyBase + 8)
  t.equal(get(nobody), undefined)
  t.equal(book.nameOf({ kind: 'action', descriptor: disconnect }), 0x3020)
  const given = shortNameBook({ '1-0:1.8.0.255': energyBase })
  t.ok(given.isComplete, 'nothing is to be read')
  t.equal(given.nameOf({ kind: 'get', descriptor: energy }), energyBase + 8)
  t.throws(() => shortNameBook().learn(hex('0600000000')), { code: 'DLMS_VALUE_INVALID' })
})

t.test('short names are read from the object list once, before the first operation', async (t) => {
  const objects: CosemObjects = {
    get: (asked) => (asked.equals(list) ? encodeValue(listed) : asked.equals(energy) ? kwh : 4),
    set: () => 0,
    invoke: () => ({ result: 0 }),
  }
  const asked: CosemOperation[] = [energy, nobody].map((descriptor) => ({
    kind: 'get',
    descriptor,
  }))
  const options = clientOptionsOf({ ...address, profile: 'short-names' }, terms)
  const { results, sent, client } = carryOut(options, asked, objects, undefined, true)
  t.same(results[0], { value: kwh, result: 0 })
  t.not(results[1]?.result, 0, 'an object that is not listed')
  t.match(sent[1]?.toString('hex'), /^050102fa08/, 'the list')
  t.equal(client.state, 'ASSOCIATED')
  const again = client.begin(asked.slice(0, 1))
  t.match(again.toString('hex'), /^050102/)
  t.equal(again.readUInt16BE(3), energyBase + 8, 'not read twice')
  const known = { ...address, shortNames: { '1-0:1.8.0.255': energyBase } }
  const given = carryOut(clientOptionsOf(known, terms), asked.slice(0, 1), objects, undefined, true)
  t.same(given.results, [{ value: kwh, result: 0 }])
  t.equal(given.sent.length, 2, 'AARQ and read')
  const refusing = { ...objects, get: (): number => 3 }
  t.throws(
    () =>
      carryOut(
        clientOptionsOf({ ...address, profile: 'short-names' }, terms),
        asked,
        refusing,
        undefined,
        true,
      ),
    {
      code: 'DLMS_VALUE_INVALID',
      detail: /object list with short names was refused: result 3/,
    },
  )
})
