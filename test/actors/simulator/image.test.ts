/**
 * New firmware over a secured association: core's client machine against a simulated meter, with
 * frames lost, the connection cut, images that are wrong, and activations that nobody waits for.
 */
import t from 'tap'
import { firmwareImage, imageLimits } from '../../../actors/simulator/objects/image-objects.ts'
import { makeFault } from '../../../actors/simulator/network/faults.ts'
import { Meter } from '../../../actors/simulator/meter.ts'
import {
  imageOperations,
  imageStart,
  interruptedImage,
  invokeOperation,
  nextImageState,
  readAttribute,
  readOperation,
  writeOperation,
  type ImagePlan,
  type ImageState,
} from '../../../core/dlms/cosem/index.ts'
import { ActionResult } from '../../../core/dlms/apdu/constants.ts'
import { InvocationCounter } from '../../../core/dlms/security/index.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { managerOf, MeterLine } from '../../support/meter-line.ts'
import { electricity, nowMs } from '../../support/meters.ts'

const instanceId = '0-0:44.0.0.255'
const image = firmwareImage('BSB-E-5.0.1', Buffer.alloc(20_000, 'firmware'))
const plan: ImagePlan = {
  instanceId,
  image,
  identifier: Buffer.from('BSB-E-5.0.1.bin'),
  blocksPerExchange: 8,
  signature: image.subarray(-32),
}

/**
 * A meter under a suite, and a client that comes back whenever its exchange failed, as a head-end
 * does.
 */
class Upgrade {
  readonly clock = new SimClock(nowMs)
  readonly meter: Meter
  readonly line: MeterLine
  private readonly counter = new InvocationCounter(1)
  client
  interruptions = 0
  blocksSent = 0
  /**
   * Asked before each exchange: whether the connection is cut right after the requests of it have
   * arrived.
   */
  isCut: (state: ImageState) => boolean = () => false

  constructor(suite: 0 | 1 | 2) {
    const securityShares: [number, number, number] = [0, 0, 0]
    securityShares[suite] = 1
    this.meter = new Meter({ population: { ...electricity, securityShares }, clock: this.clock }, 3)
    this.line = new MeterLine([this.meter])
    this.client = managerOf(this.meter, this.counter)
  }

  /** To the end, or until `until`; the state goes through JSON, as a ledger keeps it. */
  run(of: ImagePlan, begin = imageStart, until?: (state: ImageState) => boolean): ImageState {
    let state = begin
    for (let steps = 0; state.phase !== 'done' && state.phase !== 'failed'; steps++) {
      if (steps > 2_000) throw new Error(`no end: ${JSON.stringify(state)}`)
      if (until?.(state)) return state
      const operations = imageOperations(of, state)
      if (state.phase === 'transfer') this.blocksSent += operations.length
      const isCut = this.isCut(state)
      const results = this.line.exchange(this.client, operations)
      if (results === undefined || isCut) {
        this.comeBack()
        state = interruptedImage(state)
      } else state = nextImageState(of, state, results)
      state = JSON.parse(JSON.stringify(state)) as ImageState
      if (state.isWaiting) this.clock.advanceBy(1_000)
    }
    return state
  }

  comeBack(): void {
    this.interruptions++
    this.line.reconnect()
    this.client = managerOf(this.meter, this.counter)
  }

  get firmware(): string {
    const [answer] = this.line.exchange(this.client, [
      readOperation({ classId: 1, instanceId: '1-0:0.2.0.255' }, 2),
    ])!
    return Buffer.from(answer!.value!).subarray(2).toString('latin1')
  }

  get status(): unknown {
    const [answer] = this.line.exchange(this.client, [
      readOperation({ classId: 18, instanceId }, 'image_transfer_status'),
    ])!
    return readAttribute({ classId: 18 }, 6, Buffer.from(answer!.value!)).json
  }
}

const blockCount = Math.ceil(image.length / imageLimits.blockBytes)

for (const suite of [0, 1, 2] as const)
  t.test(`suite ${suite}: sent, verified, active after a while`, async (t) => {
    const upgrade = new Upgrade(suite)
    const before = upgrade.firmware
    t.match(before, /^BSB-E-4/)
    t.equal(upgrade.run(plan).phase, 'done')
    t.equal(upgrade.blocksSent, blockCount)
    t.equal(upgrade.firmware, 'BSB-E-5.0.1')
    t.equal(upgrade.status, 'activation_successful')
    t.equal(upgrade.interruptions, 0)
  })

