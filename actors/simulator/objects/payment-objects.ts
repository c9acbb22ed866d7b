/**
 * Payment in advance: an account (class 111) with a token credit and an emergency credit (112), a
 * charge by consumption (113) and a token gateway (115). People pay in by themselves whenever
 * nothing is left, so that meters nobody cares for keep their supply; tokens and a client's changes
 * come on top. Amounts are in pence. [IEC 62056-6-2, Account, Credit, Charge, Token gateway]
 *
 *   token   20 digits: amount in pence 6, sequence 4, check 10; the sequence only rises
 */
import { ActionResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import { writeAttribute, type Json } from '../../../core/dlms/cosem/index.ts'
import { Stream, draw } from '../model/chance.ts'
import { classObject } from './class-object.ts'
import {
  encoded,
  encodedEnumerations,
  encodedUint8Zero,
  type SimulatedObject,
} from './cosem-object.ts'
import { dateTime } from './measuring-objects.ts'
import type { MeterState, Payment } from '../model/meter-state.ts'
import { elementsOf, numberOf } from './script-objects.ts'
import { operateSupply } from './supply-objects.ts'

const priceOfKwh = 25
const paidInAmount = 2_000
const lowCredit = 200
const emergencyAmount = 500
const neverMs = Date.UTC(2019, 0, 1)

const int32 = (value: number): Buffer => encoded((w) => w.int32(value))

const paymentOf = (meter: MeterState): Payment =>
  meter.changes?.payment ?? {
    addedAmount: 0,
    usedAmount: 0,
    usedWh: 0,
    price: priceOfKwh,
    isEmergencySelected: false,
    lastSequence: 0,
    token: undefined,
  }
const change = (meter: MeterState, changes: Partial<Payment>): void =>
  void (meter.changesOrNew().payment = { ...paymentOf(meter), ...changes })

/** What was charged for all that has flowed. */
function chargedAmount(meter: MeterState, nowMs: number): number {
  const { usedAmount, usedWh, price } = paymentOf(meter)
  return usedAmount + Math.floor(((meter.loadAt(nowMs) - usedWh) * price) / 1_000)
}

/** What is left: full again whenever it was used up, and what came on top. */
const tokenCredit = (meter: MeterState, nowMs: number): number =>
  paidInAmount - (chargedAmount(meter, nowMs) % paidInAmount) + paymentOf(meter).addedAmount

const emergencyCredit = (meter: MeterState): number =>
  paymentOf(meter).isEmergencySelected ? emergencyAmount : 0

/** The supply follows the credit, where the switch's mode lets the meter do so by itself. */
function settleSupply(meter: MeterState, nowMs: number): void {
  const hasCredit = tokenCredit(meter, nowMs) + emergencyCredit(meter) > 0
  void operateSupply(meter, hasCredit ? 'local_reconnect' : 'local_disconnect', nowMs)
}

function addCredit(meter: MeterState, amount: number, nowMs: number): number {
  const { addedAmount } = paymentOf(meter)
  if (Math.abs(addedAmount + amount) > amountMax) return ActionResult.OTHER_REASON
  change(meter, { addedAmount: addedAmount + amount })
  settleSupply(meter, nowMs)
  return ActionResult.SUCCESS
}
const amountMax = 100_000_000

// ── token gateway ──

/** As the standard numbers them: executed, and what failed. */
const TokenStatus = {
  EXECUTED: 3,
  FORMAT_FAILURE: 4,
  AUTHENTICATION_FAILURE: 5,
  VALIDATION_FAILURE: 6,
}

const checkOf = (seed: number, amount: number, sequence: number): string =>
  String(draw(seed, Stream.TOKEN, amount, sequence) >>> 0).padStart(10, '0')

/** What a vendor would print for that meter; `sequence` above those of all tokens before. */
export function tokenFor({ seed }: MeterState, pence: number, sequence: number): string {
  const digits = String(pence).padStart(6, '0') + String(sequence).padStart(4, '0')
  return digits + checkOf(seed, pence, sequence)
}

function statusOf(meter: MeterState, text: string): number {
  if (!/^\d{20}$/.test(text)) return TokenStatus.FORMAT_FAILURE
  const [pence, sequence] = [Number(text.slice(0, 6)), Number(text.slice(6, 10))]
  if (text.slice(10) !== checkOf(meter.seed, pence, sequence))
    return TokenStatus.AUTHENTICATION_FAILURE
  return sequence > paymentOf(meter).lastSequence
    ? TokenStatus.EXECUTED
    : TokenStatus.VALIDATION_FAILURE
}

const tokenStatus = (status: number): Buffer =>
  writeAttribute({ classId: 115 }, 'token_status', { status_code: status, data_value: '' })

function enterToken(meter: MeterState, token: AxdrValue, nowMs: number) {
  const octets = token.tag === Tag.OCTET_STRING ? token.value : Buffer.alloc(0)
  const text = octets.toString('latin1')
  const status = statusOf(meter, text)
  const isGood = status === TokenStatus.EXECUTED
  change(meter, {
    token: { octets: Buffer.from(octets.subarray(0, 20)), atMs: nowMs, status },
    ...(isGood && { lastSequence: Number(text.slice(6, 10)) }),
  })
  if (isGood) addCredit(meter, Number(text.slice(0, 6)), nowMs)
  return { result: ActionResult.SUCCESS, value: tokenStatus(status) }
}

const tokenGateway = classObject({
  obis: '0-0:19.40.0.255',
  classId: 115,
  attributes: {
    token: (meter) =>
      encoded((w) => w.octetString(paymentOf(meter).token?.octets ?? Buffer.alloc(0))),
    token_time: (meter) => dateTime(paymentOf(meter).token?.atMs ?? neverMs),
    token_description: [],
    token_delivery_method: 'remote',
    token_status: (meter) => tokenStatus(paymentOf(meter).token?.status ?? 0),
  },
  methods: { enter: enterToken },
})

// ── credits ──

const token = { obis: '0-0:19.10.0.255', index: 0 }
const emergency = { obis: '0-0:19.10.1.255', index: 1 }
const chargeName = '0-0:19.20.0.255'
/** credit_status by its number. */
const CreditStatus = { ENABLED: 0, SELECTABLE: 1, IN_USE: 3, EXHAUSTED: 4 } as const

const creditObjects: readonly SimulatedObject[] = [
  classObject({
    obis: token.obis,
    classId: 112,
    attributes: {
      current_credit_amount: (meter, nowMs) => int32(tokenCredit(meter, nowMs)),
      credit_type: 'token_credit',
      priority: 1,
      warning_threshold: lowCredit,
      limit: 0,
      credit_configuration: ['requires_visual_indication', 'able_to_receive_from_tokens'],
      credit_status: (meter, nowMs) =>
        encodedEnumerations[
          tokenCredit(meter, nowMs) > 0 ? CreditStatus.IN_USE : CreditStatus.EXHAUSTED
        ]!,
      preset_credit_amount: 0,
      credit_available_threshold: 0,
      period: '*-*-* *:*:*',
    },
    writable: ['warning_threshold', 'limit'],
    methods: {
      update_amount: (meter, amount, nowMs) => addCredit(meter, numberOf(amount), nowMs),
      set_amount_to_value(meter, amount, nowMs) {
        const before = tokenCredit(meter, nowMs)
        const result = addCredit(meter, numberOf(amount) - before, nowMs)
        return result === ActionResult.SUCCESS ? { result, value: int32(before) } : result
      },
    },
  }),
  classObject({
    obis: emergency.obis,
    classId: 112,
    attributes: {
      current_credit_amount: (meter) => int32(emergencyCredit(meter)),
      credit_type: 'emergency_credit',
      priority: 2,
      warning_threshold: 0,
      limit: 0,
      credit_configuration: [
        'requires_visual_indication',
        'requires_confirmation',
        'requires_payback_when_repaid',
      ],
      credit_status: (meter, nowMs) =>
        encodedEnumerations[
          paymentOf(meter).isEmergencySelected
            ? CreditStatus.IN_USE
            : tokenCredit(meter, nowMs) <= lowCredit
              ? CreditStatus.SELECTABLE
              : CreditStatus.ENABLED
        ]!,
      preset_credit_amount: emergencyAmount,
      credit_available_threshold: lowCredit,
      period: '*-*-* *:*:*',
    },
    methods: {
      invoke_credit(meter, _zero, nowMs) {
        if (tokenCredit(meter, nowMs) > lowCredit) return ActionResult.OTHER_REASON
        change(meter, { isEmergencySelected: true })
        settleSupply(meter, nowMs)
        return ActionResult.SUCCESS
      },
    },
  }),
]
// ── charge ──

const unitCharge = (price: number): Json => ({
  // Pence for a kWh of a register in Wh.
  charge_per_unit_scaling: { commodity_scale: 3, price_scale: 0 },
  commodity_reference: { class_id: 3, logical_name: '1-0:1.8.0.255', attribute_index: 2 },
  charge_table: [{ index: '', charge_per_unit: price }],
})
const noCharge: Json = { ...(unitCharge(0) as { [name: string]: Json }), charge_table: [] }

/** The price that a unit charge has for every index. */
function priceIn(unit: Buffer): number | undefined {
  const [, , table] = elementsOf(decodeValue(unit))
  const price = elementsOf(elementsOf(table)[0])[1]
  return price?.tag === Tag.LONG && price.value >= 0 ? price.value : undefined
}

function setPrice(meter: MeterState, price: number | undefined, nowMs: number): number {
  if (price === undefined) return ActionResult.OTHER_REASON
  const usedAmount = chargedAmount(meter, nowMs)
  change(meter, { usedAmount, usedWh: meter.loadAt(nowMs), price })
  return ActionResult.SUCCESS
}

const charge = classObject({
  obis: chargeName,
  classId: 113,
  attributes: {
    total_amount_paid: (meter, nowMs) => int32(chargedAmount(meter, nowMs)),
    charge_type: 'consumption_based_collection',
    priority: 1,
    unit_charge_active: (meter) =>
      writeAttribute({ classId: 113 }, 'unit_charge_active', unitCharge(paymentOf(meter).price)),
    unit_charge_passive: noCharge,
    unit_charge_activation_time: '*-*-* *:*:*',
    period: 0,
    charge_configuration: ['continuous_collection'],
    last_collection_time: (_meter, nowMs) => dateTime(nowMs),
    last_collection_amount: 0,
    total_amount_remaining: 0,
    proportion: 0,
  },
  writable: ['unit_charge_passive'],
  methods: {
    activate_passive_unit_charge: (meter, _zero, nowMs) =>
      setPrice(meter, priceIn(charge.shown(meter, 'unit_charge_passive')), nowMs),
  },
})

// ── account ──

const nextCreditSelectable = ['in_credit', 'low_credit', 'next_credit_selectable']

const account = classObject({
  obis: '0-0:19.0.0.255',
  classId: 111,
  attributes: {
    account_mode_and_status: { account_mode: 'prepayment_mode', account_status: 'account_active' },
    current_credit_in_use: (meter) =>
      paymentOf(meter).isEmergencySelected
        ? encoded((w) => w.uint8(emergency.index))
        : encodedUint8Zero,
    current_credit_status(meter, nowMs) {
      const left = tokenCredit(meter, nowMs) + emergencyCredit(meter)
      const bits =
        left <= 0 ? ['out_of_credit'] : left <= lowCredit ? nextCreditSelectable : ['in_credit']
      return writeAttribute({ classId: 111 }, 'current_credit_status', bits)
    },
    available_credit: (meter, nowMs) => int32(tokenCredit(meter, nowMs) + emergencyCredit(meter)),
    amount_to_clear: 0,
    clearance_threshold: 0,
    aggregated_debt: 0,
    credit_reference_list: [token.obis, emergency.obis],
    charge_reference_list: [chargeName],
    credit_charge_configuration: [
      { credit_reference: token.obis, charge_reference: chargeName, collection_configuration: [] },
      {
        credit_reference: emergency.obis,
        charge_reference: chargeName,
        collection_configuration: [],
      },
    ],
    token_gateway_configuration: [{ credit_reference: token.obis, token_proportion: 100 }],
    account_activation_time: (meter) => dateTime(meter.putInAtMs),
    account_closure_time: '*-*-* *:*:*',
    currency: { currency_name: 'GBP', currency_scale: -2, currency_unit: 'monetary' },
    low_credit_threshold: lowCredit,
    next_credit_available_threshold: lowCredit,
    max_provision: 0,
    max_provision_period: 0,
  },
  writable: [
    'low_credit_threshold',
    'next_credit_available_threshold',
    'max_provision',
    'max_provision_period',
  ],
})

export const paymentObjects: readonly SimulatedObject[] = [
  account,
  ...creditObjects,
  charge,
  tokenGateway,
]
