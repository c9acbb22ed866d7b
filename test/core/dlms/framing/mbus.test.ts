/**
 * APDUs in M-Bus frames, as meters push them on their consumers' port: whole, cut, damaged, out of
 * order; read, gathered, listened to, explained.
 */
import fc from 'fast-check'
import t from 'tap'
import { decodeLines } from '../../../../actors/cli/meter/dlms-decode.ts'
import { PushStream, type Heard } from '../../../../core/dlms/unsolicited/push-stream.ts'
import { MbusGatherer, mbusBytesAt, readMbusFrame } from '../../../../core/dlms/framing/mbus.ts'
import { outcomeOf } from '../../../support/dlms.ts'

/** A long frame around a part. [EN 13757-2, 5.4; IEC 62056-7-3] */
function frameOf(control: number, part: Buffer): Buffer {
  const upper = Buffer.concat([Buffer.of(0x53, 0xff, control, 0x01, 0x67), part])
  const sum = upper.reduce((all, octet) => all + octet, 0) & 0xff
  return Buffer.concat([
    Buffer.of(0x68, upper.length, upper.length, 0x68),
    upper,
    Buffer.of(sum, 0x16),
  ])
}
const notification = Buffer.from('0f00000001000203110511061107', 'hex')
const framesOf = (apdu: Buffer, partBytes: number): Buffer[] => {
  const count = Math.ceil(apdu.length / partBytes)
  return Array.from({ length: count }, (_, i) =>
    frameOf(i | (i + 1 === count ? 0x10 : 0), apdu.subarray(i * partBytes, (i + 1) * partBytes)),
  )
}

function stream() {
  const heard: Heard[] = []
  const wrong: string[] = []
  const sent: Buffer[] = []
  const pushes = new PushStream({
    octets: () => undefined,
    heard: (one) => void heard.push(one),
    wrong: ({ code }) => void wrong.push(code),
    send: (octets) => void sent.push(octets),
  })
  return { pushes, heard, wrong, sent }
}

t.test('a frame, and what is none', (t) => {
  const frame = frameOf(0x10, notification)
  t.equal(frame.toString('hex', 0, 9), '681313 68 53ff100167'.replaceAll(' ', ''))
  t.equal(mbusBytesAt(frame), frame.length)
  t.match(readMbusFrame(frame, frame.length), {
    part: 0,
    isLast: true,
    source: 1,
    destination: 0x67,
    partView: notification,
  })
  for (let count = 0; count < 4; count++)
    t.equal(mbusBytesAt(frame.subarray(0, count)), count === 0 ? 0 : 'MORE', 'not yet')
  for (const text of ['68 10 11', '68 10 10 69', '0f'])
    t.equal(mbusBytesAt(Buffer.from(text.replaceAll(' ', ''), 'hex')) || 0, 0, text)
  for (const text of ['68 04 04 68', '68 00 00 68 53'])
    t.equal(mbusBytesAt(Buffer.from(text.replaceAll(' ', ''), 'hex'), true), 'DAMAGED', text)
  for (const at of [4, 12, frame.length - 2, frame.length - 1]) {
    const damaged = Buffer.from(frame)
    damaged[at]! ^= 0x40
    t.equal(outcomeOf(() => readMbusFrame(damaged, damaged.length)).code, 'DLMS_MBUS_INVALID')
  }
  const other = frameOf(0x72, notification)
  t.equal(outcomeOf(() => readMbusFrame(other, other.length)).code, 'DLMS_MBUS_INVALID', 'not DLMS')
  t.end()
})

t.test('parts are put together in order, or not at all', (t) => {
  const frames = framesOf(notification, 5).map((frame) => readMbusFrame(frame, frame.length))
  const gatherer = new MbusGatherer()
  const add = (...indexes: number[]): unknown[] =>
    indexes.map((index) => {
      const { code, value } = outcomeOf(() => gatherer.add(frames[index]!))
      return code ?? value
    })
  t.same(add(0, 1, 2), [undefined, undefined, notification])
  t.same(add(0, 2), [undefined, 'DLMS_MBUS_INVALID'])
  t.same(add(1), ['DLMS_MBUS_INVALID'], 'its beginning was not heard')
  t.same(
    add(0, 1, 0, 1, 2),
    [undefined, undefined, undefined, undefined, notification],
    'begun again',
  )
  t.end()
})

