/** HTTP as octets on a socket, for what no client of HTTP sends. Not a test. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export type RawAnswer = {
  status: number
  headers: Record<string, string>
  text: string
  /** The content as JSON; empty when it is not JSON. */
  json: Record<string, unknown>
}

/** Takes the answers of `octets` apart; HEAD and 204 have no content. */
export function answersIn(octets: Buffer, isHead = false): RawAnswer[] {
  const answers: RawAnswer[] = []
  for (let at = 0; at < octets.length;) {
    const headEnd = octets.indexOf('\r\n\r\n', at)
    if (headEnd < 0) break
    const [first = '', ...lines] = octets.toString('latin1', at, headEnd).split('\r\n')
    const status = Number(first.split(' ')[1])
    const headers = Object.fromEntries(
      lines.map((line) => {
        const [name = '', ...rest] = line.split(':')
        return [name.toLowerCase(), rest.join(':').trim()]
      }),
    )
    const isEmpty = isHead || status === 204 || status < 200
    const length = isEmpty ? 0 : Number(headers['content-length'] ?? octets.length - headEnd - 4)
    const text = octets.toString('utf8', headEnd + 4, headEnd + 4 + length)
    const isJson = /json/.test(headers['content-type'] ?? '') && text !== ''
    answers.push({
      status,
      headers,
      text,
      json: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
    })
    at = headEnd + 4 + length
  }
  return answers
}

/** A connection that keeps what it is sent. */
export class RawConnection {
  readonly socket: Socket
  private readonly chunks: Buffer[] = []
  private wake: () => void = () => undefined
  private readonly closed: Promise<unknown>

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      this.chunks.push(chunk)
      this.wake()
    })
    this.closed = once(socket, 'close')
  }

  static async open(port: number, localAddress?: string): Promise<RawConnection> {
    const from = localAddress === undefined ? {} : { localAddress }
    const connection = new RawConnection(connect({ host: '127.0.0.1', port, ...from }))
    await once(connection.socket, 'connect')
    return connection
  }

  write(octets: string | Buffer): this {
    this.socket.write(octets)
    return this
  }

  get octets(): Buffer {
    return Buffer.concat(this.chunks)
  }

  /** Settles when `count` whole answers have come. */
  async answers(count: number): Promise<RawAnswer[]> {
    for (;;) {
      const found = answersIn(this.octets)
      if (found.length >= count && found.every(isWhole)) return found
      await new Promise<void>((resolve) => (this.wake = resolve))
    }
  }

  /** All answers, once the other side has closed the connection. */
  async rest(isHead = false): Promise<RawAnswer[]> {
    await this.closed
    return answersIn(this.octets, isHead)
  }
}

const isWhole = ({ headers, text, status }: RawAnswer): boolean =>
  status < 200 || status === 204 || Buffer.byteLength(text) === Number(headers['content-length'])

/** Sends `octets` on a connection of its own and gives the answers, once it is closed. */
export async function say(
  port: number,
  octets: string | Buffer,
  isHead = false,
): Promise<RawAnswer[]> {
  const connection = await RawConnection.open(port)
  return connection.write(octets).rest(isHead)
}
