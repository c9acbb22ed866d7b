/**
 * `busbar dlms decode`: plain, wrapped, in HDLC, in blocks, whole conversations; ciphered with the
 * right and the wrong keys; and what is no octets at all.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { decodeLines } from '../../../../actors/cli/meter/dlms-decode.ts'
import { hexIn } from '../../../../actors/cli/meter/hex-digits.ts'
import { limits } from '../../../../core/base/limits.ts'
import { encodeApdu } from '../../../../core/dlms/apdu/codec.ts'
import { encodeValue, Tag } from '../../../../core/dlms/axdr/axdr.ts'
import { DlmsClient } from '../../../../core/dlms/client/client.ts'
import { GeneralBlocks } from '../../../../core/dlms/transfer/general-blocks.ts'
import { hdlcAddress } from '../../../../core/dlms/framing/hdlc/address.ts'
import { encodeFrame } from '../../../../core/dlms/framing/hdlc/frame.ts'
import {
  defaultHdlcParameters,
  encodeParameters,
} from '../../../../core/dlms/framing/hdlc/parameters.ts'
import { llcToServer } from '../../../../core/dlms/framing/hdlc/transfer.ts'
import { InvocationCounter, Shape, suites } from '../../../../core/dlms/security/index.ts'
import { DlmsServer, type CosemObjects } from '../../../../core/dlms/server/server.ts'
import type { SecretKey } from '../../../../core/crypto/crypto.ts'
import { seededRandom } from '../../../../core/ports/random.ts'
import { loadVectors, outcomeOf } from '../../../support/dlms.ts'
import { channelPair, clientTitle, meterTitle, secretKeys } from '../../../support/security.ts'

const lines = (hex: string, options = {}): string => decodeLines(hex, options).join('\n')
const get = 'c001c1 0003 0100010800ff 02 00'
const root = join(import.meta.dirname, '../../../..')

t.test('an APDU, a wrapper frame around it, HDLC frames', (t) => {
  t.match(lines(get), /get-request-normal[\s\S]*1-0:1\.8\.0/)
  t.match(lines(`0001 0010 0001 000d ${get}`), /^wrapper[\s\S]*destination: 1[\s\S]*get-request/)
  t.match(
    lines(`0001 0010 0001 0040 ${get}`),
    /^wrapper[\s\S]*length: 64 [\s\S]*unreadable: cut short: the length says 64 octets, 13 are there: c001c1/,
  )
  t.match(
    lines(`e6e600 ${get} e6e700 c401c1 00 00`),
    /^llc: e6e600[\s\S]*get-request-normal[\s\S]*llc: e6e700[\s\S]*get-response/,
    'without the frames',
  )
  t.match(lines('C0:01:C1:00:03:01:00:01:08:00:FF:02:00'), /get-request-normal/, 'with colons')
  // SNRM of client 16 to server 1, as makers' heads send it.
  const snrm = lines('7ea0070321930f017e')
  t.match(snrm, /hdlc-frame: SNRM from 16 to 1, P\/F/)
  t.match(lines('7ea0070321930f007e'), /unreadable/)
  t.match(lines('c0'), /unreadable/)
  const json = JSON.parse(lines(get, { json: true })) as { fields: unknown[]; notes: string[] }
  t.equal(json.fields.length, 1)
  t.same(json.notes, [])
  t.end()
})

// Green Book, example of a protected get-request and its keys.
const key = '000102030405060708090A0B0C0D0E0F'
const authenticationKey = 'D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF'
const systemTitle = '4D4D4D0000BC614E'
const ciphered = 'C81E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B'

t.test('ciphered, given the keys', (t) => {
  const opened = lines(ciphered, { key, authenticationKey, systemTitle })
  t.match(opened, /glo-get-request[\s\S]*get-request-normal[\s\S]*0-0:1\.0\.0/)
  t.match(lines(ciphered), /note: ciphered: --key/)
  t.match(lines(ciphered, { key }), /note: the sender is not named here/)
  t.match(
    lines(ciphered, { key, authenticationKey: key, systemTitle }),
    /note: not deciphered: DLMS_CIPHER_TAG_WRONG/,
  )
  const unverified = lines(ciphered, { key, systemTitle })
  t.match(
    unverified,
    /get-request-normal[\s\S]*note: opened but not verified: --authentication-key/,
  )
  t.match(lines(ciphered, { key: authenticationKey, systemTitle }), /note: not deciphered/)
  for (const [options, why] of [
    [{ key: 'zz' }, /--key must be pairs/],
    [{ key: '00' }, /--key has 16 or 32 octets/],
    [{ systemTitle: '00' }, /--system-title has eight octets/],
  ] as const)
    t.throws(() => lines(ciphered, options), { code: 'CONFIG_INVALID', message: why })
  t.throws(() => lines(''), { code: 'DLMS_VALUE_INVALID' })
  t.end()
})

t.test(
  'every vector is explained',
  { skip: loadVectors() === undefined && 'no ../shared/dlms' },
  (t) => {
    let unreadable = 0
    for (const { hex, valid } of loadVectors() ?? []) {
      if (!/^([0-9a-f]{2})+$/.test(hex)) continue
      const said = lines(hex)
      t.ok(said.length > 0)
      if (valid === true && /^unreadable/m.test(said)) unreadable++
    }
    t.comment(`${unreadable} valid vectors are no APDU or frame by themselves`)
    t.end()
  },
)

t.test('COSEM data by itself, and what stands together in it', (t) => {
  const said = lines('0203 09060100010800ff 06000004d2 02020ffd161e')
  t.match(said, /^data/)
  t.match(said, /octet-string: 0100010800ff = 1-0:1\.8\.0\.255, Electricity, active energy import/)
  t.match(said, /double-long-unsigned: 1234 = 1\.234 Wh/)
  t.match(said, /structure: 2 = scaler -3, unit Wh/)
  t.match(lines('0203 120005 0f00 161b'), /long-unsigned: 5 = 5 W /, 'one after another')
  t.match(lines(get), /attribute 2 = Register value: Electricity, active energy import/)
  t.match(lines('c301c1 0046 0000600300ff 01 00'), /method-id: 1 = remote_disconnect/)
  t.end()
})

t.test('many, one behind the other or on lines of their own', (t) => {
  const roots = (text: string, options = {}): string[] =>
    decodeLines(text, options).filter((line) => !line.startsWith(' '))
  const answer = 'c401c10006000004d2'
  t.match(roots(`${get}${answer}d80102`), [/^get-request/, /^get-response/, /^exception/])
  t.match(roots(`${get}\n0x${answer}\n`), [/^get-request/, /^get-response/])
  t.match(
    roots(`${get.slice(0, 10)}\n${get.slice(10)}`),
    [/^get-request.*\[0\+13\]$/],
    'broken over lines',
  )
  const frame = (apdu: string): string =>
    `00010001001000${(apdu.replaceAll(' ', '').length / 2).toString(16).padStart(2, '0')}${apdu}`
  t.match(roots(`> ${frame(get)}\n< ${frame(answer)}`), [
    /^wrapper.*\[0\+21\]/,
    /^wrapper.*\[21\+17\]/,
  ])
  t.match(roots('7ea0070321930f017e 7ea0070321930f017e'), [/SNRM/, /SNRM/])
  t.match(roots('7ea0070321930f017ea0070321930f017e'), [/SNRM/, /SNRM/], 'with one flag between')
  t.match(roots('7e7e7ea0070321930f017e ff00 7ea0070321930f007e 7ea00703'), [
    /SNRM/,
    /unreadable: no HDLC frame, or a damaged one: ff00/,
    /unreadable: no HDLC frame, or a damaged one: 7ea0070321930f00 /,
    /unreadable: cut short/,
  ])
  // What is nothing by itself belongs to what stands in front of it.
  t.match(roots(`${get}ffff`), [/^get-request.*\[0\+15\]/])
  t.throws(() => lines('00'.repeat(limits.decodeBytesMax + 1)), { code: 'DLMS_SIZE_EXCEEDED' })
  t.end()
})

t.test('HDLC field by field, segments put together', (t) => {
  const [client, server] = [hdlcAddress(16), hdlcAddress(1, 17)]
  const apdu = Buffer.concat([llcToServer, hexIn(get)!])
  const header = {
    destination: server,
    source: client,
    kind: 'I',
    isFinal: true,
    receiveNumber: 2,
  } as const
  const frames = [
    encodeFrame({ ...header, sendNumber: 0, isSegmented: true }, apdu.subarray(0, 7)),
    encodeFrame({ ...header, sendNumber: 1, isSegmented: false }, apdu.subarray(7)),
  ]
  const said = lines(Buffer.concat(frames).toString('hex'))
  t.match(said, /hdlc-frame: I N\(S\) 0 N\(R\) 2 from 16 to 1\/17, P\/F, more follows/)
  t.match(said, /information: last of the segments of 13 octets[\s\S]*get-request-normal/)
  const damaged = Buffer.concat(frames)
  damaged[frames[0]!.length + 15]! ^= 1
  t.match(
    lines(damaged.toString('hex')),
    /more follows[\s\S]*unreadable: a frame with a wrong check sequence/,
  )
  const opening = encodeFrame(
    { ...header, kind: 'SNRM', sendNumber: 0, isSegmented: false },
    encodeParameters({ ...defaultHdlcParameters, transmitBytesMax: 512 }),
  )
  t.match(
    lines(opening.toString('hex')),
    /max-information-field-transmit: 512 octets[\s\S]*window-receive: 1 frames/,
  )
  t.end()
})

t.test('blocks are put together', (t) => {
  const value = encodeValue({ tag: Tag.OCTET_STRING, value: Buffer.alloc(200, 7) })
  const block = (number: number, from: number, to: number): string =>
    encodeApdu({
      type: 'get-response-with-datablock',
      invokeIdAndPriority: 0xc1,
      datablock: {
        lastBlock: to >= value.length,
        blockNumber: number,
        result: { type: 'raw-data', rawDataView: value.subarray(from, to) },
      },
    }).toString('hex')
  const said = lines(`${block(1, 0, 150)}\n${block(2, 150, 300)}`)
  t.match(
    said,
    /gathered: 2 blocks[\s\S]*octet-string: (07){64}… \(200 octets, --full shows them\)/,
  )
  t.match(
    lines(block(1, 0, 300), { full: true }),
    /gathered: 1 blocks[\s\S]*octet-string: (07){200} /,
  )
  t.notMatch(lines(block(2, 150, 300)), /gathered/, 'the beginning is missing')
  t.match(lines(block(2, 150, 300)), /note: block 2 comes without those before it/)
  t.match(lines(block(1, 0, 150)), /note: nothing comes behind block 1, which is not the last/)
  t.match(lines(`${block(1, 0, 50)}\n${block(3, 100, 150)}`), /note: block 3 comes after block 1/)
  t.match(lines(`${block(1, 0, 50)}\n${block(1, 0, 300)}`), /note: nothing comes behind block 1/)
  t.notMatch(said, /note/)
  const sender = new GeneralBlocks(8, false)
  const first = sender.send(hexIn(get)!, 16).toString('hex')
  const second = sender.receive(hexIn('e0 88 0001 0001 00')!)
  t.ok(second && 'send' in second)
  const general = lines(`${first}${second && 'send' in second ? second.send.toString('hex') : ''}`)
  t.match(general, /gathered: 2 blocks[\s\S]*get-request-normal/)
  t.end()
})

t.test('a whole ciphered conversation: titles and the dedicated key are learnt from it', (t) => {
  for (const suite of [suites[0], suites[1], suites[2]]) {
    const [unicast, , authentication, , dedicatedKey] = secretKeys(suite)
    const keys = { unicast: unicast!, authentication: authentication! }
    const base = { suite, keys }
    const client = new DlmsClient({
      random: seededRandom(1),
      security: {
        ...base,
        ownTitle: clientTitle,
        counters: { unicast: new InvocationCounter() },
        choice: { shape: Shape.DEDICATED, protection: 0x30 },
        dedicatedKey: dedicatedKey!,
      },
    })
    const server = new DlmsServer({
      objects: {
        get: () => encodeValue({ tag: Tag.UNSIGNED, value: 5 }),
      } as unknown as CosemObjects,
      random: seededRandom(2),
      security: { ...base, ownTitle: meterTitle, counters: { unicast: new InvocationCounter() } },
    })
    const trace: string[] = []
    const operation = { kind: 'get', descriptor: hexIn('0003 0100010800ff 02')! } as const
    let apdu: Buffer | undefined = client.begin([operation])
    while (apdu !== undefined) {
      trace.push(`> ${apdu.toString('hex')}`)
      const answer: Buffer | undefined = server.receive(apdu)
      if (answer === undefined) break
      trace.push(`< ${answer.toString('hex')}`)
      const step = client.receive(answer)
      apdu = 'send' in step ? step.send : undefined
    }
    const text = trace.join('\n')
    const hexOf = (key: SecretKey): string => key.copyOfOctets().toString('hex')
    const said = lines(text, { key: hexOf(unicast!), authenticationKey: hexOf(authentication!) })
    t.match(
      said,
      /aarq[\s\S]*initiate-request[\s\S]*ded-get-request[\s\S]*plaintext[\s\S]*get-request-normal/,
    )
    t.match(said, /ded-get-response[\s\S]*plaintext[\s\S]*get-response-normal/)
    t.notMatch(said, /note:/)
    t.match(lines(text), /note: ciphered: --key/)
  }
  t.end()
})

t.test('signatures, agreed keys and keys from a file', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const suiteId of [1, 2] as const) {
    const { client, options } = channelPair(suites[suiteId])
    const plain = hexIn(get)!
    const signed = client.protect(plain, { shape: Shape.PLAIN, protection: 0, signature: 'around' })
    const file = join(folder, 'keys.json')
    const { unicast, authentication, signing } = options.keys
    writeFileSync(
      file,
      JSON.stringify({
        unicast: unicast!.copyOfOctets().toString('hex'),
        authentication: authentication!.copyOfOctets().toString('hex'),
        peerSigning: signing!.publicKey.pointBytes.toString('hex'),
      }),
    )
    const text = signed.toString('hex')
    t.match(lines(text), /get-request-normal[\s\S]*note: the signature is not checked/)
    t.match(lines(text, { keys: file }), /note: the signature holds/)
    const changed = Buffer.from(signed)
    changed[changed.length - 1]! ^= 1
    t.match(lines(changed.toString('hex'), { keys: file }), /note: the signature does not hold/)
    const both = client.protect(plain, {
      shape: Shape.GENERAL,
      protection: 0x30,
      signature: 'within',
    })
    t.match(
      lines(both.toString('hex'), { keys: file }),
      /general-ciphering[\s\S]*plaintext[\s\S]*get-request-normal/,
    )
    writeFileSync(file, '{"unicast":"00"}')
    t.match(
      lines(both.toString('hex'), { keys: file }),
      /note: no keys of suite \d: .*keys\.unicast must be/,
    )
  }
  t.end()
})

t.test('any octets are explained, whatever keys there are', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), fc.boolean(), (octets, isHdlc) => {
      const all = isHdlc ? [0x7e, 0xa0, ...octets, 0x7e] : octets
      const outcome = outcomeOf(() =>
        lines(Buffer.from(all).toString('hex'), {
          key,
          authenticationKey,
          systemTitle,
          dedicatedKey: key,
          masterKey: key,
        }),
      )
      t.notOk(outcome.code === undefined && outcome.value === '')
    }),
    { numRuns: 2_000 },
  )
  t.end()
})

t.test('as a command', (t) => {
  const busbar = [join(root, 'actors/main.ts'), 'dlms', 'decode']
  const from = (input: string): string =>
    execFileSync(process.execPath, [...busbar, '-'], { input, encoding: 'utf8' })
  t.match(from('c001c1 0003 0100010800ff 02 00\n'), /get-request-normal/)
  const folder = mkdtempSync(join(tmpdir(), 'busbar-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'trace.txt')
  writeFileSync(file, `> ${get}\n< c401c10006000004d2\n`)
  t.match(
    execFileSync(process.execPath, [...busbar, file], { encoding: 'utf8' }),
    /get-request-normal[\s\S]*get-response-normal/,
  )
  const bad = spawnSync(process.execPath, [...busbar, 'not hex'], { encoding: 'utf8' })
  t.equal(bad.status, 1)
  t.match(bad.stderr, /DLMS_VALUE_INVALID.*hexadecimal/)
  t.end()
})

t.test('content that is only authenticated is shown, and marked where nothing verifies it', (t) => {
  const hexOf = (octets: Buffer): string => octets.toString('hex')
  const [unicast, , authentication] = secretKeys(suites[0])
  const keys = {
    key: hexOf(unicast!.copyOfOctets()),
    authenticationKey: hexOf(authentication!.copyOfOctets()),
  }
  const notification = hexIn('0f000000010002011105')!
  for (const shape of [Shape.GENERAL_GLOBAL, Shape.GLOBAL] as const) {
    const { client } = channelPair(suites[0])
    const content = shape === Shape.GLOBAL ? hexIn(get)! : notification
    const apdu = Buffer.from(client.protect(content, { shape, protection: 0x10 }))
    const titles = { systemTitle: hexOf(clientTitle) }
    const known = lines(hexOf(apdu), { ...keys, ...titles })
    t.match(known, /plaintext {2}\[[^]*(get-request-normal|data-notification)/)
    t.notMatch(known, /not verified/)
    const unknown = lines(hexOf(apdu))
    t.match(unknown, /plaintext: not verified[^]*(get-request-normal|data-notification)/)
    t.match(unknown, /note: not verified: no key is given/)
    const other = lines(hexOf(apdu), { ...keys, ...titles, authenticationKey: keys.key })
    t.match(other, /plaintext: not verified[^]*note: not verified: .*DLMS_CIPHER_TAG_WRONG/)
  }
  // Suite 1, broadcast key, and no protection at all.
  const frame = (control: string, content: string): string => {
    const inner = `${control}00000001${content}`
    return `db084b464d1020000001${(inner.length / 2).toString(16).padStart(2, '0')}${inner}`
  }
  const plain = hexOf(notification)
  for (const control of ['10', '11', '50', '12'])
    t.match(lines(frame(control, plain + 'aa'.repeat(12))), /not verified[^]*unsigned: 5/, control)
  t.match(lines(frame('00', plain)), /not verified[^]*unsigned: 5/)
  for (const control of ['30', '20', '90'])
    t.notMatch(lines(frame(control, plain + 'aa'.repeat(12))), /plaintext/, control)
  t.end()
})
