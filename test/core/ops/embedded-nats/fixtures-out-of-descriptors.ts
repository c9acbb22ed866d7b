/**
 * A broker in small whose server dies while the process has next to no descriptors left, with one
 * more of them each time; for nats-child.test.ts. Says on stdout how it went: one JSON object a
 * line.
 */
import { closeSync, openSync } from 'node:fs'
import { serversOf } from '../../../../core/ops/embedded-nats/left-servers.ts'
import { startNatsServer } from '../../../../core/ops/embedded-nats/nats-child.ts'
import { natsPlaces } from '../../../../core/ops/embedded-nats/nats-settings.ts'

let heard = (_message: string): void => {}
const hear = (_fields: unknown, message: string): void => heard(message)
const log = { debug: hear, info: hear, warn: hear, error: hear }
const logThat = (messages: readonly string[]): Promise<string> =>
  new Promise((settle) => {
    heard = (message) => {
      if (messages.includes(message)) settle(message)
    }
  })
const say = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`)

const dataDir = process.argv[2]!
const limits = { natsFailuresMax: 1_000, natsRestartDelayMsMax: 100 }
const child = await startNatsServer({ dataDir, log, limits })
child.onExit((fault) => say({ given: 'up', code: fault?.code }))
for (let left = 0; left < Number(process.argv[3]); left++) {
  const open: number[] = []
  try {
    for (;;) open.push(openSync('/dev/null', 'r'))
  } catch {
    for (const descriptor of open.splice(0, left)) closeSync(descriptor)
  }
  const [again, refused] = [
    'nats-server runs again',
    'nats-server cannot be started now; trying again',
  ]
  const first = logThat([again, refused])
  process.kill(child.pid!, 'SIGKILL')
  const message = await first
  const isUp = logThat([again])
  for (const descriptor of open) closeSync(descriptor)
  if (message === refused) await isUp
  const servers = serversOf(natsPlaces(dataDir).config).map(({ pid }) => pid)
  say({ left, message, pid: child.pid, servers })
}
say({ done: true, port: child.port })
