/**
 * One client's association with a meter, from the meter's side: the server of core/dlms, told what
 * this client may see. Who asks with a secret or a suite is let in by it; the public client of such
 * a meter is let in without, and sees little. [Green Book, public client]
 */
import { limits } from '../../../core/base/limits.ts'
import type { BrokerError } from '../../../core/base/broker-error.ts'
import { blockCipherProof } from '../../../core/dlms/security/index.ts'
import { DlmsServer, type CosemObjects } from '../../../core/dlms/server/server.ts'
import type { Random } from '../../../core/ports/random.ts'
import { publicClient, type Link, type Place, type Role } from '../model/access-link.ts'
import type { Meter } from '../meter.ts'
import { readOddly, takeOddly, type OddView } from '../quirks/odd-values.ts'
import { zoneNameOf } from '../model/population.ts'
import { noQuirks, type Quirks } from '../quirks/quirks.ts'

/** All 24 bits. */
const everyConformance = 0xff_ffff

/** What the concentrator adds. */
export type AssociationSurroundings = {
  /** Challenges come from it. */
  readonly random: Random
  /**
   * The logical device at an address, and all those of the same physical device, the first one
   * first.
   */
  sapOf?(address: number): number
  placesOf?(address: number): readonly Place[]
  onRefused?(error: BrokerError): void
}

export class MeterAssociation implements CosemObjects, Link {
  readonly meter: Meter
  readonly client: number
  readonly device: number
  readonly role: Role
  readonly server: DlmsServer
  readonly address: number
  readonly quirks: Quirks
  /** Why the last protected APDU was not taken; the connection clears it. */
  refused: BrokerError | undefined = undefined
  private isOpen = false
  private readonly surroundings: AssociationSurroundings

  constructor(
    meter: Meter,
    client: number,
    address: number,
    surroundings: AssociationSurroundings,
  ) {
    this.meter = meter
    this.client = client
    this.address = address
    this.device = surroundings.sapOf?.(address) ?? address
    this.surroundings = surroundings
    this.quirks = meter.quirks
    const isPublic = meter.isGuarded && client === (this.quirks.publicClient ?? publicClient)
    this.role = isPublic ? 'public' : 'management'
    this.server = this.serverFor(isPublic)
  }

  /** Its client sends an AARQ. */
  opening(): void {
    this.closed()
    if (this.role === 'management') this.meter.security?.onOpening()
  }

  /** A request has been answered. */
  answered(): void {
    if (this.server.isAssociated) this.isOpen = true
    else this.closed()
  }

  /** Released, or the connection is gone. */
  closed(): void {
    if (!this.isOpen) return
    this.isOpen = false
    if (this.role === 'management') this.meter.security?.onClosed()
  }

  get conformance(): number {
    return this.server.conformance
  }

  get receivedBytesMax(): number {
    return this.quirks.apduBytesMax ?? limits.apduBytesMax
  }

  get sentBytesMax(): number {
    return this.server.agreedBytesMax
  }

  places(): readonly Place[] {
    return this.surroundings.placesOf?.(this.address) ?? []
  }

  get(descriptor: Buffer, selection: Buffer | undefined): Buffer | number {
    const { meter, quirks } = this
    return quirks === noQuirks
      ? meter.get(descriptor, selection, this)
      : readOddly(this.view, descriptor, selection, (asked) => meter.get(descriptor, asked, this))
  }

  set(descriptor: Buffer, selection: Buffer | undefined, valueView: Buffer): number {
    const value = this.quirks === noQuirks ? valueView : takeOddly(this.view, valueView)
    return this.meter.set(descriptor, selection, value, this)
  }

  invoke(
    descriptor: Buffer,
    parameterView: Buffer | undefined,
  ): { result: number; value?: Buffer } {
    const isOdd = parameterView !== undefined && this.quirks !== noQuirks
    const parameter = isOdd ? takeOddly(this.view, parameterView) : parameterView
    return this.meter.invoke(descriptor, parameter, this)
  }

  private get view(): OddView {
    const { quirks, meter } = this
    return { quirks, zoneName: zoneNameOf(meter.model.population) }
  }

  private serverFor(isPublic: boolean): DlmsServer {
    const { meter, surroundings } = this
    const { apduBytesMax, conformanceWithout = 0, hasOnlyShortNames = false } = this.quirks
    const common = {
      objects: this,
      memberOf: meter.table.memberOf,
      ...(this.quirks !== noQuirks && {
        apduBytesMax,
        conformance: everyConformance & ~conformanceWithout,
        hasLogicalNames: !hasOnlyShortNames,
      }),
    }
    if (isPublic || !meter.isGuarded) return new DlmsServer(common)
    const { security } = meter
    if (security === undefined)
      return new DlmsServer({
        ...common,
        // A client may change it.
        get secret() {
          return meter.secret
        },
      })
    return new DlmsServer({
      ...common,
      mechanism: meter.mechanism,
      secret: meter.proofSecret,
      makerProof: blockCipherProof,
      random: surroundings.random,
      // Asked for with each association, which has the keys of its beginning.
      get security() {
        return security.forAssociation
      },
      onRefused: (error) => {
        this.refused = error
        surroundings.onRefused?.(error)
      },
    })
  }
}
