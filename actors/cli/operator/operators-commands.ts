/** `busbar operators token|list|remove`: who may call the operators' door; no broker has to run. */
import { resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { OperatorRole } from '../../../core/access/operator-rules.ts'
import { operatorsFolderIn } from '../../../core/ops/operators-folder.ts'
import { settings } from '../../../core/ops/settings.ts'
import { systemRandom } from '../../../core/ports/random.ts'
import { addConfigOption, type Print } from '../shared-options.ts'
import { tableOf } from '../table.ts'

const after = `
Roles: viewer looks; operator also registers devices and meter points; security-officer also changes
parties, removes devices, and acts on keys and counters. core/docs/operating/operators.md has the table.

A broker reads the list again within a second. Give the file with the token to its operator alone,
who names it with --token-file or BUSBAR_OPERATOR_TOKEN_FILE; the list has only its hash.`

type Options = { operators?: string; dataDir: string }

/** Adds `--config`, `--operators` and `--data-dir`. */
const addFolderOptions = (command: Command): Command =>
  addConfigOption(command)
    .addOption(
      new Option(
        '--operators <folder>',
        'folder of operators; the one of the data directory when left out',
      ).env(settings.operators.env),
    )
    .addOption(
      new Option('--data-dir <folder>', 'data directory of the broker')
        .env(settings.dataDir.env)
        .default(settings.dataDir.default),
    )

const folderOf = ({ operators, dataDir }: Options): string =>
  resolve(operators || operatorsFolderIn(dataDir))

/** Adds `operators`. */
export function addOperatorsCommands(program: Command, { out }: { out: Print }): void {
  const operators = program
    .command('operators')
    .description("who may call the operators' door, and what they may do there")
    .addHelpText('after', after)
  addFolderOptions(operators.command('token'))
    .description('add an operator, and write a new token for him into a file')
    .argument('<name>', 'name of the operator, as the ledger will have it')
    .addOption(
      new Option('--role <role>', 'what the operator may do')
        .choices(OperatorRole)
        .makeOptionMandatory(),
    )
    .option('--out <file>', 'where the token goes; NAME.token in the folder when left out')
    .option('--renew', 'replace the token and the role of an operator who is there', false)
    .action(
      async (
        name: string,
        options: Options & { role: OperatorRole; out?: string; renew: boolean },
      ) => {
        const { issueToken } = await import('../../../core/ops/operators-folder.ts')
        const folder = folderOf(options)
        const { role, renew: isRenewal } = options
        const tokenFile = resolve(options.out ?? `${folder}/${name}.token`)
        issueToken(folder, { name, role, isRenewal, tokenFile }, systemRandom)
        out(`${name}  ${role}; the token is in ${tokenFile}`)
      },
    )
  addFolderOptions(operators.command('list'))
    .description('names and roles')
    .option('--json', 'one line of JSON for each', false)
    .action(async (options: Options & { json: boolean }) => {
      const { readOperators } = await import('../../../core/ops/operators-folder.ts')
      const list = Array.from(readOperators(folderOf(options)).values(), ({ name, role }) => ({
        name,
        role,
      }))
      if (options.json) for (const one of list) out(JSON.stringify(one))
      else
        for (const line of tableOf([
          ['operator', 'role'],
          ...list.map((one) => Object.values(one)),
        ]))
          out(line)
    })
  addFolderOptions(operators.command('remove'))
    .description('take an operator out of the list; the token is not valid any more')
    .argument('<name>', 'operator')
    .action(async (name: string, options: Options) => {
      const { removeOperator } = await import('../../../core/ops/operators-folder.ts')
      removeOperator(folderOf(options), name)
      out(`${name}  removed`)
    })
}
