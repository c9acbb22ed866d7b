/**
 * One association's protection, both roles: plain APDUs become protected ones, protected ones
 * plain. It holds keys, counters and policy; which APDU may come when is for the association above.
 * Nothing of an APDU that is refused is used, counters included.
 *
 *   protect     [sign] → cipher → [sign]
 *   unprotect   the same layers from outside inwards, then the policy is asked whether that was enough
 *
 * [IEC 62056-5-3 ed. 3, 5.7 protecting xDLMS APDUs; Green Book 9.2]
 */
import { assert } from '../../base/assert.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { asBuffer, emptyBytes } from '../../base/bytes.ts'
import { limits } from '../../base/limits.ts'
import type { SecretKey } from '../../crypto/crypto.ts'
import type { Random } from '../../ports/random.ts'
import { writeLength } from '../axdr/layout.ts'
import { allocateApdu } from '../framing/wrapper.ts'
import {
  AesProtection,
  copyOfSystemTitle,
  protectedBytes,
  vectorOf,
  writeSecurityHeader,
} from './aes-protection.ts'
import {
  KeySlot,
  ReceivedProtection,
  type ChannelOptions,
  type ProtectionChoice,
} from './channel-options.ts'
import {
  GeneralKey,
  keyInfoBytes,
  readKeyInfo,
  SessionKeys,
  writeKeyInfo,
  type SessionKey,
} from './general-ciphering.ts'
import {
  endOf,
  generalHeaderBytes,
  lastOctetStringView,
  octetStringBytes,
  octetStringView,
  readGeneralHeader,
  writeGeneralHeader,
  systemTitleOf,
} from './general-header.ts'
import { CounterWindow, InvocationCounter, type CounterSource } from './invocation-counter.ts'
import { withKeyDoubt } from './key-doubt.ts'
import { needed, type SecurityKeys } from './keys.ts'
import {
  isPlainAllowed,
  noSecurity,
  standardProfile,
  type SecurityPolicy,
  type SecurityProfile,
} from './policy.ts'
import { openSignedApdu, signApdu } from './signing.ts'
import {
  authenticatedEncrypted,
  GeneralTag,
  plainTagOf,
  protectedTagOf,
  Protection,
  securityHeaderBytes,
  Shape,
  shapeOfTag,
  suiteMask,
  type Suite,
} from './suite.ts'

const transactionIdBytes = 8
// An initiate-request, and the octet that says that a dedicated key follows. [IEC 62056-5-3, ASN.1
// module, InitiateRequest]
const holdsDedicatedKey = (plainView: Buffer): boolean => plainView[0] === 1 && plainView[1] === 1
const textOf = (octets: Uint8Array): string => asBuffer(octets).toString('latin1')

/** The protection of one association. */
export class SecurityChannel {
  /** What the last `unprotect` found. */
  readonly received = new ReceivedProtection()
  private readonly role: 'client' | 'server'
  private readonly suite: Suite
  private readonly keys: SecurityKeys
  private readonly policy: SecurityPolicy
  private readonly profile: SecurityProfile
  private readonly aes: AesProtection
  private readonly sessionKeys: SessionKeys
  private readonly sessionCounter: CounterSource | undefined
  private readonly spareCounter = new InvocationCounter()
  private readonly random: Random | undefined
  /**
   * Transaction ids given from outside under which something was sent with a vector of zero; the
   * oldest are forgotten.
   */
  private readonly zeroVectorIds = new Set<string>()
  private readonly unicast: KeySlot
  private readonly broadcast: KeySlot
  private dedicated = new KeySlot('dedicated key', undefined, undefined)
  private readonly ownTitle: Buffer
  private readonly ownVector: Buffer
  private peerTitle: Buffer | undefined
  private peerVector: Buffer = emptyBytes
  // Of the ciphered layer being opened: the counter is remembered when the whole APDU has passed.
  private openedWindow: CounterWindow | undefined
  private openedSession: SessionKey | undefined

