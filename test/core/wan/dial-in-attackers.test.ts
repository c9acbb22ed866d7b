/**
 * The door for devices against strangers: the honest meter stays reachable, or becomes so again.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { limits } from '../../../core/base/limits.ts'
import type { WanOptions } from '../../../core/wan/sockets/options.ts'
import { FleetTrial, isItself, listed, sharesOf } from './fleet-trial.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function until(isMet: () => boolean): Promise<void> {
  while (!isMet()) await turn()
}

type Scene = { trial: FleetTrial; port: number; stranger(address?: string): Promise<Socket> }

async function start(t: Test, options: Partial<WanOptions> = {}, suite?: 0): Promise<Scene> {
  const securityShares = suite === undefined ? undefined : sharesOf(suite)
  const fleet = { transport: 'dial-in', ...(securityShares && { securityShares }) } as const
  const trial = await FleetTrial.start(t, fleet, options)
  const port = await trial.wan.listen('127.0.0.1', 0)
  return {
    trial,
    port,
    async stranger(address = '127.0.0.2') {
      const socket = connect({ port, host: '127.0.0.1', localAddress: address })
      socket.on('error', () => undefined).resume()
      t.teardown(() => void socket.destroy())
      await Promise.race([once(socket, 'connect'), new Promise((r) => socket.once('close', r))])
      return socket
    },
  }
}

t.test('a forged name takes nothing from a device that has answered', async (t) => {
  for (const suite of [undefined, 0] as const) {
    const { trial, port, stranger } = await start(t, {}, suite)
    trial.fleet.dialIn(0, { host: '127.0.0.1', port })
    isItself(t, 0, await trial.ask(0, listed))
    for (let round = 1; round <= 5; round++) {
      const forger = await stranger()
      const closed = once(forger, 'close')
      forger.write(`${trial.addressOf(0).host}\r\n`)
      await until(() => trial.metrics.contended === round)
      isItself(t, 0, await trial.ask(0, listed), 'it is asked, not the forger')
      await closed
    }
    t.equal(trial.wan.counts.connections, 1)
  }
})

t.test('a forged name that came first holds the device up, but not out', async (t) => {
  const { trial, port, stranger } = await start(t)
  const forger = await stranger()
  const closed = once(forger, 'close')
  forger.write(`${trial.addressOf(0).host}\r\n`)
  await until(() => trial.wan.counts.connections === 1)
  trial.fleet.dialIn(0, { host: '127.0.0.1', port })
  await closed
  isItself(t, 0, await trial.ask(0, listed))
})

t.test('what waits behind a connection takes its place when it fails', async (t) => {
  const { trial, port } = await start(t, { responseMs: 2_000 })
  const first = trial.fleet.dialIn(0, { host: '127.0.0.1', port })
  isItself(t, 0, await trial.ask(0, listed))
  // The network has lost the first connection, and told nobody.
  first.pause()
  trial.fleet.dialIn(0, { host: '127.0.0.1', port })
  await until(() => trial.metrics.contended === 1)
  const attempts = []
  for (let i = 0; i < 2; i++) attempts.push(await trial.ask(0, listed))
  t.ok(
    attempts.some(({ ok }) => ok),
    'the second attempt at the latest',
  )
  isItself(t, 0, await trial.ask(0, listed))
})

t.test('what waits behind a proven connection for too long is closed', async (t) => {
  let now = 1
  const { trial, port, stranger } = await start(t, { nowMs: () => now })
  trial.fleet.dialIn(0, { host: '127.0.0.1', port })
  isItself(t, 0, await trial.ask(0, listed))
  const second = await stranger()
  let isClosed = false
  const closed = once(second, 'close').then(() => (isClosed = true))
  second.write(`${trial.addressOf(0).host}\r\n`)
  await until(() => trial.metrics.contended === 1)
  now += limits.dialInContenderMsMax - 1
  for (let i = 0; i < 20; i++) await turn()
  t.notOk(isClosed, 'it may wait until then')
  now++
  await closed
  isItself(t, 0, await trial.ask(0, listed))
})

t.test('idle connections of one address make way for each other', async (t) => {
  const max = 50
  const { trial, port, stranger } = await start(t, { dialInPerAddressMax: max })
  trial.fleet.dialIn(0, { host: '127.0.0.1', port })
  isItself(t, 0, await trial.ask(0, listed))
  let closed = 0
  for (let i = 0; i < 5 * max; i++) (await stranger()).once('close', () => closed++)
  await until(() => closed === 4 * max)
  t.ok(trial.metrics.refused('DIAL_IN_FULL') >= 4 * max)
  isItself(t, 0, await trial.ask(0, listed))
  trial.fleet.dialIn(1, { host: '127.0.0.1', port })
  isItself(t, 1, await trial.ask(1, listed), 'a newcomer gets in')
})

t.test('strangers with many names and addresses make way for devices', async (t) => {
  const max = 60
  const { trial, port, stranger } = await start(t, { connectionsMax: max })
  trial.fleet.dialIn(0, { host: '127.0.0.1', port })
  isItself(t, 0, await trial.ask(0, listed))
  for (let i = 0; i < 3 * max; i++) {
    const socket = await stranger(`127.0.${1 + (i % 40)}.1`)
    socket.write(`STRANGER-${i}\r\n`)
  }
  isItself(t, 0, await trial.ask(0, listed))
  await until(() => trial.metrics.refused('DIAL_IN_FULL') >= 2 * max)
  trial.fleet.dialIn(1, { host: '127.0.0.1', port })
  isItself(t, 1, await trial.ask(1, listed), 'a newcomer gets in')
  t.ok(trial.wan.counts.connections <= max)
})

t.test('those that send much and say nothing are cut, the largest first', async (t) => {
  const { trial, port, stranger } = await start(t)
  // A frame of the wrapper of 65,000 octets that never ends.
  const begun = Buffer.alloc(60_000)
  Buffer.of(0, 1, 0, 1, 0, 1, 0xfd, 0xe8).copy(begun)
  const count = Math.ceil(limits.dialInUnknownBytesMax / begun.length) + 20
  let closed = 0
  for (let i = 0; i < count; i++) {
    const socket = await stranger(`127.0.${1 + (i % 40)}.1`)
    socket.once('close', () => closed++)
    socket.write(begun)
  }
  await until(() => closed >= 20)
  trial.fleet.dialIn(1, { host: '127.0.0.1', port })
  isItself(t, 1, await trial.ask(1, listed))
})

t.test('a frame that comes octet by octet is given up', async (t) => {
  let now = 0
  const { stranger, trial } = await start(t, { nowMs: () => now })
  const slow = await stranger()
  let isClosed = false
  slow.once('close', () => (isClosed = true))
  slow.write(Buffer.of(0, 1, 0, 1, 0, 1, 0xfd, 0xe8))
  while (!isClosed) {
    now += 50
    slow.write(Buffer.alloc(1))
    await turn()
  }
  t.ok(trial.metrics.refused('DEVICE_SILENT') + trial.metrics.refused('DLMS_LENGTH_INVALID') > 0)
  t.equal(trial.wan.counts.connections, 0)
})
