/**
 * Image transfer from the client's side, as a pure machine: a state, the operations to carry out
 * next, and the next state from their results. [IEC 62056-6-2, Image transfer, the procedure's
 * steps 1 to 7]
 *
 *   look ─▶ enable ─▶ initiate ─▶ measure ─▶ transfer ⇄ compare ─▶ verify ─▶ confirm ─▶ activate ─▶ done
 *     ▲                                                     (failed from anywhere, with a reason)
 *     └── after every interruption: what the meter has, not what was sent, says where to go on
 *
 * The state is plain data that goes into a ledger. When it is lost, a meter that was already
 * verified is only activated; a half-sent image is sent again unless the plan says that it was
 * ours.
 */
import { limits } from '../../base/limits.ts'
import { BrokerError } from '../../base/broker-error.ts'
import type { CosemOperation, CosemResult } from '../../ports/wan.ts'
import { ActionResult, DataAccessResult } from '../apdu/constants.ts'
import { asBuffer } from '../../base/bytes.ts'
import { decodeValue, Tag, type AxdrValue } from '../axdr/axdr.ts'
import { invokeOperation, readOperation, writeOperation, type CosemObject } from './operation.ts'
import { bitText } from './raw-json.ts'

/** `image` and `identifier` are borrowed. */
export type ImagePlan = {
  /** As a rule `0-0:44.0.0.255`. */
  instanceId: string
  image: Uint8Array
  /** Octets by which the meter knows the image; often its file name. */
  identifier: Uint8Array
  /** Blocks in one list of operations. */
  blocksPerExchange: number
  /** A transfer that the meter has begun is ours: go on with it. */
  isResumed?: boolean
  /** What the meter must show of the verified image, when it is known. */
  signature?: Uint8Array
}

export type ImagePhase =
  | 'look'
  | 'enable'
  | 'initiate'
  | 'measure'
  | 'transfer'
  | 'compare'
  | 'verify'
  | 'confirm'
  | 'activate'
  | 'done'
  | 'failed'

export type ImageFailure =
  | 'status_refused'
  | 'transfer_not_enabled'
  | 'initiate_refused'
  | 'block_size_invalid'
  | 'blocks_refused'
  | 'verification_failed'
  | 'other_image_listed'
  | 'activation_failed'
  | 'answer_invalid'

export type ImageState = {
  phase: ImagePhase
  /** The last thing that the meter was told and may be at. */
  begun: 'nothing' | 'initiate' | 'verify' | 'activate'
  /** The meter is at it: ask again later. */
  isWaiting: boolean
  blockBytes: number
  /**
   * Bits of the blocks that the meter has, `0` and `1`; shorter than there are blocks: the rest is
   * not there.
   */
  transferred: string
  /** The block to send next, from 0. */
  nextBlock: number
  /** Comparisons since the meter had more blocks than before. */
  idleRounds: number
  failure?: ImageFailure
  /** The result that said no. */
  result?: number
}

const Status = {
  NOT_INITIATED: 0,
  INITIATED: 1,
  VERIFYING: 2,
  VERIFIED: 3,
  VERIFICATION_FAILED: 4,
  ACTIVATING: 5,
  ACTIVATED: 6,
  ACTIVATION_FAILED: 7,
} as const

export const imageStart: ImageState = {
  phase: 'look',
  begun: 'nothing',
  isWaiting: false,
  blockBytes: 0,
  transferred: '',
  nextBlock: 0,
  idleRounds: 0,
}

/** The exchange failed, or the process began again: the meter is asked where it stands. */
export function interruptedImage(state: ImageState): ImageState {
  return isEnded(state) ? state : { ...state, phase: 'look', isWaiting: false }
}

function isEnded({ phase }: ImageState): boolean {
  return phase === 'done' || phase === 'failed'
}

/** What to carry out in this state; nothing when it is at its end. */
export function imageOperations(plan: ImagePlan, state: ImageState): CosemOperation[] {
  const object: CosemObject = { classId: 18, instanceId: plan.instanceId }
  switch (state.phase) {
    case 'look':
      return ['image_transfer_status', 'image_transfer_enabled', 'image_to_activate_info'].map(
        (name) => readOperation(object, name),
      )
    case 'enable':
      return [writeOperation(object, 'image_transfer_enabled', true)]
    case 'initiate':
      return [
        invokeOperation(object, 'image_transfer_initiate', {
          image_identifier: asBuffer(plan.identifier).toString('hex'),
          image_size: plan.image.length,
        }),
      ]
    case 'measure':
      return [readOperation(object, 'image_block_size'), ...comparison(object)]
    case 'compare':
      return comparison(object)
    case 'transfer':
      return blocksToSend(plan, state).map((block) =>
        invokeOperation(object, 'image_block_transfer', {
          image_block_number: block,
          image_block_value: asBuffer(plan.image)
            .subarray(block * state.blockBytes, (block + 1) * state.blockBytes)
            .toString('hex'),
        }),
      )
    case 'verify':
      return [invokeOperation(object, 'image_verify')]
    case 'confirm':
      return [readOperation(object, 'image_to_activate_info')]
    case 'activate':
      return [invokeOperation(object, 'image_activate')]
    case 'done':
    case 'failed':
      return []
  }
}