t.test('the connection is lost in the middle: what the meter has is not sent again', async (t) => {
  const upgrade = new Upgrade(1)
  let cuts = 0
  upgrade.isCut = (state) => state.phase === 'transfer' && ++cuts % 3 === 0
  t.equal(upgrade.run(plan).phase, 'done')
  t.ok(upgrade.interruptions >= 1)
  t.equal(upgrade.blocksSent, blockCount, 'the blocks of a cut exchange had arrived')
  t.equal(upgrade.firmware, 'BSB-E-5.0.1')
})

t.test('requests and answers are lost', async (t) => {
  const upgrade = new Upgrade(0)
  upgrade.line.board.set('all', [makeFault('silent', { requestShare: 0.15 })])
  t.equal(upgrade.run({ ...plan, blocksPerExchange: 1 }).phase, 'done')
  t.ok(upgrade.interruptions > 2, `${upgrade.interruptions} interruptions`)
  upgrade.line.board.set('all', [])
  upgrade.comeBack()
  t.equal(upgrade.firmware, 'BSB-E-5.0.1')
})

t.test('a wrong image is refused, and another one may be sent', async (t) => {
  const upgrade = new Upgrade(1)
  const before = upgrade.firmware
  const broken = Buffer.from(image)
  broken[5_000]! ^= 1
  const bad = upgrade.run({ ...plan, image: broken, signature: broken.subarray(-32) })
  t.match(bad, { phase: 'failed', failure: 'verification_failed' })
  t.equal(upgrade.status, 'verification_failed')
  const activate = invokeOperation({ classId: 18, instanceId }, 'image_activate')
  t.equal(upgrade.line.exchange(upgrade.client, [activate])![0]!.result, ActionResult.OTHER_REASON)
  t.equal(upgrade.firmware, before)
  const foreign = firmwareImage('OTHER-1.0.0', Buffer.alloc(100))
  t.equal(
    upgrade.run({ ...plan, image: foreign, signature: foreign.subarray(-32) }).phase,
    'failed',
  )
  const huge = { ...plan, image: Buffer.alloc(imageLimits.imageBytesMax + 1) }
  t.match(upgrade.run(huge), { phase: 'failed', failure: 'initiate_refused' })
  t.equal(upgrade.run(plan).phase, 'done')
  t.equal(upgrade.firmware, 'BSB-E-5.0.1')
})

t.test('an activation is interrupted: it goes on without the client', async (t) => {
  const upgrade = new Upgrade(2)
  const before = upgrade.firmware
  const activating = upgrade.run(plan, imageStart, (state) => state.begun === 'activate')
  t.equal(upgrade.status, 'activation_initiated')
  t.equal(upgrade.firmware, before, 'not yet')
  upgrade.comeBack()
  upgrade.clock.advanceBy(imageLimits.activationMs)
  t.equal(upgrade.firmware, 'BSB-E-5.0.1', 'though nobody asked about the image')
  t.equal(upgrade.run(plan, interruptedImage(activating)).phase, 'done')
})

t.test('verified now, active when the schedule says so', async (t) => {
  const upgrade = new Upgrade(0)
  t.match(
    upgrade.run(plan, imageStart, (state) => state.phase === 'activate'),
    { phase: 'activate' },
  )
  const schedule = { classId: 22, instanceId: '0-0:15.0.2.255' }
  const night = [{ time: '03:00:00', date: '2026-11-24' }]
  const write = writeOperation(schedule, 'execution_time', night)
  t.equal(upgrade.line.exchange(upgrade.client, [write])![0]!.result, 0)
  upgrade.clock.advanceTo(Date.UTC(2026, 10, 24, 2, 59))
  t.equal(upgrade.status, 'verification_successful')
  upgrade.clock.advanceTo(Date.UTC(2026, 10, 24, 3, 1))
  t.equal(upgrade.status, 'activation_successful')
  t.equal(upgrade.firmware, 'BSB-E-5.0.1')
})
