/**
 * The processes of the demonstration: the fleet and the broker, each started through the command
 * line as anybody would.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { environmentOfNode } from '../../core/ops/setup/child-environment.mjs'
import { OperatorFault } from '../cli/operator-fault.ts'
import { ownEntry } from '../own-entry.ts'

/**
 * A broker has its settings in the environment, secrets among them; the fleet needs none of them.
 */
const environmentOf = (command: string | undefined): Record<string, string | undefined> => {
  const kept = Object.entries(process.env).filter(
    ([name]) => name.startsWith('BUSBAR_') || name === 'NATS_SERVER_BIN',
  )
  return {
    ...environmentOfNode(process.env),
    ...(command === 'serve' && Object.fromEntries(kept)),
  }
}

export type Child = {
  /** What it said on stdout when it was ready. */
  readonly said: Record<string, unknown>
  readonly process: ChildProcess
  /** Called when it ends without having been asked to. */
  onDeath: (how: string) => void
  /** Ends it in order. */
  stop(): Promise<void>
}

/**
 * Starts `busbar args…` and settles with its first line, which is JSON. Its stderr is ours, or goes
 * to the open file `errorsTo`; `nodeArguments` are for the Node that it runs on.
 * @throws OperatorFault when it ends before; why stands on its stderr
 */
export async function startChild(
  args: readonly string[],
  errorsTo: 'inherit' | number = 'inherit',
  nodeArguments: readonly string[] = [],
): Promise<Child> {
  // In a group of its own: Ctrl-C is for us, who end the children in order; `--ends-with-input`
  // sees to it should we be killed.
  const child = spawn(
    process.execPath,
    [...nodeArguments, ownEntry, ...args, '--ends-with-input'],
    {
      stdio: ['pipe', 'pipe', errorsTo],
      detached: true,
      env: environmentOf(args[0]),
    },
  )
  let isStopping = false
  const ended = once(child, 'exit')
  const lines = createInterface({ input: child.stdout! })
  const first = await Promise.race([
    once(lines, 'line').then(([line]) => String(line)),
    ended.then(([code, signal]) => {
      const how = signal === null ? `code ${String(code)}` : String(signal)
      throw new OperatorFault(`busbar ${args[0]} ended with ${how} before it was ready`)
    }),
  ])
  const started: Child = {
    said: JSON.parse(first) as Record<string, unknown>,
    process: child,
    onDeath: () => undefined,
    async stop() {
      isStopping = true
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      await ended
    },
  }
  void ended.then(([code, signal]) => {
    if (!isStopping) {
      started.onDeath(
        signal === null ? `ended with code ${String(code)}` : `was ended by ${String(signal)}`,
      )
    }
  })
  return started
}
