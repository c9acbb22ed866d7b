/**
 * Takes requests to devices: body → COSEM operations → WAN → results → response body. At most one
 * exchange of a device at a time, also across a reload of its partition.
 */
import { asBuffer, emptyBytes } from '../../core/base/bytes.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { formatSrv } from '../../core/base/srv.ts'
import { serviceRequestOf, type ServiceRequestRow } from '../../core/catalogue/service-requests.ts'
import { deviceTimeOf, type DeviceTime } from '../../core/catalogue/device-time.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { Lane } from '../../core/base/lane.ts'
import type { DeviceRecord } from '../../core/inventory/device-record.ts'
import type { Clock } from '../../core/ports/clock.ts'
import { formatObis } from '../../core/dlms/axdr/obis.ts'
import type { KeyVault } from '../../core/crypto/key-vault.ts'
import type { Log } from '../../core/ports/log.ts'
import type {
  CosemOperation,
  CosemResult,
  ExchangeCause,
  ExchangeFailure,
  ExchangeResult,
  Wan,
} from '../../core/ports/wan.ts'
import { answerOf } from '../../core/translate/answer.ts'
import { commandOf } from '../../core/translate/command.ts'
import { keyTransferOf, provingOperations } from '../../core/translate/key-transfer.ts'
import type { Send, SendKeys, SendKeyStep } from '../device/effects.ts'
import type { Answered, CountersOf, KeyStepAnswered } from '../device/messages.ts'

export type ExchangePorts = { wan: Wan; keys: KeyVault; clock: Clock; log: Log }

type Sending = Send | SendKeyStep
type OnAnswered = (answered: Answered | KeyStepAnswered) => void

export class Exchanges {
  /** By device, what is on its way, and what to call when it has come back. */
  private readonly underway = new Map<
    Eui64,
    { sending: Sending; onFree: (() => void) | undefined }
  >()
  private readonly wan: Wan
  private readonly keys: KeyVault
  private readonly clock: Clock
  private readonly log: Log

  constructor({ wan, keys, clock, log }: ExchangePorts) {
    this.wan = wan
    this.keys = keys
    this.clock = clock
    this.log = log
  }

  get count(): number {
    return this.underway.size
  }

  /**
   * Sends what `sending` has; `onAnswered` is called once, at any later time. While another one of
   * the device is on its way (sent before its partition was reloaded) nothing is sent, and `onFree`
   * is called when that has come back.
   */
  start(device: Eui64, sending: Sending, onAnswered: OnAnswered, onFree: () => void): void {
    const present = this.underway.get(device)
    if (present !== undefined) {
      // The same one is on its way already; its answer will do.
      if (!isSame(present.sending, sending)) present.onFree = onFree
      return
    }
    this.underway.set(device, { sending, onFree: undefined })
    const finish: OnAnswered = (answered) => {
      const onFreeNow = this.underway.get(device)?.onFree
      this.underway.delete(device)
      onAnswered(answered)
      onFreeNow?.()
    }
    if (sending.type === 'SEND') this.request(device, sending, finish)
    else void this.keyStep(device, sending).then(finish)
  }

  // No async function: each would add promises to every request, and one promise, the port's, is
  // enough.
  private request(device: Eui64, sending: Send, finish: OnAnswered): void {
    const { request, record, keys, readableFromMs } = sending
    const { srv, lane, bodyBytes } = request
    let counters = unusedOf(keys)
    try {
      const row = serviceRequestOf(srv)
      const time = deviceTimeOf(record)
      if (row === undefined) throw new Error('no such service reference variant')
      const reading = readableFromMs === undefined ? time : { ...time, readableFromMs }
      const operations = commandOf(row, bodyBytes, this.clock.now(), record.type, reading)
      counters = allOf(keys)
      this.exchange(device, record, operations, lane, keys).then(
        (exchanged) => finish(this.answered(device, sending, { row, time, operations }, exchanged)),
        (fault: unknown) => finish(this.parked(device, sending, counters, fault)),
      )
    } catch (fault) {
      queueMicrotask(() => finish(this.parked(device, sending, counters, fault)))
    }
  }

  private answered(
    device: Eui64,
    sending: Send,
    { row, time, operations }: Command,
    exchanged: ExchangeResult,
  ): Answered {
    const counters = usedOf(sending.keys, exchanged)
    try {
      if (!exchanged.ok) {
        this.noteFailure(device, exchanged)
        return answeredWith(sending, counters, exchanged.code, emptyBytes, causeOf(exchanged))
      }
      const { outcome, bodyBytes, detail } = answerOf(row, operations, exchanged.results, time)
      if (outcome === 'OK') return answeredWith(sending, counters, outcome, bodyBytes)
      const why = detail ?? firstRefusalIn(operations, exchanged.results)
      return answeredWith(sending, counters, outcome, bodyBytes, { code: outcome, detail: why })
    } catch (fault) {
      return this.parked(device, sending, counters, fault)
    }
  }

  /** A fault of ours, not of the device: the request is put aside, and its party told. */
  private parked(
    device: Eui64,
    sending: Send,
    counters: CountersOf | undefined,
    fault: unknown,
  ): Answered {
    const srv = formatSrv(sending.request.srv)
    this.log.error(
      { device: textOfEui64(device), srv, fault: String(fault) },
      'a command failed in translation',
    )
    return answeredWith(sending, counters, 'DEVICE_ACTOR_PARKED', emptyBytes)
  }

