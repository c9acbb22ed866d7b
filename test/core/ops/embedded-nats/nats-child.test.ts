/**
 * The embedded nats-server, with real processes: it keeps port, credentials and store; comes back
 * when it is killed; gives up when it must; and goes when its broker goes, however that went.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import t from 'tap'
import type { BrokerError } from '../../../../core/base/broker-error.ts'
import { connectNats } from '../../../../core/nats/connection.ts'
import { startNatsServer, type NatsChild } from '../../../../core/ops/embedded-nats/nats-child.ts'
import { natsConnectOptions } from '../../../../core/nats/options.ts'
import { serversOf } from '../../../../core/ops/embedded-nats/left-servers.ts'
import { findNatsServer } from '../../../../core/ops/setup/nats-server.mjs'
import {
  formatNatsConfig,
  loadNatsSettings,
  natsPlaces,
} from '../../../../core/ops/embedded-nats/nats-settings.ts'
import { isStoreLockHeld, takeStoreLock } from '../../../../core/ops/embedded-nats/store-lock.ts'
import {
  isSameProcessAlive,
  recordOfProcess,
} from '../../../../core/ops/embedded-nats/process-identity.ts'
import { createMetrics } from '../../../../core/ops/metrics.ts'
import { silentLog, type Log } from '../../../../core/ports/log.ts'

const parentFile = fileURLToPath(new URL('fixtures-nats-parent.ts', import.meta.url))

function newDataDir(t: { teardown(action: () => void): void }): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'busbar-nats-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  return dataDir
}

/** Settles when the log says `message` for the `count`th time. */
function logThatTells(message: string, count = 1): { log: Log; told: Promise<void> } {
  let left = count
  let settle: () => void
  const told = new Promise<void>((resolve) => (settle = resolve))
  const hear = (_fields: unknown, text: string): void => {
    if (text === message && --left === 0) settle()
  }
  return { log: { debug: hear, info: hear, warn: hear, error: hear }, told }
}

/**
 * Settles when no process of this record is left; there is no event for a process that is not ours.
 */
async function untilGone(pid: number): Promise<void> {
  const record = recordOfProcess(pid)
  while (record && isSameProcessAlive(record)) await new Promise((settle) => setTimeout(settle, 20))
}

const connectTo = ({ url, user, password }: NatsChild): Promise<NatsConnection> =>
  connectNats(natsConnectOptions({ url, user, password }, 'nats-child.test'))

type Parent = { process: ChildProcess; pid: number; port: number }

