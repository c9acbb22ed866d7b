/**
 * One link over a way of the test's own: what comes between a question and its answer, before the
 * link is open, and while it is released.
 */
import t from 'tap'
import { readEui64 } from '../../../../core/base/eui64.ts'
import { Lane } from '../../../../core/base/lane.ts'
import { encodeAare } from '../../../support/acse.ts'
import { hdlcAddress } from '../../../../core/dlms/framing/hdlc/address.ts'
import { HdlcServer } from '../../../../core/dlms/framing/hdlc/server.ts'
import { encodeUnconfirmed, llcToClient } from '../../../../core/dlms/framing/hdlc/transfer.ts'
import type { DeviceAddress, ExchangeResult, ExchangeSecurity } from '../../../../core/ports/wan.ts'
import { Association } from '../../../../core/wan/sockets/association.ts'
import type { CarrierEvents } from '../../../../core/wan/sockets/carrier.ts'
import { Exchange } from '../../../../core/wan/sockets/exchange.ts'
import { frameBy } from '../../../../core/wan/sockets/link-parts.ts'
import { Link } from '../../../../core/wan/sockets/link.ts'
import type { LinkOwner } from '../../../../core/wan/sockets/link-owner.ts'
import { defaultWanOptions } from '../../../../core/wan/sockets/options.ts'
import type { DlmsClient } from '../../../../core/dlms/client/client.ts'
import { suite0Keys, vault } from '../../../support/keys.ts'
import { get } from '../fleet-trial.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const clock = get(8, '0-0:1.0.0.255', 2)
const notification = hex('0f 00000001 00 0600000001')
const wrapped = (apdu: Buffer, from = 1): Buffer =>
  Buffer.concat([Buffer.of(0, 1, 0, from, 0, 16, apdu.length >> 8, apdu.length & 0xff), apdu])

/** A link, its owner, and the octets that it sends, which `onSent` may answer. */
class Trial {
  nowMs = 0
  readonly told: Buffer[] = []
  readonly sent: Buffer[] = []
  confirm: (() => void) | undefined
  result: ExchangeResult | undefined
  ends = 0
  onSent: (octets: Buffer) => void = () => undefined
  freed = 0
  readonly refused: string[] = []
  readonly displaced: Exchange[] = []
  readonly link: Link

  constructor(framing: 'wrapper' | 'hdlc', isTheirs = false) {
    const options = { ...defaultWanOptions, keys: vault }
    const nothing = (): void => undefined
    const owner: LinkOwner<Link> = {
      options,
      nowMs: () => this.nowMs,
      wantFlush: nothing,
      opened: nothing,
      ended: (_link, _exchange, result) => (this.result = result),
      displaced: (_link, exchange) => void this.displaced.push(exchange),
      freed: () => void this.freed++,
      retired: nothing,
      closed: nothing,
      lateFrame: nothing,
      unsolicited: (_link, from, view) => {
        this.told.push(Buffer.from(view))
        this.confirm = from.confirm
      },
      refusedFrame: (code) => void this.refused.push(code),
    }
    this.link = new Link(owner, {
      isTheirs,
      frame: frameBy(framing, options),
      open: (_events: CarrierEvents) => ({
        unreadBytes: 0,
        write: (pieces) => {
          for (const piece of pieces) {
            this.sent.push(piece)
            this.onSent(piece)
          }
        },
        end: () => void this.ends++,
        destroy: nothing,
      }),
    })
  }

  begin(address: Partial<DeviceAddress> = {}, security?: ExchangeSecurity): Exchange {
    const whole = { host: 'meter', port: 1, logicalDevice: 1, client: 16, ...address }
    const settle = (result: ExchangeResult): void => void (this.result = result)
    const asked = { address: whole, command: { cosem: [clock] }, lane: Lane.NORMAL, dueMs: 60_000 }
    const exchange = new Exchange({ ...asked, security }, 0, settle)
    this.link.begin(exchange)
    return exchange
  }
}

t.test('what is said at the door is answered', (t) => {
  const trial = new Trial('wrapper', true)
  trial.link.read(wrapped(hex('e0 01 0001 0000 04 0f000000')))
  trial.link.flush()
  t.equal(trial.sent[0]?.[8], 0xe0, 'the first block is acknowledged')
  trial.link.opened()
  trial.link.read(wrapped(hex('e0 81 0002 0000 04 01000601')))
  t.equal(trial.told.length, 1)
  t.end()
})

t.test('a UI frame is answered to where it came from, however that is written', (t) => {
  const trial = new Trial('hdlc')
  trial.link.opened()
  const ends = { local: hdlcAddress(1, 17, 4), remote: hdlcAddress(200, 0, 4) }
  trial.link.read(encodeUnconfirmed(ends, llcToClient, hex('e0 01 0001 0000 04 0f000000')))
  trial.link.flush()
  const back = encodeUnconfirmed(
    { local: ends.remote, remote: ends.local },
    hex('e6e600'),
    hex('e0 88 0001 0001 00'),
  )
  t.same(trial.sent, [back])
  t.end()
})

