/**
 * A lock on a data directory that child processes inherit: a socket in it that listens. A
 * nats-server is started with the open socket as its fourth descriptor, which it does not know of,
 * so that the lock is held until the last process that has the store is gone, in whatever PID
 * namespace it lives. Nothing needs to be read or understood: who can connect knows that somebody
 * holds it.
 */
import { chmodSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { relative } from 'node:path'

/**
 * sun_path of macOS, less the zero at its end; Linux has four octets more.
 * @source unix(4), unix(7)
 */
const pathBytesMax = 103

export type StoreLock = {
  /**
   * To be inherited by a child; undefined where the file system or the length of the path allows no
   * lock.
   */
  readonly descriptor: number | undefined
  /** Lets go of it; children that have inherited it hold it on. May be called again. */
  release(): void
}

const noLock: StoreLock = { descriptor: undefined, release: () => {} }

/** The shorter way to the same file, or undefined when none is short enough for a socket. */
function bindable(path: string): string | undefined {
  const short = [path, relative(process.cwd(), path)].toSorted((a, b) => a.length - b.length)[0]!
  return Buffer.byteLength(short) <= pathBytesMax ? short : undefined
}

/** Settles true when a process of this machine holds the lock. */
export function isStoreLockHeld(path: string): Promise<boolean> {
  const place = bindable(path)
  if (place === undefined) return Promise.resolve(false)
  return new Promise((settle) => {
    const socket = connect(place)
    const end = (isHeld: boolean): void => {
      socket.destroy()
      settle(isHeld)
    }
    socket.once('connect', () => end(true))
    // Full of calls that nobody takes: held by a server alone.
    socket.once('error', ({ code }: NodeJS.ErrnoException) => end(code === 'EAGAIN'))
  })
}

/** Takes the lock, which nobody holds: what an earlier life has left of it is removed. */
export function takeStoreLock(path: string): Promise<StoreLock> {
  const place = bindable(path)
  if (place === undefined) return Promise.resolve(noLock)
  rmSync(path, { force: true })
  const server: Server = createServer((socket) => socket.destroy())
  return new Promise((settle) => {
    // No sockets on this file system: records and command lines tell as much on one machine.
    server.once('error', () => settle(noLock))
    server.listen(place, () => {
      server.unref()
      server.on('error', () => {})
      chmodSync(path, 0o600)
      // Node gives sockets to children that it starts as Node only; of a server the number must do.
      const { fd } = (server as unknown as { _handle: { fd: number } })._handle
      settle({
        descriptor: fd >= 0 ? fd : undefined,
        release: () => void (server.listening && server.close()),
      })
    })
  })
}
