/** A whole deployment whose broker has its data directory on a disk that can be cut. */
import { join } from 'node:path'
import { setTimeout as passed } from 'node:timers/promises'
import { CutDisk, type CutFileSystem } from './cut-disk.ts'
import { Deployment } from './deployment.ts'
import { Load } from './load.ts'
import { polled } from './polled.ts'

const pollMs = 20

/**
 * What the processes do when the power goes: they run, and die of it; they were stopped the moment
 * before, so that not even an error of the disk reaches them; or the power comes back, and goes
 * again while they start.
 */
export const cutKinds = ['running', 'stopped', 'starting'] as const
export type CutKind = (typeof cutKinds)[number]

/** A deployment with the broker's data directory on a disk of its own; under load. */
export class CutTown {
  readonly deployment: Deployment
  readonly disk: CutDisk
  /** Ends what else has files on the disk. */
  onStop: () => Promise<void> = () => Promise.resolve()
  private isMounted = false
  /** Those that ran when the power went last. */
  private processes = { broker: 0, server: 0 }

  constructor(kind: CutFileSystem) {
    this.deployment = new Deployment({
      brokerFolder: 'disk/data',
      roles: 'gateway,host,wan,views',
      meterArguments: ['--security-shares', '0.5,0,0'],
    })
    this.disk = new CutDisk(kind, join(this.deployment.dataDir, 'disk'))
  }

  async start(): Promise<Load> {
    const fault = this.disk.make()
    if (fault !== undefined) throw new Error(fault)
    this.mount()
    await this.deployment.start(20)
    return new Load(this.deployment)
  }

  mount(): void {
    this.disk.mount()
    this.isMounted = true
  }

  /** Once the last thread that had files there is gone. */
  private async unmount(): Promise<void> {
    await polled(
      () => this.disk.tryUnmount(),
      (found) => found !== 'busy',
    )
    this.isMounted = false
  }

  /** The power goes, and with it the processes; what is left is mounted again. */
  async cut(kind: CutKind): Promise<void> {
    const { broker, server } = this.deployment.processes()!
    this.processes = { broker, server }
    // The server first: it can confirm nothing more to a broker that still runs.
    if (kind === 'stopped') for (const pid of [server, broker]) process.kill(pid, 'SIGSTOP')
    this.disk.cut()
    for (const pid of [broker, server]) killIfThere(pid)
    await this.unmount()
    this.mount()
  }

  /** Starts the broker again; and again when the power goes while it starts. */
  async restart(isCut: boolean): Promise<void> {
    if (isCut) {
      const starting = this.deployment.startBroker().then(
        () => true,
        () => false,
      )
      const { server: before } = this.processes
      while ((this.deployment.processes()?.server ?? before) === before) await passed(pollMs)
      await this.cut('starting')
      await starting
    }
    await this.deployment.startBroker()
  }

  async stop(): Promise<void> {
    await this.onStop()
    if (this.isMounted) {
      await this.deployment.broker?.stop()
      await this.unmount()
    }
    await this.deployment.stop()
  }
}

/** A process may have died of the cut already. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== 'ESRCH') throw fault
  }
}