  constructor(options: ChannelOptions) {
    const { keys, counters, windows = {}, suite } = options
    for (const key of [keys.unicast, keys.broadcast, keys.authentication, keys.master])
      assertKey(key, suite)
    this.role = options.role
    this.random = options.random
    this.suite = suite
    this.keys = keys
    this.policy = options.policy ?? noSecurity
    this.profile = options.profile ?? standardProfile
    this.aes = new AesProtection(keys.authentication, this.profile.authenticationOnly)
    this.unicast = new KeySlot('unicast key', keys.unicast, counters.unicast, windows.unicast)
    this.broadcast = new KeySlot(
      'broadcast key',
      keys.broadcast,
      counters.broadcast,
      windows.broadcast,
    )
    this.sessionCounter = counters.session
    this.sessionKeys = new SessionKeys(
      suite,
      keys,
      this.profile,
      options.random,
      windows.session ?? new CounterWindow(),
    )
    this.ownTitle = copyOfSystemTitle(options.ownTitle)
    this.ownVector = vectorOf(this.ownTitle)
    if (options.peerTitle !== undefined) this.setPeerTitle(options.peerTitle)
  }

  /**
   * Names the peer, once. Copies. @throws BrokerError DLMS_SYSTEM_TITLE_WRONG when it is malformed,
   * ours, or was another before
   */
  setPeerTitle(titleView: Uint8Array): void {
    const title = copyOfSystemTitle(titleView)
    // Under one key, two that count alike would use one vector twice.
    if (title.equals(this.ownTitle))
      throw new BrokerError(
        'DLMS_SYSTEM_TITLE_WRONG',
        `${title.toString('hex')}, the same as ours: give the client another`,
      )
    if (this.peerTitle?.equals(title) === false)
      throw new BrokerError('DLMS_SYSTEM_TITLE_WRONG', title.toString('hex'))
    this.peerTitle = title
    this.peerVector = vectorOf(title)
  }

  /**
   * Takes the dedicated key of the initiate-request, which lives as long as the association; what
   * was received counts again.
   * @throws BrokerError DLMS_VALUE_INVALID when it is of another length than the suite's keys
   */
  setDedicatedKey(key: SecretKey, counter: CounterSource = new InvocationCounter()): void {
    if (key.bytes !== this.suite.keyBytes)
      throw new BrokerError('DLMS_VALUE_INVALID', `dedicated key of ${key.bytes} octets`)
    this.dedicated = new KeySlot('dedicated key', key, counter)
  }

  // ── outwards ──

  /**
   * `plainView` protected as `choice` says: owned, with the wrapper's spare octets in front; with
   * nothing chosen, `plainView` itself. A service that has no tag of its own in the shape, as
   * access-request, goes in the general form of it.
   * @throws BrokerError DLMS_KEY_UNKNOWN, DLMS_COUNTER_EXHAUSTED, DLMS_COMPRESSION_UNSUPPORTED,
   * DLMS_KEY_AGREEMENT_INVALID;
   *   DLMS_PROTECTION_INSUFFICIENT for an InitiateRequest with a dedicated key that nothing would cipher
   */
  protect(plainView: Buffer, choice: ProtectionChoice): Buffer {
    assert(plainView.length > 0, 'an APDU has a tag')
    const signature = choice.signature ?? 'none'
    const inner = signature === 'within' ? this.sign(plainView, choice) : plainView
    const isClear =
      choice.shape === Shape.PLAIN || (choice.protection & authenticatedEncrypted) === 0
    if (isClear && holdsDedicatedKey(plainView))
      throw new BrokerError('DLMS_PROTECTION_INSUFFICIENT', 'a dedicated key in the clear')
    const ciphered = isClear ? inner : this.cipher(inner, choice)
    return signature === 'around' ? this.sign(ciphered, choice) : ciphered
  }

  private sign(content: Buffer, { transactionId = emptyBytes }: ProtectionChoice): Buffer {
    const key = needed(this.keys.signing, 'private key for signatures')
    return signApdu(key, transactionId, this.ownTitle, this.peerTitle ?? emptyBytes, content)
  }

