/**
 * What stands on a page: requests in quarantine, each from LISTED to UNLISTED, in order of their
 * events.
 */
import type { CountLetter } from '../../core/access/count-letters.ts'

export type PageState = { entries: readonly CountLetter[] }

export const emptyState = (): PageState => ({ entries: [] })
