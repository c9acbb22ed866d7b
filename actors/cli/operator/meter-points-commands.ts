/** `busbar meter-points register|show`, and `busbar rights show|verify`, at the operators' door. */
import type { Command } from 'commander'
import type {
  LinkJson,
  MeterPointJson,
  RegistrationsAnswer,
  RightsCheck,
  RightsJson,
} from '../../broker/meter-point-door.ts'
import { DeviceStatus } from '../../../core/inventory/device-status.ts'
import { OperatorFault } from '../operator-fault.ts'
import type { LoadResult } from './registration-load.ts'
import { addOpsOption, type Print, whoIsHere } from '../shared-options.ts'
import { tableOf } from '../table.ts'
import { askDoor } from './ask-door.ts'
import { addTenancy } from './consents-commands.ts'

type Options = { ops: string; json: boolean }
type Registered = Options & {
  supplier?: string
  networkOperator?: string
  agent?: string
  direction?: string
  from: string
  to?: string
  by?: string
}

const after = `
A meter point is mpan:1234567890126 or mprn:1234567890. A device that is registered with meterPoints
takes requests only from parties that hold a registration there at that moment, in their role:
supplier (IS, ES or GS), network operator (ED or GT) or agent (RSA). Registrations name parties by
their market participant id: \`busbar parties add --participant\`. Days begin at midnight in London.`

const door = "a broker's operators' door"

export function addMeterPointsCommands(program: Command, { out }: { out: Print }): void {
  const points = program
    .command('meter-points')
    .description('who is registered where energy is taken or given')
    .addHelpText('after', after)
  addRegister(points, out)
  addOpsOption(points.command('show'), door)
    .description('what is known of a meter point, and the devices that are linked to it')
    .argument('<id>', 'meter point')
    .option('--json', 'one line of JSON', false)
    .action(async (id: string, { ops, json }: Options) => {
      const path = `/v1/meter-points/${encodeURIComponent(id)}`
      const answer = await askDoor<MeterPointJson>(ops, 'GET', path)
      if (json) return out(JSON.stringify(answer))
      printPoint(answer, out)
    })
  addLoad(points, out)
  addTenancy(points, out)
  addRights(program, out)
}

function addLoad(points: Command, out: Print): void {
  addOpsOption(points.command('load'), door)
    .description('register what a registration file of electricity or gas says')
    .argument('<file>', 'registration file, an update or a refresh')
    .option('--response <file>', 'write the response to the sender of the file there')
    .option('--no-check-digit', 'do not look at the check digits of MPANs')
    .option('--json', 'one line of JSON', false)
    .addHelpText('after', afterLoad)
    .action(async (file: string, options: Options & { response?: string; checkDigit: boolean }) => {
      const { ops, json, response, checkDigit } = options
      const { loadFile } = await import('./registration-load.ts')
      const show = (done: number, total: number): void => {
        if (!json && done % 50_000 === 0) out(`${done} of ${total} records`)
      }
      const result = await loadFile(file, { ops, response, checkDigit }, show)
      process.exitCode = exitCodeOf(result)
      if (json) return out(JSON.stringify(result))
      for (const line of linesOfLoad(result)) out(line)
    })
}

const afterLoad = `
The layout is described in core/docs/operating/registration-files.md. A file with a fault of its
structure is rejected whole; a record with a fault is rejected alone. A file may be loaded again:
one that was taken before changes nothing. A record counts as registered also when it changes
nothing. The broker keeps the file until it is applied, and goes on after a restart; the command may
be ended meanwhile. A file behind a gap of the sequence numbers is held until the missing one comes;
a refresh that would change too much waits for an operator: \`busbar sources\`.

Exit codes: 0 all records are registered; 1 at least one was rejected, or the file was; 3 the file
is held, or waits for an operator.`

function exitCodeOf({ state, ended }: LoadResult): number {
  if (state === 'held' || state === 'waiting') return 3
  return state === 'rejected' || (ended?.progress.rejected ?? 0) > 0 ? 1 : 0
}

function linesOfLoad(result: LoadResult): string[] {
  const { structure, state, isRepeat, missing, changes, ended, source } = result
  const { kind, sequence, source: name } = structure.header
  const file = `${kind} ${sequence} of ${name}`
  if (state === 'held') {
    const why =
      missing === undefined ? 'an earlier file is being applied' : `file ${missing} is missing`
    return [`${file}: held, ${why}`, `see busbar sources show ${source}`]
  }
  if (state === 'waiting')
    return [
      `${file}: waits for an operator; it would change ${changes?.share.toFixed(2)} % of ${changes?.known} meter points`,
      `busbar sources approve ${source} ${sequence}, or reject`,
    ]
  if (state === 'rejected') return [`${file}: rejected by an operator`]
  if (ended === undefined) return [`${file}: was taken before`]
  const { done, rejected, changed, added } = ended.progress
  const lines = [
    `${file}: ${done - rejected} records registered, ${changed} meter points changed, ${added} new${isRepeat ? '; it was taken before' : ''}`,
    ...ended.rejectedRecords.map(({ line, code, reason }) => `  line ${line}  ${code}: ${reason}`),
  ]
  return rejected === 0 ? lines : [...lines, `${rejected} records rejected`]
}

