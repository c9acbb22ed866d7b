/**
 * A concentrator over UDP: each client's address has associations of its own, as a connection has.
 * [IEC 62056-4-7, UDP]
 */
import { createSocket, type RemoteInfo } from 'node:dgram'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { formatHostPort } from '../../../core/base/host-port.ts'
import { MeterConnection, type Concentrator } from './connection.ts'
import { DatagramFraming } from './framing.ts'

/** Clients that are remembered; the one that came first is forgotten first. */
const clientsMaxDefault = 1_024

export type DatagramServer = { readonly port: number; close(done?: () => void): void }

/**
 * Settles when it listens.
 * @throws BrokerError SIMULATOR_LISTEN_FAILED
 */
export function listenForDatagrams(
  host: string,
  port: number,
  concentrator: Concentrator,
  clientsMax = clientsMaxDefault,
): Promise<DatagramServer> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  const clients = new Map<string, MeterConnection>()

  const clientOf = ({ address, port: from }: RemoteInfo): MeterConnection => {
    const name = `${address} ${from}`
    const known = clients.get(name)
    if (known !== undefined) return known
    const forget = (): void => {
      clients.delete(name)
      client.stop()
    }
    const client: MeterConnection = new MeterConnection(
      {
        write(pieces) {
          for (const piece of pieces) socket.send(piece, from, address)
        },
        bufferedBytes: () => 0,
        pause() {},
        resume() {},
        end: forget,
        destroy: forget,
      },
      concentrator,
      new DatagramFraming(),
    )
    if (clients.size >= clientsMax) {
      const [oldest, itsConnection] = clients.entries().next().value!
      clients.delete(oldest)
      itsConnection.stop()
    }
    clients.set(name, client)
    return client
  }

  socket.on('message', (datagram, remote) => {
    // Nobody can be answered at port 0, which a sender may forge.
    if (remote.port !== 0) clientOf(remote).take(datagram)
  })
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void =>
      reject(
        new BrokerError(
          'SIMULATOR_LISTEN_FAILED',
          `${cause.message} at ${formatHostPort(host, port)}`,
          {
            cause,
          },
        ),
      )
    socket.once('error', fail)
    socket.bind({ address: host, port }, () => {
      socket.off('error', fail)
      socket.on('error', () => undefined)
      resolve({
        port: socket.address().port,
        close(done) {
          for (const client of clients.values()) client.stop()
          clients.clear()
          socket.close(done)
        },
      })
    })
  })
}
