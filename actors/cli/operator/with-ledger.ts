/**
 * The ledger of a deployment, open for as long as one command takes; what it needs is loaded when
 * it runs.
 */
import type { Place } from '../shared-options.ts'

type Opened = Awaited<ReturnType<typeof import('./operator-ledger.ts').openOperatorLedger>>

/** Runs `action` on the deployment's ledger; what it returns is the exit code. */
export async function withLedger(
  where: Place,
  action: (opened: Opened) => Promise<number>,
): Promise<void> {
  const { openOperatorLedger, runningAddressOf } = await import('./operator-ledger.ts')
  const opened = await openOperatorLedger(await runningAddressOf(where))
  try {
    process.exitCode = await action(opened)
  } finally {
    await opened.close()
  }
}