function comparison(object: CosemObject): CosemOperation[] {
  return [
    readOperation(object, 'image_first_not_transferred_block_number'),
    readOperation(object, 'image_transferred_blocks_status'),
  ]
}

/**
 * The state after `results`, one for each of `imageOperations`. An answer of another shape fails
 * the transfer by name.
 */
export function nextImageState(
  plan: ImagePlan,
  state: ImageState,
  results: readonly CosemResult[],
): ImageState {
  if (isEnded(state)) return state
  try {
    return next(plan, { ...state, isWaiting: false }, results)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return failed(state, 'answer_invalid')
  }
}

function next(plan: ImagePlan, state: ImageState, results: readonly CosemResult[]): ImageState {
  const first = results[0] ?? { result: DataAccessResult.OTHER_REASON }
  const isDone = first.result === ActionResult.SUCCESS
  const isTemporary = first.result === ActionResult.TEMPORARY_FAILURE
  switch (state.phase) {
    case 'look':
      return looked(plan, state, results)
    case 'enable':
      return isDone
        ? { ...state, phase: 'look' }
        : failed(state, 'transfer_not_enabled', first.result)
    case 'initiate':
      if (isTemporary) return { ...state, isWaiting: true }
      return isDone
        ? {
            ...state,
            phase: 'measure',
            begun: 'initiate',
            transferred: '',
            nextBlock: 0,
            idleRounds: 0,
          }
        : failed(state, 'initiate_refused', first.result)
    case 'measure': {
      const blockBytes = numberIn(first)
      if (blockBytes === undefined || blockBytes < 1)
        return failed(state, 'block_size_invalid', first.result)
      return compared(plan, { ...state, blockBytes }, results.slice(1))
    }
    case 'compare':
      return compared(plan, state, results)
    case 'transfer':
      return transferred(plan, state, results)
    case 'verify':
      if (isDone) return { ...state, phase: 'confirm', begun: 'verify' }
      // It goes on by itself: its status tells the outcome.
      if (isTemporary) return { ...state, phase: 'look', begun: 'verify', isWaiting: true }
      return failed(state, 'verification_failed', first.result)
    case 'confirm':
      return isOtherListed(plan, first)
        ? failed(state, 'other_image_listed')
        : { ...state, phase: 'activate' }
    case 'activate':
      if (isDone) return { ...state, phase: 'done', begun: 'activate' }
      if (isTemporary) return { ...state, phase: 'look', begun: 'activate', isWaiting: true }
      return failed(state, 'activation_failed', first.result)
    case 'done':
    case 'failed':
      return state
  }
}

function looked(plan: ImagePlan, state: ImageState, results: readonly CosemResult[]): ImageState {
  const [status, enabled, listed] = results
  const at = numberIn(status)
  if (at === undefined) return failed(state, 'status_refused', status?.result)
  if (state.begun === 'activate') {
    if (at === Status.ACTIVATING) return { ...state, isWaiting: true }
    // A new firmware may begin with nothing initiated.
    if (at === Status.ACTIVATED || at === Status.NOT_INITIATED) return { ...state, phase: 'done' }
    if (at === Status.ACTIVATION_FAILED) return failed(state, 'activation_failed')
  }
  const isOurs = state.begun !== 'nothing' || plan.isResumed === true
  if (at === Status.VERIFIED && (isOurs || isListed(plan, listed)))
    return { ...state, phase: 'confirm', begun: 'verify' }
  if (isOurs) {
    if (at === Status.VERIFYING) return { ...state, begun: 'verify', isWaiting: true }
    if (at === Status.VERIFICATION_FAILED && state.begun === 'verify')
      return failed(state, 'verification_failed')
    if (at === Status.INITIATED) return { ...state, phase: 'measure', begun: 'initiate' }
  }
  if (valueIn(enabled)?.tag === Tag.BOOLEAN && !(valueIn(enabled) as { value: boolean }).value)
    return { ...state, phase: 'enable' }
  return { ...state, phase: 'initiate', begun: 'nothing' }
}

