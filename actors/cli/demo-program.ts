/** `busbar demo`: its command line. */
import type { Command } from 'commander'
import { settings } from '../../core/ops/settings.ts'
import { dataDirDefault } from '../demo/next-steps.ts'
import { wholeNumber } from './shared-options.ts'

type DemoArguments = {
  meters: number
  requests?: string
  once: boolean
  json: boolean
  dataDir: string
  grpc: string
  http: string
  ops: string
  faults?: string
}

/** Adds `demo`. */
export function addDemoCommand(program: Command): void {
  program
    .command('demo')
    .description(
      'what `npm start` runs: meters, broker, and a supplier that submits the requests of a sample file',
    )
    .option('--meters <count>', 'simulated meters', wholeNumber, 1_000)
    .option('--requests <file>', 'JSON lines of requests, see actors/demo/plan.ts')
    .option('--once', 'end after the summary: 0, or 1 when anything went missing', false)
    .option(
      '--json',
      'print the summary as one line of JSON on stdout and nothing else there',
      false,
    )
    .option('--data-dir <folder>', 'ledger, state and devices', dataDirDefault)
    .option(
      '--grpc <address>',
      'where the gRPC gateway listens; port 0 for any',
      settings.grpc.default,
    )
    .option('--http <address>', 'where the HTTP gateway listens', settings.http.default)
    .option(
      '--ops <address>',
      "the operators' door: metrics, health, devices",
      settings.ops.default,
    )
    .option('--faults <words>', 'faults of the meters, for example silent:1%')
    .action(async ({ once, json, ...options }: DemoArguments) => {
      const { runDemo } = await import('../demo/demo.ts')
      process.exitCode = await runDemo({ ...options, isOnce: once, isJson: json })
    })
}
