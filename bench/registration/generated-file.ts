/**
 * A registration file of electricity with any number of records, made while it is read: seven items
 * for each meter point, as a refresh has them.
 */
import { checkDigitOf } from '../../core/registration/mpan.ts'

const chunkBytes = 64 * 1024
const linesPerRecord = 8

export type FileOptions = {
  seed: number
  /** Of the file in its source; 1 when left out. */
  sequence?: number
  /** Each so-many-th record differs from that of the same seed; none does when left out. */
  changedEvery?: number
}

/** The same octets for the same arguments. */
export function* generatedFile(
  records: number,
  { seed, sequence = 1, changedEvery = Infinity }: FileOptions,
): Generator<Buffer> {
  let text = `ZHV|BENCH|R0002001|P|EELC|Z|DCCX|20260105010203||||OPER|\nR01|${sequence}|\n`
  for (let i = 1; i <= records; i++) {
    const twelve = String(100_000_000_000 + i * 7)
    const shift = i % changedEvery === 0 ? 1 : 0
    const day = 20_200_101 + ((i + seed + shift) % 28)
    text +=
      `R10|${i}|${twelve}${checkDigitOf(twelve)}||\n` +
      `R11|SUP${i % 10}|${day}|20251231|\nR11|SUP${(i + 1) % 10}|20260101||\n` +
      `R12|EELC|20000101||\nR13|E|${day}||\nR15|MOP${i % 7}|${day}||\n` +
      `R16|T|20220101||\nR17|I|20220101||\n`
    if (text.length < chunkBytes) continue
    yield Buffer.from(text, 'latin1')
    text = ''
  }
  yield Buffer.from(
    `${text}ZPT|BENCH|${records * linesPerRecord + 1}||1|20260105010203|\n`,
    'latin1',
  )
}
