/** What a data directory knows of the ledger that it belongs to. */

/** A message that a data directory has seen on the ledger when it was on disk there. */
export type SeenMessage = {
  readonly sequence: number
  /**
   * Of its subject and data, see `digestOf` of core/ledger/identity; undefined when it could not be
   * read.
   */
  readonly digest?: string | undefined
  /** True for a tick, which only trimming removes. */
  readonly isTick?: boolean | undefined
}

/** What a data directory knows of its ledger. */
export type KnownLedger = {
  /** Undefined for a directory with stores of a version that recorded none. */
  readonly id: string | undefined
  /** Undefined together with `id`. */
  readonly incarnation: string | undefined
  readonly seen: SeenMessage | undefined
  /** A store is folded up to this message, which was acknowledged before. */
  readonly foldedThrough?: number | undefined
}
