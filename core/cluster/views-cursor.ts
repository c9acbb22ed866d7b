/**
 * How far a process with the role `views` has counted, in the cursor store: the ledger does not
 * forget what it has not. JSON: people read it in an emergency.
 */
import { asBuffer, emptyBytes } from '../base/bytes.ts'
import type { CursorStore } from '../ports/ledger.ts'

/** Every tick up to `sequence` is counted and on its disk; written at `atMs`, UTC. */
export type ViewsCursor = { processId: string; sequence: number; atMs: number }

export const viewsCursorPrefix = 'views.'

export const writeViewsCursor = (
  cursors: CursorStore,
  { processId, sequence, atMs }: ViewsCursor,
): Promise<void> =>
  cursors.put(
    `${viewsCursorPrefix}${processId}`,
    Buffer.from(JSON.stringify({ sequence, atMs }), 'utf8'),
  )

/**
 * Of every process that has ever had the role, by name. One that cannot be read has counted
 * nothing.
 */
export async function viewsCursorsIn(cursors: CursorStore): Promise<ViewsCursor[]> {
  const names = (await cursors.names()).filter((name) => name.startsWith(viewsCursorPrefix)).sort()
  return Promise.all(
    names.map(async (name) => {
      const { sequence, atMs } = fieldsIn(await cursors.get(name))
      return {
        processId: name.slice(viewsCursorPrefix.length),
        sequence: Number.isSafeInteger(sequence) ? (sequence as number) : 0,
        atMs: Number.isSafeInteger(atMs) ? (atMs as number) : 0,
      }
    }),
  )
}

function fieldsIn(value: Uint8Array | undefined): { sequence?: unknown; atMs?: unknown } {
  try {
    const parsed: unknown = JSON.parse(asBuffer(value ?? emptyBytes).toString('utf8'))
    return typeof parsed === 'object' && parsed !== null ? parsed : {}
  } catch {
    return {}
  }
}
