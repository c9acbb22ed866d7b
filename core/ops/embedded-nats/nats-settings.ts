/**
 * What an embedded nats-server needs in its data directory: its port and credentials, made once and
 * kept, and the configuration file written from them. Starts nothing.
 */
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { BrokerError } from '../../base/broker-error.ts'
import { formatNatsUsers, limitedUsers, type LimitedUser } from '../../nats/users.ts'

/** Kept in `nats-server.json`, readable by its owner alone. */
export type NatsSettings = {
  readonly serverName: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** Of the users that may do less (core/nats/users.ts). */
  readonly passwords: Readonly<Record<LimitedUser, string>>
}

const password = z.string().regex(/^[\w-]{16,128}$/)
const settingsSchema = z.object({
  serverName: z.string().regex(/^[\w-]{1,64}$/),
  port: z.number().int().min(1).max(65_535),
  user: z.string().regex(/^[\w-]{1,64}$/),
  password,
  // A file of the version before has none.
  passwords: z.partialRecord(z.enum(limitedUsers), password).optional(),
})

/** As the file has them. */
export type KeptSettings = z.infer<typeof settingsSchema>

/** Where things stand in a data directory. */
export const natsPlaces = (dataDir: string) =>
  ({
    settings: join(dataDir, 'nats-server.json'),
    config: join(dataDir, 'nats-server.conf'),
    run: join(dataDir, 'nats-server.run'),
    log: join(dataDir, 'nats-server.log'),
    store: join(dataDir, 'nats'),
    lock: join(dataDir, 'nats.lock'),
  }) as const

/**
 * Writes `text` so that a reader sees the old file or the new one, whole, and nobody else can read
 * it.
 */
export function writePrivateFile(path: string, text: string): void {
  const fresh = `${path}.${process.pid}.new`
  writeFileSync(fresh, text, { mode: 0o600, flush: true })
  chmodSync(fresh, 0o600)
  renameSync(fresh, path)
}

/** Reads the text of a settings file. @throws BrokerError NATS_SERVER_FAILED */
export function readNatsSettings(path: string, text: string): KeptSettings {
  try {
    return settingsSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new BrokerError(
      'NATS_SERVER_FAILED',
      `${path} cannot be understood; remove it and a new one is made`,
      { cause },
    )
  }
}

/** The port when it is free on loopback now (0: any), or undefined when another program has it. */
function freePort(port: number): Promise<number | undefined> {
  return new Promise((settle) => {
    const probe = createServer()
    probe.once('error', () => settle(undefined))
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const address = probe.address()
      probe.close(() => settle(typeof address === 'object' && address ? address.port : undefined))
    })
  })
}

/**
 * The settings of this data directory. The port stays what it was, so that clients find the server
 * again, unless another program has taken it: then a free one is chosen and kept.
 *
 * @param wantedPort  this port and no other; it may have been another before
 * @throws BrokerError NATS_SERVER_FAILED when the wanted port is taken or the file cannot be
 * understood
 */
export async function loadNatsSettings(
  dataDir: string,
  wantedPort?: number,
): Promise<NatsSettings> {
  const { settings: path } = natsPlaces(dataDir)
  let kept: KeptSettings | undefined
  if (existsSync(path)) kept = readNatsSettings(path, readFileSync(path, 'utf8'))
  const port = wantedPort || kept?.port
  const usable = (port && (await freePort(port))) || (wantedPort ? undefined : await freePort(0))
  if (usable === undefined)
    throw new BrokerError('NATS_SERVER_FAILED', `port ${port ?? 0} of 127.0.0.1 is taken`)
  const settings: NatsSettings = {
    serverName: kept?.serverName ?? `busbar-${randomBytes(6).toString('hex')}`,
    port: usable,
    user: kept?.user ?? 'busbar',
    password: kept?.password ?? newPassword(),
    passwords: {
      gateway: kept?.passwords?.gateway ?? newPassword(),
      host: kept?.passwords?.host ?? newPassword(),
      wan: kept?.passwords?.wan ?? newPassword(),
      views: kept?.passwords?.views ?? newPassword(),
    },
  }
  const isComplete = limitedUsers.every((user) => kept?.passwords?.[user] !== undefined)
  if (kept?.port !== settings.port || !isComplete)
    writePrivateFile(path, `${JSON.stringify(settings, undefined, 2)}\n`)
  return settings
}

const newPassword = (): string => randomBytes(24).toString('base64url')

/** Text of a path inside the configuration's double quotes. */
const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`

/**
 * The configuration file of the server.
 *
 * @param storeBytesMax  of all streams together: the ledger's limit and room for cursors
 * @source docs.nats.io, "Server configuration"; durability: core/decisions/0006
 */
export function formatNatsConfig(
  dataDir: string,
  { serverName, port, user, password, passwords }: NatsSettings,
  storeBytesMax: number,
): string {
  const { log, store } = natsPlaces(dataDir)
  return `# Written by Busbar at each start: changes here are lost.
server_name: ${quoted(serverName)}
listen: "127.0.0.1:${port}"
${formatNatsUsers((name) => quoted(name === 'busbar' ? password : passwords[name]), user)}
log_file: ${quoted(log)}
# Bytes, and how many old files are kept.
logfile_size_limit: 33554432
logfile_max_num: 3

# Above a frame of 4 MiB with its headers.
max_payload: 8388608
# A replay reads faster than one client takes; a client is cut off only when it holds up this much.
max_pending: 268435456
write_deadline: "30s"
max_control_line: 4096

jetstream {
  store_dir: ${quoted(store)}
  # Each write is on disk before it is acknowledged. Anything else loses what parties were told is kept.
  sync_interval: always
  max_file_store: ${storeBytesMax}
  max_memory_store: 67108864
}
`
}
