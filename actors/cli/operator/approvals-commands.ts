/** `busbar approvals list|approve|reject`: acts that wait for a second operator. */
import type { Command } from 'commander'
import type { ApprovalJson, ApprovalsAnswer } from '../../broker/approvals-door.ts'
import { OperatorFault } from '../operator-fault.ts'
import { addOpsOption, type Print } from '../shared-options.ts'
import { tableOf } from '../table.ts'
import { askDoor } from './ask-door.ts'

const after = `
Acts that cannot be undone need two operators with the role security-officer, where the broker has
operators of its own (--operators): to remove a device or a party, new keys for a device, to release
or delete what is in quarantine. The first one asks as ever; the act waits here for a day. With
--json \`list\` has all of it, such as each RequestID in \`content\`. What another one approves is exactly what was requested, and is carried out at once.
When that was cut short, approve it again. Who requested it may reject it, and cannot approve it.`

type Options = { ops: string; json: boolean }

/** Adds `approvals`. */
export function addApprovalsCommands(program: Command, { out }: { out: Print }): void {
  const approvals = program
    .command('approvals')
    .description('acts that wait for a second operator')
    .addHelpText('after', after)
  addOpsOption(approvals.command('list'))
    .description('requests, and what became of the last ones')
    .option('--json', 'one line of JSON for each', false)
    .action(async ({ ops, json }: Options) => {
      const list = await listAt(ops)
      if (json) for (const one of list) out(JSON.stringify(one))
      else for (const line of tableOf([head, ...list.map(rowOf)])) out(line)
    })
  for (const [word, text] of decisions)
    addOpsOption(approvals.command(word))
      .description(text)
      .argument('<id>', 'as `approvals list` shows it')
      .option('--json', 'one line of JSON', false)
      .action(async (id: string, { ops, json }: Options) => {
        const found = (await listAt(ops)).find((one) => one.id === id)
        if (found === undefined)
          throw new OperatorFault(`there is no request ${id}; list them: busbar approvals list`)
        const answer = await askDoor<{ approval: ApprovalJson }>(
          ops,
          'POST',
          `/v1/approvals/${encodeURIComponent(id)}/${word}`,
          { body: { digest: found.digest } },
        )
        out(json ? JSON.stringify(answer) : sentenceOf(answer.approval))
      })
}

const decisions = [
  ['approve', 'approve what another operator has requested, and have it carried out'],
  ['reject', 'let a request come to nothing'],
] as const

const head = ['id', 'act', 'of', 'requested by', 'until', 'status', 'decided by']

const rowOf = (one: ApprovalJson): string[] => [
  one.id,
  one.act,
  one.target,
  one.requestedBy,
  one.expiresAt,
  one.status,
  one.decidedBy ?? '',
]

const listAt = async (ops: string): Promise<ApprovalJson[]> =>
  (await askDoor<ApprovalsAnswer>(ops, 'GET', '/v1/approvals')).approvals

const sentenceOf = ({ id, act, target, status }: ApprovalJson): string =>
  `${id}  ${act} ${target}  ${status}`

/** What a command says of an act that waits, and how it goes on. */
export const waitingSentence = ({ id, target, expiresAt }: ApprovalJson): string =>
  `${target}  waits for another operator until ${expiresAt}: busbar approvals approve ${id}`
