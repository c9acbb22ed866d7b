/**
 * What the actor of a source remembers: which of its files were taken, which wait, and how far the
 * one that is open has been applied. The octets of files are on the disk of the process that keeps
 * them. The rules of sequence stand in core/registration/source-state.ts.
 *
 *   file comes ─┬─ next, or a refresh ─▶ comparing (refresh) ─┬────────────▶ loading ─▶ applied
 *               │         ▲                                   └▶ waiting ─── approve ─▶ loading
 *               │         │                                        └── reject ─▶ rejected
 *               ├─ gap ─▶ held ── the missing file, a refresh, or release
 *               │           └──── reject ─▶ rejected
 *               └─ repeat ─▶ nothing
 */
import { newSource, type SourceState } from '../../core/registration/source-state.ts'

/** `evolve` replaces what is in the box; the value itself never changes. */
export type SourceBox = { source: SourceState }

export const emptyState = (): SourceBox => ({ source: newSource })
