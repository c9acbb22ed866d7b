/**
 * Runs what devices want done: exchanges over the WAN, keys made and sealed, pushes opened, and
 * operators told.
 */
import { standingOf } from '../../core/access/directory.ts'
import { octetsOfActor } from '../../core/base/actor-id.ts'
import { explain } from '../../core/base/error-table.ts'
import { textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import type { KeyVault } from '../../core/crypto/key-vault.ts'
import { SealingVault } from '../../core/crypto/key-vault-sealing.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { Log } from '../../core/ports/log.ts'
import type { Metrics } from '../../core/ports/metrics.ts'
import type { Random } from '../../core/ports/random.ts'
import type { Wan } from '../../core/ports/wan.ts'
import { deviceKind } from '../device/device-kind.ts'
import type { Alarm, DeviceEffect, Send, SendKeyStep } from '../device/effects.ts'
import type { DeviceMessage } from '../device/messages.ts'
import type {
  ActorKind,
  ActorPlace,
  EffectPorts,
  HostedKind,
  KindEffects,
  StoredPartition,
} from '../kind/actor-kind.ts'
import { Exchanges, notSent } from './exchanges.ts'
import { KeyWork } from './key-work.ts'
import { openPush, type PushPorts } from './pushes.ts'

export type DeviceEffectsOptions = {
  wan: Wan
  /** Opens and seals keys of devices; left out, devices that bring any cannot be spoken to. */
  keys?: KeyVault
  clock: Clock
  random: Random
  log: Log
  metrics: Metrics
}

/** The device as a host has it; `kind` is another one in tests alone. */
export const hostedDevice = (
  options: DeviceEffectsOptions,
  kind: ActorKind = deviceKind,
): HostedKind<DeviceMessage> => ({
  kind,
  effects: (ports) => new DeviceEffects(options, ports),
})

export class DeviceEffects implements KindEffects<DeviceEffect> {
  private readonly options: DeviceEffectsOptions
  private readonly ports: EffectPorts<DeviceMessage>
  private readonly exchanges: Exchanges
  private readonly keyWork: KeyWork
  private readonly pushPorts: PushPorts

  constructor(options: DeviceEffectsOptions, ports: EffectPorts<DeviceMessage>) {
    const { keys = new SealingVault(() => []), clock, log } = options
    this.options = options
    this.ports = ports
    this.exchanges = new Exchanges({ ...options, keys })
    this.pushPorts = { keys, log }
    this.keyWork = new KeyWork({
      ...options,
      keys,
      post: (place, message) => ports.post(place, message),
      now: () => clock.now(),
    })
  }

  get underWayCount(): number {
    return this.exchanges.count
  }

  isSend({ type }: DeviceEffect): boolean {
    return type === 'SEND' || type === 'SEND_KEY_STEP'
  }

  run(place: ActorPlace, effect: DeviceEffect): void {
    switch (effect.type) {
      case 'SEND':
      case 'SEND_KEY_STEP':
        return this.send(place, effect)
      case 'MAKE_KEYS':
        return this.keyWork.make(place, effect)
      case 'OPEN_PUSH':
        return this.ports.post(place, openPush(octetsOfActor(place.actor), effect, this.pushPorts))
      case 'ALARM':
        return this.alarm(octetsOfActor(place.actor), effect)
    }
  }

  look(elapsedMs: number, partitions: Iterable<StoredPartition>): void {
    this.keyWork.look(elapsedMs, partitions)
  }

  close(): void {
    this.keyWork.close()
  }

  private send(place: ActorPlace, effect: Send | SendKeyStep): void {
    const { ports } = this
    const sent = effect.type === 'SEND' ? effect.request : effect.step
    // It may have ended in the tick that decided to send it.
    const isWanted = (): boolean => ports.underWayOf(place) === sent
    if (!isWanted()) return
    // The party may have been suspended while the tick went to disk.
    const standing =
      effect.type === 'SEND' && standingOf(ports.directory, effect.request.originator)
    if (standing) return ports.post(place, notSent(effect, standing))
    this.exchanges.start(
      octetsOfActor(place.actor),
      effect,
      (message) => ports.post(place, message),
      () => {
        ports.whenOurs(place, () => {
          if (isWanted()) this.send(place, effect)
        })
      },
    )
  }

  /** What a device wants operators to know. */
  private alarm(device: Eui64, { code, cause, isKnown = false }: Alarm): void {
    const { log, metrics } = this.options
    metrics
      .counter('busbar_device_alarms_total', 'What devices want operators to know, by code', {
        code,
      })
      .add()
    const about = { device: textOfEui64(device), code, ...cause }
    if (isKnown) log.debug(about, explain(code))
    else log.warn(about, explain(code))
  }
}
