/**
 * General block transfer: octets laid out by hand, a line that loses and doubles blocks, and
 * whatever nobody would send.
 */
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../../core/base/limits.ts'
import {
  GeneralBlocks,
  type GeneralBlockStep,
} from '../../../../core/dlms/transfer/general-blocks.ts'
import { seededRandom } from '../../../../core/ports/random.ts'
import { outcomeOf } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const sendOf = (step: GeneralBlockStep): Buffer | undefined =>
  step !== undefined && 'send' in step ? step.send : undefined
const apduOf = (step: GeneralBlockStep): Buffer | undefined =>
  step !== undefined && 'apdu' in step ? step.apdu : undefined

// [IEC 62056-5-3, General-Block-Transfer: block-control with last-block, streaming and window; figures of streaming and lost blocks]
t.test('streaming with a window of three, and a lost block', (t) => {
  const client = new GeneralBlocks(3, false)
  const server = new GeneralBlocks(1, true)
  const request = hex('c001c1 0007 0100630100ff 02 00')
  const asked = client.send(request, 100)
  t.same(asked, Buffer.concat([hex('e0 83 0001 0000 0d'), request]), 'last, not streaming, W 3')
  t.equal(client.more(), undefined)
  t.same(apduOf(server.receive(asked)), request)

  const answer = Buffer.from(Array.from({ length: 16 }, (_, i) => i))
  const first = server.send(answer, 9 + 4)
  t.same(first, hex('e0 41 0001 0001 04 00010203'), 'streaming, W 1, acknowledges the request')
  const second = server.more()!
  t.same(second, hex('e0 41 0002 0001 04 04050607'))
  const third = server.more()!
  t.same(third, hex('e0 01 0003 0001 04 08090a0b'), 'the last of the window gives the turn')
  t.equal(server.more(), undefined)

  t.equal(client.receive(first), undefined)
  // The second is lost.
  const acknowledged = sendOf(client.receive(third))!
  t.same(acknowledged, hex('e0 83 0002 0001 00'), 'only the first came in order')
  t.same(sendOf(server.receive(acknowledged)), hex('e0 41 0002 0002 04 04050607'), 'again')
  t.same(server.more(), hex('e0 41 0003 0002 04 08090a0b'))
  const last = server.more()!
  t.same(last, hex('e0 81 0004 0002 04 0c0d0e0f'), 'last')
  t.equal(client.receive(hex('e0 41 0002 0002 04 04050607')), undefined)
  t.equal(client.receive(hex('e0 41 0003 0002 04 08090a0b')), undefined)
  t.same(apduOf(client.receive(last)), answer)
  t.notOk(client.isUnderWay)
  t.end()
})

t.test('a server that begins by itself knows no window, and is told one', (t) => {
  const client = new GeneralBlocks(5, false)
  t.same(sendOf(client.receive(hex('e0 01 0001 0000 02 c401'))), hex('e0 85 0001 0001 00'))
  t.equal(client.receive(hex('e0 41 0002 0001 01 c1')), undefined)
  t.same(apduOf(client.receive(hex('e0 81 0003 0001 02 0000'))), hex('c401c10000'))
  t.end()
})

t.test('numbers and sizes that cannot be', (t) => {
  const sending = new GeneralBlocks(1, false)
  sending.send(Buffer.alloc(100), 30)
  t.throws(() => sending.receive(hex('e0 01 0001 0009 00')), { code: 'DLMS_BLOCK_NUMBER_WRONG' })
  t.throws(() => sending.receive(hex('e0 01 0001')), { code: 'DLMS_LENGTH_INVALID' })
  t.throws(() => sending.receive(hex('e0 01 0001 0001 05 00')), { code: 'DLMS_LENGTH_INVALID' })
  t.throws(() => new GeneralBlocks(1, false).send(Buffer.alloc(70_000), 10), {
    code: 'DLMS_SIZE_EXCEEDED',
  })
  const receiving = new GeneralBlocks(1, false)
  const block = Buffer.concat([hex('e0 01 0001 0000 82f000'), Buffer.alloc(0xf000)])
  const outcome = outcomeOf(() => {
    for (let number = 1; number * 0xf000 < 2 * limits.transferBytesMax; number++) {
      block.writeUInt16BE(number, 2)
      receiving.receive(block)
    }
  })
  t.equal(outcome.code, 'DLMS_SIZE_EXCEEDED', 'what is gathered is bounded')
  t.end()
})

