/**
 * The hash chain of a partition: what follows is taken, anything else is LEDGER_CHAIN_BROKEN and
 * says where.
 */
import t from 'tap'
import { genesis, isInChain, stepChain } from '../../actors/runtime/partition/chain.ts'
import {
  chainLinkBytes,
  FrameWriter,
  hashOfFrame,
  writeChainLink,
  type ChainLink,
} from '../../core/envelope/frame.ts'
import { writeTickMessage } from '../../core/envelope/tick-message.ts'

function frameOf(link: ChainLink): Buffer {
  const writer = new FrameWriter()
  writer.reserve(chainLinkBytes)
  const frame = writer.take()
  writeChainLink(frame, 0, link)
  return frame
}

const first = frameOf({ partition: 3, frameNumber: 1, previousHash: Buffer.from(genesis.hash) })
const second = frameOf({ partition: 3, frameNumber: 2, previousHash: hashOfFrame(first) })

t.test('frames that follow one another are taken', (t) => {
  const one = stepChain(3, genesis, first, 10)
  t.same(one, { sequence: 10, frameSequence: 10, frameNumber: 1, hash: hashOfFrame(first) })
  t.equal(stepChain(3, one, second, 12).frameNumber, 2)
  t.end()
})

t.test('one left out, one twice, one of another partition, one that was changed', (t) => {
  const one = stepChain(3, genesis, first, 10)
  const changed = Buffer.from(first)
  changed[chainLinkBytes - 1]! ^= 1
  const broken: Array<[string, () => unknown]> = [
    ['left out', () => stepChain(3, genesis, second, 12)],
    ['twice', () => stepChain(3, one, first, 12)],
    ['of another partition', () => stepChain(4, genesis, first, 10)],
    ['changed', () => stepChain(3, genesis, changed, 10)],
  ]
  for (const [what, step] of broken) t.throws(step, { code: 'LEDGER_CHAIN_BROKEN' }, what)
  t.throws(() => stepChain(3, genesis, Buffer.from('rubbish'), 1), { code: 'FRAME_MALFORMED' })
  t.end()
})

t.test('a checkpoint belongs to the ledger that has its frame, and to no other', (t) => {
  const one = stepChain(3, genesis, first, 10)
  const tick = (frame: Buffer): Buffer => writeTickMessage([{ partition: 3, frame }], [])
  t.ok(isInChain(3, genesis, undefined), 'nothing has been folded')
  t.ok(isInChain(3, one, tick(first)))
  t.notOk(isInChain(3, one, tick(second)))
  t.notOk(isInChain(3, one, writeTickMessage([{ partition: 4, frame: first }], [])))
  t.notOk(isInChain(3, one, undefined))
  t.notOk(isInChain(3, one, Buffer.from('rubbish')))
  t.end()
})
