/**
 * One client address at one logical device behind a link, and which of its answers nobody waits for
 * any more.
 *
 * The wrapper has no ids, so after a time-out an answer may still come and must not be taken for
 * the next question's. What was given up is remembered by its invoke id, and the association that
 * follows goes on counting from there: an answer with a given-up id is late, in whatever order the
 * device, or a hub before it, sends. Ids have four bits: one is forgotten when the count comes
 * round to it, fifteen services later. AAREs have no id but are all alike: as many as were given up
 * are dropped where none is expected.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { sameBytes } from '../../base/bytes.ts'
import type { Eui64 } from '../../base/eui64.ts'
import { sameModel } from '../../catalogue/device-model.ts'
import { sameSecurity } from '../../inventory/device-record.ts'
import { ApduTag } from '../../dlms/apdu/constants.ts'
import { DlmsClient } from '../../dlms/client/client.ts'
import { invokeIdIn } from '../../dlms/client/response.ts'
import { CounterWindow, type CounterSource } from '../../dlms/security/index.ts'
import type { KeyVault } from '../../crypto/key-vault.ts'
import { keyMarkOf } from '../../crypto/sealed-keys.ts'
import type { DeviceAddress, DevicePush, ExchangeSecurity } from '../../ports/wan.ts'
import type { ShortNameBook } from '../../dlms/client/short-name.ts'
import { clientOptionsOf, profileOf, shortNamesOf } from './client-terms.ts'
import type { Exchange } from './exchange.ts'
import type { WanOptions } from './options.ts'

/** The key of an association, or of a way to one, on a link: which device, and which client. */
export const keyOf = (device: number, client: number): number => device * 0x1_0000 + client

export class Association {
  /** Wrapper ports. */
  readonly device: number
  readonly client: number
  /** Absent before the first exchange and after anything that leaves it in doubt. */
  dlms: DlmsClient | undefined
  exchange: Exchange | undefined
  /** Exchanges that came while another was under way; callers see to it that there are none. */
  waiting: Exchange[] | undefined
  /**
   * What the last exchange was for and came with: an association belongs to one address and one set
   * of keys.
   */
  private address: DeviceAddress | undefined
  private sealedKeys: Uint8Array | undefined
  /** What was heard under these keys. */
  private window: CounterWindow | undefined
  /** The highest counter that was heard before the exchange that is under way. */
  private heardBefore = -1
  /**
   * Values are the exchange's that is under way. Between exchanges there are none, since it has
   * told how many it took.
   */
  private readonly counter: CounterSource = {
    take: () => {
      const { counter } = this.exchange ?? {}
      if (counter === undefined) throw new BrokerError('DLMS_COUNTER_EXHAUSTED', 'no exchange')
      return counter.take()
    },
  }
  /** Short names that this device has told; its object list is read once on a connection. */
  private shortNames: ShortNameBook | undefined
  // One bit for each invoke id whose answer was given up on.
  private lateInvokeIds = 0
  private lateAares = 0
  private isOpaqueLate = false
  private invokeIdLast = 0

  constructor(device: number, client: number) {
    this.device = device
    this.client = client
  }

  /** Whose it is, as far as exchanges have told. */
  get deviceKey(): Eui64 | undefined {
    return this.address?.device
  }

  /**
   * What protected the APDU that came last, and what it counted with under the keys that the
   * association is made for.
   */
  get receivedProtection(): Pick<DevicePush, 'protection' | 'counter'> {
    const { protection, unicastCounter } = this.dlms!.received
    const isCounted = unicastCounter >= 0 && this.sealedKeys !== undefined
    const counter = isCounted && { mark: keyMarkOf(this.sealedKeys!), value: unicastCounter }
    return { protection, ...(counter && { counter }) }
  }

  /** True when what is protected on it cannot be told apart by invoke id. */
  get isCiphered(): boolean {
    return (this.address?.security?.protection ?? 0) !== 0
  }

  /**
   * False when there is an association that the exchange must not use: it was made for other keys,
   * or in another way.
   */
  isFor({ address, security }: Exchange): boolean {
    return (
      this.dlms === undefined ||
      (isSameWay(this.address!, address) && sameBytes(this.sealedKeys, security?.sealedKeys))
    )
  }

