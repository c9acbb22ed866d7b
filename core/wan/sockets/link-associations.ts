/** The associations of one link, by logical device and client. */
import type { DeviceAddress } from '../../ports/wan.ts'
import { Association, keyOf } from './association.ts'
import type { Exchange } from './exchange.ts'

/** By `keyOf`. */
export type LinkAssociations = Map<number, Association>

/** The one that exchanges with `address` use, which is new when there was none. */
export function associationFor(
  associations: LinkAssociations,
  { logicalDevice, client }: DeviceAddress,
): Association {
  const key = keyOf(logicalDevice, client)
  let association = associations.get(key)
  if (!association) {
    association = new Association(logicalDevice, client)
    associations.set(key, association)
  }
  return association
}

/**
 * Forgets all of them, with the link. `releasing`: exchanges that have their results, whose release
 * was not answered yet; `lost`: all other ones, those that wait included.
 */
export function forgetAll(associations: LinkAssociations): {
  releasing: Exchange[]
  lost: Exchange[]
} {
  const releasing: Exchange[] = []
  const lost: Exchange[] = []
  for (const association of associations.values()) {
    const { exchange, waiting = [] } = association
    if (exchange !== undefined) (exchange.results === undefined ? lost : releasing).push(exchange)
    lost.push(...waiting)
    association.exchange = undefined
  }
  associations.clear()
  return { releasing, lost }
}