function addRegister(points: Command, out: Print): void {
  addOpsOption(points.command('register'), door)
    .description('register a supplier, a network operator or an agent at a meter point')
    .argument('<id>', 'meter point')
    .option('--supplier <participant>', 'market participant id of the supplier')
    .option('--network-operator <participant>', 'of the distributor or transporter')
    .option('--agent <participant>', 'of the meter operator or meter asset manager')
    .option('--direction <I|E>', 'I for import, E for export')
    .requiredOption('--from <YYYYMMDD>', 'first day')
    .option('--to <YYYYMMDD>', 'last day; left out for an open end')
    .option('--by <name>', 'who does it, for the ledger; the user of this machine when left out')
    .option('--json', 'one line of JSON', false)
    .action(async (meterPoint: string, options: Registered) => {
      const { ops, json, by = whoIsHere() } = options
      const entry = { meterPoint, by, items: itemsIn(options) }
      const answer = await askDoor<RegistrationsAnswer>(ops, 'POST', '/v1/meter-points', {
        body: [entry],
      })
      const [refused] = answer.refused
      if (refused !== undefined) throw new OperatorFault(`${refused.code}: ${refused.message}`)
      out(json ? JSON.stringify(answer) : `${meterPoint} registered`)
    })
}

function itemsIn({ supplier, networkOperator, agent, direction, from, to }: Registered): object[] {
  const days = { from: Number(from), ...(to !== undefined && { to: Number(to) }) }
  const given = { supplier, 'network-operator': networkOperator, agent, direction }
  const items = Object.entries(given).flatMap(([item, value]) =>
    value === undefined ? [] : [{ item, value, ...days }],
  )
  if (items.length === 0)
    throw new OperatorFault(
      'nothing is registered: give --supplier, --network-operator, --agent or --direction.',
    )
  return items
}

function printPoint({ meterPoint, devices, items, version }: MeterPointJson, out: Print): void {
  out(`${meterPoint}, version ${version}, devices: ${devices.join(', ') || '-'}`)
  const rows = items.map(({ item, value, from, to, receivedAt }) => [
    item,
    value,
    String(from),
    String(to ?? ''),
    receivedAt,
  ])
  for (const line of tableOf([['item', 'value', 'from', 'to', 'received'], ...rows])) out(line)
}

/** `busbar devices status`. */
export function addDeviceStatus(devices: Command, out: Print): void {
  addOpsOption(devices.command('status'), door)
    .description('the status of a device, or another one: parties may send what it allows')
    .argument('<eui64>', 'device')
    .option('--to <status>', `${DeviceStatus.join(', ')}; left out, it is shown`)
    .option('--by <name>', 'who does it, for the ledger; the user of this machine when left out')
    .action(async (eui64: string, _options: unknown, command: Command) => {
      const { ops, to, by } = command.optsWithGlobals<Options & { to?: string; by?: string }>()
      const device = encodeURIComponent(eui64)
      const { status } =
        to === undefined
          ? await askDoor<RightsJson>(ops, 'GET', pathOf(eui64))
          : await askDoor<{ status: string }>(ops, 'POST', `/v1/devices/${device}/status`, {
              body: { status: to, by: by ?? whoIsHere() },
            })
      out(`${eui64} ${status}`)
    })
}

function addRights(program: Command, out: Print): void {
  const rights = program
    .command('rights')
    .description('who may use a device, by what its meter points have told it')
  addOpsOption(rights.command('show'), door)
    .description('the rights that a device knows')
    .argument('<eui64>', 'device')
    .option('--json', 'one line of JSON', false)
    .action(async (eui64: string, { ops, json }: Options) => {
      const answer = await askDoor<RightsJson>(ops, 'GET', pathOf(eui64))
      if (json) return out(JSON.stringify(answer))
      out(`status: ${answer.status}`)
      if (answer.links.length === 0) out('the device has no meter point: any party may use it')
      for (const link of answer.links) printLink(link, out)
    })
  addOpsOption(rights.command('verify'), door)
    .description('compare the rights of a device with its meter points; it asks again what differs')
    .argument('<eui64>', 'device')
    .option('--by <name>', 'who does it, for the ledger; the user of this machine when left out')
    .option('--json', 'one line of JSON', false)
    .action(async (eui64: string, { ops, json, by }: Options & { by?: string }) => {
      const query = new URLSearchParams({ by: by ?? whoIsHere() })
      const answer = await askDoor<RightsCheck>(ops, 'POST', `${pathOf(eui64)}/check?${query}`)
      if (json) return out(JSON.stringify(answer))
      const { meterPoints, differing } = answer
      if (differing.length === 0)
        out(`the rights of ${meterPoints} meter points are as they are there`)
      else out(`asked again: ${differing.join(', ')}`)
    })
}

const pathOf = (eui64: string): string => `/v1/devices/${encodeURIComponent(eui64)}/rights`

function printLink({ meterPoint, version, periods, consents = [] }: LinkJson, out: Print): void {
  if (periods === undefined) return out(`${meterPoint} has not answered yet`)
  out(`${meterPoint}, version ${version}`)
  const rows = periods.map(({ role, participant, from, to }) => [role, participant, from, to ?? ''])
  for (const line of tableOf([['role', 'participant', 'from', 'to'], ...rows])) out(`  ${line}`)
  const given = consents.map(({ id, party, categories, granularity, from, to }) => [
    id,
    party,
    categories.join(','),
    granularity,
    from,
    to ?? '',
  ])
  if (given.length === 0) return
  const head = ['consent', 'party', 'categories', 'granularity', 'from', 'to']
  for (const line of tableOf([head, ...given])) out(`  ${line}`)
}
