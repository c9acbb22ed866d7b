/**
 * A gateway process on simulated ports, without sockets: the intake, and deliveries as the door of
 * long polls gives them out. What the doors themselves do (HTTP, gRPC) is tested over sockets.
 */
import { Deliveries } from '../../core/gateway/delivery/deliveries.ts'
import { pollDeliveries } from '../../core/gateway/http/delivery-poll.ts'
import { Intake } from '../../core/gateway/intake/intake.ts'
import { PartyAccounts } from '../../core/gateway/intake/party-account.ts'
import type { AnswerSink } from '../../core/gateway/intake/slots.ts'
import { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import { PartyFeed } from '../../core/ledger/party-feed.ts'
import { Owners } from '../../core/bus/owners.ts'
import type { Party } from '../../core/access/parties.ts'
import { silentLog } from '../../core/ports/log.ts'
import { noMetrics } from '../../core/ports/metrics.ts'
import { seededRandom } from '../../core/ports/random.ts'
import type { Life } from './life.ts'
import type { LifePorts } from './ports.ts'

const slotCount = 200

export class Gateway {
  readonly life: Life
  private readonly intake: Intake
  private readonly deliveries: Deliveries
  private readonly feed: PartyFeed
  private readonly accounts: PartyAccounts

  private constructor(
    life: Life,
    ports: { intake: Intake; deliveries: Deliveries; feed: PartyFeed; accounts: PartyAccounts },
  ) {
    this.life = life
    this.intake = ports.intake
    this.deliveries = ports.deliveries
    this.feed = ports.feed
    this.accounts = ports.accounts
  }

  static async start(
    life: Life,
    { ledger, bus, cursors }: LifePorts,
    partitionCount: number,
    seed: number,
  ): Promise<Gateway> {
    const { clock } = life
    const base = { ledger, bus, clock, log: silentLog }
    const directory = new Owners({ ...base, partitionCount })
    await directory.start()
    const feed = new PartyFeed(base)
    await feed.start()
    const intake = new Intake({ ...base, directory, metrics: noMetrics }, slotCount)
    const random = seededRandom(seed)
    const deliveries = new Deliveries({ ...base, feed, cursors, random })
    const accounts = new PartyAccounts(random)
    // At a speed of its own, as hosts do.
    const parties = new DirectoryReader(base)
    parties.onChange(() => {
      if (parties.current.isInForce) accounts.update(parties.known)
    })
    await parties.start()
    return new Gateway(life, { intake, deliveries, feed, accounts })
  }

  submit(party: Party, request: Buffer, sink: AnswerSink): void {
    this.life.run(() =>
      this.intake.submit(this.accounts.of(party), request, 0, request.length, sink, 0),
    )
  }

  cancel(party: Party, request: Buffer, sink: AnswerSink): void {
    this.life.run(() => this.intake.cancel(this.accounts.of(party), request, sink, 0))
  }

  /** An encoded ReceiveResponse; rejects when the gateway cannot read. */
  async poll(party: Party, max: number, waitMs: number): Promise<Buffer> {
    await this.life.turn()
    const { deliveries, feed, life } = this
    const ports = { deliveries, feed, clock: life.clock, log: silentLog }
    const { message } = await pollDeliveries(
      ports,
      party,
      { max, waitMs, ifFree: false },
      () => undefined,
    )
    await life.turn()
    return message
  }

  /** True when it is on disk. */
  async acknowledge(party: Party, deliveryId: number): Promise<boolean> {
    await this.life.turn()
    const cursor = await this.deliveries.cursorOf(party)
    cursor.acknowledge(deliveryId)
    return cursor.settle()
  }
}
