/**
 * What `busbar submit`, `busbar receive` and `busbar status` do; actors/main.ts gives them their
 * options. For people: one request or a handful, in words. Each settles with the exit code and
 * never rejects: 0 done, 1 refused or failed, 2 wrong options, 3 nobody listens.
 */
import { status, type ServiceError } from '@grpc/grpc-js'
import { ServiceRequest, type RequestId } from '../../../proto/gen/busbar/v1/service_request.ts'
import { RequestState } from '../../../proto/gen/busbar/v1/input_gateway.ts'
import type { Delivery } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { parseEui64 } from '../../../core/base/eui64.ts'
import { hostPortExample, parseHostPort } from '../../../core/base/host-port.ts'
import { limits } from '../../../core/base/limits.ts'
import { requestCounterMax, RequestCounters } from '../../../core/base/request-counter.ts'
import { parseSrv } from '../../../core/base/srv.ts'
import { serviceRequestOf } from '../../../core/catalogue/service-requests.ts'
import { pause, type Clock } from '../../../core/ports/clock.ts'
import { busbarCode, retryAfterMs, SupplierClient } from '../../../core/client/supplier-client.ts'
import { signRequest } from '../../../core/client/sign-request.ts'
import type { PartyCredentials } from '../../../core/access/credentials.ts'
import { tlsFaultOf } from './gateway-fault.ts'
import { credentialsOf, readSigningFiles } from './party-credentials.ts'
import { alertLines, dccAlertLines, responseLines, timeText } from './reading-text.ts'
import {
  acknowledgementLine,
  deliveryLine,
  statusLine,
} from '../../../core/gateway/http/json-line.ts'

/** Where lines go, what time it is, and how Ctrl-C is heard. */
export type Terminal = {
  out(line: string): void
  err(line: string): void
  clock: Clock
  onInterrupt(action: () => void): void
}

export type SubmitOptions = {
  /** `host:port` of the gRPC gateway. */
  gateway: string
  party: string
  /** Folder with the party's certificate. */
  pki?: string
  device: string
  srv: string
  /** ISO 8601; for variants that read a period. */
  from?: string
  to?: string
  /** Instead of the options for the fields of a body. */
  body?: ServiceRequest['body']
  /** For 3.1. */
  text?: string
  /** For 6.11, in seconds. */
  tolerance?: string
  /** Nanoseconds since 1970 when left out. */
  counter?: string
  /** The gateway assigns the counter. */
  assignCounter?: boolean
  /** Files of the key and the certificate that the request is signed with. */
  signingKey?: string
  signingCertificate?: string
  firstInSequence?: boolean
  /** Counter of the predecessor in a sequence. */
  after?: string
  /** ISO 8601: when it is to be carried out. */
  at?: string
  priority?: string
  /** Seconds from now. */
  deadline?: string
  /** Waits for the response and prints it. */
  wait?: boolean
  /** Seconds to wait. */
  timeout?: string
  /** JSON lines on `out`: the acknowledgement, then the delivery with the response. */
  json?: boolean
}

export type ReceiveOptions = {
  gateway: string
  party: string
  /** Folder with the party's certificate. */
  pki?: string
  credit?: string
  count?: string
  /** Seconds without a delivery after which it ends. */
  idle?: string
  keep?: boolean
  /** Ends another receiver of the party. */
  takeOver?: boolean
  entries?: string
  /** A JSON line on `out` for each delivery. */
  json?: boolean
}

export type StatusOptions = {
  gateway: string
  party: string
  /** Folder with the party's certificate. */
  pki?: string
  device: string
  counter: string
  json?: boolean
}

const entriesShown = 48
const waitSecondsDefault = 120
/** 30 days. */
const idleSecondsMax = 2_592_000n

class WrongOption extends Error {}

function wholeNumber(name: string, text: string, max: bigint): bigint {
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : max + 1n
  if (value > max)
    throw new WrongOption(`--${name} must be a whole number from 0 to ${max}, not ${text}`)
  return value
}

const u64Max = 0xffff_ffff_ffff_ffffn

function time(name: string, text: string): Date {
  const date = new Date(text)
  if (Number.isNaN(date.getTime()))
    throw new WrongOption(`--${name} must be a time such as 2026-03-01T00:00:00Z, not ${text}`)
  return date
}

