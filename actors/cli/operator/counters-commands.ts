/**
 * `busbar counters show|reset`: RequestCounters of parties at a device, at the operators' door of a
 * broker.
 */
import type { Command } from 'commander'
import type { CountersAnswer } from '../../broker/counters-door.ts'
import { addOpsOption, type Print, whoIsHere } from '../shared-options.ts'
import { tableOf } from '../table.ts'
import { askDoor } from './ask-door.ts'

type Options = { ops: string; json: boolean; party?: string; to?: string; by?: string }

export function addCountersCommands(program: Command, { out }: { out: Print }): void {
  const counters = program
    .command('counters')
    .description('counters of RequestIDs that a device has accepted, by party')
  const door = "a broker's operators' door"
  addOpsOption(counters.command('show'), door)
    .description(
      'highest accepted counter, floor and remembered RequestIDs of each party at a device',
    )
    .argument('<eui64>', 'device')
    .option('--party <eui64>', 'of this party alone')
    .option('--json', 'one line of JSON', false)
    .action(async (device: string, { ops, json, party }: Options) => {
      const query = party === undefined ? {} : { party }
      print(await ask(ops, device, query, 'GET'), out, json)
    })
  addOpsOption(counters.command('reset'), door)
    .description(
      'let the counters of a party at a device go on from a lower one; remembered RequestIDs stay known, forgotten ones above --to may run again',
    )
    .argument('<eui64>', 'device')
    .requiredOption('--party <eui64>', 'party whose counters are reset')
    .option('--to <counter>', 'the next counters are above this one; 0 for any', '0')
    .option('--by <name>', 'who does it, for the ledger; the user of this machine when left out')
    .option('--json', 'one line of JSON', false)
    .action(async (device: string, { ops, json, party = '', to = '0', by }: Options) => {
      const who = by ?? whoIsHere()
      print(await ask(ops, device, { party, to, by: who }, 'DELETE'), out, json)
    })
}

const ask = (
  ops: string,
  device: string,
  query: Record<string, string>,
  method: 'GET' | 'DELETE',
): Promise<CountersAnswer> =>
  askDoor(
    ops,
    method,
    `/v1/devices/${encodeURIComponent(device)}/counters?${new URLSearchParams(query)}`,
  )

function print({ device, counters }: CountersAnswer, out: Print, isJson: boolean): void {
  if (isJson) return out(JSON.stringify({ device, counters }))
  const none = (counter: string): string => (counter === '0' ? '-' : counter)
  const rows = counters.map((one) => [
    one.party,
    none(one.highestCounter),
    none(one.counterFloor),
    one.open,
    one.ended,
    one.past,
  ])
  const head = ['party', 'highest', 'floor', 'open', 'ended', 'past']
  for (const line of tableOf([head, ...rows])) out(line)
  if (counters.length === 0) out(`${device} has accepted no request yet`)
}
