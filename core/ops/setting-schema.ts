/** How the texts of settings are read: numbers, quantities with units, addresses, keys. Pure. */
import { z } from 'zod'
import { parseHostPort, type HostPort } from '../base/host-port.ts'
import { isHostText, isOriginText } from '../http/site.ts'
import { isKeyText } from './key-text.ts'

/** Octets in each unit of a size. */
export const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
}
/** Milliseconds in each unit of a duration. */
export const unitMs: Readonly<Record<string, number>> = {
  '': 1,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** A whole number from `min` to `max`. */
export const whole = (min: number, max: number): z.ZodType<number, string> =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(min).max(max))

/** A whole number with one of `units`; `min` and `max` in the smallest. */
export const quantity = (
  units: Readonly<Record<string, number>>,
  example: string,
  min: number,
  max: number,
): z.ZodType<number, string> =>
  z
    .string()
    .regex(
      new RegExp(`^\\d{1,15} ?(${Object.keys(units).filter(Boolean).join('|')})?$`),
      `must look like ${example}`,
    )
    .transform((text) => Number.parseInt(text, 10) * (units[text.replace(/[\d ]/g, '')] ?? 1))
    .pipe(z.number().min(min).max(max))

/** `host:port`, with brackets around an IPv6 address. */
export const listenAddress: z.ZodType<HostPort, string> = z.string().transform((text, context) => {
  const address = parseHostPort(text)
  if (address !== undefined) return address
  const isPortTooHigh = Number(/:(\d+)$/.exec(text)?.[1]) > 65_535
  context.addIssue(
    isPortTooHigh ? 'has a port above 65535' : 'must look like 127.0.0.1:50051 or [::1]:50051',
  )
  return z.NEVER
})

/** `host:port`, or empty for none. */
export const listenAddressOrNone: z.ZodType<HostPort | undefined, string> = z
  .string()
  .transform((text, context) => {
    const result = text === '' ? undefined : listenAddress.safeParse(text)
    for (const { message } of result?.error?.issues ?? []) context.addIssue(message)
    return result?.data
  })

const listOf = (
  isGood: (text: string) => boolean,
  example: string,
): z.ZodType<readonly string[], string> =>
  z
    .string()
    .transform((text) =>
      text
        .split(',')
        .map((one) => one.trim())
        .filter(Boolean),
    )
    .refine((list) => list.every(isGood), `must look like ${example}, several separated by commas`)

/** Names of the HTTP doors, separated by commas, or empty for none. */
export const hostNames = listOf(isHostText, 'busbar.example or 192.0.2.1:8080')

/** Origins of web pages, separated by commas, or empty for none. */
export const originNames = listOf(isOriginText, 'https://console.example')

/** Addresses of NATS servers, separated by commas, or empty for none. */
export const natsUrl = z
  .string()
  .refine(
    (text) =>
      text === '' ||
      text
        .split(',')
        .every((one) => /^(nats|tls):\/\/\S+$/.test(one.trim()) && URL.canParse(one.trim())),
    'must look like nats://host:4222 or tls://user:password@host:4222, several separated by commas',
  )

/**
 * Texts of key-encryption keys, separated by commas, or empty for none; config.ts makes keys of
 * them.
 */
export const keyTexts: z.ZodType<readonly string[], string> = z
  .string()
  .transform((text) => (text === '' ? [] : text.split(',').map((one) => one.trim())))
  .refine((list) => list.every(isKeyText), 'must be 64 hexadecimal digits, or base64 of 32 octets')
