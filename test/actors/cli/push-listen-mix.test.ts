/**
 * `busbar meter push-listen`: M-Bus, wrapper and rubbish on one connection; many sets of keys of
 * several suites; telegrams; what is not verified.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { decodeLines } from '../../../actors/cli/meter/dlms-decode.ts'
import { pushListenCommand, type PushListenOptions } from '../../../actors/cli/meter/push-listen.ts'
import { Shape, suites, type Suite } from '../../../core/dlms/security/index.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { channelPair, secretKeys } from '../../support/security.ts'

const plain: PushListenOptions = {
  host: '127.0.0.1',
  port: '0',
  udp: false,
  hex: false,
  json: true,
}

type Said = { type?: string; fault?: string; verified?: boolean; fields?: { value: unknown }[] }

/**
 * Sends `octets` on one connection, and gives what is said of them until `count` pushes have come.
 */
async function heardOf(octets: Buffer, count: number, options: Partial<PushListenOptions> = {}) {
  const said: Said[] = []
  const complained: string[] = []
  let listening: (port: number) => void
  const port = new Promise<number>((resolve) => (listening = resolve))
  const ended = pushListenCommand(
    { ...plain, count: String(count), ...options },
    {
      out: (line) => void said.push(JSON.parse(line) as Said),
      err: (line) => {
        complained.push(line)
        const [, found] = /^listening on [^ ]*:(\d+)/.exec(line) ?? []
        if (found !== undefined) listening(Number(found))
      },
      clock: systemClock,
      onInterrupt: () => undefined,
    },
  )
  const at = await Promise.race([port, ended.then(() => 0)])
  const socket = connect(at, '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.end(octets)
  await ended
  return { said, complained }
}

const notification = (value: number): Buffer => Buffer.from([0x0f, 0, 0, 0, 1, 0, 0x11, value])
const wrapped = (apdu: Buffer): Buffer => {
  const header = Buffer.from([0, 1, 0, 1, 0, 16, 0, 0])
  header.writeUInt16BE(apdu.length, 6)
  return Buffer.concat([header, apdu])
}
function mbus(part: Buffer): Buffer {
  const upper = Buffer.concat([Buffer.of(0x53, 0xff, 0x10, 0x01, 0x67), part])
  const sum = upper.reduce((all, octet) => all + octet, 0) & 0xff
  const length = upper.length & 0xff
  return Buffer.concat([Buffer.of(0x68, length, length, 0x68), upper, Buffer.of(sum, 0x16)])
}

function keysFile(t: Test, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-keys-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'keys.json')
  writeFileSync(file, text)
  return file
}

const setOf = (suite: Suite): object => {
  const [unicast, , authentication] = secretKeys(suite)
  const hex = (key: typeof unicast): string => key!.copyOfOctets().toString('hex')
  return { unicast: hex(unicast), authentication: hex(authentication) }
}
const strange = { unicast: '00'.repeat(16), authentication: '11'.repeat(16) }

t.test('frames of all kinds on one connection, and rubbish between them', async (t) => {
  const rubbish = Buffer.from('fefe0011', 'hex')
  const octets = Buffer.concat([
    mbus(notification(1)),
    rubbish,
    wrapped(notification(2)),
    rubbish,
    mbus(Buffer.concat([notification(3), notification(4)])),
  ])
  const { said, complained } = await heardOf(octets, 4)
  t.match(
    said.map(({ fields }) => fields?.[0]?.value),
    [1, 2, 3, 4].map((value) => ({ value })),
  )
  t.equal(complained.filter((line) => line.includes('4 octets: fefe0011')).length, 2)
  t.match(complained.at(-1), /note: 8 octets in 2 places were not understood/)
})

t.test('the suite is that of the octets, the keys those that open them', async (t) => {
  for (const text of [
    JSON.stringify([strange, ...suites.map(setOf)]),
    [strange, ...suites.map(setOf)].map((keys) => JSON.stringify(keys)).join('\n'),
  ]) {
    const keys = keysFile(t, text)
    const choice = { shape: Shape.GENERAL_GLOBAL, protection: 0x30 } as const
    const apdus = suites.map((suite) =>
      Buffer.from(channelPair(suite).meter.protect(notification(suite.id + 5), choice)),
    )
    const { said } = await heardOf(Buffer.concat(apdus.map(wrapped)), 3, { keys })
    t.match(
      said.map(({ fields }) => fields?.[0]?.value),
      [5, 6, 7].map((value) => ({ value })),
    )
    for (const [index, apdu] of apdus.entries())
      t.match(
        decodeLines(apdu.toString('hex'), { keys }).join('\n'),
        new RegExp(`unsigned: ${index + 5}`),
      )
  }
})

t.test('a single key tells its suite by its length', async (t) => {
  const [unicast, , authentication] = secretKeys(suites[2])
  const choice = { shape: Shape.GENERAL_GLOBAL, protection: 0x30 } as const
  const apdu = Buffer.from(channelPair(suites[2]).meter.protect(notification(9), choice))
  const { said } = await heardOf(wrapped(apdu), 1, {
    unicastKey: unicast!.copyOfOctets().toString('hex'),
    authenticationKey: authentication!.copyOfOctets().toString('hex'),
  })
  t.match(said, [{ type: 'data-notification' }])
  await t.rejects(heardOf(wrapped(apdu), 1, { unicastKey: '00' }), { code: 'CONFIG_INVALID' })
})

t.test('a telegram; several under one counter; what nothing verifies', async (t) => {
  const keys = keysFile(t, JSON.stringify(setOf(suites[0])))
  const choice = { shape: Shape.GENERAL_GLOBAL, protection: 0x30 } as const
  const { meter } = channelPair(suites[0])
  const text = Buffer.from('/ABC5\\X\r\n\r\n1-0:1.8.0(000123.4*kWh)\r\n!\r\n', 'latin1')
  const octets = [
    meter.protect(text, choice),
    meter.protect(Buffer.concat([notification(1), notification(2)]), choice),
    meter.protect(notification(3), { ...choice, protection: 0x10 }),
  ].map((apdu) => wrapped(Buffer.from(apdu)))
  const { said } = await heardOf(Buffer.concat(octets), 4, { keys })
  t.match(said, [
    {
      type: 'telegram',
      fields: [{ value: 'ABC5\\X' }, { obis: '1-0:1.8.0.255', value: '000123.4*kWh' }],
    },
    { fields: [{ value: { value: 1 } }] },
    { fields: [{ value: { value: 2 } }] },
    { fields: [{ value: { value: 3 } }] },
  ])
  t.equal(said[3]!.verified, undefined)
  const unknown = await heardOf(octets[2]!, 1)
  t.match(unknown.said, [{ verified: false, fields: [{ value: { value: 3 } }] }])
})
