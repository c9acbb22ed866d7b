/**
 * The thresholds of a party, and those over all parties: each request that counts to one is counted
 * here, one by one, before it goes on to its device. So never more than a threshold passes in a
 * window, whatever hosts do; what is over it is in quarantine. Pure.
 */
import {
  decodeCount,
  encodeCount,
  QuarantineReason,
  type CountLetter,
  type CountWord,
} from '../../core/access/count-letters.ts'
import type { Directory } from '../../core/access/directory.ts'
import { encodeQuarantine, pageActorOf, pageOf } from '../../core/access/quarantine-list.ts'
import {
  allParties,
  countsTo,
  decodeThresholds,
  encodeThresholds,
  isCounted,
  windowAt,
  type Threshold,
  type ThresholdRecord,
} from '../../core/access/thresholds.ts'
import { actorIdOf, ActorKindNumber, kindOfActor, octetsOfActor } from '../../core/base/actor-id.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { errorId } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { formatWithMeterPoints } from '../../core/cluster/format.ts'
import type { Srv } from '../../core/base/srv.ts'
import { readBodyView, readKind, readTarget } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { warningBodyOf } from '../../core/translate/dcc-alert.ts'
import { acknowledge, refuse, type Enter, type Outbox } from '../kind/effects.ts'
import { isLetter, type LetterCame, type Tell } from '../kind/letters.ts'
import { isArrived, type ActorMessage, type Arrived } from '../kind/messages.ts'
import type { ThresholdFact } from './facts.ts'
import type { Count, ThresholdState } from './state.ts'

export type ThresholdOutbox = Outbox<ThresholdFact, Tell | Enter>

const unopened: Count = { window: -1, passed: 0, warned: -1 }

/**
 * Says what a message means. Thresholds never ask to be woken: a window opens with its first count.
 */
export function decide(
  state: ThresholdState,
  message: ActorMessage,
  now: number,
  directory: Directory,
  out: ThresholdOutbox,
): void {
  if (isLetter(message)) return decideLetter(state, message, now, directory, out)
  if (!isArrived(message)) return
  const kind = readKind(message.buffer, message.at)
  if (kind === Kind.THRESHOLDS_CHANGE) return decideChange(state, message, now, directory, out)
  if (kind !== Kind.QUARANTINE_QUERY) return refuse(out, message, 'ENVELOPE_MALFORMED', now)
  const { replyTo } = message
  out.effects.push({
    type: 'REPORT',
    kind: Kind.QUARANTINE,
    replyTo,
    bodyBytes: encodeQuarantine({
      held: state.held,
      pages: [...state.pages].sort(([a], [b]) => a - b),
      windows: state.counts.map(({ window, passed }) => [window, passed]),
    }),
  })
}

// ── what a file sets ──

function decideChange(
  { record }: ThresholdState,
  message: Arrived,
  now: number,
  directory: Directory,
  out: ThresholdOutbox,
): void {
  if (directory.format < formatWithMeterPoints)
    return refuse(out, message, 'FORMAT_NOT_RAISED', now)
  const change = changeIn(readBodyView(message.buffer, message.at))
  if (change === undefined) return refuse(out, message, 'THRESHOLDS_MALFORMED', now)
  const party = readTarget(message.buffer, message.at)
  if (party !== allParties && !directory.records.has(party))
    return refuse(out, message, 'PARTY_UNKNOWN', now)
  // The answer to the first time may be lost: the same file again changes nothing.
  const isSame = record?.file === change.file && record.fileHash === change.fileHash
  if (!isSame) {
    if (record !== undefined && change.file <= record.file)
      return refuse(out, message, 'THRESHOLDS_FILE_OLD', now)
    const after = { ...change, changedAtMs: now }
    out.facts.push({ type: 'THRESHOLDS_SET', time: now, record: after })
    out.effects.push({ type: 'ENTER', bodyBytes: encodeThresholds(after) })
  }
  acknowledge(out, message, errorId('REQUEST_ACCEPTED'), now)
}