  /**
   * The association to go on with, made again when there is none.
   * @throws BrokerError DEVICE_RECORD_MALFORMED, and those of `KeyVault.open`
   */
  dlmsFor({ address, security }: Exchange, options: WanOptions): DlmsClient {
    // Another record may have other names.
    if (this.address !== undefined && !isSameWay(this.address, address)) this.shortNames = undefined
    const isUnderOtherKeys = !sameBytes(this.sealedKeys, security?.sealedKeys)
    this.address = address
    this.sealedKeys = security?.sealedKeys
    if (isUnderOtherKeys || security === undefined) this.window = undefined
    if (security !== undefined) this.listenFrom(address, security.counters.received)
    this.heardBefore = this.window?.last ?? -1
    return (this.dlms ??= this.clientFor(address, security, options))
  }

  private listenFrom(address: DeviceAddress, received: number): void {
    if (profileOf(address).restartsCounter === true) {
      if (this.dlms === undefined) this.window = new CounterWindow()
    } else if (this.window === undefined) this.window = new CounterWindow({ highest: received })
    else if (received > this.window.last) this.window.remember(received)
  }

  private clientFor(
    address: DeviceAddress,
    security: ExchangeSecurity | undefined,
    { keys, random, apduBytesMax }: WanOptions,
  ): DlmsClient {
    const { counter, invokeIdLast } = this
    const shared = { apduBytesMax, invokeIdLast, random }
    const shortNames = (this.shortNames ??= shortNamesOf(address))
    if (security === undefined)
      return new DlmsClient(clientOptionsOf(address, shared, undefined, shortNames))
    const opened = { keys: openedBy(keys, security), counter, window: this.window! }
    return new DlmsClient(clientOptionsOf(address, shared, opened, shortNames))
  }

  /**
   * To be called after everything that came: what the device was heard with belongs to the
   * exchange.
   */
  noteReceived(): void {
    const { exchange, window, dlms } = this
    if (exchange?.counter === undefined) return
    if (window !== undefined && window.last > this.heardBefore) exchange.isHeard = true
    if (window !== undefined) exchange.received = Math.max(exchange.received, window.last)
    exchange.expected = dlms?.expectedCounter ?? exchange.expected
  }

  /** True when an answer to something given up may still come. */
  get isInDoubt(): boolean {
    return this.lateInvokeIds !== 0 || this.lateAares !== 0
  }

  /**
   * True when a late answer could pass for one to `exchange`: whatever comes answers an opaque
   * command, and a late answer to one may look like any other.
   */
  mayMistakeFor({ isOpaque }: Exchange): boolean {
    return this.isOpaqueLate || (isOpaque && this.isInDoubt)
  }

  /** To be called for each service sent: its invoke id is the newest question's now. */
  noteSent(): void {
    if (this.lateInvokeIds !== 0) this.lateInvokeIds &= ~(1 << this.dlms!.invokeIdLast)
  }

  /** Forgets the association in the middle of an exchange, whose answer is late from now on. */
  giveUp(isServiceSent: boolean): void {
    const { dlms } = this
    if (!dlms) return
    this.invokeIdLast = dlms.invokeIdLast
    this.isOpaqueLate ||= isServiceSent && this.exchange?.isOpaque === true
    if (isServiceSent && dlms.state !== 'ASSOCIATING') this.lateInvokeIds |= 1 << this.invokeIdLast
    else this.lateAares++
    this.dlms = undefined
  }

  /** Forgets a refused association: the device has answered. */
  forget(): void {
    if (this.dlms) this.invokeIdLast = this.dlms.invokeIdLast
    this.dlms = undefined
  }

  /** True when this answers something given up, which is counted off: drop it. */
  takeLate(apduView: Buffer): boolean {
    if (!this.isInDoubt) return false
    switch (apduView[0]) {
      case ApduTag.GET_RESPONSE:
      case ApduTag.SET_RESPONSE:
      case ApduTag.ACTION_RESPONSE:
      case ApduTag.ACCESS_RESPONSE: {
        const bit = 1 << invokeIdIn(apduView)
        if ((this.lateInvokeIds & bit) === 0) return false
        this.lateInvokeIds &= ~bit
        return true
      }
      case ApduTag.AARE:
        if (this.lateAares === 0 || this.dlms?.state === 'ASSOCIATING') return false
        this.lateAares--
        return true
      default:
        return false
    }
  }
}

function openedBy(keys: KeyVault | undefined, { device, sealedKeys }: ExchangeSecurity) {
  if (keys === undefined) throw new BrokerError('KEYS_ENCRYPTION_KEY_MISSING')
  return keys.open(device, sealedKeys)
}

function isSameWay(a: DeviceAddress, b: DeviceAddress): boolean {
  return (
    a === b ||
    (a.profile === b.profile &&
      sameModel(a, b) &&
      sameBytes(a.secret, b.secret) &&
      sameSecurity(a.security, b.security))
  )
}
