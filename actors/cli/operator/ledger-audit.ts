/**
 * Reads a ledger from its first tick, or from the first that it has not forgotten, and says whether
 * it holds together: the hash chain of each partition, and that what was accepted ends once at
 * most. Pure; one damaged partition does not stop the others.
 */
import { stepChain, genesis } from '../../runtime/partition/chain.ts'
import { textOfCause, type FailureCause } from '../../device/cause.ts'
import { isOfRequest, readFact, type DeviceFact, type RequestAccepted } from '../../device/facts.ts'
import { readFact as readPartyFact } from '../../party/facts.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { textOfEui64, type Eui64 } from '../../../core/base/eui64.ts'
import { errorCodeOf } from '../../../core/base/error-table.ts'
import { formatSrv, type Srv } from '../../../core/base/srv.ts'
import { noCounter } from '../../device/counter-bounds.ts'
import type { RequestCountersReset } from '../../device/counters-facts.ts'
import { numberOfCounter, type RequestCounter } from '../../../core/base/counter.ts'
import {
  readCounter,
  readKind,
  readOriginator,
  readOutcome,
  readSrv,
  readTarget,
  readTime,
} from '../../../core/envelope/envelope.ts'
import { chainLinkBytes, forEachEnvelope } from '../../../core/envelope/frame.ts'
import {
  deviceBlocks,
  isInBlock,
  meterPointBlocks,
  partyBlocks,
  scheduleBlocks,
  sourceBlocks,
  Kind,
  letterboxBlocks,
} from '../../../core/envelope/layout.ts'
import { sealIn } from '../../../core/envelope/signed-request.ts'
import { sealedRequestOf } from '../../../core/translate/sealed-request.ts'
import { readTickMessage } from '../../../core/envelope/tick-message.ts'
import { isTickSubject, type LedgerMessage } from '../../../core/ports/ledger.ts'
import type { TrimRecord } from '../../../core/ports/snapshot.ts'
import type { Checkpoint } from '../../../core/ports/store.ts'
import { isCountFact, lineOfCount } from './threshold-audit.ts'
import { lineOfMeterPoint, textOfLinks } from './meter-point-audit.ts'
import { lineOfSchedule } from './schedule-audit.ts'
import { lineOfSource } from './source-audit.ts'
import { requestIdOf, type AuditLine } from './audit-line.ts'
import { LettersAudit } from './letters-audit.ts'
import { lineOfPartyFact, lineOfRejection } from './rejection-audit.ts'

export type { AuditLine }

export type AuditResult = {
  ticks: number
  frames: number
  facts: number
  accepted: number
  ended: number
  deliveries: number
  /** Letters between actors that are in the ledger; missing in backups of versions before them. */
  letters?: number
  /** Accepted and not ended yet. */
  open: number
  lastSequence: number
  /** Ticks up to this sequence were forgotten, and are not counted. */
  forgottenThrough: number
  /** Where each partition's chain ends. */
  chains: Record<string, { frameNumber: number; hash: string }>
  faults: string[]
}

/** Faults told one by one; more are counted as one. */
const faultsMax = 100

/** What else a request says of its turn. */
function termsOf({ request, named }: RequestAccepted): string {
  if (request.run !== undefined) return ', the run of a schedule'
  if (request.future !== undefined)
    return `, to be carried out at ${new Date(request.future.executeAt).toISOString()}`
  if (named === undefined) return ''
  return named.preceding === undefined
    ? ', first of a sequence'
    : `, behind ${numberOfCounter(named.preceding.counter)}`
}

export class LedgerAudit {
  private readonly chains = new Map<number, Checkpoint>()
  private readonly broken = new Set<number>()
  /**
   * RequestIDs that are accepted and not ended: what a deployment has open, not what it ever had.
   */
  private readonly open = new Set<string>()
  private readonly counts = {
    ticks: 0,
    frames: 0,
    facts: 0,
    accepted: 0,
    ended: 0,
    deliveries: 0,
  }
  private readonly faults: string[] = []
  private lastSequence = 0
  private readonly onLine: ((line: AuditLine) => void) | undefined
  private readonly trimmed: TrimRecord
  private readonly letters: LettersAudit

  /**
   * `trimmed` says what the ledger has forgotten; `onLine` gets every fact, letter and delivery.
   * `partitionCount` of 0 is not known.
   */
  constructor(trimmed: TrimRecord, onLine?: (line: AuditLine) => void, partitionCount = 0) {
    this.trimmed = trimmed
    this.onLine = onLine
    const onFault = (text: string): void => this.fault(text)
    this.letters = new LettersAudit({ partitionCount, onFault, onLine })
    for (const [partition, head] of trimmed.heads) this.chains.set(partition, head)
  }

