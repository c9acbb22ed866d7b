/**
 * The way to devices: connections of this process, those of other processes over the bus, or both.
 */
import { formatHostPort } from '../../core/base/host-port.ts'
import type { KeyVault } from '../../core/crypto/key-vault.ts'
import { openDialInNames } from '../../core/ops/dial-in-names.ts'
import type { Bus, OwnerDirectory } from '../../core/ports/bus.ts'
import type { Wan } from '../../core/ports/wan.ts'
import { PushSender } from '../../core/wan/pushes/push-sender.ts'
import { BusWan, type BusWanOptions } from '../../core/wan/remote/bus-wan.ts'
import { EitherWan } from '../../core/wan/remote/either-wan.ts'
import { WanServer } from '../../core/wan/remote/wan-server.ts'
import { SocketWan } from '../../core/wan/sockets/socket-wan.ts'
import type { Closers, StartContext } from './start-context.ts'

export type WanParts = { bus: Bus; owners: OwnerDirectory; keys: KeyVault }
/**
 * The WAN of this process, the reason why it has none now, and the address where devices dial in.
 */
export type WanWay = { wan: Wan; trouble: () => string | undefined; dialIn: string }

/**
 * The role wan has connections of its own, for itself and for others; a host without it uses those
 * of other processes.
 */
export async function startWan(
  context: StartContext,
  { bus, owners, keys }: WanParts,
): Promise<WanWay | undefined> {
  const { config, clock, random, log, metrics, closers } = context
  const ports = { bus, clock, random, log, metrics }
  if (config.roles.includes('wan')) {
    const { wan, dialIn } = await startSockets(context, ports, { owners, keys })
    const isAlone = !config.roles.includes('host')
    const way = isAlone ? wan : new EitherWan(wan, await startBusWan(ports, closers))
    return { wan: way, trouble: () => undefined, dialIn }
  }
  if (!config.roles.includes('host')) return undefined
  const wan = await startBusWan(ports, closers)
  return { wan, trouble: () => wan.trouble, dialIn: '' }
}

/** Connections of this process's own, which hosts of other processes use, too. */
async function startSockets(
  { config, hostId, random, log, metrics, closers }: StartContext,
  ports: BusWanOptions,
  { owners, keys }: Omit<WanParts, 'bus'>,
): Promise<{ wan: SocketWan; dialIn: string }> {
  const { dialIn, dialInNamesFile: names } = config
  const pushes = new PushSender({
    ...ports,
    directory: owners,
    ...(names !== undefined && { deviceCalled: openDialInNames(names, ports.clock, log) }),
  })
  closers.push(() => pushes.close())
  const wan = new SocketWan({
    connectionsMax: config.wanConnectionsMax,
    dialInPerAddressMax: config.dialInPerAddress,
    keys,
    metrics,
    log,
    onPush: (push) => pushes.send(push),
    onDialIn: (called) => wanServer.tell(called),
  })
  closers.push(() => wan.close())
  const wanServer = new WanServer({
    ...ports,
    // Of this life: what was under way in the one before is lost, and hosts must not wait for it.
    wanId: `${hostId}-${random.bytes(4).toString('hex')}`,
    roles: config.roles,
    wan,
    connectionCount: () => wan.counts.connections,
    dialledIn: () => wan.dialledIn,
  })
  closers.push(() => wanServer.close())
  await wanServer.start()
  // At once, not when all is up: what comes before there is an owner waits for it.
  const port = dialIn && (await wan.listen(dialIn.host, dialIn.port))
  return { wan, dialIn: dialIn ? formatHostPort(dialIn.host, port ?? 0) : '' }
}

async function startBusWan(ports: BusWanOptions, closers: Closers): Promise<BusWan> {
  const wan = new BusWan(ports)
  closers.push(() => wan.close())
  await wan.start()
  return wan
}
