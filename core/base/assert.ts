/**
 * Programmer faults. An assertion that fails stops the actor (or the process), never a party's
 * request silently.
 */
export class AssertionFault extends Error {
  override name = 'AssertionFault'
}

/** @throws AssertionFault when `condition` is false: a bug of ours, not bad input */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionFault(what)
}

/** For the default of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionFault(`unreachable: ${String(value)}`)
}
