/**
 * Several hosts and gateways in one process on simulated clock, bus, ledger, stores and WAN.
 * Whatever a process does goes through its life (life.ts, ports.ts), which a killed one does not
 * have any more and a paused one gets back later, late writes included.
 */
import type { ActorKind } from '../../actors/kind/actor-kind.ts'
import { hostedMeterPoint } from '../../actors/meter-point/meter-point-kind.ts'
import { hostedParty } from '../../actors/party/party-kind.ts'
import { hostedSource } from '../../actors/source/source-kind.ts'
import { hostedQuarantinePage } from '../../actors/quarantine-page/quarantine-page-kind.ts'
import { hostedSchedule } from '../../actors/schedule/schedule-kind.ts'
import { hostedThreshold } from '../../actors/threshold/threshold-kind.ts'
import type { LiveDirectory } from '../../core/access/directory.ts'
import { encodePartyChange, type PartyChange } from '../../core/access/party-change.ts'
import { askActors } from '../../core/bus/actor-mail.ts'
import { directoryInForceSubject, directorySubjects } from '../../core/cluster/directory-subject.ts'
import { formatLatest } from '../../core/cluster/format.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { readBodyView, readKind } from '../../core/envelope/envelope.ts'
import type { DeviceMessage } from '../../actors/device/messages.ts'
import { decodeDeviceRecord } from '../../core/inventory/device-record.ts'
import { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import { encodeDeployment } from '../../core/ledger/identity.ts'
import { deploymentSubject } from '../../core/ledger/opening.ts'
import { deviceKind } from '../../actors/device/device-kind.ts'
import { registerDevices, removeDevice, replaceKeys } from '../../actors/broker/registration.ts'
import { Host } from '../../actors/runtime/host/host.ts'
import { Owners } from '../../core/bus/owners.ts'
import type { CursorStore, Ledger } from '../../core/ports/ledger.ts'
import { silentLog, type Log } from '../../core/ports/log.ts'
import { noMetrics } from '../../core/ports/metrics.ts'
import { seededRandom } from '../../core/ports/random.ts'
import { SimBus } from '../../core/ports/sim/bus.ts'
import { SimClock } from '../../core/ports/sim/clock.ts'
import { SimCursorStore, SimLedger } from '../../core/ports/sim/ledger.ts'
import { SimSnapshotStore } from '../../core/ports/sim/snapshots.ts'
import type { PartitionStore } from '../../core/ports/store.ts'
import type { Wan } from '../../core/ports/wan.ts'
import { PushSender } from '../../core/wan/pushes/push-sender.ts'
import { hostedDeviceOf, type DeviceBehaviour } from '../support/device-behaviour.ts'
import { deviceKey } from '../support/envelopes.ts'
import { vault } from '../support/keys.ts'
import { hostedTrial } from '../support/trial-kind.ts'
import { alertedParties } from './alerts.ts'
import type { LedgerChecker } from './checkers.ts'
import { Disks } from './disks.ts'
import type { Chance, Faults } from './faults.ts'
import { Gateway } from './gateway.ts'
import { Life } from './life.ts'
import { Meters, nameIn } from './meters.ts'
import { linkedMeters, meterPointsOf, participantOf } from './registrations.ts'
import { entryOf } from './secured-meters.ts'
import { portsOf, type LifePorts, type Shared } from './ports.ts'
import { meterCount, partyOf, removable, thirdParty } from './names.ts'

export const partitionCount = 4
export const hostIds = ['a', 'b', 'c'] as const
export const gatewayIds = ['x', 'y'] as const
export const supplierCount = 3

/** Where a planted bug sits: between a process and its ports. */
export type Plant = {
  ledger?: (ledger: Ledger, clock: SimClock) => Ledger
  store?: (store: PartitionStore) => PartitionStore
  wan?: (wan: Wan) => Wan
  cursors?: (cursors: CursorStore) => CursorStore
  directory?: (directory: LiveDirectory) => LiveDirectory
  trial?: ActorKind
  schedule?: ActorKind
  behaviour?: DeviceBehaviour
}

/**
 * Hosts are short of room most of the time, and a burst may leave none. A fiftieth, which is kept
 * for records, must hold those of all partitions.
 */
const ledgerBytesMax = 100_000
/**
 * While parties are counted: the letters of one tick must fit into the reserve, and a burst is one
 * tick.
 */
const countedTimes = 8

/** How finely time is cut: what is due within it runs before what follows from it. */
const grainMs = 5

/** Lets every promise that can settle do so, and what gateways gather in a turn go out. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** One that every format has a place for. */
const isRegistration = (message: DeviceMessage): boolean =>
  message.type === 'ARRIVED' &&
  readKind(message.buffer, message.at) === Kind.DEVICE_REGISTRATION &&
  decodeDeviceRecord(readBodyView(message.buffer, message.at)).meterPoints === undefined

/** Every other life of a host writes records of devices as format 1 has them; all read both. */
function ofFormat(lifeNumber: number, { behaviour }: Plant): DeviceBehaviour {
  const decide = behaviour?.decide ?? deviceKind.decide
  const format = 1 + (lifeNumber % 2)
  return {
    ...behaviour,
    decide: (state, message, now, directory, out) =>
      decide(
        state,
        message,
        now,
        isRegistration(message) ? { ...directory, format } : directory,
        out,
      ),
  }
}

export class Deployment {
  readonly clock = new SimClock(1_800_000_000_000)
  readonly ledger: SimLedger
  readonly meters: Meters
  readonly hosts = new Map<string, { life: Life; host: Host }>()
  readonly gateways = new Map<string, Gateway>()
  private readonly shared: Shared
  private readonly disks: Disks
  private readonly faults: Faults
  private readonly checker: LedgerChecker
  private readonly plant: Plant
  private readonly note: (text: string, request?: string) => void
  /** Hosts that nobody hears on the bus, nor they anybody, and until when. */
  private readonly cutOffUntil = new Map<string, number>()
  private lifeCount = 0

  constructor(
    faults: Faults,
    checker: LedgerChecker,
    plant: Plant,
    note: (text: string, request?: string) => void,
  ) {
    const { clock } = this
    this.faults = faults
    this.checker = checker
    this.plant = plant
    const kind = 'parties are counted'
    if (!faults.isLeftOut(kind)) checker.thresholds.choose(faults.of(kind))
    const bytesMax = ledgerBytesMax * (checker.thresholds.isChosen ? countedTimes : 1)
    const ledger = new SimLedger({ bytesMax })
    this.ledger = ledger
    this.note = note
    this.disks = new Disks(faults, (store) => checker.fault(`store ${store} is opened twice`))
    this.meters = new Meters(faults, clock, checker, note)
    checker.onAttemptFailed = (hostId) => {
      // Few requests wait at any time: their clock would hardly ever be set back otherwise.
      const life = this.hosts.get(hostId)?.life
      if (life?.isPaused === false && faults.strikes('clocks jump', 0.3))
        this.setClock(hostId, life, -faults.of('clocks jump').between(1_000, 3_600_000))
    }
    this.shared = {
      clock,
      faults,
      ledger,
      bus: new SimBus({
        clock,
        onSend: (subject) => (this.isCutOff(subject) ? [] : faults.arrivals()),
      }),
      cursors: new SimCursorStore(),
      snapshots: new SimSnapshotStore(),
      onExchange: (life, exchange, confirmedTo) => {
        this.look()
        this.meters.ask(life, exchange, confirmedTo)
      },
      onSend: (operations) =>
        checker.standings.sent(nameIn(operations, checker), clock.elapsedMs()),
      onTick: (sequence, atMs) => checker.standings.decided(sequence, atMs),
    }
  }

  /** The first host, and the meters and parties registered with it. */
  async begin(): Promise<void> {
    const { clock, ledger, shared } = this
    const deployment = {
      partitionCount,
      identity: undefined,
      bucketSuffix: '',
      format: formatLatest,
    }
    await ledger.commit([{ subject: deploymentSubject, data: encodeDeployment(deployment) }])
    await ledger.follow(directorySubjects, 1, (message) =>
      this.checker.standings.written(message, clock.elapsedMs()),
    )
    this.startHost('a')
    for (const gatewayId of gatewayIds) this.startGateway(gatewayId)
    const base = { ledger, bus: shared.bus, clock }
    const directory = new Owners({ ...base, log: silentLog, partitionCount })
    await directory.start()
    const ports = { ...base, directory, keys: vault }
    const pushes = new PushSender({
      bus: shared.bus,
      directory,
      clock,
      random: seededRandom(1),
      log: silentLog,
      metrics: noMetrics,
    })
    this.sendAlerts = (draw) => {
      for (const push of this.checker.alerts.pushes(draw)) pushes.send(push)
    }
    const entries = Array.from({ length: meterCount }, (_, meter) => this.entryOf(meter))
    let isDone = false
    void registerDevices(entries, ports).then(() => (isDone = true))
    while (!isDone) await this.pass(100)
    this.changeParty = async (number, change) => {
      const { id } = partyOf(number)
      const bodyBytes = encodePartyChange(change)
      const question = { kind: Kind.PARTY_CHANGE, target: id, bodyBytes }
      const refused = await askActors([question], ports)
      this.note(`party ${number}: ${change.change} ${refused[0]?.code ?? 'is done'}`)
      const isBarred = this.checker.standings.barred.includes(id)
      if (refused.length === 0 && isBarred !== (change.change === 'suspend'))
        this.checker.fault(`party ${number}: ${change.change} was acknowledged, and is not done`)
    }
    const parties = this.importParties().then(async () => {
      const kind = 'parties are counted'
      if (!this.checker.thresholds.isChosen) return
      await this.checker.thresholds.begin(this.faults.of(kind), ports)
      this.resolveQuarantined = (isAll) => {
        const draw = isAll ? undefined : this.faults.of(kind)
        const what = this.checker.thresholds.resolve(draw, ports)
        if (what !== undefined) this.note(what)
      }
    })
    isDone = false
    void parties.then(() => (isDone = true))
    while (!isDone) await this.pass(100)
    this.addToTrial = (index, letters) =>
      this.checker.trials.add(index, letters, ports.bus, directory)
    this.removeDevice = (meter) => {
      this.note(`the operator removes meter ${meter}`)
      void removeDevice(deviceKey(meter), 'an operator', ports).then(
        () => this.note(`meter ${meter} is removed`),
        (fault: unknown) => this.note(`meter ${meter} is not removed: ${String(fault)}`),
      )
    }
    this.changeSupplier = (index, number) => {
      void this.checker.registrations.change(index, number, ports).then((code) => {
        if (code !== undefined) this.note(`supplier ${number} at meter point ${index % 2}: ${code}`)
      })
    }
    this.changeConsent = (index) => {
      void this.checker.registrations.changeConsent(index, ports).then((code) => {
        if (code !== undefined) this.note(`consents at meter point ${index % 2}: ${code}`)
      })
    }
    this.registerDevice = (meter) => {
      this.note(`the operator registers meter ${meter}`)
      void registerDevices([this.entryOf(meter)], ports)
    }
    this.replaceKeys = (meter) => {
      if ((removable as readonly number[]).includes(meter)) return
      this.note(`the operator wants new keys for meter ${meter}`)
      void replaceKeys([deviceKey(meter)], ports)
    }
  }

  private async importParties(): Promise<void> {
    const numbers = Array.from({ length: supplierCount }, (_, index) => index + 1)
    if (!this.faults.isLeftOut('consents change')) numbers.push(thirdParty)
    for (const number of numbers) {
      const { role, name } = partyOf(number)
      const participant = participantOf(number)
      const named = { role, name, ...(this.hasMeterPoints && { participant }) }
      await this.changeParty(number, { change: 'import', revision: 0, ...named, by: 'start' })
    }
    const data = Buffer.from('{}')
    await this.ledger.commit([{ subject: directoryInForceSubject, data }])
  }

  private get hasMeterPoints(): boolean {
    return !this.faults.isLeftOut('suppliers change')
  }

  private entryOf(meter: number) {
    const isLinked = this.hasMeterPoints && linkedMeters.includes(meter)
    const { record, ...entry } = entryOf(meter, isLinked ? meterPointsOf(meter) : [])
    const isAlerting = !isLinked && !this.faults.isLeftOut('meters send alerts')
    return { ...entry, record: isAlerting ? { ...record, alertsTo: alertedParties } : record }
  }

  /** As a meter does, several in a row. */
  sendAlerts: (draw: Chance) => void = () => undefined
  /** As a registration system does. */
  changeSupplier: (index: number, number: number) => void = () => undefined
  /** Grants a consent of the third party, withdraws one, or lets a tenancy begin. */
  changeConsent: (index: number) => void = () => undefined

  /** As the operators' door does; what is acknowledged must be in the directory. */
  changeParty: (number: number, change: PartyChange) => Promise<void> = () => Promise.resolve()

  /** As an operator does: one of what is in quarantine; in the end one after another. */
  resolveQuarantined: (isAll: boolean) => void = () => undefined

  /** Sends a number to an actor of the other kind. */
  addToTrial: (index: number, letters: number) => void = () => undefined

  /** As the operators' door does, which stays where it is. */
  replaceKeys: (meter: number) => void = () => undefined
  removeDevice: (meter: number) => void = () => undefined
  registerDevice: (meter: number) => void = () => undefined

  /** Brings the checker up to the present. */
  look(): void {
    this.checker.read(this.ledger.all())
  }

  /** What a process warns of stands in the trace. */
  private logOf(id: string): Log {
    const tell = (fields: object, text: string): void =>
      this.note(`  ${id}: ${text} ${JSON.stringify(fields)}`)
    return { ...silentLog, warn: tell, error: tell }
  }

  private live(id: string): { life: Life; ports: LifePorts } {
    const life = new Life(id, this.clock, this.onPlace)
    const ports = portsOf(life, this.shared)
    const { ledger, cursors, wan } = this.plant
    return {
      life,
      ports: {
        ...ports,
        ledger: ledger?.(ports.ledger, this.clock) ?? ports.ledger,
        cursors: cursors?.(ports.cursors) ?? ports.cursors,
        wan: wan?.(ports.wan) ?? ports.wan,
      },
    }
  }

  /** Begins to start; what fails on the way ends it. */
  startHost(hostId: string): void {
    const { life, ports } = this.live(hostId)
    const { ledger, bus, cursors, snapshots, wan } = ports
    const { clock } = life
    const log = this.logOf(hostId)
    const owners = new Owners({ ledger, bus, clock, log, partitionCount })
    const rest = {
      clock,
      // A host that starts again draws other nonces than it did before.
      random: seededRandom(++this.lifeCount),
      log,
      metrics: noMetrics,
    }
    const directory = new DirectoryReader({ ledger, clock, log })
    const host = new Host({
      ...rest,
      hostId,
      partitionCount,
      ledger,
      bus,
      kinds: [
        hostedDeviceOf({ ...rest, wan, keys: vault }, ofFormat(this.lifeCount, this.plant)),
        { ...hostedTrial, ...(this.plant.trial && { kind: this.plant.trial }) },
        hostedParty,
        hostedMeterPoint,
        hostedSource,
        hostedThreshold,
        hostedQuarantinePage,
        { ...hostedSchedule, ...(this.plant.schedule && { kind: this.plant.schedule }) },
      ],
      directory: this.plant.directory?.(directory) ?? directory,
      openStore: (number) => {
        const store = this.disks.open(life, number, ports.takeTime)
        return this.plant.store?.(store) ?? store
      },
      mayTakeFrom: (owner) => owners.isSilent(owner),
      peers: owners,
      snapshots,
      cursors,
      snapshotTicks: 20,
      actorsAwakeMax: 1_000,
      actorIdleMs: 60_000,
      checkpointIntervalMs: 1_000,
      onFault: (fault) =>
        this.checker.fault(`the pipeline of host ${hostId} ended: ${String(fault)}`),
    })
    this.hosts.set(hostId, { life, host })
    void owners
      .start()
      .then(() => directory.start())
      .then(() => host.start())
      .catch((fault: unknown) => {
        this.note(`host ${hostId} does not start: ${String(fault)}`)
        this.killHost(hostId)
      })
  }

  startGateway(gatewayId: string): void {
    const { life, ports } = this.live(gatewayId)
    Gateway.start(life, ports, partitionCount, ++this.lifeCount).then(
      (gateway) => this.gateways.set(gatewayId, gateway),
      (fault: unknown) => this.note(`gateway ${gatewayId} does not start: ${String(fault)}`),
    )
  }

  /**
   * A process has come to a place where it touches the world: where one dies, the other may not
   * have begun.
   */
  private readonly onPlace = (place: string, life: Life): void => {
    const { faults } = this
    const host = this.hosts.get(life.id)
    if (host?.life !== life) return
    // Rare places would hardly ever be hit otherwise.
    const isRare = /handover|snapshot|ticks|lease|trim|cleared/.test(place)
    if (faults.strikes('hosts die', isRare ? 0.01 : 0.001)) {
      this.note(`host ${life.id} dies ${place}${this.killHost(life.id)}`)
    } else if (faults.strikes('hosts are paused', isRare ? 0.01 : 0.001)) {
      const ms = faults.of('hosts are paused').between(100, 15_000)
      this.note(`host ${life.id} is paused ${place} for ${ms} ms`)
      this.pause(life, ms)
    }
  }

  /** kill -9. @returns what became of its disk, for the trace */
  killHost(hostId: string): string {
    this.hosts.get(hostId)?.life.end()
    this.hosts.delete(hostId)
    return this.disks.afterDeath(hostId)
  }

  /** Ends in order, handing over what it has. */
  leave(hostId: string): void {
    const leaving = this.hosts.get(hostId)
    if (leaving === undefined) return
    void leaving.host.close().then(() => {
      this.note(`host ${hostId} has left`)
      leaving.life.end()
      if (this.hosts.get(hostId) === leaving) this.hosts.delete(hostId)
    })
  }

  damageDisk(hostId: string): void {
    this.disks.damage(hostId)
  }

  cutOff(hostId: string, ms: number): void {
    this.cutOffUntil.set(hostId, this.clock.now() + ms)
  }

  private isCutOff(subject: string): boolean {
    if (this.cutOffUntil.size === 0) return false
    const id = subject.slice(subject.indexOf('.') + 1)
    return (this.cutOffUntil.get(id) ?? 0) > this.clock.now()
  }

  killGateway(gatewayId: string): void {
    this.gateways.get(gatewayId)?.life.end()
    this.gateways.delete(gatewayId)
  }

  /** Somebody sets the clock of a process, to `aheadMs` ahead of the world's. */
  setClock(name: string, life: Life, aheadMs: number): void {
    life.clockAheadMs = aheadMs
    this.note(`the clock of ${name} is ${aheadMs} ms ahead now`)
  }

  pause(life: Life, ms: number): void {
    life.pause()
    this.clock.at(this.clock.now() + ms, () => life.wake())
  }

  /**
   * All that was wrong is over: who is paused goes on, the bus and the meters are there again.
   * Clocks go on as they are.
   */
  mend(): void {
    this.cutOffUntil.clear()
    this.meters.comeBack()
    for (const { life } of [...this.hosts.values(), ...this.gateways.values()]) life.wake()
  }

  /** The last that goes wrong: clocks are set once more, some of them right, or all. */
  setClocks(areRight: boolean): void {
    const kind = 'clocks jump'
    const draw = this.faults.of(kind)
    for (const [id, { life }] of [...this.hosts, ...this.gateways]) {
      if (areRight) this.setClock(id, life, 0)
      else if (this.faults.strikes(kind, 0.7)) {
        const isRight = draw.is(0.3)
        const ahead = isRight ? 0 : life.clockAheadMs - draw.between(1_000, 3_600_000)
        this.setClock(id, life, ahead)
      }
    }
  }

  /** Partitions that are not served by their owner, or by somebody else as well. */
  ownership(): string[] {
    const owners = new Map<number, string>()
    for (const { subject, data } of this.ledger.all()) {
      if (!subject.startsWith('lease.')) continue
      owners.set(
        Number(subject.slice(6)),
        (JSON.parse(data.toString()) as { hostId: string }).hostId,
      )
    }
    const faults: string[] = []
    for (let partition = 0; partition < partitionCount; partition++) {
      const servers = [...this.hosts].filter(([, { host }]) => host.owned.includes(partition))
      const names = servers.map(([hostId]) => hostId).join()
      const owner = owners.get(partition)
      if (names !== owner)
        faults.push(
          `partition ${partition} is served by ${names || 'nobody'}, its owner is ${owner}`,
        )
    }
    return faults
  }

  /** Lets time go on, from one thing that is due to the next. */
  async pass(ms: number): Promise<void> {
    const { clock } = this
    const until = clock.now() + ms
    await settle()
    while (clock.now() < until) {
      clock.advanceTo(Math.min(until, Math.max(clock.nextMs() ?? until, clock.now() + grainMs)))
      await settle()
    }
    this.look()
  }
}
