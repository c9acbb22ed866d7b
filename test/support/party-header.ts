/**
 * Brokers that a test starts as processes have party doors without TLS, at which a header names the
 * party. For tests that are not about TLS: import it before the first process is started.
 */
import { settings } from '../../core/ops/settings.ts'

process.env[settings.insecurePartyHeader.env] = 'true'