  private cipher(plainView: Buffer, choice: ProtectionChoice): Buffer {
    if ((choice.protection & Protection.COMPRESSED) !== 0)
      throw new BrokerError('DLMS_COMPRESSION_UNSUPPORTED')
    const chosen = choice.protection & (authenticatedEncrypted | Protection.BROADCAST_KEY)
    if (choice.shape === Shape.GENERAL) return this.cipherGeneral(plainView, choice)
    const isDedicated = choice.shape === Shape.DEDICATED || choice.shape === Shape.GENERAL_DEDICATED
    const slot = isDedicated ? this.dedicated : this.slotOf(chosen)
    const key = needed(slot.key, slot.name)
    // The broadcast bit has no meaning with the dedicated key. [IEC 62056-5-3 ed. 3, security
    // control octet]
    const securityControl =
      (isDedicated ? chosen & ~Protection.BROADCAST_KEY : chosen) | this.suite.id
    const isSpecific = choice.shape === Shape.GLOBAL || choice.shape === Shape.DEDICATED
    const specificTag = isSpecific ? protectedTagOf(plainView[0]!, choice.shape) : 0
    const contentBytes = protectedBytes(securityControl, plainView.length)
    const titleBytes = specificTag === 0 ? 1 + this.ownTitle.length : 0
    const out = allocateApdu(1 + titleBytes + octetStringBytes(contentBytes))
    const tag = specificTag || (isDedicated ? GeneralTag.DEDICATED : GeneralTag.GLOBAL)
    out[0] = tag
    if (titleBytes > 0) {
      out[1] = this.ownTitle.length
      out.set(this.ownTitle, 2)
    }
    const at = writeLength(out, 1 + titleBytes, contentBytes)
    const counter = needed(slot.counter, `counter of the ${slot.name}`).take()
    writeSecurityHeader(out, at, securityControl, counter)
    const covering = this.aes.covering(key, this.ownVector, counter, tag)
    this.aes.seal(covering, plainView, out, at)
    return out
  }

  private cipherGeneral(plainView: Buffer, choice: ProtectionChoice): Buffer {
    const { generalKey = GeneralKey.UNICAST } = choice
    const isZero = this.isVectorZero(generalKey)
    const transactionId = this.transactionIdFor(choice, isZero)
    const recipient = this.peerTitle ?? emptyBytes
    const securityControl = (choice.protection & authenticatedEncrypted) | this.suite.id
    const isIdentified = generalKey <= GeneralKey.BROADCAST
    const slot = generalKey === GeneralKey.BROADCAST ? this.broadcast : this.unicast
    const { key, keyData } = isIdentified
      ? { key: needed(slot.key, slot.name), keyData: emptyBytes }
      : this.sessionKeys.toSend(generalKey, transactionId, this.ownTitle, recipient)
    const counter = (
      isIdentified
        ? needed(slot.counter, `counter of the ${slot.name}`)
        : generalKey === GeneralKey.STATIC_UNIFIED
          ? needed(this.sessionCounter, 'counter of agreed keys')
          : (this.sessionCounter ?? this.spareCounter)
    ).take()
    const contentBytes = protectedBytes(securityControl, plainView.length)
    const out = allocateApdu(
      generalHeaderBytes(transactionId, this.ownTitle, recipient) +
        keyInfoBytes(generalKey, keyData) +
        octetStringBytes(contentBytes),
    )
    const headerEnd = writeGeneralHeader(
      out,
      GeneralTag.CIPHERING,
      transactionId,
      this.ownTitle,
      recipient,
    )
    const at = writeLength(out, writeKeyInfo(out, headerEnd, generalKey, keyData), contentBytes)
    writeSecurityHeader(out, at, securityControl, counter)
    const covering = this.aes.covering(
      key,
      this.ownVector,
      isZero ? 0 : counter,
      GeneralTag.CIPHERING,
      this.coveredHeader(out.subarray(1, headerEnd)),
    )
    this.aes.seal(covering, plainView, out, at)
    return out
  }

  /**
   * With one agreed key and one vector for all, a second APDU would give the key stream away: there
   * the transaction id is what makes the key another one, so each APDU that asks has one of its
   * own, and each that answers that of its question.
   */
  private transactionIdFor(
    { transactionId = emptyBytes, generalKey }: ProtectionChoice,
    isVectorZero: boolean,
  ): Uint8Array {
    if (!isVectorZero || generalKey !== GeneralKey.STATIC_UNIFIED) return transactionId
    if (transactionId.length > 0 && this.isFresh(textOf(transactionId))) return transactionId
    if (this.role === 'client' && this.random !== undefined)
      return this.random.bytes(transactionIdBytes)
    throw new BrokerError('DLMS_KEY_AGREEMENT_INVALID', 'no transaction id makes the key unique')
  }

  private isFresh(id: string): boolean {
    const { zeroVectorIds } = this
    if (zeroVectorIds.has(id)) return false
    if (zeroVectorIds.size >= limits.sessionKeysMax)
      zeroVectorIds.delete(zeroVectorIds.values().next().value!)
    zeroVectorIds.add(id)
    return true
  }

  // ── inwards ──

