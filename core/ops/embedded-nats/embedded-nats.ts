/**
 * Finds the embedded nats-server of a broker that runs on this machine, from its data directory.
 * Starts nothing: that is nats-child.ts.
 */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { resolve } from 'node:path'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import type { NatsAddress } from '../../nats/options.ts'
import type { NatsUser } from '../../nats/users.ts'
import { natsPlaces, readNatsSettings, type KeptSettings } from './nats-settings.ts'

/** Settles true when a server of this name greets on the port. */
export function greets(port: number, serverName: string): Promise<boolean> {
  return new Promise((settle) => {
    const socket = connect({ host: '127.0.0.1', port })
    let text = ''
    const end = (isThere: boolean): void => {
      socket.destroy()
      settle(isThere)
    }
    socket.setTimeout(limits.natsGreetingMsMax, () => end(false))
    socket.on('error', () => end(false))
    socket.on('close', () => end(false))
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (text.includes('\r\n') || text.length > limits.natsGreetingBytesMax)
        end(text.startsWith('INFO ') && text.includes(`"${serverName}"`))
    })
  })
}

/**
 * Address and credentials of the embedded nats-server that keeps its store in `dataDir`, whether it
 * runs or not.
 * @throws BrokerError CONFIG_INVALID when no broker with an embedded nats-server was started there,
 * or this user may not read its credentials
 */
export function embeddedNatsOf(
  dataDir: string,
  as: NatsUser = 'busbar',
): NatsAddress & { settings: KeptSettings } {
  const folder = resolve(dataDir)
  const path = natsPlaces(folder).settings
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const why =
      code === 'ENOENT'
        ? `${folder} is not the data directory of a broker with an embedded nats-server`
        : `the credentials in ${path} cannot be read (${code}); run the command as the user of the broker`
    throw new BrokerError(
      'CONFIG_INVALID',
      `${why}; give another --data-dir or --join, or --nats-url`,
      {
        cause,
      },
    )
  }
  const settings = readNatsSettings(path, text)
  const { port } = settings
  // The server of the version before has one user.
  const limited = as === 'busbar' ? undefined : settings.passwords?.[as]
  const { user, password } = limited === undefined ? settings : { user: as, password: limited }
  return { url: `nats://127.0.0.1:${port}`, user, password, settings }
}

/**
 * As `embeddedNatsOf`, once the server has greeted.
 * @throws BrokerError CONFIG_INVALID as there, NATS_UNREACHABLE when it does not run
 */
export async function runningNatsOf(
  dataDir: string,
  as: NatsUser = 'busbar',
): Promise<NatsAddress> {
  const { settings, ...address } = embeddedNatsOf(dataDir, as)
  if (await greets(settings.port, settings.serverName)) return address
  const folder = resolve(dataDir)
  throw new BrokerError(
    'NATS_UNREACHABLE',
    `the embedded nats-server of ${folder} does not run; start its broker: busbar serve --data-dir ${folder}`,
  )
}