function startParent(dataDir: string): Promise<Parent> {
  const child = spawn(process.execPath, [parentFile, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return new Promise((settle, refuse) => {
    child.once('exit', (code) => refuse(new Error(`ended with ${code}`)))
    child.stdout!.once('data', (chunk: Buffer) => {
      settle({ process: child, ...(JSON.parse(chunk.toString()) as { pid: number; port: number }) })
    })
  })
}

t.test(
  'a server with a store of its own that survives kill -9 of the server and a restart of the broker',
  async (t) => {
    const dataDir = newDataDir(t)
    const { log, told } = logThatTells('nats-server runs again')
    const metrics = createMetrics({ withProcess: false })
    const first = await startNatsServer({ dataDir, log, metrics })
    t.teardown(() => first.stop())
    t.equal(first.url, `nats://127.0.0.1:${first.port}`)
    t.ok(first.pid! > 1)
    for (const name of ['nats-server.json', 'nats-server.conf', 'nats-server.log']) {
      t.equal(statSync(join(dataDir, name)).mode & 0o077, 0, `${name} is its owner's alone`)
    }
    await t.rejects(
      connect({ servers: `127.0.0.1:${first.port}`, reconnect: false }),
      /[Aa]uthorization/,
      'nobody gets in without the password',
    )

    const connection = await connectTo(first)
    t.equal(connection.info?.max_payload, 8 * 1024 * 1024)
    t.equal(connection.info?.jetstream, true)
    const manager = await jetstreamManager(connection)
    await manager.streams.add({ name: 'TRIED', subjects: ['tried.>'] })
    await jetstream(connection).publish('tried.1', 'kept')

    const reconnected = (async () => {
      for await (const { type } of connection.status()) if (type === 'reconnect') return
    })()
    const killedPid = first.pid!
    process.kill(killedPid, 'SIGKILL')
    await told
    await reconnected
    t.not(first.pid, killedPid)
    t.equal(first.restarts, 1)
    t.match(await metrics.text(), /busbar_nats_server_restarts_total 1\n/)
    t.equal(
      (await jetstream(connection).publish('tried.2', 'kept too')).seq,
      2,
      'the store is the same',
    )
    await connection.close()
    await first.stop()
    t.match(await metrics.text(), /busbar_nats_server_up 0\n/)
    t.equal(first.pid, undefined)
    await first.stop()

    const second = await startNatsServer({ dataDir, log: silentLog })
    t.teardown(() => second.stop())
    t.same(
      [second.port, second.user, second.password],
      [first.port, first.user, first.password],
      'found again at the same place',
    )
    const again = await connectTo(second)
    const { state } = await (await jetstreamManager(again)).streams.info('TRIED')
    t.equal(state.messages, 2)
    await again.close()
    await second.stop()
  },
)

t.test('each write is synced before it is acknowledged', async (t) => {
  const text = formatNatsConfig(
    '/data "x"',
    {
      serverName: 's',
      port: 4222,
      user: 'u',
      password: 'p'.repeat(16),
      passwords: { gateway: 'g', host: 'h', wan: 'w', views: 'v' },
    },
    1024,
  )
  t.match(text, /^ {2}sync_interval: always$/m)
  t.match(text, /^listen: "127\.0\.0\.1:4222"$/m, 'loopback only')
  t.match(text, /store_dir: "\/data \\"x\\"\/nats"/)
})

t.test('a server that keeps dying is given up with NATS_SERVER_FAILED', async (t) => {
  const dataDir = newDataDir(t)
  const few = { natsFailuresMax: 3, natsRestartDelayMs: 1 }
  const child = await startNatsServer({
    dataDir,
    limits: few,
    log: {
      ...silentLog,
      info: (_fields, message) => message === 'nats-server runs again' && kill(),
    },
  })
  const kill = (): void => void process.kill(child.pid!, 'SIGKILL')
  const fault = new Promise<BrokerError | undefined>((settle) => child.onExit(settle))
  kill()
  t.equal((await fault)?.code, 'NATS_SERVER_FAILED')
  t.match((await fault)?.detail, /3 times/)
  t.equal(child.restarts, 2)
  await child.stop()
  const late = new Promise<BrokerError | undefined>((settle) => child.onExit(settle))
  t.equal(await late, await fault, 'who asks later is told too')
})

t.test('a program that is no nats-server fails at once, with its words', async (t) => {
  const dataDir = newDataDir(t)
  const fake = join(dataDir, 'fake')
  writeFileSync(fake, '#!/bin/sh\necho "nats-server: cannot do that" >&2\nexit 3\n')
  chmodSync(fake, 0o755)
  await t.rejects(startNatsServer({ dataDir, log: silentLog, binary: fake }), {
    code: 'NATS_SERVER_FAILED',
    detail: /code 3 nats-server: cannot do that/,
  })
  await t.rejects(startNatsServer({ dataDir, log: silentLog, binary: join(dataDir, 'none') }), {
    code: 'NATS_SERVER_FAILED',
    detail: /ENOENT/,
  })
})

t.test('a port that somebody else has taken is left to him', async (t) => {
  const dataDir = newDataDir(t)
  const { port } = await loadNatsSettings(dataDir)
  const { password } = await loadNatsSettings(dataDir)
  const squatter = await new Promise<Server>((settle) => {
    const server = createServer().listen(port, '127.0.0.1', () => settle(server))
  })
  t.teardown(() => squatter.close())
  const moved = await loadNatsSettings(dataDir)
  t.not(moved.port, port)
  t.equal(moved.password, password)
  t.equal((await loadNatsSettings(dataDir)).port, moved.port, 'and the new one is kept')
  await t.rejects(loadNatsSettings(dataDir, port), { code: 'NATS_SERVER_FAILED' })
  writeFileSync(join(dataDir, 'nats-server.json'), '{"port":')
  await t.rejects(loadNatsSettings(dataDir), { code: 'NATS_SERVER_FAILED' })
})

t.test('two brokers do not share a data directory', async (t) => {
  const dataDir = newDataDir(t)
  const child = await startNatsServer({ dataDir, log: silentLog })
  t.teardown(() => child.stop())
  await t.rejects(startNatsServer({ dataDir, log: silentLog }), {
    code: 'DATA_DIR_TAKEN',
    detail: /^process \d+$/,
  })
  const connection = await connectTo(child)
  await connection.close()
  t.pass('the first one runs on')
})

t.test('kill -9 of the broker ends its server', async (t) => {
  const dataDir = newDataDir(t)
  const parent = await startParent(dataDir)
  parent.process.removeAllListeners('exit')
  parent.process.kill('SIGKILL')
  await untilGone(parent.pid)
  const next = await startParent(dataDir)
  next.process.removeAllListeners('exit')
  t.equal(next.port, parent.port)
  next.process.kill('SIGKILL')
  await untilGone(next.pid)
})

t.test('a server that was left behind is ended by the next start', async (t) => {
  const dataDir = newDataDir(t)
  const parent = await startParent(dataDir)
  parent.process.removeAllListeners('exit')
  // As if its watchdog had been killed with the broker: the server is written down, lives, and
  // nobody watches it.
  const leftOver = parent.pid
  process.kill(leftOver, 'SIGSTOP')
  parent.process.kill('SIGKILL')
  const { log, told } = logThatTells('ending the nats-server that an earlier broker left behind')
  const child = await startNatsServer({ dataDir, log, limits: { natsStopMsMax: 200 } })
  t.teardown(() => child.stop())
  await told
  await untilGone(leftOver)
  t.not(child.pid, leftOver)
  t.match(readFileSync(join(dataDir, 'nats-server.run'), 'utf8'), new RegExp(`"pid":${child.pid}`))
  await child.stop()
})

t.test(
  'a server dies while the broker is out of descriptors: it comes back, and is one',
  async (t) => {
    const dataDir = newDataDir(t)
    const config = join(dataDir, 'nats-server.conf')
    const fixture = fileURLToPath(new URL('fixtures-out-of-descriptors.ts', import.meta.url))
    const command = `ulimit -n 128 && exec "$0" "$@"`
    const rounds = 10
    const args = ['-c', command, process.execPath, fixture, dataDir, String(rounds)]
    const broker = spawn('/bin/sh', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(broker, 'exit')
    let last: { pid?: number; done?: boolean; port?: number } = {}
    const messages: string[] = []
    for await (const line of createInterface({ input: broker.stdout })) {
      const said = JSON.parse(line) as {
        message?: string
        pid?: number
        servers?: number[]
        done?: boolean
      }
      if (said.done) {
        last = { ...last, ...said }
        break
      }
      t.ok(said.pid, line)
      messages.push(said.message!)
      t.same(said.servers, [said.pid], 'one server on the store')
      last = said
    }
    t.ok(messages.includes('nats-server cannot be started now; trying again'))
    broker.kill('SIGKILL')
    t.same(await ended, [null, 'SIGKILL'])
    await untilGone(last.pid!)

    const next = await startNatsServer({ dataDir, log: silentLog })
    t.teardown(() => next.stop())
    t.equal(next.port, last.port)
    t.same(
      serversOf(config).map(({ pid }) => pid),
      [next.pid],
    )
  },
)

t.test(
  'a server that nobody wrote down and nobody watches is ended by the next start',
  async (t) => {
    const dataDir = newDataDir(t)
    const first = await startNatsServer({ dataDir, log: silentLog })
    const { port } = first
    await first.stop()
    // As a broker leaves it that dies between the start of its server and the record of it.
    const config = join(dataDir, 'nats-server.conf')
    const { found } = findNatsServer(process.env)
    const lost = spawn(found!.path, ['-c', config], { stdio: 'ignore', detached: true })
    const ended = once(lost, 'exit')
    t.same(
      serversOf(config).map(({ pid }) => pid),
      [lost.pid],
    )
    const { log, told } = logThatTells('ending the nats-server that an earlier broker left behind')
    const next = await startNatsServer({ dataDir, log })
    t.teardown(() => next.stop())
    await told
    await ended
    t.equal(next.port, port, 'nor does it move to another port')
    // Another server on this machine, with another configuration, is no business of ours.
    const other = newDataDir(t)
    const stranger = await startNatsServer({ dataDir: other, log: silentLog })
    t.teardown(() => stranger.stop())
    t.same(
      serversOf(config).map(({ pid }) => pid),
      [next.pid],
    )
  },
)

t.test('a store that an unseen process holds is left to it, with what to do', async (t) => {
  const dataDir = newDataDir(t)
  const first = await startNatsServer({ dataDir, log: silentLog })
  const { lock } = natsPlaces(dataDir)
  t.ok(await isStoreLockHeld(lock))
  await first.stop()
  t.notOk(await isStoreLockHeld(lock))
  const holder = createServer().listen(lock)
  await once(holder, 'listening')
  await t.rejects(startNatsServer({ dataDir, log: silentLog, limits: { natsStopMsMax: 200 } }), {
    code: 'NATS_SERVER_FAILED',
    message: /another process has the store .* end it \(fuser /,
  })
  holder.close()
  await once(holder, 'close')
  const next = await startNatsServer({ dataDir, log: silentLog })
  await next.stop()
})

t.test('the lock lives as long as any process that inherited it', async (t) => {
  const lockPath = join(newDataDir(t), 'nats.lock')
  const lock = await takeStoreLock(lockPath)
  t.equal(statSync(lockPath).mode & 0o777, 0o600)
  const child = spawn('/bin/sh', ['-c', 'read -r line'], {
    stdio: ['pipe', 'ignore', 'ignore', lock.descriptor],
  })
  await once(child, 'spawn')
  lock.release()
  // The name goes with the process that made it; another process still holds the lock.
  t.notOk(await isStoreLockHeld(lockPath))
  child.kill()
  await once(child, 'exit')
  const deep = join(newDataDir(t), 'x'.repeat(120))
  t.same((await takeStoreLock(join(deep, 'nats.lock'))).descriptor, undefined)
})

t.test('a server is given what it needs of the environment, and nothing else', async (t) => {
  process.env['BUSBAR_KEY_ENCRYPTION_KEY'] = '00'.repeat(32)
  process.env['SOME_TOKEN'] = 'secret'
  t.teardown(() => {
    delete process.env['BUSBAR_KEY_ENCRYPTION_KEY']
    delete process.env['SOME_TOKEN']
  })
  const child = await startNatsServer({ dataDir: newDataDir(t), log: silentLog })
  t.teardown(() => child.stop())
  if (process.platform !== 'linux') return
  const environment = readFileSync(`/proc/${child.pid}/environ`, 'utf8')
  t.match(environment, /(^|\0)PATH=/)
  t.notMatch(environment, /BUSBAR_|SOME_TOKEN|secret/)
})

t.test('addresses of NATS', async (t) => {
  t.match(natsConnectOptions({ url: 'nats://127.0.0.1:4333', user: 'u', password: 'p' }), {
    servers: ['127.0.0.1:4333'],
    user: 'u',
    pass: 'p',
    name: 'busbar',
  })
  t.match(natsConnectOptions({ url: 'tls://a%40b:p%3Aq@one.example:1, tls://two.example' }), {
    servers: ['one.example:1', 'two.example:4222'],
    user: 'a@b',
    pass: 'p:q',
    tls: {},
  })
  t.match(natsConnectOptions({ url: 'nats://secrettoken@one.example' }), { token: 'secrettoken' })
  t.notOk('user' in natsConnectOptions({ url: 'nats://one.example' }))
  t.match(natsConnectOptions({ url: 'tls://10.0.0.1,tls://two.example' }), {
    tls: { host: '10.0.0.1' },
  })
  t.match(natsConnectOptions({ url: 'tls://[::1]:4222' }), { tls: { host: '::1' } })
  const several = 'tls://10.0.0.1,tls://10.0.0.2'
  for (const url of ['', 'one.example', 'http://one.example', 'nats://', several]) {
    t.throws(() => natsConnectOptions({ url }), { code: 'CONFIG_INVALID' }, url)
  }
})