  /**
   * The APDU within `apduView`: owned when it was encrypted, else a view. `received` says how it
   * was protected.
   * @throws BrokerError DLMS_CIPHER_TAG_WRONG, DLMS_COUNTER_REPLAYED, DLMS_PROTECTION_INSUFFICIENT,
   * DLMS_SYSTEM_TITLE_WRONG,
   *   DLMS_KEY_UNKNOWN, DLMS_SECURITY_CONTROL_INVALID, DLMS_COMPRESSION_UNSUPPORTED, DLMS_SIGNATURE_WRONG, DLMS_KEY_WRAP_WRONG,
   *   DLMS_KEY_AGREEMENT_INVALID; DLMS_LENGTH_INVALID, DLMS_VALUE_INVALID, DLMS_NESTING_EXCEEDED; DLMS_SERVICE_UNEXPECTED when the
   *   content is not what the tag says
   */
  unprotect(apduView: Buffer): Buffer {
    const { received } = this
    received.shape = Shape.PLAIN
    received.protection = 0
    received.securityControl = 0
    received.invocationCounter = -1
    received.signature = 'none'
    received.generalKey = GeneralKey.UNICAST
    received.transactionId = emptyBytes
    this.openedWindow = undefined
    this.openedSession = undefined
    let apdu = apduView
    for (let layers = 0; ; layers++) {
      const tag = apdu[0]
      if (tag === undefined) throw new BrokerError('DLMS_LENGTH_INVALID', 'no APDU')
      const shape = shapeOfTag(tag)
      if (shape === Shape.PLAIN && tag !== GeneralTag.SIGNING) {
        this.accept(layers === 0 && isPlainAllowed(apdu))
        return apdu
      }
      const isSecondCipher = shape !== Shape.PLAIN && received.shape !== Shape.PLAIN
      if (layers === limits.protectionLayersMax || isSecondCipher)
        throw new BrokerError('DLMS_NESTING_EXCEEDED')
      if (shape === Shape.PLAIN) apdu = this.openSigned(apdu)
      else if (shape === Shape.GENERAL) apdu = this.openGeneral(apdu)
      else apdu = this.open(apdu, tag, shape)
    }
  }

  /** Asks the policy, and only then remembers counter and key. */
  private accept(isExempt: boolean): void {
    const must = this.role === 'server' ? this.policy.request : this.policy.response
    const { protection, invocationCounter } = this.received
    if ((protection & must) !== must && !isExempt)
      throw new BrokerError(
        'DLMS_PROTECTION_INSUFFICIENT',
        `${protection.toString(16)} where ${must.toString(16)} is asked for`,
      )
    this.openedWindow?.remember(invocationCounter)
    if (this.openedSession !== undefined) this.sessionKeys.remember(this.openedSession)
  }

  private openSigned(view: Buffer): Buffer {
    const key = needed(this.keys.peerSigning, 'public key of the peer for signatures')
    const { originator, recipient, transactionId, content } = openSignedApdu(key, view)
    this.checkTitles(originator, recipient)
    const { received } = this
    received.signature = received.shape === Shape.PLAIN ? 'around' : 'within'
    received.protection |= Protection.SIGNED
    received.transactionId = transactionId
    return content
  }

  private open(view: Buffer, tag: number, shape: Shape): Buffer {
    const expectedTag = plainTagOf(tag)
    let at = 1
    if (expectedTag === 0) {
      const title = systemTitleOf(octetStringView(view, 1))
      // Left empty by some when both know it. [IEC 62056-5-3 ed. 3, general-glo-ciphering]
      if (title.length !== 0) this.checkPeerTitle(title)
      at = endOf(view, title)
    }
    const content = lastOctetStringView(view, at)
    const isDedicated = shape === Shape.DEDICATED || shape === Shape.GENERAL_DEDICATED
    const securityControl = this.checkedControl(content, isDedicated)
    const slot = isDedicated ? this.dedicated : this.slotOf(securityControl)
    const key = needed(slot.key, slot.name)
    const counter = this.freshCounter(content, slot.window)
    const plain = this.aes.open(this.aes.covering(key, this.peerVector, counter, tag), content)
    if (expectedTag !== 0 && plain[0] !== expectedTag) {
      const fault = new BrokerError('DLMS_SERVICE_UNEXPECTED', `tag ${plain[0]} in ${tag}`)
      throw withKeyDoubt(fault, securityControl)
    }
    this.note(shape, securityControl, counter, slot.window)
    return plain
  }

