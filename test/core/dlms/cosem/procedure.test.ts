/**
 * Procedures against objects of devices: a whole image transfer with losses and restarts, security
 * setup, switches.
 */
import fc from 'fast-check'
import t from 'tap'
import type { CosemOperation, CosemResult } from '../../../../core/ports/wan.ts'
import { ActionResult, DataAccessResult } from '../../../../core/dlms/apdu/constants.ts'
import {
  ControlState,
  nextControlState,
  type ControlTrigger,
} from '../../../../core/dlms/cosem/disconnect-control.ts'
import { ImageReceiver, type ImageChecks } from '../../../../core/dlms/cosem/image-receiver.ts'
import {
  imageOperations,
  imageStart,
  interruptedImage,
  nextImageState,
  type ImagePlan,
  type ImageState,
} from '../../../../core/dlms/cosem/image-transfer.ts'
import {
  invokeOperation,
  readOperation,
  writeOperation,
} from '../../../../core/dlms/cosem/operation.ts'
import { rangeOfEntries } from '../../../../core/dlms/cosem/profile.ts'
import {
  activatePolicy,
  agreeKeys,
  decodeAgreedKeys,
  decodeDer,
  exportCertificate,
  generateKeyPair,
  importCertificate,
  removeCertificate,
  requestCertificateSigning,
  transferKeys,
} from '../../../../core/dlms/cosem/security-setup.ts'
import { decodeDescriptor } from '../../../../core/dlms/apdu/descriptor.ts'
import { KeyId } from '../../../../core/dlms/security/suite.ts'
import { outcomeOf } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
const text = ({ kind, descriptor, selection, value }: CosemOperation): string =>
  [kind, descriptor, selection, value]
    .filter((part) => part !== undefined)
    .map((part) => (typeof part === 'string' ? part : Buffer.from(part).toString('hex')))
    .join(' ')

t.test('operations from names and JSON', async (t) => {
  const limiter = { classId: 71, instanceId: '0-0:17.0.0.255' }
  t.equal(text(readOperation(limiter, 'threshold_active')), 'get 00470000110000ff03')
  t.equal(
    text(readOperation({ classId: 9000, instanceId: '0-0:1.2.3.4' }, -3)),
    'get 2328000001020304fd',
  )
  t.equal(
    text(
      readOperation({ classId: 7, instanceId: '1-0:99.1.0.255' }, 'buffer', rangeOfEntries(1, 2)),
    ),
    'get 00070100630100ff02 02020406000000010600000002120001120000',
  )
  t.equal(
    text(writeOperation(limiter, 'min_over_threshold_duration', 60)),
    'set 00470000110000ff06 060000003c',
  )
  t.equal(
    text(invokeOperation({ classId: 70, instanceId: '0-0:96.3.10.255' }, 'remote_disconnect')),
    'action 0046000060030aff01 0f00',
  )
  t.equal(outcomeOf(() => invokeOperation(limiter, 'explode')).code, 'DLMS_VALUE_INVALID')
  t.equal(
    outcomeOf(() => readOperation({ classId: 9000, instanceId: '0-0:1.2.3.4' }, 'value')).code,
    'DLMS_VALUE_INVALID',
  )
})

