/** What an operator or a test may set of the WAN; the defaults are limits of the house. */
import { limits } from '../../base/limits.ts'
import { silentLog, type Log } from '../../ports/log.ts'
import type { KeyVault } from '../../crypto/key-vault.ts'
import { noMetrics, type Metrics } from '../../ports/metrics.ts'
import { systemRandom, type Random } from '../../ports/random.ts'
import type { DevicePush } from '../../ports/wan.ts'

/** Times in ms. */
export type WanOptions = {
  connectionsMax: number
  connectsMax: number
  /** Connections of one address that have dialled in and not answered yet. */
  dialInPerAddressMax: number
  exchangesMax: number
  exchangesPerConnectionMax: number
  connectMs: number
  responseMs: number
  exchangeMs: number
  releaseMs: number
  /** 0: an address that failed is tried again at once. */
  deadAddressMs: number
  /** How often time-outs are looked for: they come late by this much at most. */
  sweepMs: number
  apduBytesMax: number
  /** What may wait on one connection for a device to read it. */
  unreadBytesMax: number
  /**
   * A clock that never goes back, from any start: time-outs must not follow corrections of the time
   * of day.
   */
  nowMs: () => number
  /** Opens the keys that exchanges bring along; without it none can be opened. */
  keys: KeyVault | undefined
  /** Challenges and dedicated keys come from it. */
  random: Random
  /** Takes what devices say without being asked. */
  onPush: (push: DevicePush) => void
  /** Hears the names of a device that has dialled in. */
  onDialIn: (names: readonly string[]) => void
  metrics: Metrics
  log: Log
}

export const defaultWanOptions: WanOptions = {
  connectionsMax: limits.wanConnectionsMax,
  connectsMax: limits.wanConnectsMax,
  dialInPerAddressMax: limits.dialInPerAddressMax,
  exchangesMax: limits.wanExchangesMax,
  exchangesPerConnectionMax: limits.wanExchangesPerConnectionMax,
  connectMs: limits.wanConnectMsMax,
  responseMs: limits.wanResponseMsMax,
  exchangeMs: limits.wanExchangeMsMax,
  releaseMs: limits.wanReleaseMsMax,
  deadAddressMs: limits.wanDeadAddressMs,
  sweepMs: limits.wanSweepMs,
  apduBytesMax: limits.apduBytesMax,
  unreadBytesMax: limits.wanUnreadBytesMax,
  nowMs: () => performance.now(),
  keys: undefined,
  random: systemRandom,
  onPush: () => {},
  onDialIn: () => {},
  metrics: noMetrics,
  log: silentLog,
}
