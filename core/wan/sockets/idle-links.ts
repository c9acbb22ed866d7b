/**
 * Links with nothing under way, least recently used first, as a list through the links themselves.
 * Pure.
 */
import type { Link } from './link.ts'

export class IdleLinks {
  private oldest: Link | undefined
  private newest: Link | undefined
  count = 0

  /** Puts a link at the most recently used end. */
  add(link: Link): void {
    if (link.isIdleListed) return
    link.isIdleListed = true
    link.olderIdle = this.newest
    if (this.newest) this.newest.newerIdle = link
    else this.oldest = link
    this.newest = link
    this.count++
  }

  remove(link: Link): void {
    if (!link.isIdleListed) return
    const { olderIdle, newerIdle } = link
    if (olderIdle) olderIdle.newerIdle = newerIdle
    else this.oldest = newerIdle
    if (newerIdle) newerIdle.olderIdle = olderIdle
    else this.newest = olderIdle
    link.olderIdle = link.newerIdle = undefined
    link.isIdleListed = false
    this.count--
  }

  /** Takes the least recently used one out. */
  takeOldest(): Link | undefined {
    const link = this.oldest
    if (link) this.remove(link)
    return link
  }
}
