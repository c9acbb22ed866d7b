/**
 * Why a record was rejected: the code that a response file carries (J0107, four characters). Codes
 * below 900 are those of the industry's catalogue; from 900 on they are Busbar's own.
 */
export const rejectionReasons = {
  instructionType: { code: '1', meaning: 'instruction type invalid' },
  incomplete: { code: '38', meaning: 'incomplete instruction' },
  supplier: { code: '58', meaning: 'supplier id invalid' },
  structure: { code: '900', meaning: 'structure of the file invalid' },
  meterPoint: { code: '901', meaning: 'number of the meter point invalid' },
  date: { code: '902', meaning: 'date invalid' },
  participant: { code: '903', meaning: 'market participant id invalid' },
  value: { code: '904', meaning: 'value invalid' },
  periods: { code: '905', meaning: 'periods out of order or overlapping' },
  items: { code: '906', meaning: 'too many items' },
  instructionNumber: { code: '907', meaning: 'instruction number invalid or not rising' },
} as const

export type RejectionName = keyof typeof rejectionReasons

/** A record that is rejected; the other records of its file are not affected. */
export type RecordFault = {
  /** Number of the instruction, 0 if it cannot be read. */
  readonly instruction: number
  /** Line of the file, from 1. */
  readonly line: number
  /** As the response file carries it. */
  readonly code: string
  /** What is wrong, without any value of the record. */
  readonly reason: string
  /** The number of the meter point, if it is valid. */
  readonly number: string | undefined
}

/** The instruction and line of a fault, with its code; `detail` says where. */
export function recordFault(
  name: RejectionName,
  place: Pick<RecordFault, 'instruction' | 'line' | 'number'>,
  detail?: string,
): RecordFault {
  const { code, meaning } = rejectionReasons[name]
  const { instruction, line, number } = place
  const reason = detail === undefined ? meaning : `${meaning}: ${detail}`
  return { instruction, line, code, reason, number }
}
