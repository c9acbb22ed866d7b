/**
 * `busbar meter push-listen`: hears meters that push by themselves, over TCP and UDP, and prints
 * what they say. Answers only what asks for an answer: a confirmed data-notification, general
 * blocks with a window.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { formatHostPort } from '../../../core/base/host-port.ts'
import { limits } from '../../../core/base/limits.ts'
import { nameOfObis } from '../../../core/dlms/cosem/index.ts'
import { formatObis, obisBytes } from '../../../core/dlms/axdr/obis.ts'
import { readTelegram } from '../../../core/dlms/unsolicited/telegram.ts'
import { answerFrame, confirmationOf, type Around } from '../../../core/dlms/unsolicited/push.ts'
import {
  nameOfRecipient,
  nameOfSender,
  PushStream,
  type Heard,
} from '../../../core/dlms/unsolicited/push-stream.ts'
import type { Clock } from '../../../core/ports/clock.ts'
import { OperatorFault } from '../operator-fault.ts'
import { inShort } from './meter-advice.ts'
import { wholeIn } from './meter-options.ts'
import { PushOpening, type Opened, type OpeningOptions } from './push-opening.ts'
import { contentsOf, wordsOf, type PushContent } from './push-words.ts'

/** Texts of the command line. */
export type PushListenOptions = OpeningOptions & {
  host: string
  port: string
  udp: boolean
  count?: string
  waitMs?: string
  hex: boolean
  json: boolean
}

export type ListeningTerminal = {
  out: (line: string) => void
  err: (line: string) => void
  clock: Clock
  onInterrupt: (action: () => void) => void
}

/** Where a push came from, and how one answers there. */
type Peer = { name: string; transport: 'tcp' | 'udp'; send: (octets: Buffer) => void }

/**
 * Listens until `--count` pushes have come, `--wait-ms` are over, or it is interrupted.
 * @throws BrokerError CONFIG_INVALID; OperatorFault when fewer than `--count` came in time. What
 * the system says when the port is taken
 */
export async function pushListenCommand(
  options: PushListenOptions,
  terminal: ListeningTerminal,
): Promise<void> {
  const port = wholeIn(options.port, '--port', 0, 65_535)
  const count =
    options.count === undefined ? Infinity : wholeIn(options.count, '--count', 1, 0x7fff_ffff)
  const waitMs =
    options.waitMs === undefined
      ? undefined
      : wholeIn(options.waitMs, '--wait-ms', 1, limits.pushListenMsMax)
  const listener = new PushListener(options, terminal, await PushOpening.of(options), count)
  try {
    await listener.listen(port)
    const { clock } = terminal
    const callOff = waitMs === undefined ? undefined : clock.at(clock.now() + waitMs, listener.end)
    terminal.onInterrupt(listener.end)
    await listener.ended
    callOff?.()
  } finally {
    await listener.close()
  }
  const { droppedCount, droppedBytes } = listener
  if (droppedCount > 0)
    terminal.err(
      `note: ${droppedBytes} octets in ${droppedCount} places were not understood, and were passed over`,
    )
  if (waitMs !== undefined && count !== Infinity && listener.heardCount < count)
    throw new OperatorFault(
      `DEVICE_SILENT: ${listener.heardCount} of ${count} pushes came within ${waitMs} ms. Check where the meters push to; --host and --port say where this listens.`,
    )
}

class PushListener {
  readonly ended: Promise<void>
  end: () => void = () => undefined
  heardCount = 0
  /** Places, and octets in them, that were not understood. */
  droppedCount = 0
  droppedBytes = 0
  private readonly options: PushListenOptions
  private readonly terminal: ListeningTerminal
  private readonly opening: PushOpening
  private readonly count: number
  private readonly sockets = new Set<Socket>()
  private readonly datagramPeers = new Map<string, PushStream>()
  private server: Server | undefined
  private datagrams: DatagramSocket | undefined

  constructor(
    options: PushListenOptions,
    terminal: ListeningTerminal,
    opening: PushOpening,
    count: number,
  ) {
    this.options = options
    this.terminal = terminal
    this.opening = opening
    this.count = count
    this.ended = new Promise((resolve) => (this.end = resolve))
  }

