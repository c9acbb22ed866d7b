/** The nats-server of a broker: embedded, joined in another data directory, or external. */
import { rmSync } from 'node:fs'
import { limits } from '../../core/base/limits.ts'
import { snapshotBytesMaxOf } from '../../core/ledger/snapshots.ts'
import type { NatsAddress } from '../../core/nats/options.ts'
import { natsUserOf } from '../../core/nats/users.ts'
import { takeDataDir } from '../../core/ops/embedded-nats/data-dir-owner.ts'
import { isLoopbackHost } from '../../core/base/loopback.ts'
import { runningNatsOf } from '../../core/ops/embedded-nats/embedded-nats.ts'
import { startNatsServer, type NatsChild } from '../../core/ops/embedded-nats/nats-child.ts'
import { natsPlaces } from '../../core/ops/embedded-nats/nats-settings.ts'
import type { DiskGuard } from './disk-guard.ts'
import type { LedgerDirectory } from './ledger-directory.ts'
import type { StartContext } from './start-context.ts'

export type NatsParts = {
  disks: DiskGuard
  directory: LedgerDirectory
  /** Path of the nats-server to embed; found or obtained when left out. */
  binary: string | undefined
}

/** `url` may be shown. */
export type NatsServer = { url: string; address: NatsAddress; child?: NatsChild }

/** Hosts on other machines that are reached without TLS: one address with TLS is TLS for all. */
export function plaintextHostsOf(urls: string): string[] {
  const addresses = urls.split(',').map((one) => new URL(one.trim()))
  if (addresses.some(({ protocol }) => protocol === 'tls:')) return []
  return addresses.map(({ hostname }) => hostname).filter((host) => !isLoopbackHost(host))
}

/** Starts the embedded nats-server, or says where the one is that runs already. */
export async function startNats(
  { config, clock, log, metrics, closers, fail }: StartContext,
  { disks, directory, binary }: NatsParts,
): Promise<NatsServer> {
  await directory.load()
  if (config.nats.kind !== 'embedded') {
    // An embedded server takes the data directory itself.
    const { run } = natsPlaces(config.dataDir)
    await takeDataDir(run, clock, log, limits.natsStopMsMax)
    closers.push(() => rmSync(run, { force: true }))
  }
  if (config.nats.kind === 'external') {
    for (const host of plaintextHostsOf(config.nats.url))
      log.warn(
        { host },
        'the connection to this nats-server has no TLS, and leaves this machine: use tls:// in BUSBAR_NATS_URL',
      )
    // Shown without the credentials that the address may hold.
    const url = config.nats.url
      .split(',')
      .map((one) => one.trim().replace(/\/\/[^@/]*@/, '//'))
      .join(',')
    return { url, address: { url: config.nats.url } }
  }
  if (config.nats.kind === 'joined') {
    const address = await runningNatsOf(config.nats.dataDir, natsUserOf(config.roles))
    return { url: address.url, address }
  }
  directory.checkEmbedded()
  const child = await startNatsServer({
    dataDir: config.dataDir,
    ...(binary !== undefined && { binary }),
    log,
    metrics,
    hasRoom: () => disks.hasRoom,
    // Room for the ledger, the snapshots and the cursors beside it.
    storeBytesMax:
      config.ledgerBytesMax + snapshotBytesMaxOf(config.ledgerBytesMax) + 256 * 1024 ** 2,
  })
  closers.push(() => child.stop())
  child.onExit((fault) => fail(fault?.message ?? 'nats-server has ended'))
  return { url: child.url, address: child, child }
}
