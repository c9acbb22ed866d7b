/**
 * What the demonstration shows of schedules: one is created whose first run is due in a few
 * seconds, its answer is taken, and the schedule is deleted.
 */
import { SupplierClient, type DeliveryStream } from '../../core/client/supplier-client.ts'
import { CreateSchedule, DeleteSchedules } from '../../proto/gen/busbar/v1/schedule.ts'
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'
import type { ServiceResponse } from '../../proto/gen/busbar/v1/service_response.ts'
import { readingLines } from '../cli/party/reading-text.ts'
import type { DemoDevice } from './plan.ts'
import type { SupplierOptions } from './supplier.ts'

export type ScheduleShown = {
  device: string
  /** Why it was not created; left out when it was. */
  refusal?: string
  scheduleId: bigint
  dueAt: Date
  /** Of the first run. */
  response: ServiceResponse | undefined
}

const srv = '4.8.1'
/** From the creation to the first run; the wire has whole seconds. */
const aheadMs = 3_000
/** The first run is answered by then. */
const answerMsMax = 20_000
const credit = 100

/** Undefined without a meter to show it at. */
export async function showSchedule(
  { address, parties, credentialsOf }: SupplierOptions,
  devices: readonly DemoDevice[],
): Promise<ScheduleShown | undefined> {
  const device = devices.find(({ type }) => type === 'ESME')?.eui64
  const party = parties.get('IS')
  if (device === undefined || party === undefined) return undefined
  const client = new SupplierClient({ address, credentials: credentialsOf(party) })
  const responses = new Responses(client)
  try {
    const dueAt = new Date(Math.ceil((Date.now() + aheadMs) / 1_000) * 1_000)
    const counter = client.nextCounter()
    const requestId = { originator: party, target: device, counter }
    const { responseCode, reason } = await client.submit(creation(requestId, dueAt))
    if (responseCode !== 'I99')
      return { device, refusal: reason, scheduleId: 0n, dueAt, response: undefined }
    const created = await responses.until(({ requestId: id }) => id?.counter === counter)
    const scheduleId = created?.body?.schedules[0]?.scheduleId ?? 0n
    const response = await responses.until((one) => one.scheduleId === scheduleId)
    await client.submit(deletion({ ...requestId, counter: client.nextCounter() }, scheduleId))
    return { device, scheduleId, dueAt, response }
  } finally {
    await responses.end()
    client.close()
  }
}

/** What comes for the party, from now on. */
class Responses {
  private readonly found: ServiceResponse[] = []
  private readonly stream: DeliveryStream
  private onResponse: () => void = () => undefined

  constructor(client: SupplierClient) {
    this.stream = client.receive(credit, (list) => {
      for (const { content } of list)
        if (content?.$case === 'response') this.found.push(content.value)
      const last = list.at(-1)
      if (last !== undefined) this.stream.acknowledge(last.deliveryId)
      this.onResponse()
    })
    // The time limit of `until` says what is missing.
    this.stream.done.catch(() => undefined)
  }

  /** The first response that `isIt` accepts; undefined when none has come in time. */
  until(isIt: (response: ServiceResponse) => boolean): Promise<ServiceResponse | undefined> {
    return new Promise((resolve) => {
      const look = (): void => {
        const response = this.found.find(isIt)
        if (response === undefined) return
        clearTimeout(timer)
        resolve(response)
      }
      const timer = setTimeout(() => resolve(undefined), answerMsMax)
      this.onResponse = look
      look()
    })
  }

  async end(): Promise<void> {
    await this.stream.end().catch(() => undefined)
  }
}

function creation(
  requestId: NonNullable<ServiceRequest['requestId']>,
  dueAt: Date,
): ServiceRequest {
  const [day = '', time = ''] = dueAt.toISOString().split(/[T.]/)
  return ServiceRequest.fromPartial({
    requestId,
    serviceReferenceVariant: '5.1',
    body: {
      $case: 'createSchedule',
      value: CreateSchedule.fromPartial({
        frequency: 1,
        startDate: day,
        startTime: time,
        serviceReferenceVariant: srv,
        logWindow: { startDaysBefore: 1, startTime: '00:00', endDaysBefore: 1, endTime: '01:00' },
      }),
    },
  })
}

const deletion = (
  requestId: NonNullable<ServiceRequest['requestId']>,
  scheduleId: bigint,
): ServiceRequest =>
  ServiceRequest.fromPartial({
    requestId,
    serviceReferenceVariant: '5.3',
    body: { $case: 'deleteSchedules', value: DeleteSchedules.fromPartial({ scheduleId }) },
  })

/** For people. */
export function scheduleLines(shown: ScheduleShown | undefined): string[] {
  if (shown === undefined) return []
  const { device, refusal, scheduleId, dueAt, response } = shown
  if (refusal !== undefined) return [`a schedule of ${srv} for ${device} was rejected: ${refusal}`]
  const at = dueAt.toISOString().slice(11, 19)
  const answer = response === undefined ? ['no answer'] : readingLines(response.body).slice(0, 4)
  return [
    `schedule ${scheduleId}: ${srv} of device ${device} every day at ${at} UTC; its first run:`,
    ...answer.map((line) => `    ${line}`),
  ]
}