  private openGeneral(view: Buffer): Buffer {
    const { received } = this
    const { transactionId, originator, recipient, fieldsView } = readGeneralHeader(view)
    this.checkTitles(originator, recipient)
    const keyInfo = readKeyInfo(view, endOf(view, fieldsView))
    const content = lastOctetStringView(view, keyInfo.end)
    const securityControl = this.checkedControl(content, true)
    const slot = keyInfo.key === GeneralKey.BROADCAST ? this.broadcast : this.unicast
    let session: SessionKey | undefined
    if (keyInfo.key > GeneralKey.BROADCAST)
      // Those who sent no recipient have derived with what they sent.
      session = this.sessionKeys.forReceived(keyInfo, transactionId, originator, recipient)
    const { window } = session ?? slot
    const key = session?.key ?? needed(slot.key, slot.name)
    const counter = this.freshCounter(content, window)
    const covering = this.aes.covering(
      key,
      this.peerVector,
      this.isVectorZero(keyInfo.key) ? 0 : counter,
      GeneralTag.CIPHERING,
      this.coveredHeader(fieldsView),
    )
    const plain = this.aes.open(covering, content)
    this.note(Shape.GENERAL, securityControl, counter, window)
    this.openedSession = session
    received.generalKey = keyInfo.key
    received.transactionId = transactionId
    return plain
  }

  /**
   * The counter of `content`, which holds a security header: one that the peer has not used before.
   */
  private freshCounter(content: Buffer, window: CounterWindow): number {
    const counter = content.readUInt32BE(1)
    if (this.peerTitle === undefined)
      throw new BrokerError('DLMS_SYSTEM_TITLE_WRONG', "the peer's is not known yet")
    if (!window.isFresh(counter))
      throw new BrokerError('DLMS_COUNTER_REPLAYED', `${counter} after ${window.last}`, {
        counter: { counterReceived: counter, counterExpected: window.last + 1 },
      })
    return counter
  }

  private note(
    shape: Shape,
    securityControl: number,
    counter: number,
    window: CounterWindow,
  ): void {
    const { received } = this
    received.protection |= securityControl & (authenticatedEncrypted | Protection.BROADCAST_KEY)
    received.shape = shape
    received.securityControl = securityControl
    received.invocationCounter = counter
    this.openedWindow = window
  }

  /**
   * The security control octet of `content`, which holds a security header. `isKeyFixed`: the
   * broadcast bit must not stand there.
   */
  private checkedControl(content: Buffer, isKeyFixed: boolean): number {
    if (content.length < securityHeaderBytes)
      throw new BrokerError('DLMS_LENGTH_INVALID', 'no room for a security header')
    const control = content[0]!
    if ((control & Protection.COMPRESSED) !== 0)
      throw new BrokerError('DLMS_COMPRESSION_UNSUPPORTED')
    if (
      (control & suiteMask) !== this.suite.id ||
      (control & authenticatedEncrypted) === 0 ||
      (isKeyFixed && (control & Protection.BROADCAST_KEY) !== 0)
    )
      throw new BrokerError('DLMS_SECURITY_CONTROL_INVALID', `octet ${control.toString(16)}`)
    return control
  }

  private checkTitles(originator: Buffer, recipient: Buffer): void {
    this.checkPeerTitle(originator)
    if (recipient.length !== 0 && !recipient.equals(this.ownTitle))
      throw new BrokerError('DLMS_SYSTEM_TITLE_WRONG', `recipient ${recipient.toString('hex')}`)
  }

  private checkPeerTitle(title: Buffer): void {
    if (this.peerTitle?.equals(title) !== true)
      throw new BrokerError('DLMS_SYSTEM_TITLE_WRONG', `sender ${title.toString('hex')}`)
  }

  private slotOf(securityControl: number): KeySlot {
    return (securityControl & Protection.BROADCAST_KEY) !== 0 ? this.broadcast : this.unicast
  }

  private coveredHeader(fieldsView: Buffer): Buffer | undefined {
    return this.profile.generalHeader === 'authenticated' ? fieldsView : undefined
  }

  private isVectorZero(key: GeneralKey): boolean {
    return key >= GeneralKey.ONE_PASS && this.profile.agreedKeyCounter === 'zero'
  }
}

function assertKey(key: SecretKey | undefined, { keyBytes, id }: Suite): void {
  assert(key === undefined || key.bytes === keyBytes, `keys of suite ${id} have ${keyBytes} octets`)
}
