/** What the device has rejected: a record in the ledger, not in its state. */
import type { Rejection } from '../../core/access/rejection.ts'

export type RequestRejected = { type: 'REQUEST_REJECTED'; rejection: Rejection }
