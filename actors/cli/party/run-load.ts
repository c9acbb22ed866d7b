/** What `busbar load` does with its options: the plan, the load, the report. */
import { readFileSync } from 'node:fs'
import { status, type ServiceError } from '@grpc/grpc-js'
import { formatEui64, parseEui64 } from '../../../core/base/eui64.ts'
import { RequestCounters } from '../../../core/base/request-counter.ts'
import { parseSrv } from '../../../core/base/srv.ts'
import {
  serviceRequestOf,
  type ServiceRequestRow,
} from '../../../core/catalogue/service-requests.ts'
import type { Terminal } from './party-session.ts'
import { busbarCode } from '../../../core/client/supplier-client.ts'
import { UsageFault } from '../operator-fault.ts'
import { tlsFaultOf } from './gateway-fault.ts'
import { credentialsOf } from './party-credentials.ts'
import { grpcDoor } from '../../load/grpc-door.ts'
import { HttpDoor } from '../../load/http-door.ts'
import { LoadPlan, type LoadShape } from '../../load/load-plan.ts'
import { isClean, reportLines } from '../../load/load-report.ts'
import { LoadRun, type LoadEvents } from '../../load/load-run.ts'
import { LoadTally } from '../../load/load-tally.ts'

/** Texts of the command line. */
export type LoadOptions = {
  gateway: string
  party: string
  pki?: string
  http?: string
  devices?: string
  device?: string[]
  srv: string
  inFlight: string
  rate?: string
  seconds: string
  warmUp: string
  drain: string
  json: boolean
}

function positive(name: string, text: string, min = 1): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value < min)
    throw new UsageFault(`--${name} must be a number from ${min} up, not ${text}`)
  return value
}

/**
 * The targets: those of `--device`, and those of the inventory file whose type takes all variants
 * of `rows`.
 */
function devicesOf(options: LoadOptions, rows: readonly ServiceRequestRow[]): string[] {
  const { devices: file, device: named = [] } = options
  const listed = file === undefined ? [] : inventoryIn(file)
  const fit = listed.filter(({ type }) =>
    rows.every(({ deviceTypes }) => (deviceTypes as readonly unknown[]).includes(type)),
  )
  const texts = [...named, ...fit.map(({ eui64 }) => String(eui64))]
  if (texts.length === 0 && listed.length > 0)
    throw new UsageFault(`no device of ${file} takes ${options.srv}`)
  if (texts.length === 0)
    throw new UsageFault('name the targets with --devices FILE or --device EUI-64')
  return texts.map((text) => {
    const octets = parseEui64(text)
    if (octets === undefined) throw new UsageFault(`${text.slice(0, 40)} is not an EUI-64`)
    return formatEui64(octets)
  })
}

function inventoryIn(file: string): Array<{ eui64?: unknown; type?: unknown }> {
  const lines = readFileSync(file, 'utf8')
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
  return lines.flatMap((line, index) => {
    if (line.trim() === '') return []
    try {
      return [JSON.parse(line) as { eui64?: unknown; type?: unknown }]
    } catch {
      throw new UsageFault(`${file}:${index + 1} is not JSON: each line is one device`)
    }
  })
}

function rowsOf(text: string): ServiceRequestRow[] {
  return text.split(',').map((variant) => {
    const row = serviceRequestOf(parseSrv(variant.trim()))
    if (row === undefined)
      throw new UsageFault(`--srv: ${variant} is not a service reference variant`)
    if (row.bodyType !== 0)
      throw new UsageFault(`--srv: ${variant} takes a body; load is made of variants without one`)
    return row
  })
}

async function runLoad(options: LoadOptions, terminal: Terminal): Promise<number> {
  const { clock } = terminal
  const shape: LoadShape =
    options.rate === undefined
      ? { kind: 'closed', inFlight: positive('in-flight', options.inFlight) }
      : { kind: 'open', perSecond: positive('rate', options.rate, 0.001) }
  const counters = new RequestCounters(() => clock.now())
  const rows = rowsOf(options.srv)
  const variants = rows.map(({ text }) => text)
  const plan = new LoadPlan(options.party, devicesOf(options, rows), variants, () =>
    counters.next(),
  )
  const tally = new LoadTally(Math.random)
  const nowMs = (): number => performance.now()
  const run = new LoadRun({
    shape,
    warmUpMs: positive('warm-up', options.warmUp, 0) * 1_000,
    measuredMs: positive('seconds', options.seconds, 0.1) * 1_000,
    drainMs: positive('drain', options.drain, 0) * 1_000,
    tally,
    nowMs,
    after: (ms, action) => {
      const timer = setTimeout(action, ms)
      return () => clearTimeout(timer)
    },
    interrupted: new Promise((resolve) => terminal.onInterrupt(resolve)),
    onProgress: (open, { accepted, responses }) => {
      if (!options.json) terminal.err(`${accepted} accepted, ${responses} responses, ${open} open`)
    },
  })
  const events: LoadEvents = {
    plan,
    tally,
    nowMs,
    ended: (isRejected, retryAfterMs) => run.ended(isRejected, retryAfterMs),
  }
  const credentials = credentialsOf(options)
  const door =
    options.http === undefined
      ? grpcDoor({ address: options.gateway, credentials, callMs: 0 }, events)
      : new HttpDoor(
          {
            url: options.http.replace(/\/$/, ''),
            credentials,
            shape,
            connections: positive('in-flight', options.inFlight),
          },
          events,
        )
  const report = await run.run(door)
  if (options.json) terminal.out(JSON.stringify(report))
  else for (const line of reportLines(report)) terminal.out(line)
  return isClean(report) ? 0 : 1
}

/** Settles with the exit code. @throws UsageFault when the options are wrong */
export async function loadCommand(options: LoadOptions, terminal: Terminal): Promise<number> {
  try {
    return await runLoad(options, terminal)
  } catch (fault) {
    if (fault instanceof UsageFault) throw fault
    const { code, details } = fault as Partial<ServiceError>
    const isAway =
      (code === status.UNAVAILABLE && busbarCode(fault) === undefined) || fault instanceof TypeError
    const where = options.http ?? options.gateway
    if (isAway && !where.startsWith('http:')) {
      const place = options.http === undefined ? where : new URL(where).host
      const tlsFault = await tlsFaultOf(place, credentialsOf(options))
      if (tlsFault !== undefined) {
        terminal.err(tlsFault)
        return 1
      }
    }
    const reason = details ?? (fault instanceof Error ? fault.message : String(fault))
    terminal.err(isAway ? `Nobody listens at ${where}: ${reason}` : reason)
    return isAway ? 3 : 1
  }
}