/** What the meter has of the blocks says what is sent next. */
function compared(plan: ImagePlan, state: ImageState, results: readonly CosemResult[]): ImageState {
  const blockCount = Math.ceil(plan.image.length / state.blockBytes)
  const firstMissing = numberIn(results[0])
  const bits = valueIn(results[1])
  // One of the two is enough.
  const known =
    bits?.tag === Tag.BIT_STRING && bits.bitCount > 0
      ? bitText(bits.value, Math.min(bits.bitCount, blockCount))
      : '1'.repeat(Math.min(firstMissing ?? 0, blockCount))
  if (firstMissing === undefined && bits === undefined)
    return failed(state, 'blocks_refused', results[0]?.result)
  const missing = known.indexOf('0')
  const nextBlock = missing < 0 ? known.length : missing
  const isComplete =
    nextBlock >= blockCount || (firstMissing !== undefined && firstMissing >= blockCount)
  if (isComplete) return { ...state, phase: 'verify', transferred: known }
  const before = countOf(state.transferred)
  const idleRounds =
    state.phase === 'compare' && countOf(known) <= before ? state.idleRounds + 1 : 0
  if (idleRounds > limits.imageIdleRoundsMax) return failed(state, 'blocks_refused')
  return { ...state, phase: 'transfer', transferred: known, nextBlock, idleRounds }
}

function transferred(
  plan: ImagePlan,
  state: ImageState,
  results: readonly CosemResult[],
): ImageState {
  const sent = blocksToSend(plan, state)
  const refused = results.findIndex(({ result }) => result !== ActionResult.SUCCESS)
  const after = { ...state, nextBlock: (sent.at(-1) ?? state.nextBlock) + 1 }
  if (refused >= 0 || results.length < sent.length) {
    const isTemporary = results[refused]?.result === ActionResult.TEMPORARY_FAILURE
    return { ...after, phase: 'compare', isWaiting: isTemporary, ...resultOf(results[refused]) }
  }
  return blocksToSend(plan, after).length > 0 ? after : { ...after, phase: 'compare' }
}

function resultOf(refused: CosemResult | undefined): { result?: number } {
  return refused === undefined ? {} : { result: refused.result }
}

function blocksToSend(plan: ImagePlan, state: ImageState): number[] {
  const blockCount = Math.ceil(plan.image.length / state.blockBytes)
  const blocks: number[] = []
  for (let i = state.nextBlock; i < blockCount && blocks.length < plan.blocksPerExchange; i++)
    if (state.transferred[i] !== '1') blocks.push(i)
  return blocks
}

function countOf(bits: string): number {
  return bits.split('1').length - 1
}

function imagesIn(result: CosemResult | undefined): AxdrValue[][] {
  const value = valueIn(result)
  if (value?.tag !== Tag.ARRAY && value?.tag !== Tag.COMPACT_ARRAY) return []
  return value.elements.map((image) => (image.tag === Tag.STRUCTURE ? image.elements : []))
}

function isListed(plan: ImagePlan, result: CosemResult | undefined): boolean {
  return imagesIn(result).some(([size, identification, signature]) => {
    if (numberOf(size) !== plan.image.length) return false
    if (identification?.tag !== Tag.OCTET_STRING || !identification.value.equals(plan.identifier))
      return false
    if (plan.signature === undefined) return true
    return signature?.tag === Tag.OCTET_STRING && signature.value.equals(plan.signature)
  })
}

/**
 * A meter that lists no images is believed that it verified ours, unless a signature is asked for.
 */
function isOtherListed(plan: ImagePlan, result: CosemResult): boolean {
  const isSilent = imagesIn(result).length === 0 && plan.signature === undefined
  return !isSilent && !isListed(plan, result)
}

function valueIn(result: CosemResult | undefined): AxdrValue | undefined {
  if (result?.value === undefined || result.result !== DataAccessResult.SUCCESS) return undefined
  return decodeValue(asBuffer(result.value))
}

function numberIn(result: CosemResult | undefined): number | undefined {
  return numberOf(valueIn(result))
}

function numberOf(value: AxdrValue | undefined): number | undefined {
  if (value === undefined || !('value' in value)) return undefined
  return typeof value.value === 'number' ? value.value : undefined
}

function failed(state: ImageState, failure: ImageFailure, result?: number): ImageState {
  const end: ImageState = { ...state, phase: 'failed', isWaiting: false, failure }
  if (result !== undefined) end.result = result
  return end
}
