/**
 * ports/log on pino: one JSON object a line, to stderr, so that stdout stays free for what a
 * command prints.
 */
import { pino, type DestinationStream } from 'pino'
import type { Log } from '../ports/log.ts'
import type { LogLevel } from './broker-config.ts'

/**
 * @param level   what is less is not written
 * @param stream  stderr, written at once, unless a test gives another
 */
export function createLog(
  level: LogLevel,
  stream: DestinationStream = pino.destination({ fd: 2, sync: true }),
): Log {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // Fields are ids, codes and counts by type. These names never leave, should one slip through.
      redact: {
        paths: ['password', 'secret', 'key', 'token', 'body', 'value', 'reading'],
        censor: '[withheld]',
      },
    },
    stream,
  )
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  }
}
