/**
 * HDLC on a line of several devices, against the meters' end of it, on a clock of the test: whose
 * turn it is on the line.
 */
import t, { type Test } from 'tap'
import type { DeviceProfile } from '../../../../core/inventory/device-profiles.ts'
import { limits } from '../../../../core/base/limits.ts'
import type { ErrorCode } from '../../../../core/base/error-table.ts'
import { hdlcAddress } from '../../../../core/dlms/framing/hdlc/address.ts'
import type { HdlcKind } from '../../../../core/dlms/framing/hdlc/frame.ts'
import { HdlcReader } from '../../../../core/dlms/framing/hdlc/reader.ts'
import { HdlcServer } from '../../../../core/dlms/framing/hdlc/server.ts'
import { encodeUnconfirmed, llcToClient } from '../../../../core/dlms/framing/hdlc/transfer.ts'
import { allocateApdu } from '../../../../core/dlms/framing/wrapper.ts'
import { HdlcFraming } from '../../../../core/wan/sockets/hdlc-framing.ts'

const client = 16
const devices = [128 + 17, 128 + 18]
const addresses = [17, 18].map((lower) => hdlcAddress(1, lower, 2))

const usual: DeviceProfile = { description: 'as it comes' }

class Line {
  now = 0
  readonly framing: HdlcFraming
  readonly came: string[] = []
  readonly lost: ErrorCode[] = []
  /** Frames that went out, and who may not hear them. */
  readonly sent: Array<{ kind: HdlcKind; lower: number | undefined }> = []
  isDeaf = false
  onAnswer: (text: string) => void = () => {}
  private readonly meters = new HdlcServer({ servers: addresses, inactivityMs: 0 })
  private readonly reader = new HdlcReader()
  private toMeters: Buffer[] = []

  constructor() {
    this.framing = new HdlcFraming(
      {
        apdu: (device, _client, apduView) => {
          const text = `${device}: ${apduView.toString('latin1')}`
          this.came.push(text)
          this.onAnswer(text)
          return true
        },
        unsolicited: (device, _client, apduView) =>
          void this.came.push(`${device} by itself: ${apduView.toString('latin1')}`),
        lost: (_device, _client, code) => void this.lost.push(code),
        dropped: () => undefined,
        write: (piece) => void this.toMeters.push(piece),
      },
      { apduBytesMax: 65_535, responseMs: 10_000 },
    )
  }

  ask(index: number, text: string, profile: DeviceProfile = usual): void {
    const device = devices[index]!
    this.framing.admit({ host: '', port: 0, logicalDevice: device, client }, profile)
    const apdu = allocateApdu(text.length)
    apdu.write(text, 'latin1')
    this.framing.send(apdu, device, client, this.now, true)
  }

  /** Carries octets to and fro until the line is still. */
  settle(): void {
    while (this.toMeters.length > 0) {
      const octets = Buffer.concat(this.toMeters.splice(0))
      this.reader.push(octets)
      for (let frame = this.reader.next(); frame !== undefined; frame = this.reader.next())
        this.sent.push({ kind: frame.kind, lower: frame.destination.lower })
      if (this.isDeaf) continue
      this.meters.receive(octets)
      const answers: Buffer[] = []
      for (let next = this.meters.next(this.now); next; next = this.meters.next(this.now)) {
        const { link, step } = next
        if ('send' in step) answers.push(step.send)
        else if ('apdu' in step) link!.send(Buffer.from(`yes, ${step.apdu.toString('latin1')}`))
      }
      if (answers.length > 0) this.framing.receive(Buffer.concat(answers), this.now)
    }
  }

  pass(ms: number): void {
    this.now += ms
    this.framing.onTime(this.now)
  }
}

function isOn(t: Test, line: Line, index: number, what: string): void {
  line.came.length = 0
  line.ask(index, what)
  line.settle()
  t.same(line.came, [`${devices[index]}: yes, ${what}`])
}

t.test('links that nobody uses are closed while the line is free', (t) => {
  const line = new Line()
  isOn(t, line, 0, 'one')
  isOn(t, line, 1, 'two')
  line.now += limits.wanHdlcIdleMs - 1
  line.sent.length = 0
  // Device 1 is asked and thinks about it, while the link with device 0 has been idle for too long.
  line.isDeaf = true
  line.ask(1, 'three')
  line.settle()
  line.pass(1_000)
  line.settle()
  t.same(
    line.sent.filter(({ lower }) => lower === 17),
    [],
    'nothing is said to device 0 in between',
  )
  line.isDeaf = false
  line.came.length = 0
  line.pass(limits.hdlcResponseMs)
  line.settle()
  t.same(line.came, [`${devices[1]}: yes, three`])
  line.pass(0)
  line.settle()
  t.match(line.sent.at(-1), { kind: 'DISC', lower: 17 })
  t.same(line.lost, ['OK'], 'and it was heard that it is closed')
  isOn(t, line, 0, 'four')
  t.end()
})

t.test('who is asked while another link is being closed waits for that', (t) => {
  const line = new Line()
  isOn(t, line, 0, 'one')
  line.isDeaf = true
  line.pass(limits.wanHdlcIdleMs)
  line.settle()
  t.match(line.sent.at(-1), { kind: 'DISC', lower: 17 })
  line.came.length = 0
  line.ask(1, 'two')
  line.settle()
  t.match(line.sent.at(-1), { kind: 'DISC', lower: 17 }, 'not in between')
  line.isDeaf = false
  line.pass(limits.hdlcResponseMs)
  line.settle()
  t.same(line.came, [`${devices[1]}: yes, two`])
  t.same(line.lost, ['OK'])
  t.end()
})

t.test('what another device says by itself is heard while one is asked', (t) => {
  const line = new Line()
  isOn(t, line, 0, 'one')
  const ends = { local: addresses[1]!, remote: hdlcAddress(client) }
  line.framing.receive(encodeUnconfirmed(ends, llcToClient, Buffer.from('fire')), line.now)
  t.equal(line.came.at(-1), `${devices[1]} by itself: fire`)
  t.end()
})

t.test('an answer that starts the next question does so once the line is free', (t) => {
  const line = new Line()
  let rounds = 0
  line.onAnswer = () => {
    if (rounds++ < 2_000) line.ask(rounds & 1, `${rounds}`)
  }
  line.ask(0, '0')
  line.settle()
  t.equal(line.came.length, 2_001)
  t.equal(line.came.at(-1), `${devices[0]}: yes, 2000`)
  t.end()
})

t.test('how a device is spoken to is corrected once its link is closed', (t) => {
  const line = new Line()
  line.ask(0, 'one', { ...usual, hdlc: { addressOctets: 4 } })
  while (line.lost.length === 0) {
    line.settle()
    line.pass(limits.hdlcResponseMs)
  }
  t.same(line.lost, ['DLMS_HDLC_SILENT'], 'nobody has an address of four octets')
  isOn(t, line, 0, 'two')
  t.end()
})
