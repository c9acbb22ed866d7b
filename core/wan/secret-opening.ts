/**
 * The last station before connections: opens the secret of a device that proves itself with one, so that it travels sealed up to here. Keys
 * of security suites stay sealed, for the Wan behind, which opens them itself.
 */
import { BrokerError } from '../base/broker-error.ts'
import type { Lane } from '../base/lane.ts'
import type { KeyVault } from '../ports/key-vault.ts'
import type { Log } from '../ports/log.ts'
import type {
  CosemOperation,
  DeviceAddress,
  ExchangeResult,
  ExchangeSecurity,
  Wan,
} from '../ports/wan.ts'

export class SecretOpeningWan implements Wan {
  private readonly wan: Wan
  private readonly keys: KeyVault
  private readonly log: Log

  constructor(wan: Wan, keys: KeyVault, log: Log) {
    this.wan = wan
    this.keys = keys
    this.log = log
  }

  exchange(
    address: DeviceAddress,
    operations: readonly CosemOperation[],
    lane: Lane,
    security?: ExchangeSecurity,
  ): Promise<ExchangeResult> {
    if (security === undefined) return this.wan.exchange(address, operations, lane)
    let opened: DeviceAddress
    try {
      const { secret } = this.keys.open(security.device, security.sealedKeys)
      opened = secret === undefined ? address : { ...address, secret: secret.copyOfOctets() }
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      const { code, detail } = fault
      this.log.error({ code, detail }, 'the keys of a device cannot be opened')
      const { from: next, received } = security.counters
      const counters = { next, received }
      return Promise.resolve({ ok: false, code: 'DEVICE_UNREACHABLE', detail: code, counters })
    }
    const passed = address.security === undefined ? undefined : security
    return this.wan.exchange(opened, operations, lane, passed)
  }

  close(): Promise<void> {
    return this.wan.close()
  }
}
