/** What LMDB and the file system say when they fail, and what follows from it. Pure. */

// Errors of LMDB after which its environment must not be used any more: MDB_PANIC, MDB_CORRUPTED,
// MDB_PAGE_NOTFOUND, MDB_VERSION_MISMATCH, MDB_INVALID, MDB_INCOMPATIBLE, MDB_BAD_RSLOT,
// MDB_BAD_TXN, MDB_BAD_DBI.
const fatalCodes: ReadonlySet<string | number | undefined> = new Set([
  -30_795, -30_796, -30_797, -30_794, -30_793, -30_784, -30_783, -30_782, -30_780,
])

/** The code of the file system (`ENOSPC`) or of LMDB (a number), or undefined. */
export const codeOfFault = (fault: unknown): string | number | undefined =>
  (fault as { code?: string | number } | null)?.code

/** The first line of what it says. */
export const wordsOfFault = (fault: unknown): string =>
  fault instanceof Error ? (fault.message.split('\n')[0] ?? '') : String(fault)

/** True when no attempt on the same environment can succeed. */
export const isFatalFault = (fault: unknown): boolean => fatalCodes.has(codeOfFault(fault))
