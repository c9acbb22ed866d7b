/**
 * A broker in small for nats-child.test.ts: starts a server in the folder that it is given and says
 * so on stdout.
 */
import { startNatsServer } from '../../../../core/ops/embedded-nats/nats-child.ts'
import { silentLog } from '../../../../core/ports/log.ts'

const child = await startNatsServer({ dataDir: process.argv[2]!, log: silentLog })
process.stdout.write(`${JSON.stringify({ pid: child.pid, port: child.port })}\n`)