function changeIn(view: Buffer): ThresholdRecord | undefined {
  try {
    return decodeThresholds(view)
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return undefined
  }
}

// ── counting ──

function decideLetter(
  state: ThresholdState,
  { from, bodyBytes }: LetterCame,
  now: number,
  directory: Directory,
  out: ThresholdOutbox,
): void {
  const letter = decodeCount(bodyBytes)
  const sender = kindOfActor(from)
  const isOfThresholds = sender === ActorKindNumber.THRESHOLD
  switch (letter.word) {
    case 'COUNT':
      return isOfThresholds
        ? countOfAll(state, letter, now, out)
        : countOfParty(state, letter, now, directory, out)
    case 'OVER':
      return isOfThresholds ? quarantine(state, letter, now, out) : undefined
    case 'LEFT':
      return left(state, { ...letter, device: octetsOfActor(from) }, now, out)
    default:
    // Said by thresholds, not to them.
  }
}

/** A device asks, and may be told at once, or those over all parties are asked next. */
function countOfParty(
  state: ThresholdState,
  letter: CountLetter,
  now: number,
  directory: Directory,
  out: ThresholdOutbox,
): void {
  const { originator, srv, reason } = letter
  if (reason === QuarantineReason.VALUE) return quarantine(state, letter, now, out)
  if (isFullFor(state, srv, now))
    return quarantine(state, { ...letter, reason: QuarantineReason.PARTY }, now, out)
  const passed: CountLetter = { ...letter, word: 'PASSED', atMs: now }
  warn(state, originator, srv, now, out)
  out.facts.push({ type: 'REQUEST_COUNTED', time: now, counted: passed })
  if (isCounted(directory.thresholds?.get(allParties), srv))
    out.effects.push(tellThresholds(allParties, { ...passed, word: 'COUNT' }))
  else out.effects.push(tellDevice(passed))
}

/** The thresholds of a party ask those over all parties. */
function countOfAll(
  state: ThresholdState,
  letter: CountLetter,
  now: number,
  out: ThresholdOutbox,
): void {
  const isFull = isFullFor(state, letter.srv, now)
  const word: CountWord = isFull ? 'FULL' : 'PASSED'
  const counted: CountLetter = { ...letter, word }
  out.facts.push({ type: 'REQUEST_COUNTED', time: now, counted })
  const over: CountLetter = { ...letter, word: 'OVER', reason: QuarantineReason.ALL_PARTIES }
  out.effects.push(isFull ? tellThresholds(letter.originator, over) : tellDevice(counted))
}

/** The request goes to quarantine; without room there it is refused. */
function quarantine(
  { held, lastEvent, pages }: ThresholdState,
  letter: CountLetter,
  now: number,
  out: ThresholdOutbox,
): void {
  const event = lastEvent + 1
  const hasPage = pages.has(pageOf(event)) || pages.size < limits.quarantinePagesMax
  const hasRoom = held < limits.quarantinedPerPartyMax && hasPage
  const counted: CountLetter = hasRoom
    ? { ...letter, word: 'QUARANTINED', event }
    : { ...letter, word: 'FULL', event: 0 }
  out.facts.push({ type: 'REQUEST_COUNTED', time: now, counted })
  out.effects.push(tellDevice(counted))
  if (hasRoom) out.effects.push(tellPage({ ...counted, word: 'LISTED', atMs: now }))
}

function left(
  { pages }: ThresholdState,
  letter: CountLetter,
  now: number,
  out: ThresholdOutbox,
): void {
  if (!pages.has(pageOf(letter.event))) return
  out.facts.push({ type: 'QUARANTINE_LEFT', time: now, counted: letter })
  out.effects.push(tellPage({ ...letter, word: 'UNLISTED' }))
}

const openAt = ({ window, passed, warned }: Count, { hours }: Threshold, now: number): Count => {
  const present = windowAt(hours, now)
  return present > window ? { window: present, passed: 0, warned } : { window, passed, warned }
}

