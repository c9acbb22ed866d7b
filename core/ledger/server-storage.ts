/**
 * The storage that a nats-server, or the account there, has for streams; and the fault when it is
 * too little.
 */
import { JetStreamApiError } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'

// err_code of the server: insufficient storage resources; the account's or the server's limit of
// storage is exceeded; no suitable peers in a cluster for the same reason.
const wantOfStorageCodes: ReadonlySet<number> = new Set([10047, 10028, 10002])
const noPeersCode = 10005

/** True when the server did not make a stream because its limit does not fit. */
function isWantOfStorage(fault: unknown): boolean {
  if (!(fault instanceof JetStreamApiError)) return false
  return (
    wantOfStorageCodes.has(fault.code) ||
    (fault.code === noPeersCode && /storage/i.test(fault.message))
  )
}

/** What the account may store, as the server tells it. */
type AccountStorage = {
  storage?: number
  reserved_storage?: number
  limits?: { max_storage?: number }
}

/**
 * Why `what`, which may take `bytesMax` octets, was not made: with the numbers, as far as the
 * server tells them, when it is for want of storage.
 */
export async function creationFault(
  connection: NatsConnection,
  what: string,
  bytesMax: number,
  cause: unknown,
): Promise<BrokerError> {
  if (!isWantOfStorage(cause))
    return new BrokerError(
      'BROKER_LEDGER_UNAVAILABLE',
      `${what} could not be created: ${String(cause)}`,
      { cause },
    )
  let has = ''
  try {
    const reply = await connection.request('$JS.API.INFO', '', { timeout: limits.ledgerAskMs })
    const {
      storage = 0,
      reserved_storage: reserved,
      limits: account,
    } = reply.json<AccountStorage>()
    const max = account?.max_storage ?? -1
    has =
      `; its account uses ${storage} octets` +
      (reserved === undefined ? '' : `, ${reserved} are reserved for streams`) +
      (max >= 0
        ? `, ${max} are allowed`
        : ', it has no limit of its own: the limit is max_file_store')
  } catch {
    // The numbers that we know have to do.
  }
  const says = cause instanceof Error ? cause.message : String(cause)
  return new BrokerError(
    'LEDGER_STORAGE_INSUFFICIENT',
    `nats-server has no room for ${bytesMax} octets of ${what} (${says})${has}`,
    { cause },
  )
}
