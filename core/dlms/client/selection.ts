/**
 * GET with a selection where the meter takes none: the attribute is read whole, and the caller cuts
 * out the range.
 */
import type { CosemOperation, CosemResult } from '../../ports/wan.ts'

/**
 * `operations` as they go out; the same array where nothing changes. `isAgreed`: the meter agrees
 * to selective access.
 */
export function withoutSelections(
  operations: readonly CosemOperation[],
  selections: 'given' | 'agreed' | 'never',
  isAgreed: boolean,
): readonly CosemOperation[] {
  if (selections === 'given' || (selections === 'agreed' && isAgreed)) return operations
  if (!operations.some(isSelecting)) return operations
  return operations.map((operation) => {
    if (!isSelecting(operation)) return operation
    const { kind, descriptor } = operation
    return { kind, descriptor }
  })
}

/**
 * `results`, in which those say so that hold all of an attribute though a part of it was asked for.
 */
export function whole(
  results: CosemResult[],
  given: readonly CosemOperation[],
  carriedOut: readonly CosemOperation[],
): CosemResult[] {
  if (given !== carriedOut)
    for (const [index, result] of results.entries())
      if (given[index] !== carriedOut[index] && result.value !== undefined) result.isWhole = true
  return results
}

const isSelecting = ({ kind, selection }: CosemOperation): boolean =>
  kind === 'get' && selection !== undefined
