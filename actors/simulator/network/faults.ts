/**
 * What can be wrong with a meter, on demand, and which request it hits: the same seed, meter and
 * count of requests always hit the same. Also the words for it on the command line. How a faulty
 * answer looks is in faulty-answer.ts.
 *
 *   fault  = kind [ '=' delay ] [ ':' share of requests '%' ] [ '@' share of meters '%' ]
 *   faults = fault { ',' fault }                              slow=200ms:5%, silent@1%
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { Stream, drawFraction } from '../model/chance.ts'

/** Each kind with what it does, for the help text. */
export const faultKinds = {
  slow: 'answers after a delay',
  silent: 'does not answer',
  drop: 'closes the connection instead of answering',
  garbage: 'answers random octets in a valid wrapper frame',
  noise: 'answers octets that are no wrapper frame',
  truncate: 'sends half of the answer, then closes the connection',
  'wrong-invoke-id': 'answers as if to another question',
  'wrong-block-number': 'answers with a block out of order',
  'too-much': 'answers in blocks that never end',
  'refuse-association': 'refuses associations',
  exception: 'answers with an exception-response',
  'lose-key-answer': 'takes new keys and does not say so',
} as const
export type FaultKind = keyof typeof faultKinds

export type Fault = {
  readonly kind: FaultKind
  /** Of `slow`. */
  readonly delayMs: number
  /** Of the requests of a meter that is hit, in (0, 1]. */
  readonly requestShare: number
  /** Of the meters of the fleet, in (0, 1]. */
  readonly meterShare: number
}

const delayMsMax = 3_600_000
const delayMsDefault = 1_000

/** A fault of all requests, unless said otherwise. */
export function makeFault(kind: FaultKind, options: Partial<Omit<Fault, 'kind'>> = {}): Fault {
  return { kind, delayMs: delayMsDefault, requestShare: 1, meterShare: 1, ...options }
}

const pattern = /^([a-z-]+)(?:=(\d+(?:\.\d+)?)(ms|s))?(?::(\d+(?:\.\d+)?)%)?(?:@(\d+(?:\.\d+)?)%)?$/

/** Parses the words above; an empty text is no fault. @throws BrokerError CONFIG_INVALID */
export function parseFaults(text: string): Fault[] {
  return text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
    .map(parseFault)
}

function parseFault(word: string): Fault {
  const match = pattern.exec(word)
  const kind = match?.[1]
  if (match === null || kind === undefined || !Object.hasOwn(faultKinds, kind)) {
    throw new BrokerError(
      'CONFIG_INVALID',
      `fault "${word}": one of ${Object.keys(faultKinds).join(', ')}, like slow=200ms:5%@10%`,
    )
  }
  if (match[2] !== undefined && kind !== 'slow')
    throw new BrokerError('CONFIG_INVALID', `fault "${word}": only slow takes a delay`)
  const delayMs =
    match[2] === undefined ? delayMsDefault : Number(match[2]) * (match[3] === 's' ? 1000 : 1)
  if (delayMs > delayMsMax)
    throw new BrokerError('CONFIG_INVALID', `fault "${word}": at most an hour`)
  return makeFault(kind as FaultKind, {
    delayMs,
    requestShare: parseShare(match[4], word),
    meterShare: parseShare(match[5], word),
  })
}

function parseShare(percent: string | undefined, word: string): number {
  if (percent === undefined) return 1
  const share = Number(percent) / 100
  if (share <= 0 || share > 1)
    throw new BrokerError(
      'CONFIG_INVALID',
      `fault "${word}": a share lies above 0 % and up to 100 %`,
    )
  return share
}

/** The words for `fault`, which `parseFaults` reads back. */
export function formatFault({ kind, delayMs, requestShare, meterShare }: Fault): string {
  const delay = kind === 'slow' ? `=${delayMs}ms` : ''
  return `${kind}${delay}${requestShare === 1 ? '' : `:${requestShare * 100}%`}${meterShare === 1 ? '' : `@${meterShare * 100}%`}`
}

/**
 * The faults that are on now: of the whole fleet, and of single meters, whose own stand instead of
 * those of the fleet.
 */
export class FaultBoard {
  private readonly seed: number
  private ofAll: readonly Fault[] = []
  private readonly ofMeter = new Map<number, readonly Fault[]>()

  constructor(seed: number) {
    this.seed = seed
  }

  /** False while nothing can be wrong: then nobody needs to ask further. */
  get isOn(): boolean {
    return this.ofAll.length > 0 || this.ofMeter.size > 0
  }

  /**
   * Replaces the faults of one meter or of all; none clears them, and for 'all' also those of
   * single meters.
   */
  set(meters: number | 'all', faults: readonly Fault[]): void {
    if (meters !== 'all') {
      if (faults.length === 0) this.ofMeter.delete(meters)
      else this.ofMeter.set(meters, faults)
      return
    }
    this.ofAll = faults
    if (faults.length === 0) this.ofMeter.clear()
  }

  /**
   * The fault that hits request number `requestIndex` of a meter, the first of its list to do so.
   */
  choose(meterNumber: number, meterSeed: number, requestIndex: number): Fault | undefined {
    const faults = this.ofMeter.get(meterNumber) ?? this.ofAll
    for (let i = 0; i < faults.length; i++) {
      const fault = faults[i]!
      if (
        fault.meterShare < 1 &&
        drawFraction(meterSeed, Stream.FAULTY_METER, this.seed, i) >= fault.meterShare
      )
        continue
      if (
        fault.requestShare < 1 &&
        drawFraction(meterSeed ^ this.seed, Stream.FAULT, requestIndex, i) >= fault.requestShare
      )
        continue
      return fault
    }
    return undefined
  }
}
