/** Where the letters to the actors of a partition stand in the ledger, beside its other records. */
const prefix = 'meta.letters-'

/** Records of partitions, letters among them. */
export const recordSubjects = 'meta.*'

export const lettersSubject = (partition: number): string => `${prefix}${partition}`

/** The partition of a subject of letters; undefined for another subject. */
export function partitionOfLetters(subject: string): number | undefined {
  return subject.startsWith(prefix) ? Number(subject.slice(prefix.length)) : undefined
}