t.test('security setup [4.4.7]', async (t) => {
  const v0 = { instanceId: '0-0:43.0.0.255', version: 0 } as const
  const v1 = { instanceId: '0-0:43.0.0.255', version: 1 } as const
  const keys = [
    { keyId: KeyId.GLOBAL_UNICAST, octets: hex('aabb') },
    { keyId: KeyId.AUTHENTICATION, octets: hex('cc') },
  ]
  const at = '004000002b0000ff'
  t.equal(text(activatePolicy(v0, 3)), `action ${at}01 1603`)
  t.equal(text(activatePolicy(v1, 0x6c)), `action ${at}01 166c`)
  const transfer = '01020202160009 02aabb 02021602 0901cc'.replaceAll(' ', '')
  t.equal(text(transferKeys(v0, keys)), `action ${at}02 ${transfer}`)
  t.equal(text(transferKeys(v1, keys)), `action ${at}02 ${transfer}`)
  t.equal(text(agreeKeys(v1, keys.slice(0, 1))), `action ${at}03 0101020216000902aabb`)
  t.equal(outcomeOf(() => agreeKeys(v0, keys)).code, 'DLMS_VALUE_INVALID', 'version 0 has none')
  t.equal(text(generateKeyPair(v1, 'key_agreement')), `action ${at}04 1601`)
  t.equal(text(requestCertificateSigning(v1, 'digital_signature')), `action ${at}05 1600`)
  t.equal(text(importCertificate(v1, hex('3000'))), `action ${at}06 09023000`)
  t.equal(
    text(
      exportCertificate(v1, {
        entity: 'server',
        use: 'digital_signature',
        systemTitle: hex('4d4d4d0000000001'),
      }),
    ),
    `action ${at}07 0202160002031600160009084d4d4d0000000001`,
  )
  t.equal(
    text(removeCertificate(v1, { serialNumber: hex('01'), issuer: hex('02') })),
    `action ${at}08 020216010202090101090102`,
  )
  t.same(decodeAgreedKeys(hex('01 01 02 02 16 02 09 02 0102')), [
    { keyId: KeyId.AUTHENTICATION, octets: hex('0102') },
  ])
  for (const bad of ['11 00', '01 01 11 00', '01 01 02 02 16 09 09 00', '01 01 02 02 16 00 11 00'])
    t.equal(outcomeOf(() => decodeAgreedKeys(hex(bad))).code, 'DLMS_VALUE_INVALID', bad)
  t.same(decodeDer(hex('09 02 3000')), hex('3000'))
  t.equal(outcomeOf(() => decodeDer(hex('11 00'))).code, 'DLMS_VALUE_INVALID')
})

t.test('disconnect control by mode [4.5.8]', async (t) => {
  const { DISCONNECTED, CONNECTED, READY_FOR_RECONNECTION } = ControlState
  const triggers: ControlTrigger[] = [
    'remote_disconnect',
    'remote_reconnect',
    'manual_disconnect',
    'manual_reconnect',
    'local_disconnect',
    'local_reconnect',
  ]
  // State after each trigger from connected, from disconnected, from ready; - not allowed.
  const table: { readonly [mode: number]: string } = {
    0: '------ ------ ------',
    1: '0-2-2- -2---- 0--1--',
    2: '0-2-2- -1---- 0--1--',
    3: '0---2- -2---- 0--1--',
    4: '0---2- -1---- 0--1--',
    5: '0-2-2- -2---- 0--1-1',
    6: '0---2- -2---- 0--1-1',
    7: '------ ------ ------',
  }
  for (const [mode, expected] of Object.entries(table)) {
    const found = [CONNECTED, DISCONNECTED, READY_FOR_RECONNECTION].map((state) =>
      triggers.map((trigger) => nextControlState(Number(mode), state, trigger) ?? '-').join(''),
    )
    t.equal(found.join(' '), expected, `mode ${mode}`)
  }
})

const image = Buffer.from(Array.from({ length: 1000 }, (_, i) => i & 0xff))
const identifier = Buffer.from('FW-2')
const plan: ImagePlan = { instanceId: '0-0:44.0.0.255', image, identifier, blocksPerExchange: 4 }
const goodChecks: ImageChecks = {
  verify: (received) => received.equals(image),
  activate: () => true,
  signatureOf: (received) => received.subarray(0, 4),
}
const receiverOf = (checks: Partial<ImageChecks> = {}, blockBytes = 64): ImageReceiver =>
  new ImageReceiver({ blockBytes, imageBytesMax: 100_000, checks: { ...goodChecks, ...checks } })

function carryOut(
  receiver: ImageReceiver,
  { kind, descriptor, value }: CosemOperation,
): CosemResult {
  const { memberId } = decodeDescriptor(Buffer.from(descriptor))
  const view = value === undefined ? undefined : Buffer.from(value)
  if (kind === 'get') {
    const found = receiver.read(memberId)
    return typeof found === 'number'
      ? { result: found }
      : { result: DataAccessResult.SUCCESS, value: found }
  }
  return {
    result: kind === 'set' ? receiver.write(memberId, view!) : receiver.invoke(memberId, view),
  }
}

