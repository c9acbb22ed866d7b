/**
 * A WAN pool, a scripted meter and their time, for one test. A millisecond of the pool is one turn
 * of the event loop, on which the meter runs too: so a busy machine makes the test slower and never
 * late, and a time-out means that the meter had its turns and did not answer.
 */
import type { Test } from 'tap'
import { Lane } from '../../../core/base/lane.ts'
import type { CosemOperation, DeviceAddress, ExchangeResult, Wan } from '../../../core/ports/wan.ts'
import type { WanOptions } from '../../../core/wan/sockets/options.ts'
import { SocketWan } from '../../../core/wan/sockets/socket-wan.ts'
import { descriptorOf, ScriptedMeter, valueOf } from './scripted-meter.ts'

export const get = (number: number): CosemOperation => ({
  kind: 'get',
  descriptor: descriptorOf(number),
})
export const set = (number: number): CosemOperation => ({
  kind: 'set',
  descriptor: descriptorOf(number),
  value: Buffer.of(17, 1),
})

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

// One clock for all pools of the process; it runs while a pool does.
let turns = 0
let running = 0
const tick = (): void => {
  turns++
  if (running > 0) setImmediate(tick)
}

/** A pool whose time is turns, closed with the test. */
export function startWan(test: Test, options: Partial<WanOptions> = {}): SocketWan {
  const wan = new SocketWan({
    responseMs: 400,
    connectMs: 2_000,
    exchangeMs: 100_000,
    releaseMs: 1_000,
    deadAddressMs: 0,
    sweepMs: 1,
    nowMs: () => turns,
    ...options,
  })
  if (running++ === 0) setImmediate(tick)
  test.teardown(async () => {
    await wan.close()
    running--
  })
  return wan
}

export async function startMeter(test: Test, port = 0): Promise<ScriptedMeter> {
  const meter = await ScriptedMeter.start(port)
  test.teardown(() => meter.stop())
  return meter
}

/** What `result` should be: the true values of these attributes of this device. */
export function isAnswer(
  test: Test,
  result: ExchangeResult,
  device: number,
  numbers: readonly number[],
  what: string,
): void {
  if (!result.ok) return void test.fail(`${what}: ${result.code} ${result.detail}`)
  test.same(
    result.results.map(({ value }) => Buffer.from(value!).toString('hex')),
    numbers.map((number) => valueOf(device, descriptorOf(number)).toString('hex')),
    what,
  )
}

export function isFailure(
  test: Test,
  result: ExchangeResult,
  code: string,
  detail: RegExp,
  what: string,
): void {
  test.equal(result.ok ? 'OK' : result.code, code, what)
  if (!result.ok) test.match(result.detail, detail, `${what}: it says why`)
}

/** One pool, or whatever else is a Wan, and one meter. */
export class Trial<W extends Wan = SocketWan> {
  readonly test: Test
  readonly wan: W
  readonly meter: ScriptedMeter

  constructor(test: Test, wan: W, meter: ScriptedMeter) {
    this.test = test
    this.wan = wan
    this.meter = meter
  }

  static async start(test: Test, options: Partial<WanOptions> = {}): Promise<Trial> {
    // Teardown runs in reverse: the pool closes first.
    const meter = await startMeter(test)
    return new Trial(test, startWan(test, options), meter)
  }

  ask(
    device: number | DeviceAddress,
    operations: readonly CosemOperation[],
    lane: Lane = Lane.NORMAL,
  ): Promise<ExchangeResult> {
    const address = typeof device === 'number' ? this.meter.address(device) : device
    return this.wan.exchange(address, { cosem: operations }, lane)
  }

  /** Reads an attribute and expects its true value. */
  async answers(device: number | DeviceAddress, number: number, what: string): Promise<void> {
    const logicalDevice = typeof device === 'number' ? device : device.logicalDevice
    isAnswer(this.test, await this.ask(device, [get(number)]), logicalDevice, [number], what)
  }

  /** Expects a failure, of reading an attribute unless said otherwise. */
  async fails(
    device: number | DeviceAddress,
    code: string,
    detail: RegExp,
    what: string,
    operations: readonly CosemOperation[] = [get(9_999)],
  ): Promise<void> {
    isFailure(this.test, await this.ask(device, operations), code, detail, what)
  }
}