t.test('heard however it is cut, among others', (t) => {
  const all = Buffer.concat([...framesOf(notification, 4), frameOf(0x10, notification)])
  fc.assert(
    fc.property(fc.array(fc.nat(all.length)), (cuts) => {
      const { pushes, heard, wrong } = stream()
      let from = 0
      for (const end of [...cuts.toSorted((a, b) => a - b), all.length]) {
        pushes.receive(all.subarray(from, end))
        from = end
      }
      const around = { framing: 'mbus', source: 1, destination: 0x67 }
      t.same(heard, [
        { apdu: notification, around },
        { apdu: notification, around },
      ])
      t.same(wrong, [])
    }),
  )
  const { pushes, heard, wrong, sent } = stream()
  pushes.receive(Buffer.from('hello there\r\n', 'latin1'))
  pushes.receive(framesOf(notification, 8)[0]!)
  pushes.end()
  t.match(heard, [{ identification: 'hello there' }], 'a name may begin with the same letter')
  t.same(wrong, ['DLMS_TRANSFER_ABORTED'])
  pushes.receive(frameOf(0x10, notification).subarray(0, 12))
  pushes.pause()
  t.same(wrong.slice(1), ['DLMS_MBUS_INVALID'], 'cut short')
  // A window asks for an acknowledgement, which nobody can give here.
  pushes.receive(frameOf(0x10, Buffer.from('e00100010000010f', 'hex')))
  t.same([wrong.length, sent.length], [2, 0])
  t.end()
})

t.test('explained', (t) => {
  const said = (octets: Buffer): string => decodeLines(octets.toString('hex'), {}).join('\n')
  t.match(
    said(Buffer.concat(framesOf(notification, 8))),
    /^mbus-frame: part 0, from 1 to 103[\s\S]*part 1, the last[\s\S]*data-notification[\s\S]*unsigned: 7/,
  )
  const damaged = frameOf(0x10, notification)
  damaged[20]! ^= 1
  t.match(said(damaged), /^unreadable: DLMS_MBUS_INVALID/)
  t.end()
})

/** Sagemcom T210-D: 257 octets of user data behind an L of 1; key of the case. */
const longHex = [
  '6801016853ff000167db084b464d1020000001820100200000448385b5e57bffc4bb8a1b46e55d211318aa5f',
  '2070096b320c1ac44780a44556a58d3dc6962fa01e1696938fb79577201460c9e09e712da5ec78c59ee7627f',
  '4dd56ca3b5ae07dd4cd48ea652054903ca66d2db8a8005ef5a64f8897eca0c3db1191651312c174cec43f0e9',
  '06b9668ab83eaddf609ff3fba0d6487671c0693bb74e9ecd6c8b35971b25cb4cbc3d3ed1575f5fc540087fd7',
  '45881b19b0c6425bcd8afbd03940e6b5438d42e936662f991cb0d51234d2e3f60edf3940c7d246fbb967b3ca',
  'e744e64f6781b584024b7df9a3554a99155576d167f0b01046e1cc1a06c38e477fd9163406ab9e447c6b1668',
  '16166853ff1101670d65611cf1a03eaf08b53a17f99fdc364c3c16',
].join('')
const keyHex = '000102030405060708090a0b0c0d0e0f'

/** An octet-string of `bytes` octets, as Data. */
const bigString = (bytes: number): Buffer =>
  Buffer.concat([Buffer.of(0x09, 0x82, bytes >> 8, bytes & 0xff), Buffer.alloc(bytes, 0x41)])

t.test('frames longer than their L can say', (t) => {
  const long = frameOf(0x10, Buffer.concat([notification.subarray(0, 6), bigString(700)]))
  t.equal(mbusBytesAt(long), long.length)
  t.equal(readMbusFrame(long, long.length).partView.length, 6 + 704)
  for (let count = 4; count < long.length; count++)
    t.equal(mbusBytesAt(long.subarray(0, count)), 'MORE', `${count}`)
  for (let count = 4; count < long.length; count++)
    t.equal(mbusBytesAt(long.subarray(0, count), true), 'DAMAGED', `${count}`)
  const all = Buffer.concat([long, frameOf(0x10, notification), long])
  for (let cut = 0; cut <= all.length; cut += 7) {
    const { pushes, heard, wrong } = stream()
    pushes.receive(all.subarray(0, cut))
    pushes.receive(all.subarray(cut))
    t.same([heard.length, wrong, pushes.isWaiting], [3, [], false])
  }
  const damaged = Buffer.from(long)
  damaged[40]! ^= 1
  const { pushes, heard, wrong } = stream()
  pushes.receive(Buffer.concat([damaged, frameOf(0x10, notification)]))
  pushes.pause()
  t.same([heard.length, wrong], [1, ['DLMS_MBUS_INVALID']], 'the next one is heard all the same')
  t.end()
})

t.test('a meter whose frames are longer, deciphered', (t) => {
  const octets = Buffer.from(longHex, 'hex')
  t.equal(mbusBytesAt(octets), 4 + 257 + 2)
  const said = decodeLines(longHex, { key: keyHex }).join('\n')
  t.match(said, /^mbus-frame: part 0[^]*part 1, the last[^]*data-notification[^]*structure: 12/)
  t.match(said, /1-0:32\.7\.0\.255[^]*229\.2 V/)
  const { pushes, heard, wrong } = stream()
  for (const octet of octets) pushes.receive(Buffer.of(octet))
  t.same(
    heard.map((one) => 'apdu' in one && [one.apdu[0], one.apdu.length]),
    [[0xdb, 269]],
  )
  t.same(wrong, [])
  t.end()
})
