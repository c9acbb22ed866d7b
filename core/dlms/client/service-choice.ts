/**
 * Which service carries out the next operations of an exchange, and how many of them: by what was
 * agreed to, and by the options of the client.
 */
import type { CosemOperation, CosemResult } from '../../ports/wan.ts'
import { Conformance } from '../apdu/constants.ts'
import { AccessService, countOfAccesses } from './access.ts'
import { ActionService, countOfActions } from './action.ts'
import { countOfGets, GetService } from './get.ts'
import type { ClientOptions } from './options.ts'
import type { ClientService, ServiceTerms } from './service.ts'
import { countOfSets, SetService } from './set.ts'
import { shortNameService } from './short-name.ts'

// Without general blocks an answer of ACCESS that is too long for an APDU is lost, though
// everything has been carried out.
const access = Conformance.ACCESS | Conformance.GENERAL_BLOCK_TRANSFER
const defaultLists: ReadonlySet<CosemOperation['kind']> = new Set(['get'])

/** Where an exchange is: those before `next` have their results. */
export type Progress = {
  readonly operations: readonly CosemOperation[]
  readonly next: number
  /** Gets what the service gives. */
  readonly results: CosemResult[]
  /** The meter takes several operations in one APDU. */
  readonly usesLists: boolean
}

/** The service for the operation at `next`, or for several in a row. */
export function serviceFor(
  terms: ServiceTerms,
  { operations, next, results, usesLists }: Progress,
  { prefersAccess = false, lists = defaultLists, shortNames }: ClientOptions,
): ClientService {
  if (shortNames !== undefined) {
    const names = typeof shortNames === 'object' ? shortNames.nameOf : shortNames
    const rest = operations.slice(next, usesLists ? undefined : next + 1)
    return shortNameService(terms, rest, names, results)
  }
  if (prefersAccess && usesLists && (terms.conformance & access) === access) {
    const count = countOfAccesses(operations, next, terms.pduBytesMax)
    return new AccessService(terms, operations, next, count, results)
  }
  const isList = usesLists && lists.has(operations[next]!.kind)
  switch (operations[next]!.kind) {
    case 'get': {
      const count = isList ? countOfGets(operations, next, terms.pduBytesMax) : 1
      return new GetService(terms, operations, next, count, results)
    }
    case 'set': {
      const count = isList ? countOfSets(operations, next, terms) : 1
      return new SetService(terms, operations, next, count, results)
    }
    case 'action': {
      const count = isList ? countOfActions(operations, next, terms) : 1
      return new ActionService(terms, operations, next, count, results)
    }
  }
}