/** Runs to the end; `disturb` may change results, or give undefined for an exchange that failed. */
function run(
  receiver: ImageReceiver,
  of: ImagePlan,
  state: ImageState = imageStart,
  disturb: (results: CosemResult[], operations: CosemOperation[]) => CosemResult[] | undefined = (
    results,
  ) => results,
): { state: ImageState; phases: string[]; blocksSent: number } {
  const phases: string[] = []
  let blocksSent = 0
  for (let steps = 0; state.phase !== 'done' && state.phase !== 'failed'; steps++) {
    if (steps > 500) throw new Error(`no end: ${phases.slice(-20).join(' ')}`)
    phases.push(state.phase)
    const operations = imageOperations(of, state)
    if (state.phase === 'transfer') blocksSent += operations.length
    const results = disturb(
      operations.map((operation) => carryOut(receiver, operation)),
      operations,
    )
    // As a ledger keeps it.
    state = JSON.parse(
      JSON.stringify(
        results === undefined ? interruptedImage(state) : nextImageState(of, state, results),
      ),
    )
  }
  t.same(imageOperations(of, state), [])
  t.same(interruptedImage(state), state)
  t.same(nextImageState(of, state, []), state)
  return { state, phases, blocksSent }
}

t.test('image transfer: the seven steps [4.4.6]', async (t) => {
  const { state, phases, blocksSent } = run(receiverOf(), plan)
  t.equal(state.phase, 'done')
  t.equal(blocksSent, 16)
  t.same(phases, [
    'look',
    'initiate',
    'measure',
    'transfer',
    'transfer',
    'transfer',
    'transfer',
    'compare',
    'verify',
    'confirm',
    'activate',
  ])
})

t.test('enabled first when the meter has it switched off', async (t) => {
  const receiver = receiverOf()
  t.equal(receiver.write(5, hex('03 00')), 0)
  t.equal(receiver.invoke(3, hex('0f 00')), ActionResult.OBJECT_UNAVAILABLE)
  const { state, phases } = run(receiver, plan)
  t.same([state.phase, phases.slice(0, 4)], ['done', ['look', 'enable', 'look', 'initiate']])
})

t.test('verification and activation that take their time', async (t) => {
  let verifying = 3
  let activating = 3
  const receiver = receiverOf({
    verify: () => (--verifying > 0 ? undefined : true),
    activate: () => (--activating > 0 ? undefined : true),
  })
  const { state, phases } = run(receiver, plan)
  t.equal(state.phase, 'done')
  t.same(phases.slice(-6), ['look', 'look', 'confirm', 'activate', 'look', 'look'])
  const waiting = nextImageState(plan, { ...imageStart, phase: 'verify', begun: 'initiate' }, [
    { result: ActionResult.TEMPORARY_FAILURE },
  ])
  t.same([waiting.phase, waiting.begun, waiting.isWaiting], ['look', 'verify', true])
})

t.test('failures have names', async (t) => {
  t.equal(run(receiverOf({ verify: () => false }), plan).state.failure, 'verification_failed')
  t.equal(run(receiverOf({ activate: () => false }), plan).state.failure, 'activation_failed')
  let slow = 2
  t.equal(
    run(receiverOf({ verify: () => (--slow > 0 ? undefined : false) }), plan).state.failure,
    'verification_failed',
  )
  t.equal(
    run(receiverOf(), { ...plan, signature: hex('ffff') }).state.failure,
    'other_image_listed',
  )
  t.equal(run(receiverOf(), { ...plan, signature: image.subarray(0, 4) }).state.phase, 'done')
  const refuse = (phase: ImageState['phase'], result = 3) =>
    nextImageState(plan, { ...imageStart, phase }, [{ result }]).failure
  t.same(
    [
      refuse('look'),
      refuse('enable'),
      refuse('initiate'),
      refuse('measure'),
      refuse('compare'),
      refuse('verify'),
      refuse('activate'),
    ],
    [
      'status_refused',
      'transfer_not_enabled',
      'initiate_refused',
      'block_size_invalid',
      'blocks_refused',
      'verification_failed',
      'activation_failed',
    ],
  )
  t.equal(
    nextImageState(plan, imageStart, [{ result: 0, value: hex('16') }]).failure,
    'answer_invalid',
  )
  const stubborn = run(receiverOf(), plan, imageStart, (results, operations) =>
    operations.map(({ descriptor }, i) =>
      descriptor[8] === 2 && operations[i]!.kind === 'action'
        ? { result: ActionResult.OTHER_REASON }
        : results[i]!,
    ),
  )
  // The blocks did arrive: what the meter has counts, not what it said.
  t.equal(stubborn.state.phase, 'done')
  const deaf = nextImageState(
    plan,
    { ...imageStart, phase: 'compare', blockBytes: 64, idleRounds: 3 },
    [{ result: 0, value: hex('06 00000000') }, { result: 3 }],
  )
  t.equal(deaf.failure, 'blocks_refused')
})

