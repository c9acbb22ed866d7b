/**
 * What the HTTP doors take as the content of a call: JSON in UTF-8, without a content coding, as
 * much as the route takes. All that the headers say is checked before the first octet is read;
 * octets are counted as bytes in flight while they are held.
 * @source RFC 9110 8.3, 8.4, 10.1.1, 15.5.14, 15.5.16; Accept-Post: Linked Data Platform 7.1
 */
import type { IncomingMessage } from 'node:http'
import { limits } from '../base/limits.ts'
import { emptyBytes } from '../base/bytes.ts'
import type { BytesExcess, BytesHeld } from '../base/bytes-in-flight.ts'
import type { ErrorCode } from '../base/error-table.ts'
import type { JsonFault } from './json-body.ts'
import type { ContentLimits } from './json-content.ts'
import { CallFault, jsonType } from './problem.ts'

/** Whether a call has content, or may have: what its headers say. */
export function hasContent({ headers }: IncomingMessage): boolean {
  const length = headers['content-length']
  return headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) > 0)
}

const typeFault = (detail: string, wanted = jsonType): CallFault =>
  new CallFault('REQUEST_JSON_MALFORMED', {
    status: 415,
    detail,
    headers: { 'accept-post': wanted },
  })

/** The charset parameter of a media type, in lower case; undefined when it is absent. */
const charsetOf = (mediaType: string): string | undefined =>
  /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(mediaType)?.[1]?.toLowerCase()

/** What is wrong with a media type; undefined for the one that is wanted, JSON in UTF-8. */
function typeFaultOf(type: string | undefined, wanted: string): CallFault | undefined {
  if (type === wanted) return undefined
  if (type === undefined)
    return typeFault(`the body needs the header content-type: ${wanted}`, wanted)
  if (wanted !== jsonType)
    return typeFault(`the body must be ${wanted}, not ${type.slice(0, 60)}`, wanted)
  const bare = type.split(';', 1)[0]!.trim().toLowerCase()
  if (bare !== jsonType) return typeFault(`the body must be ${jsonType}, not ${type.slice(0, 60)}`)
  const charset = charsetOf(type)
  return charset === undefined || charset === 'utf-8' || charset === 'utf8'
    ? undefined
    : typeFault('the body must be in UTF-8')
}

/**
 * What is wrong with the content that the headers of `request` announce; nothing is read.
 * @param max what the route takes; undefined when it takes no content
 * @param wanted its media type
 */
export function announcedFault(
  request: IncomingMessage,
  max: Pick<ContentLimits, 'bytesMax'> | undefined,
  wanted = jsonType,
): CallFault | undefined {
  const { headers, method } = request
  const codings = headers['content-encoding']
  if (codings !== undefined && !/^[\s,]*(identity[\s,]*)*$/i.test(codings))
    return new CallFault('REQUEST_JSON_MALFORMED', {
      status: 415,
      detail: 'the body must not be compressed',
      headers: { 'accept-encoding': 'identity' },
    })
  const type = headers['content-type']
  if (!hasContent(request))
    // Pages of other sites can post text without asking the door before, but not JSON.
    return method === 'POST' && type !== undefined ? typeFaultOf(type, wanted) : undefined
  if (max === undefined)
    return new CallFault('REQUEST_HTTP_MALFORMED', { detail: `${method} takes no content here` })
  const transfer = headers['transfer-encoding']
  if (transfer !== undefined && transfer.toLowerCase() !== 'chunked')
    return new CallFault('REQUEST_HTTP_MALFORMED', {
      status: 501,
      detail: 'the only transfer coding here is chunked',
    })
  return (
    typeFaultOf(type, wanted) ??
    (Number(headers['content-length'] ?? 0) > max.bytesMax ? tooLarge(max.bytesMax) : undefined)
  )
}

const tooLarge = (bytesMax: number): CallFault =>
  new CallFault('REQUEST_SIZE_EXCEEDED', { detail: `the body has more than ${bytesMax} octets` })

const busyFault = (excess: BytesExcess | undefined): CallFault | undefined =>
  excess === undefined
    ? undefined
    : new CallFault('BROKER_GATEWAY_BUSY', {
        detail: `the ${excess} has as many octets in flight as it may`,
      })

/**
 * Content while it is read. It is gathered in one buffer: a client that sends single octets must
 * not cost an object each. Room is counted, not octets: that is what is held.
 */
export class Gathering {
  private readonly held: BytesHeld
  private readonly bytesMax: number
  private readonly roomMin: number
  private readonly announced: number
  private room: Buffer = emptyBytes
  private used = 0

  /**
   * @param held counts the room; the caller releases it when the call is over
   * @param announced length of the content, 0 when it is not known
   */
  constructor(held: BytesHeld, bytesMax: number, announced: number) {
    this.held = held
    this.bytesMax = bytesMax
    this.announced = announced
    this.roomMin =
      announced > 0 && announced < limits.httpContentRoomBytes
        ? announced
        : limits.httpContentRoomBytes
  }

  /**
   * Takes `chunkView`, or says why the call is rejected. Content that is whole in one chunk is
   * borrowed: it ends in the same turn. All other is copied.
   */
  add(chunkView: Buffer): CallFault | undefined {
    const needed = this.used + chunkView.length
    if (needed > this.bytesMax) return tooLarge(this.bytesMax)
    if (needed === this.announced && this.used === 0 && needed <= limits.httpSliceBytes) {
      this.room = chunkView
      this.used = needed
      return busyFault(this.held.grow(needed))
    }
    if (needed > this.room.length) {
      const size = Math.min(this.bytesMax, Math.max(needed, 2 * this.room.length, this.roomMin))
      const fault = busyFault(this.held.grow(size - this.room.length))
      if (fault !== undefined) return fault
      const room = Buffer.allocUnsafe(size)
      this.room.copy(room, 0, 0, this.used)
      this.room = room
    }
    chunkView.copy(this.room, this.used)
    this.used = needed
    return undefined
  }

  /** All octets so far, borrowed. */
  get view(): Buffer {
    return this.room.subarray(0, this.used)
  }
}

/** gRPC rejects the same values with the same codes. */
function codeOf({ field, isOfValue, isExcess }: JsonFault): ErrorCode {
  if (isExcess) return 'REQUEST_SIZE_EXCEEDED'
  if (!isOfValue || field === undefined) return 'REQUEST_JSON_MALFORMED'
  if (/(^|\.)requestId\.\w+$/.test(field)) return 'REQUEST_ID_MALFORMED'
  return /(^|\.)displayMessage\.text$/.test(field)
    ? 'REQUEST_BODY_MALFORMED'
    : 'REQUEST_JSON_MALFORMED'
}

/** The rejection of content that is not what it should be. */
export function jsonFault(fault: JsonFault): CallFault {
  const { detail, field } = fault
  return new CallFault(codeOf(fault), {
    detail: field === undefined ? detail : `${field}: ${detail}`,
    ...(field !== undefined && { violations: [{ field, description: detail }] }),
  })
}
