/**
 * What carries octets to and from one endpoint: a TCP connection that we made or that was made to
 * us, or a UDP socket with one peer. Nothing is known of devices here.
 */
import { createSocket } from 'node:dgram'
import { connect, type Socket } from 'node:net'
import { platform } from 'node:process'
import { limits } from '../../base/limits.ts'

export interface Carrier {
  /** Octets that were written and that the system has not taken yet. */
  readonly unreadBytes: number
  /** Each buffer is one piece: a datagram where there are datagrams. */
  write(pieces: readonly Buffer[]): void
  /** Closes once everything is sent. */
  end(): void
  /** Closes at once. */
  destroy(): void
}

export type CarrierEvents = {
  opened(): void
  /** Borrowed for the call. */
  octets(view: Buffer): void
  /** Once, whatever happens. */
  closed(reason: string): void
}

/**
 * For sockets of both directions: a peer that has gone without a word is found out by the system.
 */
export const keepAlive = { keepAlive: true, keepAliveInitialDelay: limits.wanKeepAliveMs } as const
const defaultReason = 'closed by the device'

// Reads are synchronous where sockets are polled, so one buffer serves every link; on Windows reads
// are pending with their buffer.
const sharedReadBuffer =
  platform === 'win32' ? undefined : Buffer.allocUnsafeSlow(limits.wanReadBytes)

/** A TCP connection to `host` and `port`. */
export function dialTcp(host: string, port: number, events: CarrierEvents): Carrier {
  const base = { host, port, noDelay: true, ...keepAlive }
  let socket: Socket
  if (sharedReadBuffer) {
    const callback = (count: number): boolean => {
      events.octets(sharedReadBuffer.subarray(0, count))
      return true
    }
    socket = connect({ ...base, onread: { buffer: sharedReadBuffer, callback } })
  } else {
    socket = connect(base)
    socket.on('data', (chunk: Buffer) => events.octets(chunk))
  }
  socket.on('connect', () => events.opened())
  return tcpCarrier(socket, events)
}

/** A TCP connection that is open already. */
export function takeTcp(socket: Socket, events: CarrierEvents): Carrier {
  socket.on('data', (chunk: Buffer) => events.octets(chunk))
  return tcpCarrier(socket, events)
}

function tcpCarrier(socket: Socket, events: CarrierEvents): Carrier {
  let reason = defaultReason
  socket.on('error', (error: NodeJS.ErrnoException) => {
    reason = error.code ?? error.message
  })
  socket.on('close', () => events.closed(reason))
  return {
    get unreadBytes() {
      return socket.writableLength
    },
    write: (pieces) => void socket.write(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
  }
}

/** A UDP socket that hears and speaks to `host` and `port` alone. */
export function dialUdp(host: string, port: number, events: CarrierEvents): Carrier {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  let reason = defaultReason
  let isClosed = false
  const close = (): void => {
    if (isClosed) return
    isClosed = true
    socket.close()
  }
  socket.on('connect', () => events.opened())
  socket.on('message', (datagram: Buffer) => events.octets(datagram))
  socket.on('error', (error: NodeJS.ErrnoException) => {
    reason = error.code ?? error.message
    close()
  })
  socket.on('close', () => events.closed(reason))
  socket.connect(port, host)
  return {
    get unreadBytes() {
      return isClosed ? 0 : socket.getSendQueueSize()
    },
    write(pieces) {
      if (!isClosed) for (const piece of pieces) socket.send(piece)
    },
    end: close,
    destroy: close,
  }
}
