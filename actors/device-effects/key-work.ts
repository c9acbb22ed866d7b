/**
 * What a host does with keys besides exchanges: makes new ones when an actor wants them, and goes
 * through the devices of its partitions beside its work, so that keys that were sealed under an
 * older key-encryption key are sealed again, and operators are told how many there are.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import type { ErrorCode } from '../../core/base/error-table.ts'
import { ActorKindNumber, kindOfActor, octetsOfActor } from '../../core/base/actor-id.ts'
import { textOfEui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { SecretKey } from '../../core/crypto/crypto.ts'
import { noKeyCounts, type KeyCounts } from '../../core/cluster/process-status.ts'
import type { KeyVault } from '../../core/crypto/key-vault.ts'
import type { Log } from '../../core/ports/log.ts'
import type { Random } from '../../core/ports/random.ts'
import { kekNameOf } from '../../core/crypto/sealed-keys.ts'
import type { StoreCopy, StoreRecord } from '../../core/ports/store.ts'
import type { MakeKeys } from '../device/effects.ts'
import { countersEnd, isInDoubt, type Keyset } from '../device/keyring.ts'
import type { KeysMade, KeysSealed } from '../device/messages.ts'
import type { ActorPlace, StoredPartition } from '../kind/actor-kind.ts'
import { refuse as refuseMessage } from '../kind/replies.ts'
import { unpackState } from '../device/state-codec.ts'

export type KeyWorkPorts = {
  keys: KeyVault
  random: Random
  log: Log
  post: (place: ActorPlace, message: KeysMade | KeysSealed) => void
  now: () => number
}

/** A partition that is being gone through. */
type Sweep = {
  partition: StoredPartition
  kekName: string
  /** What the store had when it was begun. */
  sequence: number
  copy: StoreCopy
  records: Iterator<StoreRecord>
  counts: KeyCounts
}

type Swept = { atMs: number; sequence: number; kekName: string }

export class KeyWork {
  private readonly ports: KeyWorkPorts
  /**
   * When each partition was last gone through, elapsed time, as of which tick, and for which
   * key-encryption key.
   */
  private readonly swept = new WeakMap<StoredPartition, Swept>()
  private sweep: Sweep | undefined
  private lookedAtMs = -Infinity

  constructor(ports: KeyWorkPorts) {
    this.ports = ports
  }

  /** New keys, or those that rest, in the place of those that the device has; all others stay. */
  make(place: ActorPlace, effect: MakeKeys): void {
    const device = octetsOfActor(place.actor)
    const { number, sealedKeys, restingKeys, replyTo } = effect
    const { keys: vault, random, log, post } = this.ports
    const asked = { type: 'KEYS_MADE', number, sealedKeys, replyTo } as const
    const refuse = (code: ErrorCode): void => refuseMessage(asked, code, this.ports.now())
    try {
      const keys = vault.open(device, sealedKeys)
      if (keys.master === undefined || keys.unicast === undefined)
        return refuse('KEYS_REPLACEMENT_UNFIT')
      const fresh = (key: SecretKey | undefined): SecretKey | undefined =>
        key && SecretKey.random(random, key.bytes === 16 ? 16 : 32)
      const renewed = {
        unicast: fresh(keys.unicast),
        broadcast: fresh(keys.broadcast),
        authentication: fresh(keys.authentication),
      }
      const { unicast, broadcast, authentication } =
        restingKeys === undefined ? renewed : vault.open(device, restingKeys)
      const made = vault.seal(device, { ...keys, unicast, broadcast, authentication })
      post(place, { ...asked, sealedKeys: made })
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      log.error({ device: textOfEui64(device), code: fault.code }, 'new keys cannot be made')
      refuse(fault.code)
    }
  }

