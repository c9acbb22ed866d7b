/** Registration files of electricity as tests need them: meter points with one supplier each. */
import { checkDigitOf } from '../../core/registration/mpan.ts'

/** The MPAN with this number among those of tests, with its check digit. */
export function mpanOf(number: number): string {
  const twelve = String(200_000_000_000 + number)
  return `${twelve}${checkDigitOf(twelve)}`
}

export type TestFile = {
  sequence: number
  /** Supplier of each meter point, by the number of `mpanOf`. */
  suppliers: ReadonlyMap<number, string>
  isRefresh?: boolean
  source?: string
}

export function electricityFile({
  sequence,
  suppliers,
  isRefresh = false,
  source = 'EELC',
}: TestFile): string {
  const lines = [
    `ZHV|F${sequence}|${isRefresh ? 'R0002001' : 'R0001001'}|P|${source}|Z|DCCX|20260105010203||||OPER|`,
    `R01|${sequence}|`,
  ]
  let instruction = 0
  for (const [number, supplier] of suppliers)
    lines.push(`R10|${++instruction}|${mpanOf(number)}||`, `R11|${supplier}|20250101||`)
  lines.push(`ZPT|F${sequence}|${lines.length - 1}||1|20260105010203|`)
  return `${lines.join('\n')}\n`
}

/** `count` meter points from `from` on, all with the same supplier. */
export const suppliersOf = (from: number, count: number, supplier: string): Map<number, string> =>
  new Map(Array.from({ length: count }, (_, index) => [from + index, supplier]))
