/**
 * `busbar keys`: a new key-encryption key, new keys for devices, and how many devices still wait
 * for either.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { explain } from '../../../core/base/error-table.ts'
import { keyCountFields } from '../../../core/cluster/process-status.ts'
import type { WaitingAnswer } from '../../broker/approvals-door.ts'
import type { AcceptanceResult, ReplacementResult } from '../../broker/registration.ts'
import { waitingSentence } from './approvals-commands.ts'
import { askDoor } from './ask-door.ts'
import type { ClusterStatus } from './cluster-status.ts'
import type { Print } from '../shared-options.ts'
import { tableOf } from '../table.ts'

/**
 * Asks for new keys for each of `devices` at the operators' door `ops`; settles with the exit code.
 */
export async function replaceKeysCommand(
  ops: string,
  devices: readonly string[],
  print: Print,
): Promise<number> {
  let refusedCount = 0
  for (const device of devices) {
    const answer = await ask<ReplacementResult | WaitingAnswer>(ops, device, 'keys')
    if ('approval' in answer) {
      print(waitingSentence(answer.approval))
      continue
    }
    const { refused } = answer
    for (const { eui64, code } of refused) print(`${eui64}  ${code}: ${explain(code)}`)
    refusedCount += refused.length
    if (refused.length === 0) print(`${device}  has new keys, which are on their way to it`)
  }
  return refusedCount === 0 ? 0 : 1
}

/**
 * Accepts the counters of `devices` as they are now; settles with the exit code. `counter`: Busbar
 * sends with it and above.
 */
export async function acceptCounterCommand(
  { ops, counter }: { ops: string; counter?: string | undefined },
  devices: readonly string[],
  print: Print,
): Promise<number> {
  const next = counter === undefined ? undefined : Number(counter)
  if (next !== undefined && !(Number.isInteger(next) && next >= 0 && next <= 0xffff_ffff))
    throw new BrokerError('CONFIG_INVALID', '--counter is a whole number below 4294967296')
  let refusedCount = 0
  for (const device of devices) {
    const body = { counter: next ?? null }
    const { refused } = await ask<AcceptanceResult>(ops, device, 'counter', body)
    for (const { eui64, code } of refused) print(`${eui64}  ${code}: ${explain(code)}`)
    refusedCount += refused.length
    if (refused.length === 0)
      print(
        `${device}  its counter is accepted as it is now; until it has answered, somebody who recorded its earlier answers could replay them`,
      )
  }
  return refusedCount === 0 ? 0 : 1
}

const ask = <Result>(
  ops: string,
  device: string,
  what: 'keys' | 'counter',
  body?: object,
): Promise<Result> =>
  askDoor(ops, 'POST', `/v1/devices/${encodeURIComponent(device)}/${what}`, body && { body })

/**
 * Prints the counts of each partition; settles with 1 when there is something for operators to do,
 * or to wait for.
 */
export function keysStatus({ hosts }: ClusterStatus, print: Print, isJson: boolean): number {
  const rows = hosts.flatMap(({ hostId, partitions }) =>
    partitions.map(({ number, keys }) => ({ partition: number, owner: hostId, ...keys })),
  )
  rows.sort((a, b) => a.partition - b.partition)
  const total = (field: (typeof keyCountFields)[number]): number =>
    rows.reduce((sum, row) => sum + row[field], 0)
  const names = new Set(rows.map(({ under }) => under))
  const [under = ''] = names
  // Between a rotation and the end of the round that follows it the counts of some are those of
  // before, or none.
  const isWhole = names.size === 1 && under !== ''
  if (isJson) {
    const totals = Object.fromEntries(keyCountFields.map((field) => [field, total(field)]))
    print(JSON.stringify({ ...totals, under: isWhole ? under : null, partitions: rows }))
  } else {
    const head = ['partition', 'owner', 'counted under']
    const counts = ['with keys', 'older', 'unreadable', 'replacing', 'near end']
    const table = rows.map((row) => [
      ...[row.partition, row.owner, row.under || 'not yet'],
      ...keyCountFields.map((one) => row[one]),
    ])
    for (const line of tableOf([[...head, ...counts], ...table])) print(line)
    print(
      `${total('keyed')} devices with keys, ${total('older')} sealed under an older key-encryption key${isWhole ? ` than ${under}` : ''}, ${total('replacing')} whose keys are being replaced`,
    )
    if (!isWhole)
      print('Not all partitions have been counted under one key yet: take no key away, ask again.')
  }
  return !isWhole || total('unreadable') + total('nearEnd') > 0 ? 1 : 0
}
