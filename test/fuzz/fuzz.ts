/**
 * Feeds decoders with what nobody would send on purpose: good inputs changed by a seeded mutator. A
 * decoder may give a value, or a BrokerError; anything else that it throws is a finding, with the
 * input that shows it.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { seededRandom, type Random } from '../../core/ports/random.ts'

export type Target = {
  name: string
  /** Good inputs. */
  corpus: readonly Buffer[]
  /** Decodes; what it returns is not looked at. */
  decode: (input: Buffer) => unknown
  /** What codes of refusals begin with; any when left out. */
  codes?: string
}

export type Finding = { target: string; seed: number; fault: string; inputHex: string }
export type Report = { inputs: number; values: number; refused: number; findings: Finding[] }

const inputBytesMax = 64 * 1024
const interesting = [0, 1, 0x7f, 0x80, 0xff, 0xc4, 0xc6, 0xdd, 0x82, 0x84]

/** A changed copy of `input`, which may be spliced with `other`. */
export function mutate(random: Random, input: Buffer, other: Buffer): Buffer {
  const pick = (count: number): number => Math.floor(random.fraction() * count)
  let bytes = Buffer.from(input)
  for (let left = 1 + pick(4); left > 0; left--) {
    const at = pick(bytes.length + 1)
    switch (pick(7)) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << pick(8)
        break
      case 1:
        if (at < bytes.length) bytes[at] = interesting[pick(interesting.length)]!
        break
      case 2:
        bytes = bytes.subarray(0, at)
        break
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(pick(other.length + 1))])
        break
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(pick(at + 1))])
        break
      case 5:
        // A length field that promises what is not there.
        if (at + 4 <= bytes.length)
          bytes.writeUInt32BE(random.fraction() < 0.5 ? 0xffffffff : pick(2 ** 31), at)
        break
      default:
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          random.bytes(1 + pick(8)),
          bytes.subarray(at),
        ])
    }
    bytes = Buffer.from(bytes.subarray(0, inputBytesMax))
  }
  return bytes
}

/** Runs `inputs` mutations of `target`'s corpus from `seed`. */
export function fuzz(target: Target, seed: number, inputs: number): Report {
  const random = seededRandom(seed)
  const { corpus, decode, name } = target
  const report: Report = { inputs, values: 0, refused: 0, findings: [] }
  for (let index = 0; index < inputs; index++) {
    const from = corpus[index % corpus.length]!
    // The corpus itself first: it must be good.
    const input =
      index < corpus.length
        ? Buffer.from(from)
        : mutate(random, from, corpus[Math.floor(random.fraction() * corpus.length)]!)
    const copy = input.toString('hex')
    try {
      decode(input)
      report.values++
    } catch (fault) {
      if (fault instanceof BrokerError && fault.code.startsWith(target.codes ?? ''))
        report.refused++
      else if (report.findings.length < 10)
        report.findings.push({ target: name, seed, fault: String(fault), inputHex: copy })
    }
  }
  return report
}
