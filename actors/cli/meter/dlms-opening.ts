/**
 * Opens what is ciphered for `busbar dlms decode`: with the keys that were given, and with what the
 * APDUs before have told, where a whole conversation is decoded: system titles, and dedicated keys.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { decodeApdu, encodeApdu, type Apdu, type ApduOf } from '../../../core/dlms/apdu/codec.ts'
import type { Envelope, Plaintext } from '../../../core/dlms/explain.ts'
import { readPushPayload } from '../../../core/dlms/unsolicited/push-payload.ts'
import {
  authenticatedEncrypted,
  openSignedApdu,
  Protection,
  SecurityChannel,
  suiteMask,
  suites,
  systemTitleBytes,
  systemTitleOf,
} from '../../../core/dlms/security/index.ts'
import { vectorOf } from '../../../core/dlms/security/aes-protection.ts'
import { readTelegram } from '../../../core/dlms/unsolicited/telegram.ts'
import { SecretKey, streamGcm, tagBytes } from '../../../core/crypto/crypto.ts'
import type { DeviceKeys } from '../../../core/crypto/key-vault.ts'
import { keySetsInFile } from './key-files.ts'
import { inShort } from './meter-advice.ts'
import { keyIn, titleIn } from './option-octets.ts'

/** Texts of the command line, keys and titles in hexadecimal digits. */
export type OpeningKeys = {
  keys?: string | undefined
  key?: string | undefined
  authenticationKey?: string | undefined
  dedicatedKey?: string | undefined
  masterKey?: string | undefined
  systemTitle?: string | undefined
  recipientTitle?: string | undefined
}

const keyLengths = [16, 32]
const given = <T>(text: string | undefined, read: (text: string) => T): T | undefined =>
  text === undefined ? undefined : read(text)

/** Stands for us, whom nobody asks: what is decoded was sent by somebody else. */
const nobody = Buffer.alloc(systemTitleBytes, 0xff)

export class DlmsOpening {
  /** What there is to say about what could not be opened. */
  readonly notes = new Set<string>()
  private readonly options: OpeningKeys
  private readonly unicast: SecretKey | undefined
  private readonly authentication: SecretKey | undefined
  private readonly master: SecretKey | undefined
  private readonly titleGiven: Buffer | undefined
  private readonly recipientGiven: Buffer | undefined
  private dedicated: SecretKey | undefined
  private readonly told: { client?: Buffer; meter?: Buffer } = {}
  private readonly filed = new Map<number, DeviceKeys[]>()

  /** @throws BrokerError CONFIG_INVALID for keys and titles that are none */
  constructor(options: OpeningKeys) {
    this.options = options
    this.unicast = given(options.key, (text) => keyIn(text, '--key', keyLengths))
    this.authentication = given(options.authenticationKey, (text) =>
      keyIn(text, '--authentication-key', keyLengths),
    )
    this.dedicated = given(options.dedicatedKey, (text) =>
      keyIn(text, '--dedicated-key', keyLengths),
    )
    this.master = given(options.masterKey, (text) => keyIn(text, '--master-key', keyLengths))
    this.titleGiven = given(options.systemTitle, (text) => titleIn(text, '--system-title'))
    this.recipientGiven = given(options.recipientTitle, (text) =>
      titleIn(text, '--recipient-title'),
    )
  }

  /** Remembers what `view`, an APDU in the clear, tells for those to come. */
  learn(view: Buffer): void {
    let apdu: Apdu
    try {
      apdu = decodeApdu(view, { isTolerant: true })
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      return
    }
    const title = titleOfCarrier(apdu)
    if (title !== undefined)
      this.told[apdu.type === 'aarq' ? 'client' : 'meter'] = Buffer.from(title)
    if (apdu.type === 'initiate-request' && apdu.dedicatedKeyView !== undefined)
      this.dedicated = SecretKey.of(apdu.dedicatedKeyView) ?? this.dedicated
    if (apdu.type === 'general-signing') this.checkSignature(apdu, view)
  }

