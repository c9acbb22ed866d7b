/**
 * New firmware for electricity meters (class 18): blocks are gathered by core's receiver, and here
 * is what a meter makes of an image. It takes some seconds to activate one, whether the client
 * waits or not. [IEC 62056-6-2, Image transfer]
 *
 *   image   the firmware's version as text, line feed, any octets, SHA-256 of all before
 */
import { ActionResult } from '../../../core/dlms/apdu/constants.ts'
import { ImageReceiver } from '../../../core/dlms/cosem/index.ts'
import { digest } from '../../../core/crypto/crypto.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { cosemObject, type SimulatedObject } from './cosem-object.ts'
import { EventCode } from '../model/event-log.ts'
import type { MeterState } from '../model/meter-state.ts'

export const imageLimits = {
  blockBytes: 512,
  /** In memory for each meter that is being sent one. */
  imageBytesMax: 1024 * 1024,
  /** Until a verified image is active. */
  activationMs: 5_000,
} as const

const digestBytes = 32
const versionPattern = /^BSB-E-\d{1,3}\.\d{1,3}\.\d{1,3}$/

/** An image that electricity meters take. `version` as `BSB-E-5.0.0`. */
export function firmwareImage(version: string, content: Uint8Array): Buffer {
  const signed = Buffer.concat([Buffer.from(`${version}\n`, 'latin1'), content])
  return Buffer.concat([signed, digest('sha256', signed)])
}

/** The version that a good image is of. */
function versionIn(image: Buffer): string | undefined {
  const signed = image.subarray(0, -digestBytes)
  const version = signed.subarray(0, Math.max(0, signed.indexOf(0x0a))).toString('latin1')
  const isWhole = digest('sha256', signed).equals(image.subarray(-digestBytes))
  return isWhole && versionPattern.test(version) ? version : undefined
}

function receiverFor(meter: MeterState): ImageReceiver {
  let activatedAtMs: number | undefined
  return new ImageReceiver({
    ...imageLimits,
    checks: {
      verify(image) {
        activatedAtMs = undefined
        const isGood = versionIn(image) !== undefined
        const code = isGood ? EventCode.FIRMWARE_READY : EventCode.FIRMWARE_REFUSED
        meter.record(code, meter.model.clock.now())
        return isGood
      },
      activate(image) {
        const nowMs = meter.model.clock.now()
        activatedAtMs ??= nowMs + imageLimits.activationMs
        if (nowMs < activatedAtMs) return undefined
        meter.record(EventCode.FIRMWARE_ACTIVATED, activatedAtMs).firmware = versionIn(image)!
        return true
      },
      signatureOf: (image) => image.subarray(-digestBytes),
    },
  })
}

/** What a meter shows that nobody has sent anything. */
const untouched = new ImageReceiver({
  ...imageLimits,
  checks: {
    verify: () => false,
    activate: () => false,
    signatureOf: (image) => image,
  },
})

const kept = (meter: MeterState): ImageReceiver => {
  const changes = meter.changesOrNew()
  changes.image ??= receiverFor(meter)
  return changes.image
}

/** Ends what an activation began, though no client asks. */
export function settleImage(meter: MeterState): void {
  void meter.changes?.image?.read(6)
}

function invoke(meter: MeterState, method: number, parameterView: Buffer | undefined): number {
  try {
    const result = kept(meter).invoke(method, parameterView)
    return result === ActionResult.OBJECT_UNDEFINED ? ActionResult.READ_WRITE_DENIED : result
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return ActionResult.TYPE_UNMATCHED
  }
}

export const imageTransfer: SimulatedObject = cosemObject({
  obis: '0-0:44.0.0.255',
  classId: 18,
  attributeMax: 7,
  methodMax: 4,
  writable: [5],
  read: (meter, attribute) => (meter.changes?.image ?? untouched).read(attribute),
  write: (meter, attribute, valueView) => kept(meter).write(attribute, valueView),
  invoke,
})
