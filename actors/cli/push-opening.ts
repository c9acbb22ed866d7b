/** Opens pushes that are ciphered or signed: which keys, by the sender's system title, and what was found about it. */
import { BrokerError } from '../../core/base/broker-error.ts'
import { limits } from '../../core/base/limits.ts'
import { ApduTag } from '../../core/dlms/apdu.ts'
import { invocationCounterMax, InvocationCounter } from '../../core/dlms/security/index.ts'
import { SecurityChannel } from '../../core/dlms/security/channel.ts'
import { readSenderTitle } from '../../core/dlms/security/general-header.ts'
import { Shape, shapeOfTag, suites } from '../../core/dlms/security/suite.ts'
import type { DeviceKeys } from '../../core/ports/key-vault.ts'
import { systemRandom } from '../../core/ports/random.ts'
import { keysOf, suiteIn, titleDefault, wholeIn, type KeyOptions } from './meter-options.ts'
import { devicesIn } from './key-files.ts'
import { titleIn } from './option-octets.ts'

export type OpeningOptions = KeyOptions & {
  systemTitle?: string
  meterTitle?: string
  counter?: string
}

/** What is known of one sender, or of all that nothing is known of. */
type Sender = { suite: 0 | 1 | 2; keys: DeviceKeys; ownTitle: Uint8Array }

export type Opened = {
  /** In the clear; undefined when there is no key for it, or it does not verify: `fault` says which. */
  plain: Buffer | undefined
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
  private readonly otherwise: Sender | undefined
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
    const suiteId = suite === undefined ? 0 : suiteIn(suite)
    const ownTitle = titleIn(systemTitle, '--system-title')
    const keys = hasKeys ? keysOf(options, suiteId) : undefined
    this.otherwise = keys && { suite: suiteId, keys, ownTitle }
  }

  /** `apdu` in the clear, and what is around it. */
  open(apdu: Buffer): Opened {
    const opened: Opened = {
      plain: apdu,
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
      const channel = this.channelOf(title)
      opened.plain = channel.unprotect(apdu)
      const { invocationCounter, ...choice } = channel.received
      if (invocationCounter >= 0) opened.invocationCounter = invocationCounter
      // A counter that the meter has heard from somebody would be refused, and one used twice gives the key away.
      if (this.counter !== undefined || invocationCounter < 0)
        opened.protect = (answer) => channel.protect(answer, choice)
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      opened.fault = fault
    }
    return opened
  }

  private channelOf(title: Buffer | undefined): SecurityChannel {
    const name = title?.toString('hex')
    if (name === undefined)
      throw new BrokerError('DLMS_KEY_UNKNOWN', 'it does not name its sender: give --meter-title')
    const known = this.channels.get(name)
    if (known !== undefined) return known
    const sender = this.byTitle.get(name) ?? this.otherwise
    if (sender === undefined)
      throw new BrokerError(
        'DLMS_KEY_UNKNOWN',
        `of ${name}: give --keys, --unicast-key with --authentication-key, or --devices`,
      )
    const channel = new SecurityChannel({
      role: 'client',
      suite: suites[sender.suite],
      ownTitle: sender.ownTitle,
      peerTitle: title,
      keys: sender.keys,
      counters:
        this.counter === undefined ? {} : { unicast: this.counter, broadcast: this.counter },
      random: systemRandom,
    })
    if (this.channels.size >= limits.pushDevicesMax)
      this.channels.delete(this.channels.keys().next().value!)
    this.channels.set(name, channel)
    return channel
  }
}
