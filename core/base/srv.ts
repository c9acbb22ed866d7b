/**
 * Service reference variants as numbers: `4.8.1` is 0x040801, `3.1` is 0x030100. No variant has a
 * last part of 0.
 */
export type Srv = number & { readonly brand: 'Srv' }

/** The number of the ASCII text at `view[start, end)`, or 0 when it is not one. */
export function parseSrvAt(view: Uint8Array, start: number, end: number): Srv {
  let srv = 0
  let part = -1
  let parts = 0
  for (let i = start; i <= end; i++) {
    const digit = i === end ? -2 : view[i]! - 48
    if (digit >= 0 && digit <= 9) {
      part = part < 0 ? digit : part * 10 + digit
      if (part > 255) return 0 as Srv
    } else {
      if ((digit !== -2 && view[i] !== 46) || part <= 0 || parts === 3) return 0 as Srv
      srv = (srv << 8) | part
      part = -1
      parts++
    }
  }
  if (parts < 2) return 0 as Srv
  return (parts === 2 ? srv << 8 : srv) as Srv
}

export function parseSrv(text: string): Srv {
  const view = Buffer.from(text, 'latin1')
  return parseSrvAt(view, 0, view.length)
}

export function formatSrv(srv: Srv): string {
  const head = `${srv >>> 16}.${(srv >>> 8) & 255}`
  return srv & 255 ? `${head}.${srv & 255}` : head
}
