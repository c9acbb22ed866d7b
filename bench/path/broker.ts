/**
 * The broker as a process of its own, from the same configuration and the same composition root as
 * `busbar serve`. Settings come as environment; one JSON line on stdout tells where it listens.
 * Ends on SIGTERM.
 */
import { loadConfig } from '../../core/ops/config.ts'
import { startBroker } from '../../actors/broker/broker.ts'

const broker = await startBroker(loadConfig({ env: process.env, workingDir: process.cwd() }))
process.stdout.write(
  `${JSON.stringify({ grpc: broker.grpc, http: broker.http, ops: broker.ops })}\n`,
)
const end = (): void => void broker.close().then(() => process.exit(0))
process.on('SIGTERM', end)
process.stdin.resume().on('end', end)