t.test('who asks for the same again and again is given up', (t) => {
  const server = new GeneralBlocks(1, true)
  server.send(Buffer.alloc(100), 30)
  const outcome = outcomeOf(() => {
    for (let i = 0; i <= limits.generalBlockResendsMax; i++)
      server.receive(hex('e0 81 0001 0000 00'))
  })
  t.equal(outcome.code, 'DLMS_TRANSFER_ABORTED')
  t.equal(new GeneralBlocks(1, true).remind(), undefined, 'nothing is under way')
  t.end()
})

/**
 * Both sides over a line that loses and doubles blocks; the client reminds when nothing is on the
 * way.
 */
function overLossyLine(
  seed: number,
  {
    request,
    answer,
    sizes,
    windows,
  }: Record<'request' | 'answer', Buffer> & {
    sizes: [number, number]
    windows: [number, number]
  },
): { heard: Buffer | undefined; gaveUp: boolean } {
  const random = seededRandom(seed)
  const client = new GeneralBlocks(windows[0], false)
  const server = new GeneralBlocks(windows[1], true)
  const line: Array<{ toServer: boolean; block: Buffer }> = []
  const put = (from: GeneralBlocks, first: Buffer | undefined): void => {
    for (let block = first; block !== undefined; block = from.more()) {
      const luck = random.fraction()
      if (luck < 0.1) continue
      const copy = { toServer: from === client, block: Buffer.from(block) }
      line.push(copy)
      if (luck > 0.9) line.push(copy)
    }
  }
  let heard: Buffer | undefined
  put(client, client.send(request, sizes[0]))
  for (let quiet = 0; heard === undefined;) {
    const next = line.shift()
    if (next === undefined) {
      if (++quiet > 500) return { heard, gaveUp: true }
      const reminded = outcomeOf(() => client.remind())
      if (reminded.code === 'DLMS_TRANSFER_ABORTED') return { heard, gaveUp: true }
      if (reminded.value === undefined) throw new Error('silence that nobody would break')
      put(client, reminded.value)
      continue
    }
    const receiver = next.toServer ? server : client
    const outcome = outcomeOf(() => receiver.receive(next.block))
    if (outcome.code === 'DLMS_TRANSFER_ABORTED') return { heard, gaveUp: true }
    if (outcome.code !== undefined) throw new Error(outcome.code)
    const apdu = apduOf(outcome.value)
    if (apdu === undefined) put(receiver, sendOf(outcome.value))
    else if (next.toServer) {
      if (!apdu.equals(request)) throw new Error('another request')
      put(server, server.send(answer, sizes[1]))
    } else heard = apdu
  }
  return { heard, gaveUp: false }
}

t.test('over a line that loses and doubles blocks it comes whole, or is given up', (t) => {
  let gaveUp = 0
  const runs = 400
  fc.assert(
    fc.property(
      fc.integer(),
      fc.tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 2_000 })),
      fc.tuple(fc.integer({ min: 20, max: 60 }), fc.integer({ min: 20, max: 200 })),
      fc.tuple(fc.integer({ min: 1, max: 63 }), fc.integer({ min: 1, max: 8 })),
      (seed, [asked, answered], sizes, windows) => {
        const request = Buffer.from(Array.from({ length: asked }, (_, i) => i * 7))
        const answer = Buffer.from(Array.from({ length: answered }, (_, i) => i * 13))
        const outcome = overLossyLine(seed, { request, answer, sizes, windows })
        if (outcome.gaveUp) gaveUp++
        else t.ok(outcome.heard!.equals(answer))
      },
    ),
    { numRuns: runs },
  )
  t.ok(gaveUp < runs / 10, `${gaveUp} of ${runs} were given up`)
  t.end()
})

t.test('whatever comes: a step or a named error', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 30 }),
      fc.boolean(),
      (all, isServer) => {
        const blocks = new GeneralBlocks(3, isServer)
        for (const octets of all) {
          const block = Buffer.from([0xe0, ...octets])
          // Small numbers meet one another more often.
          if (block.length > 5) block[2] = block[4] = 0
          outcomeOf(() => blocks.receive(block))
          outcomeOf(() => blocks.remind())
        }
      },
    ),
    { numRuns: 2_000 },
  )
  t.pass()
  t.end()
})