  async listen(port: number): Promise<void> {
    const { host, udp } = this.options
    // A meter may say all that it has to say and close its side; it hears us all the same.
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      this.accept(socket),
    )
    this.server = server
    server.maxConnections = limits.pushConnectionsMax
    server.listen(port, host)
    await once(server, 'listening')
    const at = (server.address() as AddressInfo).port
    if (udp) await this.listenForDatagrams(at)
    this.terminal.err(`listening on ${formatHostPort(host, at)}, TCP${udp ? ' and UDP' : ''}`)
  }

  private async listenForDatagrams(port: number): Promise<void> {
    const { host } = this.options
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    this.datagrams = socket
    socket.bind(port, host)
    await once(socket, 'listening')
    socket.on('message', (datagram: Buffer, { address, port: from }) => {
      // Nobody can be answered at port 0, which a sender may forge.
      if (from === 0) return
      const stream = this.streamOf(`${address}:${from}`, (octets) =>
        socket.send(octets, from, address),
      )
      stream.receive(datagram)
      stream.pause()
    })
    // An answer that nobody takes is the meter's loss.
    socket.on('error', () => undefined)
  }

  private streamOf(name: string, send: (octets: Buffer) => void): PushStream {
    const known = this.datagramPeers.get(name)
    if (known !== undefined) return known
    if (this.datagramPeers.size >= limits.pushGatheringsMax)
      this.datagramPeers.delete(this.datagramPeers.keys().next().value!)
    const stream = this.newStream({ name, transport: 'udp', send })
    this.datagramPeers.set(name, stream)
    return stream
  }

  private accept(socket: Socket): void {
    const { clock } = this.terminal
    const name = `${socket.remoteAddress}:${socket.remotePort}`
    const stream = this.newStream({
      name,
      transport: 'tcp',
      send: (octets) => {
        if (socket.writable) socket.write(octets)
      },
    })
    let callOff = (): void => undefined
    this.sockets.add(socket)
    socket.setTimeout(limits.pushIdleMs, () => socket.destroy())
    socket.on('data', (chunk: Buffer) => {
      callOff()
      stream.receive(chunk)
      if (stream.isWaiting)
        callOff = clock.at(clock.now() + limits.pushPauseMs, () => stream.pause())
    })
    socket.on('end', () => {
      callOff()
      stream.end()
      socket.end()
    })
    // What was cut off is told when the connection ends in order; a reset is the meter's business.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      callOff()
      stream.end()
      this.sockets.delete(socket)
    })
  }

  private newStream(peer: Peer): PushStream {
    let octets: Buffer[] = []
    let bytes = 0
    return new PushStream({
      octets: (view) => {
        // Of a push in many pieces the last ones are shown.
        if (bytes > limits.transferBytesMax) octets = []
        bytes = octets.length === 0 ? view.length : bytes + view.length
        if (this.options.hex) octets.push(Buffer.from(view))
      },
      heard: (heard) => {
        this.onHeard(peer, heard, octets)
        octets = []
      },
      wrong: (fault, view, dropped) => {
        octets = []
        this.onWrong(peer, fault, view, dropped)
      },
      send: (answer) => this.send(peer, answer),
    })
  }

  /** Tells what was not understood, with its first octets: they may be all that helps. */
  private onWrong(peer: Peer, fault: BrokerError, view: Buffer, bytes: number): void {
    if (this.heardCount >= this.count) return
    this.droppedCount++
    this.droppedBytes += bytes
    const more = bytes > view.length ? '…' : ''
    const octets = bytes === 0 ? '' : `  ${bytes} octets: ${view.toString('hex')}${more}`
    this.terminal.err(`${this.now()}  ${peer.name}  ${inShort(fault)}${octets}`)
  }

  private send(peer: Peer, octets: Buffer): void {
    const { hex, json } = this.options
    if (hex) this.terminal[json ? 'err' : 'out'](`> ${octets.toString('hex')}`)
    peer.send(octets)
  }

  private now(): string {
    return new Date(this.terminal.clock.now()).toISOString()
  }

  private onHeard(peer: Peer, heard: Heard, octets: readonly Buffer[]): void {
    if (this.heardCount >= this.count) return
    const all = 'apdu' in heard ? this.tellApdu(heard.apdu, heard.around) : [tellName(heard)]
    const { terminal, options } = this
    const from = { at: this.now(), from: peer.name, transport: peer.transport }
    for (const [index, told] of all.entries()) {
      // What is in one ciphered APDU came in the same octets.
      const hex = index > 0 ? [] : octets.map((frame) => frame.toString('hex'))
      if (options.json)
        terminal.out(JSON.stringify({ ...from, ...told.json, ...(options.hex && { octets: hex }) }))
      else {
        terminal.out([from.at, `${from.from} ${from.transport}`, ...told.words].join('  '))
        if (options.hex) for (const frame of hex) terminal.out(`< ${frame}`)
      }
      if ('apdu' in heard && told.opened !== undefined)
        this.acknowledge(peer, heard.around, told.opened)
      this.heardCount++
    }
    if (this.heardCount >= this.count) this.end()
  }

  private tellApdu(apdu: Buffer, around: Around): Told[] {
    const opened = this.opening.open(apdu)
    const { plain, fault, systemTitle, invocationCounter, isUnverified } = opened
    const ends =
      around.framing === 'none'
        ? { framing: 'none' }
        : {
            framing: around.framing,
            source: nameOfSender(around),
            destination: nameOfRecipient(around),
          }
    const words = [
      around.framing === 'none'
        ? 'bare APDU'
        : `${ends.framing} ${ends.source}>${ends.destination}`,
      ...(systemTitle === undefined ? [] : [`system title ${systemTitle}`]),
      ...(invocationCounter === undefined ? [] : [`counter ${invocationCounter}`]),
      ...(isUnverified ? [`not verified: ${inShort(fault!)}`] : []),
    ]
    const json = { ...ends, systemTitle, invocationCounter, ...(isUnverified && notVerified) }
    const failed = (why: BrokerError): Told[] => [
      {
        words: [...words, apdu.toString('hex'), inShort(why)],
        json: { ...json, apdu: apdu.toString('hex'), fault: why.code, detail: why.detail },
        opened: undefined,
      },
    ]
    if (plain === undefined) return failed(fault!)
    let contents: PushContent[]
    try {
      contents = contentsOf(plain)
    } catch (why) {
      if (!(why instanceof BrokerError)) throw why
      return failed(why)
    }
    return contents.map((content, index) => ({
      words: [...words, ...wordsOf(content)],
      json: { ...json, ...content },
      // One that asks for a confirmation stands alone.
      opened: index === 0 && contents.length === 1 ? opened : undefined,
    }))
  }

  /** Confirms a data-notification that asks for it. [IEC 62056-5-3, Data-Notification-Confirm] */
  private acknowledge(peer: Peer, around: Around, { plain, protect }: Opened): void {
    const confirmation = readTelegram(plain!) === undefined ? confirmationOf(plain!) : undefined
    if (confirmation === undefined) return
    if (protect === undefined)
      return this.terminal.err(
        'note: it asks for a confirmation, which is ciphered: give --counter',
      )
    const octets = answerFrame(protect(confirmation), around)
    if (octets !== undefined) this.send(peer, octets)
  }

  async close(): Promise<void> {
    const { server, datagrams, sockets } = this
    const { clock } = this.terminal
    // What was written goes out first, if it is taken.
    for (const socket of sockets) socket.destroySoon()
    const callOff = clock.at(clock.now() + limits.wanReleaseMsMax, () => {
      for (const socket of sockets) socket.destroy()
    })
    if (server?.listening === true) {
      server.close()
      await once(server, 'close')
    }
    callOff()
    datagrams?.close()
  }
}

const notVerified = { verified: false }

type Told = { words: string[]; json: object; opened: Opened | undefined }

function tellName({ identification, alarm }: Extract<Heard, { identification: string }>): Told {
  const isObis = alarm.length === obisBytes
  const code = isObis ? formatObis(alarm) : alarm.toString('hex')
  const what = isObis ? `${nameOfObis(alarm)} (${code})` : `alarm register ${code}`
  return {
    words: [`identification ${identification}`, ...(alarm.length === 0 ? [] : [what])],
    json: {
      identification,
      ...(alarm.length > 0 && (isObis ? { obis: code } : { alarm: code })),
    },
    opened: undefined,
  }
}
