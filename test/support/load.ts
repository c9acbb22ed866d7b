/**
 * Load that goes on while faults come and go: one supplier, rounds of one request a device, each
 * round after the one before was accepted, never more than `openRoundsMax` without an answer. In
 * the end everything that was promised of them is checked.
 */
import { setTimeout as rest } from 'node:timers/promises'
import type { Test } from 'tap'
import { auditOf } from '../../actors/cli/operator/ledger-commands.ts'
import type { Ledger } from '../../core/ports/ledger.ts'
import type { ServiceResponse } from '../../proto/gen/busbar/v1/service_response.ts'
import type { Deployment } from './deployment.ts'
import { InsistentSupplier } from './insistent-supplier.ts'

const openRoundsMax = 4
/**
 * Between two rounds. Load that takes all of the processor time finds nothing more, and slows down
 * the faults and the tests beside it.
 */
const roundRestMs = 600

export class Load {
  readonly supplier: InsistentSupplier
  private readonly devices: readonly string[]
  private running: Promise<void> | undefined
  private isOver = false
  /** Set while no round may begin; called when that is so. */
  private onStill: (() => void) | undefined
  private goOn = (): void => {}
  private rounds = 0
  /** When the meters were away, from and to, ms since the epoch. */
  private readonly outages: Array<[number, number]> = []

  /** Begins at once. */
  constructor(deployment: Deployment) {
    this.supplier = new InsistentSupplier(deployment.listening.grpc)
    this.devices = deployment.devices
      .filter(({ type }) => type === 'ESME')
      .map(({ eui64 }) => eui64)
    this.supplier.receive()
    this.running = this.run()
  }

  private async run(): Promise<void> {
    const { supplier, devices } = this
    while (!this.isOver) {
      this.rounds++
      const srv = this.rounds % 3 === 0 ? '4.1.1' : '11.2'
      await supplier.submit(devices.map((eui64) => supplier.request(eui64, this.rounds, srv)))
      const isRoom = (): boolean =>
        supplier.accepted.size - supplier.delivered.size <= openRoundsMax * devices.length
      await supplier.until(() => isRoom() || this.isOver)
      if (!this.isOver) await rest(roundRestMs)
      if (this.onStill) {
        const { onStill } = this
        await new Promise<void>((resolve) => {
          this.goOn = resolve
          onStill()
        })
      }
    }
  }

  /** Runs `action` while nothing new is submitted, and all that was is answered. */
  async still<Result>(action: () => Promise<Result>): Promise<Result> {
    await new Promise<void>((resolve) => (this.onStill = resolve))
    const { accepted, delivered } = this.supplier
    await this.supplier.until(() => delivered.size >= accepted.size)
    try {
      return await action()
    } finally {
      this.onStill = undefined
      this.goOn()
    }
  }

  /**
   * Takes the meters away and brings them back. A request of this time may end as unreachable: how
   * long a process takes to start is not ours to say on a busy machine, how often a host tries is.
   */
  async outage(restart: () => Promise<void>): Promise<void> {
    const from = Date.now()
    await restart()
    this.outages.push([from, Date.now()])
  }

  /** Responses of requests that were not carried out, but for those that an outage explains. */
  get failures(): readonly ServiceResponse[] {
    const isOfOutage = ({ reason, acceptedAt, answeredAt }: ServiceResponse): boolean =>
      // Over UDP nobody says that nobody is there.
      (reason === 'DEVICE_UNREACHABLE' || reason === 'DEVICE_SILENT') &&
      this.outages.some(([from, to]) => +acceptedAt! <= to && +answeredAt! >= from)
    return [...this.supplier.responses.values()].filter(
      (response) => response.responseCode !== 'I0' && !isOfOutage(response),
    )
  }

  /** Settles when `rounds` more than now were accepted and as many were answered. */
  async progress(rounds = 2): Promise<void> {
    const { accepted, delivered } = this.supplier
    const more = rounds * this.devices.length
    const [acceptedBefore, deliveredBefore] = [accepted.size, delivered.size]
    await this.supplier.until(
      () => accepted.size >= acceptedBefore + more && delivered.size >= deliveredBefore + more,
    )
  }

  /** Submits nothing new; settles when everything was answered. */
  async finish(): Promise<void> {
    this.isOver = true
    const { supplier } = this
    await this.running
    await supplier.until(() => supplier.delivered.size >= supplier.accepted.size)
  }

  /**
   * Everything ended once, in order, and the ledger says so too. `isAllDone` when no device was out
   * of reach for long.
   */
  async check(t: Test, ledger: Ledger, isAllDone = true): Promise<void> {
    const { accepted, refused, delivered, order } = this.supplier
    const total = this.rounds * this.devices.length
    t.comment(`${total} requests`)
    t.equal(accepted.size, total, 'every request was accepted in the end')
    t.same([...refused], [])
    t.equal(delivered.size, total, 'and answered')
    t.same(
      [...delivered].filter(([, ids]) => ids.size !== 1),
      [],
      'each ended once: what came twice bears the same delivery id',
    )
    t.same(
      [...order].filter(([, counters]) =>
        counters.some((counter, index) => index > 0 && counter <= counters[index - 1]!),
      ),
      [],
      'in order, for each device',
    )
    if (isAllDone) {
      t.same(this.failures, [], 'all were carried out')
    }
    const audit = await auditOf(ledger)
    t.same(audit.faults, [], 'every hash chain holds')
    t.same([audit.accepted, audit.ended, audit.open], [total, total, 0], 'the ledger agrees')
  }

  close(): void {
    this.isOver = true
    this.supplier.close()
  }
}