function eui64(name: string, text: string): string {
  if (parseEui64(text) === undefined)
    throw new WrongOption(
      `--${name} must be an EUI-64 such as 90-B3-D5-1F-30-01-00-00, not ${text}`,
    )
  return text
}

function bodyOf(options: SubmitOptions): ServiceRequest['body'] {
  const { body, from, to, text, tolerance } = options
  if (body !== undefined) return body
  if (text !== undefined) return { $case: 'displayMessage', value: { text } }
  if (tolerance !== undefined) {
    return {
      $case: 'synchroniseClock',
      value: { toleranceSeconds: Number(wholeNumber('tolerance', tolerance, 86_400n)) },
    }
  }
  if (from === undefined && to === undefined) {
    // 6.11 takes a body, but nothing need be said in it.
    const row = serviceRequestOf(parseSrv(options.srv))
    return row?.bodyType === 18
      ? { $case: 'synchroniseClock', value: { toleranceSeconds: 0 } }
      : undefined
  }
  if (from === undefined || to === undefined) throw new WrongOption('--from and --to go together')
  return { $case: 'readPeriod', value: { startTime: time('from', from), endTime: time('to', to) } }
}

const priorities: Readonly<Record<string, ServiceRequest['priority']>> = {
  urgent: 1,
  normal: 2,
  bulk: 3,
}

function counterOf(text: string | undefined, nowMs: number): bigint {
  if (text === undefined) return new RequestCounters(() => nowMs).next()
  const counter = wholeNumber('counter', text, requestCounterMax)
  if (counter === 0n) throw new WrongOption('--counter must be above 0')
  return counter
}

/** @throws WrongOption */
function sequenceOf({
  party: originator,
  device: target,
  firstInSequence = false,
  after,
}: SubmitOptions): Pick<ServiceRequest, 'firstInSequence' | 'precedingRequestId'> {
  if (after === undefined) return { firstInSequence, precedingRequestId: undefined }
  if (firstInSequence) throw new WrongOption('--first-in-sequence and --after exclude each other')
  const counter = wholeNumber('after', after, requestCounterMax)
  return { firstInSequence, precedingRequestId: { originator, target, counter } }
}

/** The request that the options ask for. @throws WrongOption */
function requestOf(options: SubmitOptions, nowMs: number): ServiceRequest {
  const { party, device, srv, counter, assignCounter = false, priority, deadline } = options
  if (assignCounter && counter !== undefined)
    throw new WrongOption('--counter and --assign-counter exclude each other')
  if (parseSrv(srv) === 0)
    throw new WrongOption(`--srv must be a service reference variant such as 4.1.1, not ${srv}`)
  const priorityNumber = priority === undefined ? 0 : priorities[priority]
  if (priorityNumber === undefined)
    throw new WrongOption(`--priority is urgent, normal or bulk, not ${priority}`)
  return ServiceRequest.create({
    requestId: {
      originator: eui64('party', party),
      target: eui64('device', device),
      counter: assignCounter ? 0n : counterOf(counter, nowMs),
    },
    serviceReferenceVariant: srv,
    deadline:
      deadline === undefined
        ? undefined
        : new Date(nowMs + Number(wholeNumber('deadline', deadline, 2_592_000n)) * 1000),
    priority: priorityNumber,
    assignCounter,
    ...sequenceOf(options),
    executionTime: options.at === undefined ? undefined : time('at', options.at),
    body: bodyOf(options),
  })
}

/** `request`, signed when a key is given. @throws WrongOption */
function signedAs(
  request: ServiceRequest,
  { signingKey, signingCertificate, assignCounter = false }: SubmitOptions,
): ServiceRequest {
  if (signingKey === undefined) {
    if (signingCertificate === undefined) return request
    throw new WrongOption('--signing-certificate goes with --signing-key')
  }
  if (assignCounter) throw new WrongOption('--signing-key and --assign-counter exclude each other')
  try {
    return signRequest(request, readSigningFiles(signingKey, signingCertificate))
  } catch (error) {
    // Of the files, or of what stands in them: no octet of a key is in it.
    throw new WrongOption(`--signing-key: ${(error as Error).message}`)
  }
}

/** The address of a gateway. A target with a scheme, such as `dns:///name`, is left to gRPC. */
function gatewayOf(text: string): string {
  if (parseHostPort(text) === undefined && !/^[a-z][a-z0-9]*:[^0-9:]/.test(text))
    throw new WrongOption(`--gateway must be ${hostPortExample}, not ${text}`)
  return text
}

