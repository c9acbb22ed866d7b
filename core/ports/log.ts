/** Structured logs. Fields are ids, codes and counts: never keys, secrets, readings or bodies. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export interface Log {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }
