/**
 * The devices of an inventory file into a running broker: what `busbar devices` does. Each line
 * stands alone: what has no fault is registered, and each rejected line is reported.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import type { ErrorCode } from '../../../core/base/error-table.ts'
import { limits } from '../../../core/base/limits.ts'
import { linesOfFile } from '../../../core/ops/text-file.ts'
import type { DeviceListResult, RejectedDevice } from '../../broker/device-list.ts'
import { callDoor, faultOf } from './ask-door.ts'

/** A rejected line of an inventory file, which is numbered from 1. */
export type RejectedLine = { line: number } & Omit<RejectedDevice, 'index'>

/** What became of a file. */
export type FileResult = { registered: number; refused: RejectedLine[] }

type Line = { number: number; text: string }

/**
 * Registers every line of `file` at `ops` (`host:port`). `onBatch` gets what became of each batch,
 * while the file is still being read.
 * @throws OperatorFault when no broker answers there, BrokerError for a file that is not text
 */
export async function registerFile(
  file: string,
  ops: string,
  onBatch: (result: FileResult) => void = () => undefined,
): Promise<FileResult> {
  const total: FileResult = { registered: 0, refused: [] }
  let batch: Line[] = []
  let batchBytes = 0
  const send = async (): Promise<void> => {
    const result = await sendBatch(batch, ops)
    batch = []
    batchBytes = 0
    total.registered += result.registered
    total.refused.push(...result.refused)
    onBatch(result)
  }
  for await (const line of linesOfFile(file)) {
    if (line.text.trim() === '') continue
    const bytes = Buffer.byteLength(line.text) + 1
    const isFull = batchBytes + bytes > limits.partyMessageBytesMax - 2
    if (batch.length === limits.requestsPerBatchMax || (isFull && batch.length > 0)) await send()
    batch.push(line)
    batchBytes += bytes
  }
  if (batch.length > 0) await send()
  return total
}

/** What is no JSON is reported here, without a part of it: it may hold keys. */
async function sendBatch(lines: readonly Line[], ops: string): Promise<FileResult> {
  const good: Line[] = []
  const refused: RejectedLine[] = []
  for (const line of lines) {
    if (isJson(line.text)) good.push(line)
    else {
      const code = 'DEVICE_RECORD_MALFORMED'
      refused.push({ line: line.number, eui64: null, code, message: 'the line is not JSON' })
    }
  }
  const answer = await post(`[${good.map(({ text }) => text).join(',')}]`, ops)
  for (const { index, ...rejected } of answer.refused)
    refused.push({ line: good[index]!.number, ...rejected })
  refused.sort((a, b) => a.line - b.line)
  return { registered: answer.registered, refused }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

async function post(json: string, ops: string): Promise<DeviceListResult> {
  const { status, answer } = await callDoor<Partial<DeviceListResult>>(ops, 'POST', '/v1/devices', {
    json,
  })
  const { registered, refused } = answer
  if (registered !== undefined && refused !== undefined) return { registered, refused }
  throw faultOf(
    answer,
    `what answers at ${ops} is not the operators' door of a broker (HTTP ${status}); name that with --ops host:port`,
  )
}

/**
 * As `registerFile`, for those who need all of it. @throws BrokerError of the first rejected line
 */
export async function registerWholeFile(file: string, ops: string): Promise<number> {
  const { registered, refused } = await registerFile(file, ops)
  const [first] = refused
  if (first === undefined) return registered
  const { code, line, message } = first
  throw new BrokerError(code, `line ${line} of ${file}: ${message}; ${refused.length} rejected`)
}

/** One entry for each code, in the order in which an operator should look at them. */
export function byCode(refused: readonly RejectedLine[]): Map<ErrorCode, RejectedLine[]> {
  const found = Map.groupBy(refused, ({ code }) => code)
  // The missing key explains every rejected device with keys: nothing else is worth a look before.
  const first = found.get('KEYS_ENCRYPTION_KEY_MISSING')
  if (first === undefined) return found
  found.delete('KEYS_ENCRYPTION_KEY_MISSING')
  return new Map([['KEYS_ENCRYPTION_KEY_MISSING', first], ...found])
}