  read(message: LedgerMessage): void {
    const { subject, sequence, data } = message
    // Still there when somebody was stopped between the record and the forgetting.
    if (sequence <= this.trimmed.through) return
    if (!isTickSubject(subject)) return this.readLetters(message)
    this.lastSequence = sequence
    this.counts.ticks++
    this.letters.onTick(sequence)
    try {
      readTickMessage(
        data,
        (partition, frame) => this.readFrame(partition, frame, sequence),
        (party, frame) => this.readDeliveries(party, frame, sequence),
      )
    } catch (fault) {
      this.fault(`sequence ${sequence}: ${said(fault)}`)
    }
  }

  private readLetters(message: LedgerMessage): void {
    try {
      this.letters.read(message, true)
    } catch (fault) {
      this.fault(`sequence ${message.sequence}: ${said(fault)}`)
    }
  }

  /** As `read`, from the middle of a ledger: lines only, no chain can be judged there. */
  readLines(message: LedgerMessage): void {
    if (!isTickSubject(message.subject)) return this.letters.read(message, false)
    readTickMessage(
      message.data,
      (partition, frame) => this.readFacts(partition, frame, message.sequence),
      (party, frame) => this.readDeliveries(party, frame, message.sequence),
    )
  }

  /** Those of all kinds of actor. */
  private readFacts(partition: number, frame: Buffer, sequence: number): void {
    forEachEnvelope(frame, chainLinkBytes, (at) => {
      if (isInBlock(readKind(frame, at), letterboxBlocks.facts))
        this.letters.onFact(partition, frame, at, sequence)
      if (isInBlock(readKind(frame, at), partyBlocks.facts))
        this.onPartyFact(partition, frame, at, sequence)
      if (isInBlock(readKind(frame, at), meterPointBlocks.facts)) {
        this.counts.facts++
        this.onLine?.(lineOfMeterPoint(frame, at, { sequence, partition }))
      }
      if (isInBlock(readKind(frame, at), sourceBlocks.facts)) {
        this.counts.facts++
        this.onLine?.(lineOfSource(frame, at, { sequence, partition }))
      }
      if (isInBlock(readKind(frame, at), scheduleBlocks.facts)) {
        this.counts.facts++
        this.onLine?.(lineOfSchedule(frame, at, { sequence, partition }))
      }
      if (isCountFact(readKind(frame, at))) {
        this.counts.facts++
        this.onLine?.(lineOfCount(frame, at, { sequence, partition }))
      }
      if (!isInBlock(readKind(frame, at), deviceBlocks.facts)) return
      const device = readTarget(frame, at)
      const signed = this.onLine && sealedRequestOf(frame, at)
      const place = { sequence, time: readTime(frame, at), ...(signed && { signed }) }
      this.onFact(partition, device, readFact(frame, at), place)
    })
  }

  private onPartyFact(partition: number, frame: Buffer, at: number, sequence: number): void {
    this.counts.facts++
    const fact = readPartyFact(frame, at)
    const party = readTarget(frame, at)
    const line = { sequence, time: readTime(frame, at), partition, device: textOfEui64(party) }
    this.onLine?.({ ...line, ...lineOfPartyFact(fact) })
  }

  private fault(text: string): void {
    if (this.faults.length < faultsMax) this.faults.push(text)
    else this.faults[faultsMax] = 'and more'
  }

  private readFrame(partition: number, frame: Buffer, sequence: number): void {
    this.counts.frames++
    this.letters.onFrame(partition)
    // Behind its first fault a chain says nothing any more.
    if (this.broken.has(partition)) return
    try {
      const before = this.chains.get(partition) ?? genesis
      this.chains.set(partition, stepChain(partition, before, frame, sequence))
      this.readFacts(partition, frame, sequence)
    } catch (fault) {
      this.broken.add(partition)
      this.fault(`partition ${partition}, sequence ${sequence}: ${said(fault)}`)
    }
  }