/** Runs a command with a client, and says in words what went wrong. */
async function withClient(
  { gateway, party, pki }: { gateway: string; party: string; pki?: string },
  terminal: Terminal,
  run: (client: SupplierClient) => Promise<number>,
): Promise<number> {
  let client: SupplierClient | undefined
  let credentials: PartyCredentials | undefined
  try {
    credentials = credentialsOf({ party: eui64('party', party), pki })
    client = new SupplierClient({ address: gatewayOf(gateway), credentials })
    return await run(client)
  } catch (error) {
    if (error instanceof WrongOption) {
      terminal.err(error.message)
      return 2
    }
    const { code, details } = error as Partial<ServiceError>
    if (code === status.UNAVAILABLE && busbarCode(error) === undefined) {
      const fault = credentials && (await tlsFaultOf(gateway, credentials))
      if (fault !== undefined) {
        terminal.err(fault)
        return 1
      }
      terminal.err(
        `Nobody listens at ${gateway}. Start Busbar with \`npm start\`, ` +
          `or name another gateway with --gateway host:port.`,
      )
      return 3
    }
    terminal.err(details ?? (error instanceof Error ? error.message : String(error)))
    return 1
  } finally {
    client?.close()
  }
}

/**
 * Waits for the response, which stays among the deliveries of the party; no receiver is disturbed.
 */
async function awaitResponse(
  client: SupplierClient,
  requestId: RequestId,
  seconds: number,
  { terminal, isJson }: { terminal: Terminal; isJson: boolean },
): Promise<number> {
  const { clock } = terminal
  const endsAt = clock.elapsedMs() + seconds * 1000
  const interrupted = new Promise<undefined>((resolve) =>
    terminal.onInterrupt(() => resolve(undefined)),
  )
  for (;;) {
    const waitMs = Math.min(Math.max(endsAt - clock.elapsedMs(), 0), limits.longPollMsMax)
    const delivery = await Promise.race([responseOf(client, requestId, waitMs), interrupted])
    if (typeof delivery === 'number' && clock.elapsedMs() + delivery < endsAt) {
      await Promise.race([pause(clock, delivery), interrupted])
      continue
    }
    if (delivery === undefined || typeof delivery === 'number') {
      terminal.err('No response came in time; it will be among the deliveries: busbar receive')
      return 1
    }
    if (delivery.content?.$case !== 'response') throw new Error('the delivery has no response')
    const { value } = delivery.content
    const lines = isJson ? [deliveryLine(delivery)] : responseLines(value, entriesShown)
    for (const line of lines) terminal.out(line)
    return delivery.content.value.responseCode === 'I0' ? 0 : 1
  }
}

/** The delivery, or the wait in ms after which it is to be asked for again. */
async function responseOf(
  client: SupplierClient,
  requestId: RequestId,
  waitMs: number,
): Promise<Delivery | number> {
  try {
    return await client.response(requestId, { waitMs })
  } catch (error) {
    const retryMs = retryAfterMs(error)
    if (retryMs > 0) return retryMs
    throw error
  }
}

/** Submits one request; prints its acknowledgement and, with `wait`, its response. */
export function submitCommand(options: SubmitOptions, terminal: Terminal): Promise<number> {
  return withClient(options, terminal, async (client) => {
    const request = requestOf(options, terminal.clock.now())
    const seconds =
      options.timeout === undefined
        ? waitSecondsDefault
        : Number(wholeNumber('timeout', options.timeout, 2_592_000n))
    const acknowledgement = await client.submit(signedAs(request, options))
    const { responseCode, reason, message, requestId } = acknowledgement
    // That of the acknowledgement: the gateway may have assigned it.
    const sent = { ...request, requestId: requestId ?? request.requestId }
    const isAccepted = responseCode === 'I99'
    const isJson = options.json === true
    if (isJson) terminal.out(acknowledgementLine(acknowledgement))
    const line = `${responseCode} ${reason}  counter ${sent.requestId?.counter}`
    if (!isAccepted) {
      terminal.err(line)
      terminal.err(`  ${message}`)
      return 1
    }
    if (!isJson) terminal.out(line)
    return options.wait ? awaitResponse(client, sent.requestId!, seconds, { terminal, isJson }) : 0
  })
}