  /** The plaintext, or undefined with a note. */
  open(envelope: Envelope, carrier: Apdu): Plaintext | undefined {
    const { securityControl } = envelope.ciphered
    const verified = this.verified(envelope, carrier)
    if (Buffer.isBuffer(verified)) {
      const isVerified = (securityControl & Protection.AUTHENTICATED) !== 0
      return { view: verified, remark: isVerified ? '' : notVerified }
    }
    const readable = this.readable(envelope) ?? verified.unverified
    if (readable === undefined) return this.note(verified.why)
    this.learn(readable)
    if (verified.unverified === undefined && !this.hasKey)
      this.note(`not verified: no key is given`)
    else if (verified.unverified === undefined) this.note(`not verified: ${verified.why}`)
    else this.note('opened but not verified: --authentication-key does')
    return { view: readable, remark: notVerified }
  }

  /** True when anything is given that may open something. */
  private get hasKey(): boolean {
    const { key, dedicatedKey, masterKey, keys } = this.options
    const isGiven = [key, dedicatedKey, masterKey, keys].some((one) => one !== undefined)
    return isGiven || this.dedicated !== undefined
  }

  /**
   * The plaintext, verified as far as it was protected so; else the reason, and what could be
   * opened.
   */
  private verified(envelope: Envelope, carrier: Apdu): Buffer | Unopened {
    const suite = suites[envelope.ciphered.securityControl & suiteMask]
    if (!this.hasKey)
      return { why: 'ciphered: --key with --authentication-key, or --keys FILE, opens it' }
    if (suite === undefined)
      return { why: 'the security control octet names no suite that there is' }
    const titles = [
      titleOf(envelope) ?? titleOfCarrier(carrier) ?? this.told[senderOf(envelope)],
      this.titleGiven,
    ].filter((title) => title !== undefined)
    if (titles.length === 0) return { why: 'the sender is not named here: give --system-title' }
    let fault: BrokerError | undefined
    for (const title of titles) {
      try {
        return this.openAs(envelope, title, suite.id as 0 | 1 | 2)
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error
        fault ??= error
      }
    }
    return {
      why: `not deciphered: ${inShort(fault!)}`,
      unverified: this.unverified(envelope, titles),
    }
  }

  /**
   * What is not enciphered, without its authentication tag; undefined where it is enciphered or
   * compressed, or no APDU.
   */
  private readable({ ciphered }: Envelope): Buffer | undefined {
    const { securityControl, contentView } = ciphered
    if ((securityControl & (Protection.ENCRYPTED | Protection.COMPRESSED)) !== 0) return undefined
    const isTagged = (securityControl & Protection.AUTHENTICATED) !== 0
    const view = isTagged ? contentView.subarray(0, -tagBytes) : contentView
    return isReadable(view) ? view : undefined
  }

  /**
   * Without the authentication key nothing is verified, but what the key enciphers can be read,
   * when it is any APDU.
   */
  private unverified({ ciphered }: Envelope, titles: readonly Buffer[]): Buffer | undefined {
    const { securityControl, invocationCounter, contentView } = ciphered
    const { unicast, authentication, options } = this
    const isMissing = authentication === undefined && options.keys === undefined
    const isEncrypted = (securityControl & authenticatedEncrypted) === authenticatedEncrypted
    if (unicast === undefined || !isMissing || !isEncrypted) return undefined
    for (const title of titles) {
      const vector = vectorOf(title)
      vector.writeUInt32BE(invocationCounter, systemTitleBytes)
      const plain = streamGcm(unicast, vector, contentView.subarray(0, -tagBytes))
      if (isReadable(plain)) return plain
    }
    return undefined
  }

  /** @throws BrokerError what the first set of keys has against it */
  private openAs(envelope: Envelope, title: Buffer, suiteId: 0 | 1 | 2): Buffer {
    let first: BrokerError | undefined
    for (const filed of this.keysFor(suiteId)) {
      try {
        return this.openWith(filed, envelope, title, suiteId)
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error
        first ??= error
      }
    }
    throw first!
  }