  private onFact(
    partition: number,
    device: Eui64,
    fact: DeviceFact,
    { signed, ...place }: Pick<AuditLine, 'sequence' | 'time' | 'signed'>,
  ): void {
    this.counts.facts++
    const { sequence } = place
    const line = { ...place, partition, device: textOfEui64(device) }
    if (fact.type === 'REQUEST_COUNTERS_RESET') {
      const concerns = `${textOfEui64(fact.party)}:${line.device}:`
      this.onLine?.({ ...line, requestId: undefined, concerns, what: resetText(fact) })
      return
    }
    if (fact.type === 'REQUEST_REJECTED') {
      this.onLine?.({ ...line, ...lineOfRejection(fact.type, fact.rejection) })
      return
    }
    if (!isOfRequest(fact)) {
      this.onLine?.({ ...line, requestId: undefined, what: `${fact.type}${becauseOf(fact)}` })
      return
    }
    const { originator, counter } =
      fact.type === 'REQUEST_ACCEPTED' || fact.type === 'REQUEST_SENT' ? fact.request : fact
    const requestId = requestIdOf(originator, device, counter)
    if (fact.type === 'REQUEST_ACCEPTED') {
      this.counts.accepted++
      if (this.open.has(requestId)) this.fault(`sequence ${sequence}: ${requestId} accepted twice`)
      this.open.add(requestId)
      const { srv } = fact.request
      const what = `${fact.type} ${formatSrv(srv)}${termsOf(fact)}${signerText(fact.sealBytes)}`
      this.onLine?.({ ...line, requestId, what, isAcceptance: true, ...(signed && { signed }) })
      return
    }
    if (fact.type === 'REQUEST_ENDED' || fact.type === 'REQUEST_PARKED') {
      this.counts.ended++
      // A request may be parked that was never accepted: the message about it was what failed. What
      // was accepted in a forgotten tick is not known.
      const mayBeUnknown = fact.type === 'REQUEST_PARKED' || this.trimmed.through > 0
      if (!this.open.delete(requestId) && !mayBeUnknown)
        this.fault(`sequence ${sequence}: ${requestId} ended without being open`)
    }
    const outcome = 'outcome' in fact ? (errorCodeOf(fact.outcome) ?? String(fact.outcome)) : ''
    this.onLine?.({ ...line, requestId, what: `${fact.type} ${outcome}`.trim() + becauseOf(fact) })
  }

  private readDeliveries(party: Eui64, frame: Buffer, sequence: number): void {
    forEachEnvelope(frame, 0, (at) => {
      this.counts.deliveries++
      const device = textOfEui64(readTarget(frame, at))
      const line = { sequence, time: readTime(frame, at), partition: undefined, device }
      const to = `to ${textOfEui64(party)}`
      const kind = readKind(frame, at)
      if (kind === Kind.ALERT || kind === Kind.DCC_ALERT) {
        const what = kind === Kind.ALERT ? 'ALERT' : 'DCC_ALERT'
        this.onLine?.({ ...line, requestId: undefined, what: `${what} ${to}` })
        return
      }
      const requestId = `${textOfEui64(readOriginator(frame, at))}:${device}:${readCounter(frame, at)}`
      const srv = formatSrv(readSrv(frame, at) as Srv)
      const outcome = errorCodeOf(readOutcome(frame, at))
      this.onLine?.({ ...line, requestId, what: `DELIVERY ${to} ${srv} ${outcome}` })
    })
  }

  result(): AuditResult {
    const chains: AuditResult['chains'] = {}
    for (const [partition, { frameNumber, hash }] of this.chains)
      chains[partition] = { frameNumber, hash: Buffer.from(hash).toString('hex') }
    return {
      ...this.counts,
      letters: this.letters.count,
      open: this.open.size,
      lastSequence: this.lastSequence,
      forgottenThrough: this.trimmed.through,
      chains,
      faults: [...this.faults],
    }
  }
}

/** Why it failed, where the fact says so; which counters are accepted; who removed the device. */
function becauseOf(fact: DeviceFact): string {
  if (fact.type === 'COUNTER_CONFIRMED') return ` after ${fact.restores} restores`
  if (fact.type === 'COUNTER_ACCEPTED') return ` from ${fact.next}`
  if (fact.type === 'DEVICE_REMOVED') return ` by ${JSON.stringify(fact.by)}`
  const { cause } = fact as { cause?: FailureCause }
  return cause === undefined ? textOfLinks(fact) : `  ${textOfCause(cause)}`
}

const signerText = (sealBytes: Buffer | undefined): string =>
  sealBytes === undefined ? '' : ` signed with ${sealIn(sealBytes).thumbprint.toString('hex')}`

const said = (fault: unknown): string =>
  fault instanceof BrokerError ? `${fault.code} ${fault.detail}` : String(fault)

function resetText({ type, party, from, to, by }: RequestCountersReset): string {
  const text = (counter: RequestCounter): string =>
    counter === noCounter ? 'none' : String(numberOfCounter(counter))
  return (
    `${type} of ${textOfEui64(party)} from highest ${text(from.highest)}, floor ${text(from.floor)} ` +
    `to ${text(to)} by ${JSON.stringify(by)}`
  )
}
