/** `busbar keys`: a new key-encryption key, new keys for devices, and how many devices still wait for either. */
import { BrokerError } from '../../core/base/broker-error.ts'
import { errorTable, explain, type ErrorCode } from '../../core/base/error-table.ts'
import type { KeyCounts } from '../../core/ports/host-status.ts'
import { OperatorFault } from '../operator-fault.ts'
import type { ReplacementResult } from '../registration.ts'
import type { ClusterStatus } from './cluster-status.ts'
import { tableOf } from './table.ts'

type Print = (line: string) => void

/** Asks for new keys for each of `devices` at the operators' door `ops`; settles with the exit code. */
export async function replaceKeysCommand(
  ops: string,
  devices: readonly string[],
  print: Print,
): Promise<number> {
  let refusedCount = 0
  for (const device of devices) {
    const { refused } = await ask(ops, device)
    for (const { eui64, code } of refused) print(`${eui64}  ${code}: ${explain(code)}`)
    refusedCount += refused.length
    if (refused.length === 0) print(`${device}  has new keys, which are on their way to it`)
  }
  return refusedCount === 0 ? 0 : 1
}

async function ask(ops: string, device: string): Promise<ReplacementResult> {
  const url = `http://${ops}/v1/devices/${encodeURIComponent(device)}/keys`
  const response = await fetch(url, { method: 'POST' }).catch((cause: unknown) => {
    throw new OperatorFault(
      `nobody answers at ${ops}. Name a broker's operators' door with --ops host:port.`,
      { cause },
    )
  })
  const answer = (await response.json()) as ReplacementResult & { error?: string }
  if (response.ok) return answer
  const code = answer.error ?? ''
  if (code in errorTable) throw new BrokerError(code as ErrorCode, device)
  throw new OperatorFault(`HTTP ${response.status} from ${ops}`)
}

/** Prints the counts of each partition; settles with 1 when there is something for operators to do. */
export function keysStatus({ hosts }: ClusterStatus, print: Print, isJson: boolean): number {
  const rows = hosts.flatMap(({ hostId, partitions }) =>
    partitions.map(({ number, keys }) => ({ partition: number, owner: hostId, ...keys })),
  )
  rows.sort((a, b) => a.partition - b.partition)
  const total = (field: keyof KeyCounts): number => rows.reduce((sum, row) => sum + row[field], 0)
  const fields = ['keyed', 'older', 'unreadable', 'replacing', 'nearEnd'] as const
  if (isJson) {
    const totals = Object.fromEntries(fields.map((field) => [field, total(field)]))
    print(JSON.stringify({ ...totals, partitions: rows }))
  } else {
    const head = ['partition', 'owner', 'with keys', 'older', 'unreadable', 'replacing', 'near end']
    const table = rows.map((row) => [row.partition, row.owner, ...fields.map((one) => row[one])])
    for (const line of tableOf([head, ...table])) print(line)
    print(
      `${total('keyed')} devices with keys, ${total('older')} sealed under an older key-encryption key, ${total('replacing')} whose keys are being replaced`,
    )
  }
  return total('unreadable') + total('nearEnd') > 0 ? 1 : 0
}
