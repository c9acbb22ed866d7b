/**
 * Text files as people and their tools write them: UTF-8, with or without a byte-order mark, lines
 * ended by LF or CRLF. Every file that an operator writes is read through here.
 */
import { createReadStream, readFileSync } from 'node:fs'
import { emptyBytes } from '../base/bytes.ts'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'

function decoderOf(): InstanceType<typeof TextDecoder> {
  // Drops a byte-order mark at the front; `fatal` so that no character is replaced silently.
  return new TextDecoder('utf-8', { fatal: true })
}

function notUtf8(path: string, first: Uint8Array, cause: unknown): BrokerError {
  const isUtf16 =
    (first[0] === 0xff && first[1] === 0xfe) || (first[0] === 0xfe && first[1] === 0xff)
  const found = isUtf16 ? 'UTF-16 text' : 'not UTF-8 text'
  return new BrokerError('CONFIG_INVALID', `${path} is ${found}; save it as UTF-8`, { cause })
}

/**
 * The text of a file, without a byte-order mark. Line ends stay as they are.
 * @throws BrokerError CONFIG_INVALID for what is not UTF-8; what the system says otherwise
 */
export function readTextFile(path: string): string {
  const octets = readFileSync(path)
  try {
    return decoderOf().decode(octets)
  } catch (cause) {
    throw notUtf8(path, octets, cause)
  }
}

/** The lines of `text` without their ends, which are LF or CRLF. */
export const linesIn = (text: string): string[] => text.split(/\r?\n/)

/**
 * The lines of a file that may be larger than memory, one after the other, numbered from 1, empty
 * ones included.
 * @throws BrokerError CONFIG_INVALID for what is not UTF-8, or a line longer than a message of an
 * operator may be; what the system says otherwise
 */
export async function* linesOfFile(
  path: string,
): AsyncGenerator<{ readonly number: number; readonly text: string }> {
  const decoder = decoderOf()
  let number = 0
  let rest = ''
  let first: Buffer | undefined
  const decode = (octets?: Buffer): string => {
    try {
      return octets === undefined ? decoder.decode() : decoder.decode(octets, { stream: true })
    } catch (cause) {
      throw notUtf8(path, first ?? emptyBytes, cause)
    }
  }
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    first ??= chunk
    const lines = (rest + decode(chunk)).split('\n')
    rest = lines.pop()!
    if (rest.length > limits.partyMessageBytesMax) {
      const where = `${path}, line ${number + lines.length + 1}`
      throw new BrokerError('CONFIG_INVALID', `${where} is longer than a record may be`)
    }
    for (const text of lines) yield { number: ++number, text: text.replace(/\r$/, '') }
  }
  rest += decode()
  if (rest !== '') yield { number: ++number, text: rest.replace(/\r$/, '') }
}