t.test('a notification in the clear in front of an answer does not stop the line', (t) => {
  for (const isCiphered of [false, true]) {
    const trial = new Trial('hdlc')
    const server = new HdlcServer({ servers: [hdlcAddress(1)] })
    trial.onSent = (octets) => {
      server.receive(octets)
      for (let next = server.next(trial.nowMs); next; next = server.next(trial.nowMs)) {
        if ('send' in next.step) trial.link.read(next.step.send)
        else if ('apdu' in next.step) next.link!.send(notification)
      }
    }
    trial.link.opened()
    const device = readEui64(Buffer.alloc(8, 7))
    const security = {
      suite: 0,
      mechanism: 0,
      protection: 0x30,
      clientTitle: Buffer.alloc(8, 1),
      deviceTitle: Buffer.alloc(8, 2),
    } as const
    const counters = { from: 1, to: 99, received: -1 }
    const sealed = { device, sealedKeys: vault.seal(device, suite0Keys), counters }
    if (isCiphered) trial.begin({ transport: 'hdlc', security }, sealed)
    else trial.begin({ transport: 'hdlc' })
    for (; trial.nowMs < 5_000; trial.nowMs += 100) {
      trial.link.flush()
      trial.link.onTime(trial.nowMs)
    }
    t.ok(trial.sent.length > 10, `asked on: ${trial.sent.length} frames`)
    t.same(trial.told, [notification])
  }
  t.end()
})

t.test('a push while the link is being released is told, and no release', (t) => {
  const trial = new Trial('wrapper')
  trial.link.opened()
  trial.begin()
  trial.link.read(
    wrapped(
      encodeAare({ result: 0, diagnostic: 0, initiate: { conformance: 0x10, pduBytesMax: 1_000 } }),
    ),
  )
  trial.link.read(wrapped(hex('c401c100 0600000001')))
  t.equal(trial.result?.ok, true)
  trial.link.release()
  trial.link.read(wrapped(notification))
  t.same(trial.told, [notification])
  t.equal(trial.ends, 0)
  trial.link.read(wrapped(hex('6303800100')))
  t.equal(trial.ends, 1)
  t.end()
})

t.test('late answers of every service are told by their invoke id', (t) => {
  for (const answer of ['c401 43 00', 'c501 43 00', 'c701 43 00', 'da c0000003 00']) {
    const association = new Association(1, 1)
    association.dlms = { invokeIdLast: 3, state: 'EXCHANGING' } as DlmsClient
    association.giveUp(true)
    t.ok(association.takeLate(hex(answer)), answer)
    t.notOk(association.isInDoubt)
  }
  t.end()
})

t.test('what cannot be asked is no fault of the device', (t) => {
  const trial = new Trial('wrapper')
  trial.link.opened()
  trial.begin({ secret: Buffer.alloc(100) })
  t.match(trial.result, {
    code: 'DEVICE_UNREACHABLE',
    detail: /DLMS_SIZE_EXCEEDED/,
    cause: { code: 'DLMS_SIZE_EXCEEDED' },
  })
  t.same(trial.refused, [], 'nothing came from it')
  t.equal(trial.link.state, 'OPEN')
  trial.begin()
  trial.link.flush()
  t.equal(trial.sent[0]?.[8], 0x60)
  t.end()
})

t.test('one that waits behind another and is given up makes room', (t) => {
  const trial = new Trial('wrapper')
  trial.link.opened()
  trial.begin()
  const second = trial.begin()
  t.equal(trial.link.activeCount, 2)
  trial.link.timeOut(second, 1)
  t.match(trial.result, { code: 'DEVICE_SILENT' })
  t.equal(trial.link.activeCount, 1)
  t.equal(trial.freed, 1)
  t.end()
})

t.test('a link on which nothing has come since the question takes nothing new', (t) => {
  const aare = encodeAare({
    result: 0,
    diagnostic: 0,
    initiate: { conformance: 0x10, pduBytesMax: 1_000 },
  })
  for (const isHeard of [false, true]) {
    const trial = new Trial('wrapper')
    trial.link.opened()
    trial.nowMs = 10
    const silentOne = trial.begin({ logicalDevice: 1 })
    trial.begin({ logicalDevice: 2 })
    trial.link.flush()
    trial.nowMs = 20
    if (isHeard) trial.link.read(wrapped(aare, 2))
    trial.link.timeOut(silentOne, 60_010)
    t.match(trial.result, { code: 'DEVICE_SILENT' })
    t.equal(trial.link.activeCount, 1, 'the other device is still waited for')
    t.equal(trial.link.state, isHeard ? 'OPEN' : 'DOOMED', isHeard ? 'heard' : 'in doubt')
  }
  t.end()
})

t.test('what waits on a link that is given up goes to another one', (t) => {
  for (const isAlone of [true, false]) {
    const trial = new Trial('wrapper')
    trial.link.opened()
    trial.nowMs = 10
    const silentOne = trial.begin({ logicalDevice: 1 })
    const other = isAlone ? undefined : trial.begin({ logicalDevice: 2 })
    const second = trial.begin({ logicalDevice: 1 })
    const third = trial.begin({ logicalDevice: 1 })
    const fourth = isAlone ? undefined : trial.begin({ logicalDevice: 2 })
    trial.link.flush()
    const sent = trial.sent.length
    trial.link.timeOut(silentOne, 60_010)
    trial.link.flush()
    t.strictSame(trial.displaced, [second, third])
    t.equal(trial.sent.length, sent, 'nothing is asked on it any more')
    if (other === undefined) {
      t.equal(trial.link.state, 'CLOSED', 'nobody is left')
      continue
    }
    t.equal(trial.link.state, 'DOOMED')
    t.equal(trial.link.activeCount, 2)
    trial.link.timeOut(other, 60_010)
    t.strictSame(trial.displaced.slice(2), [fourth])
    t.equal(trial.link.state, 'CLOSED')
  }
  t.end()
})

t.test('a flood of general blocks is cut like any other', (t) => {
  const trial = new Trial('wrapper')
  trial.link.opened()
  const block = wrapped(hex('e0 01 0001 0000 01 0f'))
  let count = 0
  while (trial.link.state === 'OPEN' && count < 20_000) {
    trial.link.read(block)
    count++
  }
  t.equal(trial.link.state, 'CLOSED', `after ${count}`)
  t.end()
})