  private openWith(
    filed: DeviceKeys,
    envelope: Envelope,
    title: Buffer,
    suiteId: 0 | 1 | 2,
  ): Buffer {
    const suite = suites[suiteId]
    const fits = (key: SecretKey | undefined) => (key?.bytes === suite.keyBytes ? key : undefined)
    const own = this.recipientGiven ?? recipientOf(envelope)
    const channel = new SecurityChannel({
      role: 'client',
      suite,
      ownTitle: own === undefined || own.equals(title) ? nobody : own,
      peerTitle: title,
      keys: {
        ...filed,
        unicast: fits(this.unicast) ?? filed.unicast,
        broadcast: fits(this.unicast) ?? filed.broadcast,
        authentication: fits(this.authentication) ?? filed.authentication,
        master: fits(this.master) ?? filed.master,
      },
      counters: {},
    })
    const dedicated = fits(this.dedicated)
    if (dedicated !== undefined) channel.setDedicatedKey(dedicated)
    const plain = channel.unprotect(encodeApdu(envelope as Apdu))
    this.learn(plain)
    return plain
  }

  /**
   * Every set of keys of the file that is of that suite; one empty set when the file has no such
   * set.
   */
  private keysFor(suite: 0 | 1 | 2): DeviceKeys[] {
    const { keys } = this.options
    if (keys === undefined) return [{}]
    let known = this.filed.get(suite)
    if (known === undefined) {
      try {
        known = keySetsInFile(keys, suite)
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error
        this.note(`no keys of suite ${suite}: ${error.detail}`)
        known = [{}]
      }
      this.filed.set(suite, known)
    }
    return known
  }

  private checkSignature({ signatureView }: ApduOf<'general-signing'>, view: Buffer): void {
    const suite = signatureView.length === 96 ? 2 : 1
    const candidates = this.keysFor(suite)
      .flatMap(({ peerSigning, signing }) => [peerSigning, signing?.publicKey])
      .filter((key) => key !== undefined)
    if (candidates.length === 0)
      return this.note('the signature is not checked: --keys FILE with peerSigning does')
    const holds = candidates.some((key) => {
      try {
        openSignedApdu(key, view)
        return true
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error
        return false
      }
    })
    this.note(holds ? 'the signature holds' : 'the signature does not hold under the keys given')
  }

  private note(text: string): undefined {
    this.notes.add(text)
    return undefined
  }
}

const notVerified = 'not verified'

/** Why something is not open; what was opened without being verified. */
type Unopened = { why: string; unverified?: Buffer | undefined }

/** APDUs with nothing left over, or a telegram: a wrong key gives octets that are none. */
function isReadable(view: Buffer): boolean {
  if (readTelegram(view) !== undefined) return true
  try {
    const { apduViews, restView } = readPushPayload(view)
    if (apduViews.length !== 1) return restView.length === 0 && apduViews.length > 0
    decodeApdu(view)
    return true
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return false
  }
}

/** Whose system title protects it, where it does not say so. */
const senderOf = ({ type }: Envelope): 'client' | 'meter' =>
  /-(response|error)$|event-notification|information-report/.test(type) ? 'meter' : 'client'

function titleOf(envelope: Envelope): Buffer | undefined {
  if ('systemTitleView' in envelope) return asTitle(envelope.systemTitleView)
  if ('originatorSystemTitleView' in envelope) return asTitle(envelope.originatorSystemTitleView)
  return undefined
}

const recipientOf = (envelope: Envelope): Buffer | undefined =>
  'recipientSystemTitleView' in envelope ? asTitle(envelope.recipientSystemTitleView) : undefined

function titleOfCarrier(carrier: Apdu): Buffer | undefined {
  if (carrier.type === 'aarq') return asTitle(carrier.callingApTitleView)
  return carrier.type === 'aare' ? asTitle(carrier.respondingApTitleView) : undefined
}

function asTitle(view: Buffer | undefined): Buffer | undefined {
  const title = view && systemTitleOf(view)
  return title?.length === systemTitleBytes ? title : undefined
}
