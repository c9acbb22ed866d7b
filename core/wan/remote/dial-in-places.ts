/**
 * Which wan process a device has dialled in to: each process tells the names of those that are
 * connected to it, at once and every `dialInTellMs`, and hosts remember them for a while.
 * MessagePack (pack.ts): [version, wanId, list of names].
 */
import { limits } from '../../base/limits.ts'
import { isHostId } from '../../cluster/lease-record.ts'
import { PackReader, PackWriter } from './pack.ts'

/** Where a process tells them. */
export const dialInSubject = (wanId: string): string => `dial-in.${wanId}`

const version = 1
const rememberedMs = 3 * limits.dialInTellMs

/** One announcement for each `dialInNamesMax` names. */
export function encodeDialledIn(wanId: string, names: readonly string[]): Buffer[] {
  const frames: Buffer[] = []
  for (let at = 0; at < names.length; at += limits.dialInNamesMax) {
    const some = names.slice(at, at + limits.dialInNamesMax)
    const writer = new PackWriter().record(3).uint16(version).text(wanId).list(some.length)
    for (const name of some) writer.text(name)
    frames.push(writer.take())
  }
  return frames
}

/** @throws BrokerError FRAME_MALFORMED */
export function decodeDialledIn(view: Buffer): { wanId: string; names: string[] } {
  const reader = new PackReader(view)
  reader.record(3)
  if (reader.uint16() !== version) reader.fail()
  const wanId = reader.text()
  if (!isHostId(wanId)) reader.fail()
  const names: string[] = []
  for (let left = reader.list(); left > 0; left--) names.push(reader.text())
  reader.close()
  return { wanId, names }
}

/** What a host has heard; times are elapsed ms. */
export class DialInPlaces {
  /** Longest unheard first. */
  private readonly places = new Map<string, { wanId: string; heardMs: number }>()

  /**
   * A device that connects elsewhere is there from now on; of too many the longest unheard is
   * forgotten.
   */
  note(wanId: string, name: string, nowMs: number): void {
    this.places.delete(name)
    this.places.set(name, { wanId, heardMs: nowMs })
    if (this.places.size > limits.dialInPlacesMax)
      this.places.delete(this.places.keys().next().value!)
  }

  at(name: string): string | undefined {
    return this.places.get(name)?.wanId
  }

  forgetSilent(nowMs: number): void {
    for (const [name, { heardMs }] of this.places) {
      if (nowMs - heardMs < rememberedMs) return
      this.places.delete(name)
    }
  }
}
