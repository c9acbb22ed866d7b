/**
 * Values of meters for people's eyes: what a value's type is stays out where nobody asked for JSON.
 */
import type { Json } from '../../../core/dlms/cosem/index.ts'

/** `json` with raw values (`{"axdr": …, "value": …}`) as the value, time or text alone. */
function withoutTypes(json: Json): Json {
  if (Array.isArray(json)) return json.map(withoutTypes)
  if (typeof json !== 'object' || json === null) return json
  if (typeof json['axdr'] !== 'string')
    return Object.fromEntries(Object.entries(json).map(([name, of]) => [name, withoutTypes(of)]))
  return withoutTypes(json['time'] ?? json['text'] ?? json['value'] ?? null)
}

/** One line. */
export function wordsOfJson(json: Json): string {
  const plain = withoutTypes(json)
  return typeof plain === 'string' ? plain : JSON.stringify(plain)
}
