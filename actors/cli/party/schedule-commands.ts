/** `busbar schedules create|list|delete`: service requests 5.1 to 5.3, over the gRPC gateway. */
import { InvalidArgumentError, Option, type Command } from 'commander'
import {
  CreateSchedule,
  DeleteSchedules,
  ReadSchedules,
  type ScheduleFrequency,
} from '../../../proto/gen/busbar/v1/schedule.ts'
import type { ServiceRequest } from '../../../proto/gen/busbar/v1/service_request.ts'
import { addPartyOptions, submitCodes } from './party-commands.ts'
import type { SubmitOptions, Terminal } from './party-session.ts'

const frequencies = ['daily', 'weekly', 'monthly', 'quarterly', 'half-yearly', 'yearly'] as const

type Common = Pick<SubmitOptions, 'gateway' | 'party' | 'pki' | 'device' | 'json'>
type CreateOptions = Common & {
  srv: string
  every: (typeof frequencies)[number]
  start: string
  end?: string
  time?: string
  spread?: number
  zone?: string
  window?: CreateSchedule['logWindow']
}

const minutes = (text: string): number => {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError('a number of minutes is wanted')
  return Number(text)
}
const scheduleId = (text: string): bigint => {
  if (!/^[1-9]\d{0,12}$/.test(text))
    throw new InvalidArgumentError('a number of a schedule is wanted')
  return BigInt(text)
}

/** `-1 00:00 -1 24:00` as a window: days before the run are 0 or below. */
function logWindow(text: string): CreateSchedule['logWindow'] {
  const [, from, startTime, to, endTime] = /^-?(\d+) (\S+) -?(\d+) (\S+)$/.exec(text) ?? []
  if (startTime === undefined || endTime === undefined)
    throw new InvalidArgumentError('a window as "-1 00:00 -1 24:00" is wanted')
  return { startDaysBefore: Number(from), startTime, endDaysBefore: Number(to), endTime }
}

/** Adds `schedules`. */
export function addScheduleCommands(program: Command, terminal: Terminal): void {
  const schedules = program
    .command('schedules')
    .description('schedules of a party at a device: reads that Busbar makes by itself')
  const submit = async (options: Common, srv: string, body: ServiceRequest['body']) => {
    const { submitCommand } = await import('./party-session.ts')
    process.exitCode = await submitCommand({ ...options, srv, body, wait: true }, terminal)
  }
  common(schedules.command('create'))
    .description('create a schedule (5.1)')
    .requiredOption('--srv <variant>', 'what to read, for example 4.8.1')
    .addOption(
      new Option('--every <frequency>', 'how often').choices(frequencies).makeOptionMandatory(),
    )
    .requiredOption('--start <day>', 'first day, as 2026-12-01')
    .option('--end <day>', 'last day; until it is deleted when left out')
    .option('--time <time>', 'time of day, as 02:30; spread over the day when left out')
    .option('--spread <minutes>', 'spread the runs of devices over so long from --time on', minutes)
    .option('--zone <name>', 'time zone of days and times, as Europe/London; UTC when left out')
    .option(
      '--window <window>',
      'part of a log, from the day of the run: "-1 00:00 -1 24:00"',
      logWindow,
    )
    .action((options: CreateOptions) =>
      submit(options, '5.1', {
        $case: 'createSchedule',
        value: CreateSchedule.fromPartial({
          frequency: (frequencies.indexOf(options.every) + 1) as ScheduleFrequency,
          startDate: options.start,
          endDate: options.end ?? '',
          startTime: options.time ?? '',
          spreadMinutes: options.spread ?? 0,
          timeZone: options.zone ?? '',
          serviceReferenceVariant: options.srv,
          logWindow: options.window,
        }),
      }),
    )
  common(schedules.command('list'))
    .description("list the party's schedules at the device (5.2)")
    .option('--id <number>', 'one schedule', scheduleId)
    .action((options: Common & { id?: bigint }) =>
      submit(options, '5.2', {
        $case: 'readSchedules',
        value: ReadSchedules.fromPartial({ scheduleId: options.id ?? 0n }),
      }),
    )
  common(schedules.command('delete'))
    .description("delete one of the party's schedules at the device, or all (5.3)")
    .option('--id <number>', 'one schedule', scheduleId)
    .option('--all', 'all of them', false)
    .action((options: Common & { id?: bigint; all: boolean }, command: Command) => {
      if ((options.id === undefined) !== options.all)
        return command.error('busbar: --id or --all is wanted, not both', { exitCode: 2 })
      return submit(options, '5.3', {
        $case: 'deleteSchedules',
        value: DeleteSchedules.fromPartial({ scheduleId: options.id ?? 0n }),
      })
    })
}

const common = (command: Command): Command =>
  addPartyOptions(command, submitCodes)
    .requiredOption('--device <eui64>', 'device')
    .option(
      '--json',
      'JSON on stdout: one line for the acknowledgement, one for the response',
      false,
    )
