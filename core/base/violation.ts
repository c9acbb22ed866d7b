/**
 * Which field of a message makes a call malformed, and why: google.rpc.BadRequest.FieldViolation
 * over gRPC, a member of `violations` over HTTP. Fields have the names of the proto files; over
 * HTTP their lowerCamelCase names.
 */
export type Violation = {
  /** Path of the field, for example `requests[2].request_id.counter`. */
  field: string
  /** One sentence or clause for people. */
  description: string
}

/** The lowerCamelCase name of a field, or the names of a path, whichever of both forms is given. */
export const jsonName = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** The name of a field in the proto files. */
export const protoName = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