  private async keyStep(device: Eui64, sending: SendKeyStep): Promise<KeyStepAnswered> {
    const { step, record, keys, newSealedKeys } = sending
    let counters = unusedOf(keys)!
    const end = (outcome: ErrorCode, cause?: ExchangeCause): KeyStepAnswered => ({
      type: 'KEY_STEP_ANSWERED',
      step,
      outcome: errorId(outcome),
      counters,
      ...(cause && { cause }),
    })
    try {
      const operations =
        step.stage === 'TRANSFER'
          ? this.transferOf(device, keys.sealedKeys, newSealedKeys)
          : provingOperations
      counters = allOf(keys)!
      const exchanged = await this.exchange(device, record, operations, Lane.NORMAL, keys)
      counters = usedOf(keys, exchanged)!
      if (!exchanged.ok) {
        this.noteFailure(device, exchanged)
        return end(exchanged.code, causeOf(exchanged))
      }
      return end(exchanged.results.every(({ result }) => result === 0) ? 'OK' : 'DEVICE_REFUSED')
    } catch (fault) {
      const code = fault instanceof BrokerError ? fault.code : 'DEVICE_ACTOR_PARKED'
      this.log.error(
        { device: textOfEui64(device), stage: step.stage, code },
        'a step of a replacement of keys could not be taken',
      )
      return end(code)
    }
  }

  private transferOf(device: Eui64, sealedKeys: Buffer, newSealedKeys: Buffer) {
    const { master } = this.keys.open(device, sealedKeys)
    if (master === undefined) throw new BrokerError('KEYS_REPLACEMENT_UNFIT')
    return keyTransferOf(master, this.keys.open(device, newSealedKeys))
  }

  private exchange(
    device: Eui64,
    { address }: DeviceRecord,
    operations: readonly CosemOperation[],
    lane: Lane,
    keys: SendKeys | undefined,
  ): Promise<ExchangeResult> {
    const { isCounterUnknown } = keys ?? {}
    const security = keys && {
      device,
      sealedKeys: keys.sealedKeys,
      counters: keys.counters,
      ...(isCounterUnknown && { isCounterUnknown }),
    }
    // The very object of the record: the next exchange is known to be for the same address by it.
    const ours = address.device === device ? address : { ...address, device }
    return this.wan.exchange(ours, { cosem: operations }, lane, security)
  }

  private noteFailure(device: Eui64, { code, detail }: ExchangeFailure): void {
    this.log.debug({ device: textOfEui64(device), code, detail }, 'an exchange failed')
  }
}

/** What a request is carried out by. */
type Command = {
  row: ServiceRequestRow
  time: DeviceTime
  operations: readonly CosemOperation[]
}

/** Of a request that is not to be sent after all, with `outcome` as the reason. */
export const notSent = (sending: Send, outcome: ErrorCode): Answered =>
  answeredWith(sending, unusedOf(sending.keys), outcome, emptyBytes)

function answeredWith(
  { request: { originator, counter }, record }: Send,
  counters: CountersOf | undefined,
  outcome: ErrorCode,
  bodyBytes: Buffer,
  cause?: ExchangeCause,
): Answered {
  return {
    type: 'ANSWERED',
    originator,
    counter,
    outcome: errorId(outcome),
    bodyBytes,
    counters: record.address.security && counters,
    ...(cause && { cause }),
  }
}

const causeOf = ({ code, detail, cause }: ExchangeFailure): ExchangeCause =>
  cause ?? { code, detail }

/** Which of the operations the device refused first. */
function firstRefusalIn(
  operations: readonly CosemOperation[],
  results: readonly CosemResult[],
): string {
  const index = results.findIndex(({ result }) => result !== 0)
  if (index < 0) return 'a value is not the one that was to be set'
  const { kind, descriptor } = operations[index]!
  const member = asBuffer(descriptor)
  const obis = formatObis(member.subarray(2, 8))
  return `${kind} of class ${member.readUInt16BE(0)}, ${obis}, member ${member.readInt8(8)}: result ${results[index]!.result}`
}

function isSame(a: Sending, b: Sending): boolean {
  if (a.type === 'SEND')
    return (
      b.type === 'SEND' &&
      a.request.counter === b.request.counter &&
      a.request.originator === b.request.originator
    )
  return (
    b.type === 'SEND_KEY_STEP' && a.step.stage === b.step.stage && a.step.number === b.step.number
  )
}

/** Nothing was sent. */
function unusedOf(keys: SendKeys | undefined): CountersOf | undefined {
  if (keys === undefined) return undefined
  const { from, received } = keys.counters
  return { number: keys.number, from, next: from, received }
}

/** It is not known what was sent: perhaps all of them. */
function allOf(keys: SendKeys | undefined): CountersOf | undefined {
  if (keys === undefined) return undefined
  const { from, to, received } = keys.counters
  return { number: keys.number, from, next: to, received }
}

function usedOf(keys: SendKeys | undefined, { counters }: ExchangeResult): CountersOf | undefined {
  if (keys === undefined || counters === undefined) return allOf(keys)
  const { from, to, received: known } = keys.counters
  const isWithin = counters.next >= from && counters.next <= to
  // What the exchange brought along is no news: an operator may have had it forgotten meanwhile.
  const received = counters.received > known ? counters.received : -1
  return { ...counters, number: keys.number, from, next: isWithin ? counters.next : to, received }
}
