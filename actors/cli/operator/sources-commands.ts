/** `busbar sources`: registration systems and their files, at the operators' door of a broker. */
import { InvalidArgumentError, type Command } from 'commander'
import type { SourceJson, SourcesJson } from '../../broker/source-door.ts'
import { addOpsOption, whoIsHere, type Print } from '../shared-options.ts'
import { tableOf } from '../table.ts'
import { askDoor } from './ask-door.ts'

type Options = { ops: string; json: boolean; by?: string }

const after = `
A source is a registration system that sends files: electricity:EELC, by its market participant id,
or gas:0000012345, by its organisation id. Its files are applied in the order of their numbers.

  held     an earlier file is missing, or is being applied
  waiting  a refresh that would change a larger share than may be changed without an operator`

/** Files have numbers of up to twelve digits. */
function sequenceNumber(text: string): number {
  if (!/^\d{1,12}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

const door = "a broker's operators' door"

export function addSourcesCommands(program: Command, { out }: { out: Print }): void {
  const sources = program
    .command('sources')
    .description('registration systems, and which of their files are applied or wait')
    .addHelpText('after', after)
  addOpsOption(sources.command('list'), door)
    .description('the registration systems, and how old their data are')
    .option('--json', 'one line of JSON', false)
    .action(async ({ ops, json }: Options) => {
      const answer = await askDoor<SourcesJson>(ops, 'GET', '/v1/sources')
      if (json) return out(JSON.stringify(answer))
      const rows = answer.sources.map(
        ({ source, taken, held, stage = '', ageSeconds, dataSince }) => [
          ...[source, String(taken), String(held), stage, ageText(ageSeconds), dataSince],
        ],
      )
      for (const line of tableOf([['source', 'taken', 'held', 'open', 'age', 'data of'], ...rows]))
        out(line)
    })
  addStatusFile(sources, out)
  const print = (answer: SourceJson, isJson: boolean): void =>
    isJson ? out(JSON.stringify(answer)) : linesOf(answer).forEach((line) => out(line))
  addOpsOption(sources.command('show'), door)
    .description('the files of a registration system')
    .argument('<source>', 'electricity:ID or gas:ID')
    .option('--json', 'one line of JSON', false)
    .action(async (source: string, { ops, json }: Options) =>
      print(await askDoor<SourceJson>(ops, 'GET', pathOf(source)), json),
    )
  addChange(sources, 'release', 'go on without the files that are missing before those held')
    .option('--through <number>', 'the last one that is not waited for', sequenceNumber)
    .action(async (source: string, { ops, json, by, through }: Options & { through?: number }) => {
      const body = { through, by: by ?? whoIsHere() }
      print(await askDoor<SourceJson>(ops, 'POST', `${pathOf(source)}/release`, { body }), json)
    })
  for (const [word, text] of decisions)
    addChange(sources, word, text)
      .argument('<number>', 'sequence number of the file', sequenceNumber)
      .action(async (source: string, sequence: number, { ops, json, by }: Options) => {
        const body = { sequence, by: by ?? whoIsHere() }
        print(await askDoor<SourceJson>(ops, 'POST', `${pathOf(source)}/${word}`, { body }), json)
      })
}

function addStatusFile(sources: Command, out: Print): void {
  addOpsOption(sources.command('status-file'), "operators' door of a process with the role views")
    .description('write the service flags of the meter points of a registration system to a file')
    .argument('<source>', 'electricity:ID or gas:ID')
    .requiredOption('--sequence <number>', 'sequence number of the file', sequenceNumber)
    .requiredOption('--to <file>', 'the status file')
    .action(
      async (
        source: string,
        { ops, sequence, to: path }: Options & { sequence: number; to: string },
      ) => {
        const { fetchStatusFile } = await import('./registration-load.ts')
        await fetchStatusFile(source, { ops, sequence, path })
        out(`${path} has the service flags of ${source}`)
      },
    )
}

const decisions = [
  ['approve', 'apply a refresh that waits because it would change much'],
  ['reject', 'do not apply a refresh that waits, or a file that is held'],
] as const

const addChange = (sources: Command, word: string, text: string): Command =>
  addOpsOption(sources.command(word), door)
    .description(text)
    .argument('<source>', 'electricity:ID or gas:ID')
    .option('--by <name>', 'who does it, for the ledger; the user of this machine when left out')
    .option('--json', 'one line of JSON', false)

const pathOf = (source: string): string => `/v1/sources/${encodeURIComponent(source)}`

function ageText(seconds: number): string {
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`
  return seconds < 172_800
    ? `${Math.floor(seconds / 3_600)} h`
    : `${Math.floor(seconds / 86_400)} d`
}

function linesOf({
  source,
  taken,
  ageSeconds,
  meterPoints,
  missing,
  open,
  held,
  ended,
}: SourceJson): string[] {
  const lines = [
    `${source}: taken through ${taken}, ${meterPoints} meter points, data ${ageText(ageSeconds)} old`,
  ]
  if (open !== undefined) {
    const { kind, sequence, stage, progress, records, changes } = open
    lines.push(`${kind} ${sequence} ${stage}, ${progress.done} of ${records} records`)
    if (changes !== undefined)
      lines.push(
        `  changes ${changes.share.toFixed(2)} % of ${changes.known} meter points: ${changes.changed} changed, ${changes.added} new, ${changes.missing} missing`,
      )
  }
  for (const { kind, sequence, records } of held)
    lines.push(`${kind} ${sequence} held, ${records} records`)
  if (missing !== undefined) lines.push(`file ${missing} is missing`)
  for (const { kind, sequence, outcome, progress, at } of ended)
    lines.push(
      `${kind} ${sequence} ${outcome} ${at}: ${progress.done - progress.rejected} registered, ${progress.rejected} rejected, ${progress.changed} changed, ${progress.added} new`,
    )
  return lines
}