t.test('a meter without the list of blocks, or without the first missing one', async (t) => {
  for (const refused of [3, 4]) {
    const { state } = run(receiverOf(), plan, imageStart, (results, operations) =>
      results.map((result, i) =>
        operations[i]!.kind === 'get' && operations[i]!.descriptor[8] === refused
          ? { result: 3 }
          : result,
      ),
    )
    t.equal(state.phase, 'done', `attribute ${refused}`)
  }
})

t.test(
  'interrupted anywhere, blocks lost anywhere: the whole image, and no more blocks than needed',
  async (t) => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 60 }),
        (chances) => {
          let received: Buffer | undefined
          const receiver = receiverOf(
            { activate: (of) => ((received = Buffer.from(of)), true) },
            50,
          )
          let at = 0
          const { state } = run(receiver, plan, imageStart, (results) => {
            const chance = chances[at++] ?? 9
            // The exchange failed after the meter did what was asked.
            return chance === 0 ? undefined : results
          })
          t.equal(state.phase, 'done')
          t.ok(received?.equals(image))
        },
      ),
      { numRuns: 100 },
    )
  },
)

t.test('the state was lost: the meter says where to go on', async (t) => {
  const half = receiverOf()
  let exchanges = 0
  const stopped = (): boolean => ++exchanges > 5
  let state = imageStart
  while (!stopped())
    state = nextImageState(
      plan,
      state,
      imageOperations(plan, state).map((operation) => carryOut(half, operation)),
    )
  t.equal(run(half, { ...plan, isResumed: true }).blocksSent, 8, 'half of it is there already')
  const other = receiverOf()
  for (const step of [1, 2, 3])
    state =
      step === 1
        ? imageStart
        : nextImageState(
            plan,
            state,
            imageOperations(plan, state).map((operation) => carryOut(other, operation)),
          )
  t.equal(run(other, plan).blocksSent, 16, 'an image that may be another is sent again')
  // Verified before: only activated.
  const verified = receiverOf()
  let sent = imageStart
  while (sent.phase !== 'activate')
    sent = nextImageState(
      plan,
      sent,
      imageOperations(plan, sent).map((operation) => carryOut(verified, operation)),
    )
  t.same(run(verified, plan).phases, ['look', 'confirm', 'activate'])
})

t.test('the object of a device refuses what does not fit', async (t) => {
  const receiver = receiverOf()
  const initiate = hex('02 02 09 01 41 06 00000080')
  t.equal(
    receiver.invoke(2, hex('02 02 06 00000000 09 01 00')),
    ActionResult.OTHER_REASON,
    'nothing was initiated',
  )
  t.equal(receiver.invoke(1, undefined), ActionResult.TYPE_UNMATCHED)
  t.equal(
    receiver.invoke(1, hex('02 02 09 01 41 06 00ffffff')),
    ActionResult.OTHER_REASON,
    'too large',
  )
  t.equal(receiver.invoke(1, initiate), ActionResult.SUCCESS)
  t.equal(
    receiver.invoke(2, hex('02 02 06 00000000 09 01 00')),
    ActionResult.OTHER_REASON,
    'a block of another length',
  )
  t.equal(
    receiver.invoke(2, hex(`02 02 06 00000002 09 40 ${'00'.repeat(64)}`)),
    ActionResult.OTHER_REASON,
    'a block too many',
  )
  t.equal(receiver.invoke(2, hex('11 00')), ActionResult.TYPE_UNMATCHED)
  t.equal(receiver.invoke(3, hex('0f 00')), ActionResult.OTHER_REASON, 'blocks are missing')
  t.equal(receiver.invoke(4, hex('0f 00')), ActionResult.OTHER_REASON, 'nothing was verified')
  t.equal(receiver.invoke(9, undefined), ActionResult.OBJECT_UNDEFINED)
  t.equal(receiver.write(2, hex('06 00000001')), DataAccessResult.READ_WRITE_DENIED)
  t.equal(receiver.write(5, hex('11 00')), DataAccessResult.TYPE_UNMATCHED)
  t.equal(receiver.read(9), DataAccessResult.OBJECT_UNDEFINED)
  t.same(receiver.read(3), hex('04 02 00'))
})
