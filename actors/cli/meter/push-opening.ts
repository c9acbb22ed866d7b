/**
 * Opens pushes that are ciphered or signed: which keys, by the sender's system title, and what was
 * found about it.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import { ApduTag } from '../../../core/dlms/apdu/constants.ts'
import { decodeApdu } from '../../../core/dlms/apdu/codec.ts'
import { invocationCounterMax, InvocationCounter } from '../../../core/dlms/security/index.ts'
import { SecurityChannel } from '../../../core/dlms/security/channel.ts'
import { readSenderTitle } from '../../../core/dlms/security/general-header.ts'
import {
  Protection,
  Shape,
  shapeOfTag,
  suiteMask,
  suites,
} from '../../../core/dlms/security/suite.ts'
import { tagBytes } from '../../../core/crypto/crypto.ts'
import type { DeviceKeys } from '../../../core/crypto/key-vault.ts'
import { systemRandom } from '../../../core/ports/random.ts'
import { keysOf, suiteIn, titleDefault, wholeIn } from './meter-options.ts'
import type { KeyOptions } from './option-texts.ts'
import { devicesIn, keySetsInFile } from './key-files.ts'
import { titleIn } from './option-octets.ts'

export type OpeningOptions = KeyOptions & {
  systemTitle?: string
  meterTitle?: string
  counter?: string
}

/** What is known of one sender, or of all that nothing is known of. */
type Sender = { suite: 0 | 1 | 2; keys: DeviceKeys; ownTitle: Uint8Array }
/**
 * The same where the suite is not named, by that of an APDU: a list of keys may hold those of many.
 */
type BySuite = (suite: 0 | 1 | 2) => readonly Sender[]

export type Opened = {
  /**
   * In the clear; undefined when there is no key for it, or it does not verify: `fault` says which.
   */
  plain: Buffer | undefined
  /** `plain` was not enciphered, and nothing says that it is genuine: `fault` says why. */
  isUnverified: boolean
  fault: BrokerError | undefined
  /** Hexadecimal. */
  systemTitle: string | undefined
  /** Of a ciphered APDU. */
  invocationCounter: number | undefined
  /** Protects an answer in the way that it came; undefined when it may not be answered. */
  protect: ((apdu: Buffer) => Buffer) | undefined
}

export class PushOpening {
  private readonly byTitle: ReadonlyMap<string, Sender>
  private readonly otherwise: BySuite | undefined
  private readonly titleOtherwise: Buffer | undefined
  private readonly counter: InvocationCounter | undefined
  /** One of each sender, so that counters that were heard before are refused. */
  private readonly channels = new Map<string, SecurityChannel>()

  /** @throws BrokerError CONFIG_INVALID */
  static async of(options: OpeningOptions): Promise<PushOpening> {
    const byTitle = new Map<string, Sender>()
    if (options.devices !== undefined)
      for await (const { record, keys } of devicesIn(options.devices)) {
        const { security } = record.address
        if (security?.deviceTitle === undefined || keys === undefined) continue
        if (byTitle.size >= limits.pushDevicesMax)
          throw new BrokerError(
            'CONFIG_INVALID',
            `${options.devices} has keys of more than ${limits.pushDevicesMax} devices`,
          )
        const { suite, clientTitle: ownTitle, deviceTitle } = security
        byTitle.set(Buffer.from(deviceTitle).toString('hex'), { suite, keys, ownTitle })
      }
    return new PushOpening(byTitle, options)
  }

  private constructor(byTitle: ReadonlyMap<string, Sender>, options: OpeningOptions) {
    const { suite, systemTitle = titleDefault, meterTitle, counter } = options
    this.byTitle = byTitle
    this.titleOtherwise =
      meterTitle === undefined ? undefined : titleIn(meterTitle, '--meter-title')
    this.counter =
      counter === undefined
        ? undefined
        : new InvocationCounter(wholeIn(counter, '--counter', 0, invocationCounterMax))
    const hasKeys = [options.keys, options.unicastKey, options.broadcastKey].some(
      (given) => given !== undefined,
    )
    const named = suite === undefined ? undefined : suiteIn(suite)
    const ownTitle = titleIn(systemTitle, '--system-title')
    if (!hasKeys) return
    const known = new Map<number, readonly Sender[]>()
    const bySuite = (suite: 0 | 1 | 2): readonly Sender[] => {
      const senders =
        known.get(suite) ?? keySetsOf(options, suite).map((keys) => ({ suite, keys, ownTitle }))
      known.set(suite, senders)
      return senders
    }
    // Keys that fit no suite are a fault of who gave them; those that fit one are tried with it.
    const usable = named ?? firstThatFits(bySuite)
    void bySuite(usable)
    this.otherwise = (suite) => bySuite(named ?? (fits(bySuite, suite) ? suite : usable))
  }

