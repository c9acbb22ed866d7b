/**
 * The name that a person probably meant, for messages about names that do not exist. Pure; the
 * caller decides what to do with a likely name.
 */

/** Edits that a name of this length may be away from the right one. */
const editsMax = (length: number): number => Math.max(1, Math.floor(length / 6))

/** Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row.push(
        Math.min(
          last[j]! + 1,
          row[j - 1]! + 1,
          last[j - 1]! + (isSame ? 0 : 1),
          isSwap ? beforeLast[j - 2]! + 1 : Infinity,
        ),
      )
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}

const wordsOf = (name: string): string[] => name.toLowerCase().split(/[_-]+/).filter(Boolean)

/** True when one name is the other with words left out at the end: PARTIES_FILE for PARTIES. */
function isCutShort(a: readonly string[], b: readonly string[]): boolean {
  const [short, long] = a.length < b.length ? [a, b] : [b, a]
  return short.length > 1 && short.every((word, index) => word === long[index])
}

/**
 * The one of `names` that `given` is a likely misspelling of; undefined when none is near. Case,
 * `_` and `-` do not count; a name that begins with all words of the other one is near, too.
 */
export function likelyName(given: string, names: Iterable<string>): string | undefined {
  const plain = (name: string): string => wordsOf(name).join('')
  const wanted = plain(given)
  let best: { name: string; distance: number } | undefined
  for (const name of names) {
    const distance = isCutShort(wordsOf(given), wordsOf(name))
      ? 1.5
      : editDistance(wanted, plain(name))
    if (distance > Math.max(editsMax(wanted.length), distance === 1.5 ? 2 : 0)) continue
    if (best === undefined || distance < best.distance) best = { name, distance }
  }
  return best?.name
}
