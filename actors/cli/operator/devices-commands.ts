/**
 * `busbar devices`: an inventory file into a running broker; its list and show are in
 * views-program.ts, its remove in device-removal.ts.
 */
import type { Command } from 'commander'
import { errorTable } from '../../../core/base/error-table.ts'
import { addOpsOption, type Print } from '../shared-options.ts'
import { addDeviceRemoval } from './device-removal.ts'
import { addDeviceStatus } from './meter-points-commands.ts'
import type { FileResult } from './device-registration.ts'
import { addDeviceViews } from './views-program.ts'

const after = `
Each line stands alone: a line without a fault is registered even when others are rejected. A
rejected line is reported with its number, EUI-64, code and reason. Registering a line again that
is registered already changes nothing.

Exit codes: 0 all lines are registered; 1 at least one was rejected, or no broker answers; 2 wrong options.

--json prints {"line":2,"eui64":…,"code":…,"message":…} for each rejected line, then
{"registered":998,"refused":2}.`

/** Adds `devices`. */
export function addDevicesCommands(program: Command, terminal: { out: Print; err: Print }): void {
  const devices = addOpsOption(program.command('devices'))
    .description(
      'put devices into the inventory of a running broker, list what is in it, or remove one',
    )
    .argument(
      '<file>',
      'JSON lines: {"eui64":…,"type":"ESME","address":{"host":…,"port":…,"logicalDevice":1,"client":16}}',
    )
    .option('--json', 'one line of JSON for each rejected line, and one at the end', false)
    .addHelpText('after', after)
    .action(async (file: string, { ops, json }: { ops: string; json: boolean }) => {
      process.exitCode = await devicesCommand(file, ops, json, terminal)
    })
  addDeviceViews(devices, terminal.out)
  addDeviceStatus(devices, terminal.out)
  addDeviceRemoval(devices, terminal.out)
}

/** Registers `file` and prints what was rejected; settles with the exit code. */
export async function devicesCommand(
  file: string,
  ops: string,
  isJson: boolean,
  { out, err }: { out: Print; err: Print },
): Promise<number> {
  const { byCode, registerFile } = await import('./device-registration.ts')
  const explained = new Set<string>()
  const report = ({ refused }: FileResult): void => {
    if (isJson) return refused.forEach((line) => out(JSON.stringify(line)))
    for (const [code, lines] of byCode(refused)) {
      const isMalformed = code === 'DEVICE_RECORD_MALFORMED'
      if (!isMalformed && !explained.has(code)) err(`${code}: ${lines[0]!.message}`)
      explained.add(code)
      for (const { line, eui64, message } of lines) {
        const reason = isMalformed ? message : errorTable[code].meaning
        err(`  line ${line}  ${eui64 ?? '-'}  ${code}: ${reason}`)
      }
    }
  }
  const { registered, refused } = await registerFile(file, ops, report)
  if (isJson) out(JSON.stringify({ registered, refused: refused.length }))
  else {
    out(`${registered} devices registered`)
    if (refused.length > 0) err(`${refused.length} lines of ${file} rejected`)
  }
  return refused.length === 0 ? 0 : 1
}
