/** Violations, where the doors of parties look for them; the HTTP doors of operators share them. */
export { jsonName, protoName, type Violation } from '../base/violation.ts'
