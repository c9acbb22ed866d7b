/**
 * A pool, a fleet of simulated meters and what the ledger would keep of their counters, for one
 * test.
 */
import type { Test } from 'tap'
import {
  startFleet,
  type Fleet,
  type FleetOptions,
} from '../../../actors/simulator/network/fleet.ts'
import { deviceKeysOf } from '../../../actors/simulator/model/meter-keys.ts'
import { Lane } from '../../../core/base/lane.ts'
import { readEui64, parseEui64, type Eui64 } from '../../../core/base/eui64.ts'
import { decodeValue, Tag } from '../../../core/dlms/axdr/axdr.ts'
import { encodeDescriptor } from '../../../core/dlms/apdu/descriptor.ts'
import type { Metrics } from '../../../core/ports/metrics.ts'
import type {
  CosemOperation,
  DeviceAddress,
  DevicePush,
  ExchangeResult,
  ExchangeSecurity,
} from '../../../core/ports/wan.ts'
import type { WanOptions } from '../../../core/wan/sockets/options.ts'
import { SocketWan } from '../../../core/wan/sockets/socket-wan.ts'
import { vault } from '../../support/keys.ts'

export const get = (classId: number, instanceId: string, memberId: number): CosemOperation => ({
  kind: 'get',
  descriptor: encodeDescriptor({ classId, instanceId, memberId }),
})
export const identity = get(1, '0-0:42.0.0.255', 2)
export const profile = get(7, '1-0:99.1.0.255', 2)
export const listed = [identity, get(8, '0-0:1.0.0.255', 2), get(3, '1-0:1.8.0.255', 2)]

export const suiteIds = [0, 1, 2] as const
export type SuiteId = (typeof suiteIds)[number]
export const sharesOf = (suite: SuiteId): [number, number, number] => {
  const shares: [number, number, number] = [0, 0, 0]
  shares[suite] = 1
  return shares
}

/** Counters of refusals by code. */
class Counted implements Metrics {
  readonly values = new Map<string, number>()
  counter(name: string, _help: string, labels: Readonly<Record<string, string>> = {}) {
    const key = [name, ...Object.values(labels)].join(' ')
    return { add: (n = 1) => void this.values.set(key, (this.values.get(key) ?? 0) + n) }
  }
  gauge = () => {}
  gauges = () => {}
  histogram = () => ({ observe() {} })
  get contended(): number {
    return this.values.get('busbar_wan_connections_contended_total') ?? 0
  }
  refused(code: string): number {
    return this.values.get(`busbar_wan_apdus_refused_total ${code}`) ?? 0
  }
}

export class FleetTrial {
  readonly fleet: Fleet
  readonly wan: SocketWan
  readonly metrics: Counted
  readonly pushes: DevicePush[] = []
  nameEnd = ''
  /** Ports of relays by those of the listeners behind them. */
  readonly ports = new Map<number, number>()
  private readonly told = new Map<number, ExchangeSecurity['counters']>()
  private heard: (() => void) | undefined

  private constructor(fleet: Fleet, options: Partial<WanOptions>) {
    this.fleet = fleet
    this.metrics = new Counted()
    this.wan = new SocketWan({
      responseMs: 5_000,
      sweepMs: 5,
      deadAddressMs: 0,
      keys: vault,
      metrics: this.metrics,
      onPush: (push) => {
        this.pushes.push(push)
        this.heard?.()
      },
      ...options,
    })
  }

  static async start(
    test: Test,
    fleetOptions: Partial<FleetOptions>,
    options: Partial<WanOptions> = {},
  ): Promise<FleetTrial> {
    const fleet = await startFleet({
      meters: 6,
      seed: 5,
      metersPerListener: 3,
      gasShare: 0,
      gasProxyShare: 0,
      secretShare: 0,
      ...fleetOptions,
    })
    const trial = new FleetTrial(fleet, options)
    test.teardown(async () => {
      await trial.wan.close()
      await fleet.close()
    })
    return trial
  }

  deviceOf(index: number): Eui64 {
    return readEui64(parseEui64(this.fleet.device(index).eui64)!)
  }

  addressOf(index: number): DeviceAddress {
    const { address } = this.fleet.device(index).record
    const port = this.ports.get(address.port) ?? address.port
    return { ...address, port, host: address.host + this.nameEnd, device: this.deviceOf(index) }
  }

  /** What the ledger would say: counters from where the exchange before has left them. */
  securityOf(index: number, counters?: ExchangeSecurity['counters']): ExchangeSecurity | undefined {
    const { record, keys } = this.fleet.device(index)
    if (keys === undefined) return undefined
    const device = this.deviceOf(index)
    const sealedKeys = vault.seal(device, deviceKeysOf(keys, record.address.security!.suite))
    const told = counters ?? this.told.get(index) ?? { from: 0, to: 10_000, received: -1 }
    return { device, sealedKeys, counters: told }
  }

  async ask(
    index: number,
    operations: readonly CosemOperation[],
    security = this.securityOf(index),
    address = this.addressOf(index),
  ): Promise<ExchangeResult> {
    const result = await this.wan.exchange(address, { cosem: operations }, Lane.NORMAL, security)
    const { counters } = result
    if (counters !== undefined)
      this.told.set(index, { from: counters.next, to: 10_000, received: counters.received })
    return result
  }

  /** The next push, or one that has come already. */
  async push(): Promise<DevicePush> {
    while (this.pushes.length === 0)
      await new Promise<void>((resolve) => {
        this.heard = resolve
      })
    return this.pushes.shift()!
  }
}

export function isItself(t: Test, index: number, result: ExchangeResult, what = ''): void {
  if (!result.ok) return void t.fail(`${index}: ${result.code} ${result.detail} ${what}`)
  const { tag, value } = decodeValue(Buffer.from(result.results[0]!.value!)) as {
    tag: number
    value: Uint8Array
  }
  t.equal(tag, Tag.OCTET_STRING)
  t.equal(Buffer.from(value).toString('latin1'), `BSBE${String(index + 1).padStart(12, '0')}`, what)
}
