/**
 * What meters push, cut anywhere and one octet at a time; any octets at all; and what is kept of
 * them.
 */
import fc from 'fast-check'
import t from 'tap'
import { PushStream, type Heard } from '../../../../core/dlms/unsolicited/push-stream.ts'
import { limits } from '../../../../core/base/limits.ts'
import { hdlcAddress } from '../../../../core/dlms/framing/hdlc/address.ts'
import { encodeUnconfirmed, llcToClient } from '../../../../core/dlms/framing/hdlc/transfer.ts'
import { allocateApdu, wrapInPlace } from '../../../../core/dlms/framing/wrapper.ts'

function stream() {
  const heard: Heard[] = []
  const wrong: string[] = []
  const pushes = new PushStream({
    octets: () => undefined,
    heard: (one) => void heard.push(one),
    wrong: ({ code }) => void wrong.push(code),
    send: () => undefined,
  })
  return { pushes, heard, wrong }
}

const notification = Buffer.from('0f000000010002011105', 'hex')

function wrapped(): Buffer {
  const roomy = allocateApdu(notification.length)
  notification.copy(roomy)
  return wrapInPlace(roomy, 1, 16)
}

const inHdlc = (): Buffer =>
  encodeUnconfirmed(
    { local: hdlcAddress(1, 17), remote: hdlcAddress(16) },
    llcToClient,
    notification,
  )
const named = Buffer.from('00DB100000000001\r\n', 'latin1')

t.test('cut anywhere, the same is heard', (t) => {
  const kinds = fc.constantFrom(wrapped, inHdlc, () => named)
  fc.assert(
    fc.property(
      fc.array(kinds, { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(300)),
      (parts, cuts) => {
        const all = Buffer.concat(parts.map((part) => part()))
        const { pushes, heard, wrong } = stream()
        const ends = [...new Set([...cuts.map((cut) => cut % all.length), all.length])].toSorted(
          (a, b) => a - b,
        )
        let from = 0
        for (const end of ends) {
          pushes.receive(all.subarray(from, end))
          from = end
        }
        t.equal(heard.length, parts.length)
        t.same(wrong, [])
        t.notOk(pushes.isWaiting)
      },
    ),
  )
  t.end()
})

t.test('frames of length 0 between pushes are passed over', (t) => {
  const idle = Buffer.from('0001000100100000', 'hex')
  const all = Buffer.concat([idle, wrapped(), idle, idle, wrapped(), idle])
  for (const step of [1, 7, 8, all.length]) {
    const { pushes, heard, wrong } = stream()
    for (let at = 0; at < all.length; at += step) pushes.receive(all.subarray(at, at + step))
    pushes.pause()
    t.equal(heard.length, 2, `${step} octets at a time`)
    t.same(wrong, [])
  }
  t.end()
})

t.test('without a length of its own it ends with a pause', (t) => {
  const { pushes, heard } = stream()
  for (const octet of notification) pushes.receive(Buffer.of(octet))
  t.equal(heard.length, 0)
  t.ok(pushes.isWaiting)
  pushes.pause()
  t.match(heard, [{ apdu: notification, around: { framing: 'none' } }])
  pushes.pause()
  t.equal(heard.length, 1)
  t.end()
})

t.test('general blocks that nobody can ask for again, and what ends in the middle', (t) => {
  const block = (control: number, number: number, data: Buffer): Buffer => {
    const apdu = Buffer.concat([Buffer.of(0xe0, control, 0, number, 0, 0, data.length), data])
    const roomy = allocateApdu(apdu.length)
    apdu.copy(roomy)
    return wrapInPlace(roomy, 1, 16)
  }
  const parts = [notification.subarray(0, 4), notification.subarray(4, 6), notification.subarray(6)]
  const blocks = (): Buffer[] => parts.map((part, i) => block(i === 2 ? 0x80 : 0x40, i + 1, part))
  const { pushes, heard, wrong } = stream()
  pushes.receive(Buffer.concat(blocks()))
  t.match(heard, [{ apdu: notification }])
  const [first, , third] = blocks()
  pushes.receive(Buffer.concat([first!, third!]))
  t.same(wrong, ['DLMS_BLOCK_NUMBER_WRONG'], 'the one between is missing')
  pushes.receive(Buffer.concat(blocks()))
  t.equal(heard.length, 2)
  pushes.receive(blocks()[0]!)
  pushes.pause()
  t.equal(wrong.length, 1, 'a pause ends nothing')
  pushes.end()
  t.same(wrong.slice(1), ['DLMS_TRANSFER_ABORTED'])
  t.end()
})

t.test('any octets are pushes or a named fault, and behind a pause all is well', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 100 })),
      fc.array(fc.boolean()),
      (chunks, pauses) => {
        const { pushes, heard, wrong } = stream()
        for (const [index, chunk] of chunks.entries()) {
          pushes.receive(Buffer.from(chunk))
          if (pauses[index] === true) pushes.pause()
        }
        pushes.pause()
        t.notOk(pushes.isWaiting)
        t.ok(
          wrong.every((code) => code.startsWith('DLMS_')),
          wrong.join(),
        )
        const before = heard.length
        pushes.receive(wrapped())
        t.equal(heard.length, before + 1)
      },
    ),
    { numRuns: 1_000 },
  )
  t.end()
})

t.test('what never ends is told once, and not kept', (t) => {
  const { pushes, wrong } = stream()
  const chunk = Buffer.alloc(1_000, 0x0f)
  for (let sent = 0; sent < 4 * limits.apduBytesMax; sent += chunk.length) pushes.receive(chunk)
  pushes.pause()
  t.same(wrong, ['DLMS_SIZE_EXCEEDED'])
  const segments = stream()
  const segment = Buffer.from('7ea80d0323136b6f', 'hex')
  for (let i = 0; i < 10; i++) segments.pushes.receive(segment)
  segments.pushes.pause()
  t.match(segments.wrong, ['DLMS_HDLC_INVALID'])
  t.end()
})
