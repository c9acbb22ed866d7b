/**
 * What a channel is made of and what it says: keys with their counters, how to protect, how
 * something was protected.
 */
import { emptyBytes } from '../../base/bytes.ts'
import type { SecretKey } from '../../crypto/crypto.ts'
import type { Random } from '../../ports/random.ts'
import { GeneralKey } from './general-ciphering.ts'
import { CounterWindow, type CounterSource } from './invocation-counter.ts'
import type { SecurityKeys } from './keys.ts'
import type { SecurityPolicy, SecurityProfile } from './policy.ts'
import { Protection, Shape, type Suite } from './suite.ts'

/** Where a signature stands: none, on what is ciphered, or on the outside. */
export type SignaturePlace = 'none' | 'within' | 'around'

/**
 * How to protect an APDU. What was received is one too: given back, the answer has the shape of the
 * question.
 */
export type ProtectionChoice = {
  readonly shape: Shape
  /** Bits of `Protection`: AUTHENTICATED, ENCRYPTED, BROADCAST_KEY. */
  readonly protection: number
  readonly signature?: SignaturePlace
  /** For `Shape.GENERAL`. */
  readonly generalKey?: GeneralKey
  /** For `Shape.GENERAL` and signatures; borrowed. */
  readonly transactionId?: Uint8Array
}

/**
 * Facts about the APDU that `unprotect` opened last; overwritten by the next one, and half true
 * after a refusal.
 */
export class ReceivedProtection {
  shape: Shape = Shape.PLAIN
  /**
   * What it was protected by, all layers together: AUTHENTICATED, ENCRYPTED, BROADCAST_KEY, SIGNED.
   */
  protection = 0
  /** 0 when it was not ciphered. */
  securityControl = 0
  /** -1 when it was not ciphered. */
  invocationCounter = -1
  signature: SignaturePlace = 'none'
  generalKey: GeneralKey = GeneralKey.UNICAST
  /** A view on the APDU; empty when it had none. */
  transactionId: Buffer = emptyBytes

  /**
   * The invocation counter when it is of the global unicast key, else -1: other keys count for
   * themselves.
   */
  get unicastCounter(): number {
    const isUnicast =
      this.shape === Shape.GENERAL
        ? this.generalKey === GeneralKey.UNICAST
        : (this.shape === Shape.GLOBAL || this.shape === Shape.GENERAL_GLOBAL) &&
          (this.protection & Protection.BROADCAST_KEY) === 0
    return isUnicast ? this.invocationCounter : -1
  }
}

/**
 * Counters for sending. `session` is for wrapped and agreed keys; without it static unified cannot
 * be sent.
 */
export type SendingCounters = {
  readonly unicast?: CounterSource | undefined
  readonly broadcast?: CounterSource | undefined
  readonly session?: CounterSource | undefined
}

/** What was received with each key before; new ones by default. */
export type ReceivingWindows = {
  readonly unicast?: CounterWindow | undefined
  readonly broadcast?: CounterWindow | undefined
  readonly session?: CounterWindow | undefined
}

export type ChannelOptions = {
  readonly role: 'client' | 'server'
  readonly suite: Suite
  /** Eight octets each. The peer's may come later, from its AARE or AARQ. */
  readonly ownTitle: Uint8Array
  readonly peerTitle?: Uint8Array | undefined
  readonly keys: SecurityKeys
  readonly counters: SendingCounters
  readonly windows?: ReceivingWindows
  readonly policy?: SecurityPolicy
  readonly profile?: SecurityProfile
  /** For wrapped keys; agreed keys take the system's. */
  readonly random?: Random
}

/** A key with what was sent and received under it. */
export class KeySlot {
  readonly name: string
  readonly key: SecretKey | undefined
  readonly counter: CounterSource | undefined
  readonly window: CounterWindow

  constructor(
    name: string,
    key: SecretKey | undefined,
    counter: CounterSource | undefined,
    window = new CounterWindow(),
  ) {
    this.name = name
    this.key = key
    this.counter = counter
    this.window = window
  }
}