/** A delivery as lines for people. */
function deliveryWords({ content, deliveryId }: Delivery, entries: number): string[] {
  const head = `delivery ${deliveryId}`
  if (content?.$case === 'response') return [head, ...responseLines(content.value, entries)]
  if (content?.$case === 'alert') return [head, ...alertLines(content.value)]
  if (content?.$case === 'dccAlert') return [head, ...dccAlertLines(content.value)]
  return [`${head} of a kind that this version does not know`]
}

/** Calls `end` when `seconds` pass without a call of `again`; without `seconds` never. */
function idleWatch(
  clock: Clock,
  seconds: number | undefined,
  end: () => void,
): { again(): void; disarm(): void } {
  let disarm = (): void => {}
  const again = (): void => {
    disarm()
    if (seconds !== undefined) disarm = clock.at(clock.now() + seconds * 1000, end)
  }
  again()
  return { again, disarm: () => disarm() }
}

/**
 * Prints deliveries and acknowledges them, until `count` have come, none has come for `idle`
 * seconds, or Ctrl-C.
 */
export function receiveCommand(options: ReceiveOptions, terminal: Terminal): Promise<number> {
  return withClient(options, terminal, async (client) => {
    const credit = Number(wholeNumber('credit', options.credit ?? '1000', 100_000n))
    const countMax =
      options.count === undefined
        ? Infinity
        : Number(wholeNumber('count', options.count, 1_000_000_000n))
    const entries = Number(
      wholeNumber('entries', options.entries ?? String(entriesShown), 1_000_000n),
    )
    const idleSeconds =
      options.idle === undefined
        ? undefined
        : Number(wholeNumber('idle', options.idle, idleSecondsMax))
    let count = 0
    let stop = (): void => {}
    const stopped = new Promise<void>((resolve) => (stop = resolve))
    terminal.onInterrupt(stop)
    const idle = idleWatch(terminal.clock, idleSeconds, stop)
    const onDeliveries = (list: Delivery[]): void => {
      let last: bigint | undefined
      idle.again()
      for (const delivery of list) {
        if (count >= countMax) break
        count++
        last = delivery.deliveryId
        const lines = options.json ? [deliveryLine(delivery)] : deliveryWords(delivery, entries)
        for (const line of lines) terminal.out(line)
      }
      if (last !== undefined && !options.keep) stream.acknowledge(last)
      if (count >= countMax) stop()
    }
    const stream = client.receive(credit, onDeliveries, { onlyIfFree: !options.takeOver })
    if (countMax === 0) stop()
    await Promise.race([stopped, stream.done]).finally(idle.disarm)
    await stream.end()
    terminal.err(`${count} deliveries ${options.keep ? 'seen, none acknowledged' : 'acknowledged'}`)
    return 0
  })
}

const stateWords: Readonly<Record<number, string>> = {
  [RequestState.REQUEST_STATE_WAITING]: 'waiting for its turn at the device',
  [RequestState.REQUEST_STATE_SENT]: 'on its way to the device',
  [RequestState.REQUEST_STATE_ENDED]: 'ended',
  [RequestState.REQUEST_STATE_QUARANTINED]: 'in quarantine',
  [RequestState.REQUEST_STATE_WAITING_FOR_PREDECESSOR]: 'waiting for its predecessor',
}

/** Prints how far a request is. */
export function statusCommand(options: StatusOptions, terminal: Terminal): Promise<number> {
  return withClient(options, terminal, async (client) => {
    const answer = await client.status({
      originator: eui64('party', options.party),
      target: eui64('device', options.device),
      counter: wholeNumber('counter', options.counter, u64Max),
    })
    const { state, serviceReferenceVariant, responseCode, reason, acceptedAt, endedAt, attempts } =
      answer
    if (options.json) {
      terminal.out(statusLine(answer))
      return 0
    }
    terminal.out(
      `${stateWords[state] ?? `state ${state}`}  ` +
        `SRV ${serviceReferenceVariant}  attempts ${attempts}`,
    )
    terminal.out(`  accepted ${timeText(acceptedAt)}`)
    if (state === RequestState.REQUEST_STATE_ENDED)
      terminal.out(`  ended ${timeText(endedAt)}  ${responseCode} ${reason}`)
    return 0
  })
}