  /** To be called now and then, with the clock's elapsed time: goes on with a few devices. */
  look(elapsedMs: number, partitions: Iterable<StoredPartition>): void {
    try {
      if (this.sweep === undefined) this.begin(elapsedMs, partitions)
      if (this.sweep !== undefined) this.goOn(this.sweep, elapsedMs)
    } catch (fault) {
      // Not at once again: others are to have their turn.
      if (this.sweep !== undefined) {
        const { partition, kekName } = this.sweep
        this.swept.set(partition, { atMs: elapsedMs, sequence: -1, kekName })
      }
      this.end()
      this.ports.log.warn({ fault: String(fault) }, 'keys were not gone through for the moment')
    }
  }

  private begin(elapsedMs: number, partitions: Iterable<StoredPartition>): void {
    const { keys } = this.ports
    if (elapsedMs - this.lookedAtMs < limits.keysLookMs) return
    this.lookedAtMs = elapsedMs
    const kekName = keys.currentName()
    if (kekName === undefined) {
      for (const one of partitions) one.keyCounts = { ...noKeyCounts, under: 'none' }
      return
    }
    for (const partition of partitions) {
      if (!this.isDue(partition, kekName, elapsedMs)) continue
      const sequence = partition.storedSequence
      const copy = partition.copy()
      // Its store cannot be read just now: it is looked at again, and others meanwhile.
      if (copy === undefined) continue
      const records = copy.records()[Symbol.iterator]()
      const counts = { ...noKeyCounts, under: kekName }
      this.sweep = { partition, kekName, sequence, copy, records, counts }
      return
    }
  }

  private isDue(partition: StoredPartition, kekName: string, elapsedMs: number): boolean {
    const swept = this.swept.get(partition)
    if (swept === undefined || swept.kekName !== kekName) return true
    const isChanged = partition.storedSequence !== swept.sequence
    return isChanged && elapsedMs - swept.atMs >= limits.keysSweepMs
  }

  private goOn(sweep: Sweep, elapsedMs: number): void {
    const { partition, kekName, sequence, records, counts } = sweep
    if (partition.isClosed || partition.isStoreDamaged) return this.end()
    for (let left = limits.keysSweepDevicesMax; left > 0; left--) {
      const next = records.next()
      if (next.done) {
        partition.keyCounts = counts
        this.swept.set(partition, { atMs: elapsedMs, sequence, kekName })
        this.lookedAtMs = elapsedMs - limits.keysLookMs
        return this.end()
      }
      const { actor, state } = next.value
      if (kindOfActor(actor) !== ActorKindNumber.DEVICE) continue
      const { keyring } = unpackState(state)
      const sets = [keyring?.current, keyring?.replacement?.keys].filter((set) => set !== undefined)
      if (sets.length === 0) continue
      counts.keyed++
      if (isInDoubt(keyring)) counts.replacing++
      if (sets.some(isNearEnd)) counts.nearEnd++
      const older = sets.filter(({ sealedKeys }) => kekNameOf(sealedKeys) !== kekName)
      if (older.length === 0) continue
      counts.older++
      if (!older.every((set) => this.sealAnew({ partition, actor }, set))) counts.unreadable++
    }
  }

  /** False when it cannot be opened any more. */
  private sealAnew(place: ActorPlace, set: Keyset): boolean {
    const { keys, log, post } = this.ports
    const { number, sealedKeys: before } = set
    const device = octetsOfActor(place.actor)
    try {
      const sealedKeys = keys.seal(device, keys.open(device, before))
      post(place, { type: 'KEYS_SEALED', number, before, sealedKeys })
      return true
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      const { code, detail } = fault
      log.error({ device: textOfEui64(device), code, detail }, 'keys cannot be sealed again')
      return false
    }
  }

  private end(): void {
    this.sweep?.copy.close()
    this.sweep = undefined
  }

  close(): void {
    this.end()
  }
}

const isNearEnd = ({ reservedTo }: Keyset): boolean =>
  countersEnd - reservedTo < limits.invocationCountersLeftMin