/** True when one of the thresholds that `srv` counts to lets nothing more pass. */
const isFullFor = ({ record, counts }: ThresholdState, srv: Srv, now: number): boolean =>
  record?.thresholds.some(
    (one, index) =>
      countsTo(one, srv) && openAt(counts[index] ?? unopened, one, now).passed >= one.quarantine,
  ) === true

/** Warns the party, once a window, when one more reaches the warning of a threshold. */
function warn(
  { record, counts }: ThresholdState,
  party: Eui64,
  srv: Srv,
  now: number,
  out: ThresholdOutbox,
): void {
  for (const [index, one] of (record?.thresholds ?? []).entries()) {
    const { window, passed, warned } = openAt(counts[index] ?? unopened, one, now)
    if (!countsTo(one, srv) || warned === window || passed + 1 < one.warning) continue
    out.deliveries.push({
      party,
      time: now,
      receivedAt: now,
      bodyBytes: warningBodyOf(one, passed + 1, now),
      isOfDcc: true,
    })
  }
}

const tellDevice = (letter: CountLetter): Tell => ({
  type: 'TELL',
  to: actorIdOf(ActorKindNumber.DEVICE, letter.device),
  bodyBytes: encodeCount(letter),
})
const tellThresholds = (party: Eui64, letter: CountLetter): Tell => ({
  type: 'TELL',
  to: actorIdOf(ActorKindNumber.THRESHOLD, party),
  bodyBytes: encodeCount(letter),
})
const tellPage = (letter: CountLetter): Tell => ({
  type: 'TELL',
  to: actorIdOf(
    ActorKindNumber.QUARANTINE_PAGE,
    pageActorOf(letter.originator, pageOf(letter.event)),
  ),
  bodyBytes: encodeCount(letter),
})

/** The only place that changes the state. */
export function evolve(state: ThresholdState, fact: ThresholdFact): void {
  switch (fact.type) {
    case 'THRESHOLDS_SET':
      return evolveRecord(state, fact.record)
    case 'QUARANTINE_LEFT':
      state.held--
      state.pages = withPage(state.pages, pageOf(fact.counted.event), -1)
      return
    case 'REQUEST_COUNTED':
      return evolveCount(state, fact.counted, fact.time)
  }
}

/** A threshold that stays keeps what has passed in its window. */
function evolveRecord(state: ThresholdState, record: ThresholdRecord): void {
  const before = state.record?.thresholds ?? []
  const { counts } = state
  state.counts = record.thresholds.map(({ srv, hours }) => {
    const index = before.findIndex((one) => one.srv === srv && one.hours === hours)
    return counts[index] ?? unopened
  })
  state.record = record
}

function evolveCount(state: ThresholdState, counted: CountLetter, time: number): void {
  const { word, event, srv, reason, atMs } = counted
  const thresholds = state.record?.thresholds ?? []
  if (word === 'PASSED')
    state.counts = thresholds.map((one, index) => {
      const count = state.counts[index]!
      if (!countsTo(one, srv)) return count
      const open = openAt(count, one, time)
      const passed = open.passed + 1
      return { ...open, passed, warned: passed >= one.warning ? open.window : open.warned }
    })
  // It had passed here, and did not pass all parties': it is taken back.
  else if (reason === QuarantineReason.ALL_PARTIES)
    state.counts = thresholds.map((one, index) => {
      const count = state.counts[index]!
      const isOfWindow = countsTo(one, srv) && windowAt(one.hours, atMs) === count.window
      return isOfWindow && count.passed > 0 ? { ...count, passed: count.passed - 1 } : count
    })
  if (event === 0) return
  state.lastEvent = event
  state.held++
  state.pages = withPage(state.pages, pageOf(event), 1)
}

function withPage(
  pages: ReadonlyMap<number, number>,
  page: number,
  more: number,
): ReadonlyMap<number, number> {
  const after = new Map(pages)
  const count = (after.get(page) ?? 0) + more
  if (count > 0) after.set(page, count)
  else after.delete(page)
  return after
}
