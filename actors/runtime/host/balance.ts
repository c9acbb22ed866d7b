/** Which partitions a host ought to give away, and to whom. Pure. */

export type Move = { target: string; count: number }

/**
 * The next move that brings `hostId` nearer to its share, or undefined: to the host with the
 * fewest, as many as that one lacks and we have over. `countOf` has every live host's partitions,
 * ours among them.
 */
export function nextMove(hostId: string, countOf: ReadonlyMap<string, number>): Move | undefined {
  const mine = countOf.get(hostId) ?? 0
  let target: string | undefined
  let least = mine
  let total = 0
  for (const [host, count] of countOf) {
    total += count
    if (host !== hostId && count < least) {
      least = count
      target = host
    }
  }
  if (target === undefined || mine - least < 2) return undefined
  const share = Math.floor(total / countOf.size)
  return { target, count: Math.max(1, Math.min(share - least, mine - share)) }
}

/**
 * Partitions that one of `hostCount` hosts takes at most by itself; the others are for the other
 * hosts.
 */
export const shareOf = (partitionCount: number, hostCount: number): number =>
  Math.ceil(partitionCount / hostCount)
