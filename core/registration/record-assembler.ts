/**
 * Puts the lines of one record together and checks them. The first fault of a record rejects all of
 * it; the next record starts afresh.
 */
import { limits } from '../base/limits.ts'
import { dayOf } from './days.ts'
import type { FileForm } from './file-form.ts'
import { isItemValue } from './item-values.ts'
import { meterPointOf } from './mpan.ts'
import type { ItemKind, MeterPoint, RegistrationItem } from './registration-record.ts'
import type { RegistrationRecord } from './registration-record.ts'
import { recordFault, type RecordFault, type RejectionName } from './rejection-reasons.ts'

/** A record whose every line is valid. */
export type AcceptedRecord = {
  readonly instruction: number
  /** Line of the file that starts the record, from 1. */
  readonly line: number
  readonly record: RegistrationRecord
}

export type RecordEntry = AcceptedRecord | RecordFault

export type AssemblerOptions = {
  /** Whether the check digit of MPANs is checked; true if left out. */
  readonly checkDigit?: boolean
}

function rejectionOf(kind: ItemKind): RejectionName {
  if (kind === 'supplier') return 'supplier'
  return kind === 'network-operator' || kind === 'agent' ? 'participant' : 'value'
}

export class RecordAssembler {
  readonly #form: FileForm
  readonly #checkDigit: boolean
  readonly #emit: (entry: RecordEntry) => void
  #ordinal = 0
  #highest = 0
  /** Where the open record starts; line 0 while no record is open. */
  #line = 0
  #instruction = 0
  #point: MeterPoint | undefined
  #items: RegistrationItem[] = []
  #fault: RecordFault | undefined

  constructor(
    form: FileForm,
    { checkDigit = true }: AssemblerOptions,
    emit: (entry: RecordEntry) => void,
  ) {
    this.#form = form
    this.#checkDigit = checkDigit
    this.#emit = emit
  }

  /** Ends the open record, and starts one with this line. */
  start(text: string, line: number): void {
    this.end()
    this.#line = line
    this.#ordinal++
    const fields = this.#form.fieldsOf(text)
    const start = fields && this.#form.startOf(fields, this.#ordinal)
    this.#instruction = start?.instruction ?? 0
    if (start === undefined) return this.#reject('incomplete', line)
    if (this.#instruction <= this.#highest) return this.#reject('instructionNumber', line)
    this.#highest = this.#instruction
    this.#point = meterPointOf(this.#form.fuel, start.number, this.#checkDigit)
    if (this.#point === undefined) this.#reject('meterPoint', line)
  }

  /** Adds a line to the open record. */
  add(text: string, line: number): void {
    if (this.#fault !== undefined) return
    // By index: a pattern would go through an iterator, once for each line of the file.
    const fields = this.#form.fieldsOf(text)
    if (fields?.length !== 4) return this.#reject('incomplete', line)
    const code = fields[0]!
    const value = fields[1]!
    const to = fields[3]!
    const kind = this.#form.items.get(code)
    if (kind === undefined) return this.#reject('instructionType', line)
    if (!isItemValue(kind, value)) return this.#reject(rejectionOf(kind), line, kind)
    const first = dayOf(fields[2]!)
    const last = to === '' ? undefined : dayOf(to)
    if (first === undefined || (to !== '' && last === undefined))
      return this.#reject('date', line, kind)
    if (this.#items.length === limits.registrationItemsPerRecordMax)
      return this.#reject('items', line)
    const base = { item: kind, value, from: first }
    const item: RegistrationItem = last === undefined ? base : { ...base, to: last }
    if (!this.#isInOrder(item)) return this.#reject('periods', line, kind)
    this.#items.push(item)
  }

  /** Ends the open record, if there is one: it is emitted, or its fault is. */
  end(): void {
    if (this.#line === 0) return
    if (this.#fault === undefined && this.#items.length === 0)
      this.#reject('incomplete', this.#line)
    this.#emit(
      this.#fault ?? {
        instruction: this.#instruction,
        line: this.#line,
        record: { point: this.#point!, items: this.#items },
      },
    )
    this.#line = 0
    this.#items = []
    this.#point = undefined
    this.#fault = undefined
  }

  /**
   * Items of one kind come in the order of their days and do not overlap; an open one ends where
   * the next begins. A meter point may be related to several others at a time.
   */
  #isInOrder({ item, value, from, to }: RegistrationItem): boolean {
    if (to !== undefined && to < from) return false
    for (let i = this.#items.length - 1; i >= 0; i--) {
      const before = this.#items[i]!
      if (before.item !== item || (item === 'related' && before.value !== value)) continue
      return before.from < from && (before.to === undefined || before.to < from)
    }
    return true
  }

  #reject(name: RejectionName, line: number, detail?: string): void {
    const place = { instruction: this.#instruction, line, number: this.#point?.number }
    this.#fault = recordFault(name, place, detail)
  }
}
