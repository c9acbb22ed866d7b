/**
 * A fleet as a process of its own: what `busbar meters` runs. One JSON line on stdout when it
 * listens, the devices as JSON lines in a file for the broker to register, faults at run time as
 * lines on stdin, a clean end on SIGTERM or SIGINT.
 *
 *   stdout   {"listening":{"host":"127.0.0.1","ports":[40000,40001]},"meters":40,"seed":1}
 *   devices  {"eui64":"00-DB-10-00-00-00-00-01","type":"ESME","address":{"host":…,"port":…,"logicalDevice":1,"client":1,"secret":"hex"}}
 *            under a security suite with "security" in the address, and "keys", hexadecimal too
 *   stdin    slow=200ms:5%           replaces the faults of the fleet; an empty line clears them
 *            7 silent                those of meter number 7, from 0 on; 7 alone clears them
 *            advance 7 1000          another client uses 1,000 counters of meter number 7; of all for "all"
 *            push 7 event            meter number 7 sends an event-notification to --push-to; data when left out
 *   stdout   {"faults":"7 silent"}   a line of stdin has been obeyed
 */
import { once } from 'node:events'
import { createWriteStream, renameSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { silentLog, type Log } from '../../../core/ports/log.ts'
import { parseFaults } from './faults.ts'
import { pushKinds, type PushKind, type PushTarget } from './outgoing.ts'
import { parseQuirks } from '../quirks/quirks.ts'
import { startFleet, type Fleet, type FleetDevice, type FleetOptions } from './fleet.ts'

export type FleetProcessOptions = Omit<FleetOptions, 'faults' | 'quirks'> & {
  /** Words of quirks.ts. */
  quirks?: string
  /** Words of faults.ts. */
  faults?: string
  /**
   * Written whole, then put in its place; readable by its owner only, since it holds the secrets.
   */
  devicesFile?: string
  /** Where notifications of meters go. */
  pushTo?: PushTarget
  /** Each meter sends one so often, ms, spread evenly; with `pushTo`. */
  pushEveryMs?: number
  /** Where meters dial in that do, and again when the connection is gone. */
  dialInTo?: PushTarget
  /** Ends when stdin does: for a child that must not outlive its parent. */
  endsWithInput?: boolean
}

/** The process as seen from here, so that a test can stand in for it. */
export type FleetConsole = {
  input?: Readable | undefined
  output: Writable
  onSignal(end: () => void): void
}

/** One line of the devices file: secrets, titles and keys are hexadecimal text. */
export function formatDevice({
  eui64,
  record: { type, address, timeZone },
  keys,
}: FleetDevice): string {
  return JSON.stringify(
    { eui64, type, address, ...(timeZone && { timeZone }), ...(keys && { keys }) },
    // Buffers have a JSON form of their own, which comes first.
    function (this: Record<string, unknown>, name, value: unknown) {
      const octets = this[name]
      return octets instanceof Uint8Array ? Buffer.from(octets).toString('hex') : value
    },
  )
}

/**
 * Runs a fleet until it is told to end; settles when everything is closed. @throws BrokerError
 * CONFIG_INVALID, SIMULATOR_LISTEN_FAILED
 */
export async function runFleetProcess(
  options: FleetProcessOptions,
  shell: FleetConsole = processConsole(),
): Promise<void> {
  const {
    faults = '',
    quirks = '',
    devicesFile,
    endsWithInput = false,
    pushTo,
    pushEveryMs,
    dialInTo,
    ...fleetOptions
  } = options
  const log = options.log ?? silentLog
  const fleet = await startFleet({
    ...fleetOptions,
    faults: parseFaults(faults),
    quirks: parseQuirks(quirks),
  })
  try {
    const ended = new Promise<void>((resolve) => {
      shell.onSignal(resolve)
      if (shell.input !== undefined)
        obey({
          shell: { input: shell.input, output: shell.output },
          fleet,
          log,
          pushTo,
          onEnd: endsWithInput ? resolve : () => undefined,
        })
    })
    if (pushTo !== undefined && pushEveryMs !== undefined)
      void ended.finally(pushRegularly(fleet, pushTo, pushEveryMs, log))
    if (dialInTo !== undefined) void ended.finally(keepDialledIn(fleet, dialInTo))
    if (devicesFile !== undefined) await writeDevices(fleet, devicesFile)
    const { host, ports, meterCount } = fleet
    shell.output.write(
      `${JSON.stringify({ listening: { host, ports }, meters: meterCount, seed: options.seed })}\n`,
    )
    await ended
  } finally {
    await fleet.close()
  }
}

async function writeDevices(fleet: Fleet, path: string): Promise<void> {
  const unfinished = `${path}.unfinished`
  rmSync(unfinished, { force: true })
  const file = createWriteStream(unfinished, { mode: 0o600 })
  const closed = once(file, 'close')
  for (const device of fleet.devices()) {
    if (!file.write(`${formatDevice(device)}\n`)) await once(file, 'drain')
  }
  file.end()
  await closed
  renameSync(unfinished, path)
}

/** Meters send data-notifications in turn; gives what ends it. */
function pushRegularly(
  fleet: Fleet,
  pushTo: PushTarget,
  pushEveryMs: number,
  log: Log,
): () => void {
  let next = 0
  const timer = setInterval(
    () => {
      const index = next++ % fleet.meterCount
      fleet.push(index, pushTo).catch((error: Error) => {
        log.warn({ meter: index, why: error.message }, 'a notification did not leave')
      })
    },
    Math.max(1, pushEveryMs / fleet.meterCount),
  )
  return () => clearInterval(timer)
}

/** Before a meter whose connection is gone dials in again. */
export const dialAgainMs = 1_000

/** Every meter dials in, and again a while after its connection is gone; gives what ends it. */
function keepDialledIn(fleet: Fleet, dialInTo: PushTarget): () => void {
  const timers = new Set<NodeJS.Timeout>()
  let isEnding = false
  const dial = (index: number): void => {
    fleet.dialIn(index, dialInTo).on('close', () => {
      // The end of the fleet closes them all.
      if (isEnding) return
      const timer = setTimeout(() => {
        timers.delete(timer)
        dial(index)
      }, dialAgainMs)
      timers.add(timer)
    })
  }
  for (let index = 0; index < fleet.meterCount; index++) dial(index)
  return () => {
    isEnding = true
    for (const timer of timers) clearTimeout(timer)
  }
}

type Obeying = {
  shell: { input: Readable; output: Writable }
  fleet: Fleet
  log: Log
  pushTo: PushTarget | undefined
  onEnd: () => void
}

function obey({ shell: { input, output }, fleet, log, pushTo, onEnd }: Obeying): void {
  const lines = createInterface({ input })
  const push = (line: string, index: number, kind: string): void => {
    if (pushTo === undefined || !(pushKinds as readonly string[]).includes(kind))
      return log.warn({ line }, 'no such push, or nowhere to push to')
    fleet.push(index, pushTo, kind as PushKind).then(
      () => output.write(`${JSON.stringify({ pushed: line.trim() })}\n`),
      (error: Error) => log.warn({ meter: index, why: error.message }, 'it did not leave'),
    )
  }
  const advance = (line: string, which: string, count: number): void => {
    if (which !== 'all') fleet.advanceCounter(Number(which), count)
    else for (let index = 0; index < fleet.meterCount; index++) fleet.advanceCounter(index, count)
    output.write(`${JSON.stringify({ advanced: line.trim() })}\n`)
  }
  lines.on('line', (line) => {
    const asked = /^\s*push\s+(\d+)(?:\s+(\S+))?\s*$/.exec(line)
    if (asked !== null) return push(line, Number(asked[1]), asked[2] ?? 'data')
    const moved = /^\s*advance\s+(all|\d+)\s+(\d{1,10})\s*$/.exec(line)
    const match = /^\s*(?:(\d+)(?:\s+|$))?(.*?)\s*$/.exec(line)!
    try {
      if (moved !== null) return advance(line, moved[1]!, Number(moved[2]))
      fleet.setFault(match[1] === undefined ? 'all' : Number(match[1]), parseFaults(match[2]!))
      output.write(`${JSON.stringify({ faults: line.trim() })}\n`)
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      log.warn({ code: error.code, detail: error.detail }, 'not obeyed')
    }
  })
  lines.on('close', onEnd)
}

function processConsole(): FleetConsole {
  return {
    input: process.stdin,
    output: process.stdout,
    onSignal(end) {
      const stop = (): void => {
        process.off('SIGTERM', stop)
        process.off('SIGINT', stop)
        process.stdin.destroy()
        end()
      }
      process.on('SIGTERM', stop)
      process.on('SIGINT', stop)
    },
  }
}
