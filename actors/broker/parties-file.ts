/** The file of the parties that may use a broker. */
import { partiesOf, type Parties } from '../../core/access/parties.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { readTextFile } from '../../core/ops/text-file.ts'

/** Reads it. @throws BrokerError CONFIG_INVALID naming what is wrong in it */
export function readParties(file: string): Parties {
  let json: unknown
  try {
    json = JSON.parse(readTextFile(file))
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const why = isMissing
      ? `there is no parties file ${file}; \`busbar init\` makes a folder with one, --parties or BUSBAR_PARTIES names another`
      : `the parties file ${file} cannot be read as JSON`
    const example = '[{"eui64":"90-B3-D5-1F-30-01-00-00","role":"IS","name":"Supplier"}]'
    throw new BrokerError('CONFIG_INVALID', `${why}; it says who may ask: ${example}`, { cause })
  }
  const parties = partiesOf(json)
  if ('faults' in parties)
    throw new BrokerError('CONFIG_INVALID', `${file}: ${parties.faults.join('; ')}`)
  return parties
}
