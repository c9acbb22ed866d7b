/**
 * The server's side of a line: cuts frames, and gives each to the link of its two addresses.
 * Several logical and physical devices may answer on one line, each to several clients; frames for
 * other stations are passed over. Octets and the time in, steps out; it opens no socket and sets no
 * timer. [IEC 62056-46, 6.4.2]
 *
 * Call `receive`, `send` of a link; after each, and when `actAtMs` has come, `next` until it gives
 * undefined.
 */
import { limits } from '../../../base/limits.ts'
import { isAddressed, isBroadcast, type HdlcAddress } from './address.ts'
import { encodeFrame, type HdlcFrame } from './frame.ts'
import type { HdlcStep } from './link-state.ts'
import { ownParameters, type HdlcParameters } from './parameters.ts'
import { HdlcReader } from './reader.ts'
import { HdlcServerLink, type HdlcServerLinkOptions } from './server-link.ts'
import { llcToClient, SegmentGatherer } from './transfer.ts'

export type HdlcServerOptions = {
  /** The stations that answer here. */
  servers: readonly HdlcAddress[]
  /** What is granted at most; the largest size and window unless given. */
  parameters?: Partial<HdlcParameters>
  /** False refuses a client with DM. */
  accepts?: (client: HdlcAddress, server: HdlcAddress) => boolean
  /** The LLC octets of what a station sends; E6 E7 00 when left out. */
  llcOf?: (server: HdlcAddress) => Buffer
  apduBytesMax?: number
  linksMax?: number
  inactivityMs?: number
}

/** `link` is undefined where a frame is of no link: an answer to a stranger, a UI frame. */
export type HdlcServerStep = { readonly link: HdlcServerLink | undefined; readonly step: HdlcStep }

export class HdlcServer {
  private readonly servers: readonly HdlcAddress[]
  private readonly llcOf: (server: HdlcAddress) => Buffer
  private readonly accepts: (client: HdlcAddress, server: HdlcAddress) => boolean
  private readonly linksMax: number
  private readonly linkOptions: Omit<HdlcServerLinkOptions, 'llc'>
  private readonly reader = new HdlcReader()
  private readonly links = new Map<string, HdlcServerLink>()
  private readonly steps: HdlcServerStep[] = []
  private readonly unconfirmed: SegmentGatherer
  private ignored = 0

  constructor(options: HdlcServerOptions) {
    this.servers = options.servers
    this.llcOf = options.llcOf ?? (() => llcToClient)
    this.accepts = options.accepts ?? (() => true)
    this.linksMax = options.linksMax ?? limits.hdlcLinksMax
    this.linkOptions = {
      parameters: ownParameters(options.parameters ?? {}, limits.hdlcWindowMax),
      apduBytesMax: options.apduBytesMax ?? limits.apduBytesMax,
      inactivityMs: options.inactivityMs ?? limits.hdlcInactivityMs,
    }
    this.unconfirmed = new SegmentGatherer(this.linkOptions.apduBytesMax)
  }

  /** Frames for other stations. */
  get framesIgnored(): number {
    return this.ignored
  }

  /** Frames whose check was wrong. */
  get framesDropped(): number {
    return this.reader.framesDropped
  }

  /** Links that are open. */
  get linkCount(): number {
    return this.links.size
  }

  /**
   * When `next` must be called although nothing came, in ms of the caller's clock; undefined when
   * there is no such time.
   */
  get actAtMs(): number | undefined {
    let first: number | undefined
    for (const { actAtMs } of this.links.values())
      if (actAtMs !== undefined && (first === undefined || actAtMs < first)) first = actAtMs
    return first
  }

  /**
   * Takes octets from the line, borrowed until the next call; `next` must have given undefined
   * before.
   */
  receive(chunkView: Buffer): void {
    this.reader.push(chunkView)
  }

  /**
   * What is to be done next, or undefined.
   * @throws BrokerError DLMS_HDLC_INVALID (fault: meter) when what comes is no HDLC; the line is of
   * no use then
   */
  next(nowMs: number): HdlcServerStep | undefined {
    for (;;) {
      const step = this.steps.shift()
      if (step !== undefined) {
        if ('disconnected' in step.step && step.link?.state === 'DISCONNECTED')
          this.forget(step.link)
        return step
      }
      const frame = this.reader.next()
      if (frame !== undefined) {
        this.take(frame, nowMs)
        continue
      }
      for (const link of this.links.values()) link.onTime(nowMs)
      if (this.steps.length === 0) return undefined
    }
  }

  private take(frame: HdlcFrame, nowMs: number): void {
    const { destination, source, kind } = frame
    const isServed = this.servers.some((server) => isAddressed(server, destination))
    if (kind === 'UI' && isServed) return this.onUnconfirmed(frame)
    // Nobody may answer a broadcast: everybody would.
    if (!isServed || isBroadcast(destination)) {
      this.ignored++
      return
    }
    const key = `${destination.upper}.${destination.lower ?? ''}:${source.upper}`
    const known = this.links.get(key)
    if (known !== undefined) return known.take(frame, nowMs)
    if (kind !== 'SNRM' || this.links.size >= this.linksMax || !this.accepts(source, destination))
      return this.refuse(frame)
    const link: HdlcServerLink = new HdlcServerLink(
      { local: destination, remote: source },
      { ...this.linkOptions, llc: this.llcOf(destination) },
      (step) => this.steps.push({ link, step }),
    )
    this.links.set(key, link)
    link.take(frame, nowMs)
  }

  /** To a stranger: there is no link here, open one. */
  private refuse({ destination, source, isFinal }: HdlcFrame): void {
    const header = {
      destination: source,
      source: destination,
      kind: 'DM',
      isFinal: true,
      sendNumber: 0,
      receiveNumber: 0,
      isSegmented: false,
    } as const
    if (isFinal) this.steps.push({ link: undefined, step: { send: encodeFrame(header) } })
  }

  private onUnconfirmed({ informationView, isSegmented, source, destination }: HdlcFrame): void {
    const unconfirmed = this.unconfirmed.addUnordered(informationView, isSegmented)
    if (unconfirmed === 'TOO_LONG') this.ignored++
    else if (unconfirmed !== undefined)
      this.steps.push({ link: undefined, step: { unconfirmed, source, destination } })
  }

  private forget(link: HdlcServerLink): void {
    for (const [key, known] of this.links) if (known === link) this.links.delete(key)
  }
}
