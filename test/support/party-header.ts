/**
 * Brokers that a test starts as processes have party doors without TLS, at which a header names the
 * party, and an operators' door without authentication. For tests that are not about either: import
 * it before the first process is started.
 */
import { settings } from '../../core/ops/settings.ts'

process.env[settings.insecurePartyHeader.env] = 'true'
process.env[settings.insecureOperators.env] = 'true'
