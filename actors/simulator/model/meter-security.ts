/**
 * Security state of a meter under a security suite: keys, and invocation counters that outlive
 * associations. Keys that are transferred or agreed take effect with the next association. [IEC
 * 62056-5-3, 5.3.5 key management]
 */
import {
  authenticatedEncrypted,
  CounterWindow,
  InvocationCounter,
  invocationCounterMax,
  KeyId,
  securityPolicyOf,
  suites,
  type SecurityPolicy,
  type Suite,
} from '../../../core/dlms/security/index.ts'
import type { ServerSecurity } from '../../../core/dlms/server/association.ts'
import type { SecretKey } from '../../../core/crypto/crypto.ts'
import { MeterKeys } from './meter-keys.ts'
import type { Quirks } from '../quirks/quirks.ts'

const protection: SecurityPolicy = {
  request: authenticatedEncrypted,
  response: authenticatedEncrypted,
}

export type SecurityOptions = {
  readonly fleetSeed: number
  readonly meterSeed: number
  readonly suite: 0 | 1 | 2
  readonly title: Buffer
  /** When the meter comes into being, UTC ms. */
  readonly startMs: number
  readonly quirks: Quirks
}

export class MeterSecurity {
  readonly suite: Suite
  readonly title: Buffer
  readonly keys: MeterKeys
  policy = protection
  /** Times that keys were replaced. */
  replacements = 0
  private readonly quirks: Quirks
  private associations = 0
  private readonly session = new InvocationCounter()
  private current: ServerSecurity

  constructor({ fleetSeed, meterSeed, suite, title, startMs, quirks }: SecurityOptions) {
    this.quirks = quirks
    this.suite = suites[suite]
    this.title = title
    this.keys = new MeterKeys(fleetSeed, meterSeed, this.suite)
    const first = quirks.counterRestarts === 'power-up' ? 0 : firstCounter(startMs)
    this.current = this.begin(new InvocationCounter(first), new CounterWindow())
  }

  /** For an association that begins now; one that goes on keeps the keys that it has. */
  get forAssociation(): ServerSecurity {
    return this.current
  }

  /** The highest counter that was heard under the unicast key; -1 for none. */
  get received(): number {
    return this.current.windows!.unicast!.last
  }

  /** Another client has used `count` counters since we heard the last one. */
  advance(count: number): void {
    const window = this.current.windows!.unicast!
    window.remember(Math.min(invocationCounterMax, window.last + count))
  }

  /** The managing client sends an AARQ. */
  onOpening(): void {
    if (this.quirks.counterRestarts !== 'association') return
    this.current = this.begin(new InvocationCounter(0), this.current.windows!.unicast!)
  }

  /** An association of the managing client is over. */
  onClosed(): void {
    const count = ++this.associations
    const isPowerOfTwo = (count & (count - 1)) === 0
    if (isPowerOfTwo && this.quirks.counterAdvance !== undefined)
      this.advance(this.quirks.counterAdvance)
  }

  private begin(counter: InvocationCounter, window: CounterWindow): ServerSecurity {
    const { unicast, broadcast, authentication, master, signing, agreement } = this.keys
    const { peerSigning, peerAgreement } = this.keys
    return {
      suite: this.suite,
      ownTitle: this.title,
      keys: {
        unicast,
        broadcast,
        authentication,
        master,
        ...(signing && { signing, agreement, peerSigning, peerAgreement }),
      },
      counters: { unicast: counter, session: this.session },
      windows: { unicast: window },
      policy: this.policy,
      isCipheringNeeded: this.quirks.isUnciphered !== true,
      releases: this.quirks.releases,
      isProofUnderGlobalKey: this.quirks.isProofUnderGlobalKey,
    }
  }

  /** Takes new keys, all at once; counters of the unicast key begin again with it. */
  replace(fresh: ReadonlyMap<KeyId, SecretKey>): void {
    const { keys } = this
    const unicast = fresh.get(KeyId.GLOBAL_UNICAST)
    keys.unicast = unicast ?? keys.unicast
    keys.broadcast = fresh.get(KeyId.GLOBAL_BROADCAST) ?? keys.broadcast
    keys.authentication = fresh.get(KeyId.AUTHENTICATION) ?? keys.authentication
    keys.master = fresh.get(KeyId.MASTER) ?? keys.master
    const { counters, windows } = this.current
    this.current =
      unicast === undefined
        ? this.begin(counters.unicast as InvocationCounter, windows!.unicast!)
        : this.begin(new InvocationCounter(0), new CounterWindow())
    this.replacements++
  }

  /**
   * Asks for more protection, from the next association on. @throws BrokerError DLMS_VALUE_INVALID
   */
  activate(policyValue: number): void {
    this.policy = securityPolicyOf(1, policyValue)
    this.current = { ...this.current, policy: this.policy }
  }
}

/**
 * A real meter remembers its counters. One that lives in memory begins each life above the last: it
 * sends fewer than ten APDUs a second, and the counter lasts for thirteen years.
 */
const firstCounter = (startMs: number): number =>
  Math.max(0, Math.floor((startMs - Date.UTC(2024, 0, 1)) / 100))