  /** `apdu` in the clear, and what is around it. */
  open(apdu: Buffer): Opened {
    const opened: Opened = {
      plain: apdu,
      isUnverified: false,
      fault: undefined,
      systemTitle: undefined,
      invocationCounter: undefined,
      protect: (answer) => answer,
    }
    const tag = apdu[0]
    const isPlain = tag === undefined || shapeOfTag(tag) === Shape.PLAIN
    if (isPlain && tag !== ApduTag.GENERAL_SIGNING) return opened
    opened.plain = opened.protect = undefined
    try {
      const title = readSenderTitle(apdu) ?? this.titleOtherwise
      opened.systemTitle = title?.toString('hex')
      const channel = this.openIn(this.channelsOf(title, suiteOf(apdu)), apdu, opened)
      const { invocationCounter, ...choice } = channel.received
      if (invocationCounter >= 0) opened.invocationCounter = invocationCounter
      // A counter that the meter has heard from somebody would be refused, and one used twice gives
      // the key away.
      if (this.counter !== undefined || invocationCounter < 0)
        opened.protect = (answer) => channel.protect(answer, choice)
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      opened.fault = fault
      opened.plain = authenticatedContentIn(apdu)
      opened.isUnverified = opened.plain !== undefined
    }
    return opened
  }

  /** The channel that opens `apdu`. @throws BrokerError what the first has against it */
  private openIn(
    channels: Iterable<SecurityChannel>,
    apdu: Buffer,
    opened: Opened,
  ): SecurityChannel {
    let first: BrokerError | undefined
    for (const channel of channels) {
      try {
        opened.plain = channel.unprotect(apdu)
        return channel
      } catch (fault) {
        if (!(fault instanceof BrokerError)) throw fault
        first ??= fault
      }
    }
    throw first!
  }

  private *channelsOf(
    title: Buffer | undefined,
    suite: 0 | 1 | 2,
  ): Generator<SecurityChannel, void> {
    const name = title?.toString('hex')
    if (name === undefined)
      throw new BrokerError('DLMS_KEY_UNKNOWN', 'it does not name its sender: give --meter-title')
    const known = this.byTitle.get(name)
    const senders = known === undefined ? this.otherwise?.(suite) : [known]
    if (senders === undefined)
      throw new BrokerError(
        'DLMS_KEY_UNKNOWN',
        `of ${name}: give --keys, --unicast-key with --authentication-key, or --devices`,
      )
    for (const [index, sender] of senders.entries())
      yield this.channelOf(`${name} ${sender.suite} ${index}`, sender, title!)
  }

  private channelOf(place: string, sender: Sender, peerTitle: Buffer): SecurityChannel {
    const known = this.channels.get(place)
    if (known !== undefined) return known
    const channel = new SecurityChannel({
      role: 'client',
      suite: suites[sender.suite],
      ownTitle: sender.ownTitle,
      peerTitle,
      keys: sender.keys,
      counters:
        this.counter === undefined ? {} : { unicast: this.counter, broadcast: this.counter },
      random: systemRandom,
    })
    if (this.channels.size >= limits.pushDevicesMax)
      this.channels.delete(this.channels.keys().next().value!)
    this.channels.set(place, channel)
    return channel
  }
}

/**
 * Every set of keys that is given: those of a file, each with those that are given by themselves in
 * their place.
 */
function keySetsOf(options: OpeningOptions, suite: 0 | 1 | 2): DeviceKeys[] {
  const { keys: file, ...given } = options
  const alone = keysOf(given, suite)
  if (file === undefined) return [alone]
  return keySetsInFile(file, suite).map((keys) => ({ ...keys, ...alone }))
}

/** True when the keys are of that suite. */
function fits(bySuite: BySuite, suite: 0 | 1 | 2): boolean {
  try {
    bySuite(suite)
    return true
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return false
  }
}

/**
 * @throws BrokerError CONFIG_INVALID, what suite 0 has against the keys, when they are of no suite
 */
function firstThatFits(bySuite: BySuite): 0 | 1 | 2 {
  for (const suite of [0, 1, 2] as const) if (fits(bySuite, suite)) return suite
  void bySuite(0)
  return 0
}

/**
 * By the security control octet; a signature is as long as the suite's curve wants it. 0 where
 * nothing says it.
 */
function suiteOf(apdu: Buffer): 0 | 1 | 2 {
  const decoded = decodeApdu(apdu, { isTolerant: true })
  if (decoded.type === 'general-signing') return decoded.signatureView.length > 64 ? 2 : 1
  const number = 'ciphered' in decoded ? decoded.ciphered.securityControl & suiteMask : 0
  return suites[number]?.id ?? 0
}

/** What is only authenticated, or not protected at all, can be read without a key. */
function authenticatedContentIn(apdu: Buffer): Buffer | undefined {
  try {
    const decoded = decodeApdu(apdu, { isTolerant: true })
    if (!('ciphered' in decoded)) return undefined
    const { securityControl, contentView } = decoded.ciphered
    if ((securityControl & (Protection.ENCRYPTED | Protection.COMPRESSED)) !== 0) return undefined
    const isTagged = (securityControl & Protection.AUTHENTICATED) !== 0
    const plain = isTagged ? contentView.subarray(0, -tagBytes) : contentView
    void decodeApdu(plain, { isTolerant: true })
    return plain
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return undefined
  }
}
