/** Puts the devices of a file into a broker's inventory through its operators' door: what `busbar devices` runs. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { BrokerError } from '../../core/base/broker-error.ts'
import { limits } from '../../core/base/limits.ts'
import { OperatorFault } from '../operator-fault.ts'

type Answer = {
  registered?: number
  refused?: Array<{ eui64: string; code: string }>
  message?: string
}

/**
 * Registers every line of `file` (JSON lines, see the README) at `ops` (`host:port`); settles with how many are registered.
 * @throws BrokerError DEVICE_RECORD_MALFORMED naming what was refused; nothing else of the file is undone. OperatorFault when nobody
 * listens there
 */
export async function registerDevicesFile(file: string, ops: string): Promise<number> {
  let registered = 0
  let lines: string[] = []
  const send = async (): Promise<void> => {
    if (lines.length === 0) return
    const body = `[${lines.join(',')}]`
    lines = []
    const response = await fetch(`http://${ops}/v1/devices`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    }).catch((cause: unknown) => {
      const hint =
        "Start a broker with `busbar serve`, or name its operators' door with --ops host:port."
      throw new OperatorFault(`nobody answers at ${ops}. ${hint}`, { cause })
    })
    const answer = (await response.json()) as Answer
    if (!response.ok)
      throw new BrokerError('DEVICE_RECORD_MALFORMED', answer.message ?? `HTTP ${response.status}`)
    const refused = answer.refused ?? []
    if (refused.length > 0) {
      const some = refused.slice(0, 5).map(({ eui64, code }) => `${eui64} ${code}`)
      throw new BrokerError(
        'DEVICE_RECORD_MALFORMED',
        `${refused.length} refused: ${some.join(', ')}`,
      )
    }
    registered += answer.registered ?? 0
  }
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (line.trim() !== '') lines.push(line)
    if (lines.length === limits.requestsPerBatchMax) await send()
  }
  await send()
  return registered
}
