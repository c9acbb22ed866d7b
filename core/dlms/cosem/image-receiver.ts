/**
 * The Image transfer object of a device: it gathers blocks in any order, verifies and activates
 * what it has, and answers reads.
 * [IEC 62056-6-2, Image transfer (class_id 18)]
 *
 *   not initiated ─ initiate ─▶ initiated ─ verify ─▶ (verifying) ─▶ verified | failed ─ activate ─▶ (activating) ─▶ activated | failed
 */
import { emptyBytes } from '../../base/bytes.ts'
import { ActionResult, DataAccessResult } from '../apdu/constants.ts'
import { decodeValue, Tag, type AxdrValue } from '../axdr/axdr.ts'
import { writeAttribute } from './attribute.ts'
import type { Json } from './type.ts'

/** What the device does with an image; undefined: it is still at it, and is asked again. */
export type ImageChecks = {
  verify(image: Buffer, identifier: Buffer): boolean | undefined
  activate(image: Buffer, identifier: Buffer): boolean | undefined
  /** Shown beside a verified image. */
  signatureOf(image: Buffer): Buffer
}
export type ImageReceiverOptions = {
  blockBytes: number
  imageBytesMax: number
  checks: ImageChecks
}

type Status =
  | 'not_initiated'
  | 'initiated'
  | 'verification_initiated'
  | 'verification_successful'
  | 'verification_failed'
  | 'activation_initiated'
  | 'activation_successful'
  | 'activation_failed'

const imageTransfer = { classId: 18, version: 0 }

export class ImageReceiver {
  private readonly options: ImageReceiverOptions
  private isEnabled = true
  private status: Status = 'not_initiated'
  private image: Buffer = emptyBytes
  private identifier: Buffer = emptyBytes
  private hasBlock: boolean[] = []

  constructor(options: ImageReceiverOptions) {
    this.options = options
  }

  /** The A-XDR of attributes 2 to 7, owned, or a data-access-result. */
  read(attributeId: number): Buffer | number {
    this.goOn()
    const json = this.jsonOf(attributeId)
    return json === undefined
      ? DataAccessResult.OBJECT_UNDEFINED
      : writeAttribute(imageTransfer, attributeId, json)
  }

  /** Attribute 5 alone may be set. Gives a data-access-result. */
  write(attributeId: number, valueView: Buffer): number {
    if (attributeId !== 5) return DataAccessResult.READ_WRITE_DENIED
    const value = decodeValue(valueView)
    if (value.tag !== Tag.BOOLEAN) return DataAccessResult.TYPE_UNMATCHED
    this.isEnabled = value.value
    return DataAccessResult.SUCCESS
  }

  /** Methods 1 to 4. Gives an action-result. @throws BrokerError as `decodeValue` */
  invoke(methodId: number, parameterView: Buffer | undefined): number {
    this.goOn()
    if (!this.isEnabled) return ActionResult.OBJECT_UNAVAILABLE
    const parameter = parameterView === undefined ? undefined : decodeValue(parameterView)
    switch (methodId) {
      case 1:
        return this.initiate(parameter)
      case 2:
        return this.take(parameter)
      case 3:
        return this.verify()
      case 4:
        return this.activate()
      default:
        return ActionResult.OBJECT_UNDEFINED
    }
  }

  private initiate(parameter: AxdrValue | undefined): number {
    const [identifier, size] = fieldsOf(parameter)
    if (identifier?.tag !== Tag.OCTET_STRING || size?.tag !== Tag.DOUBLE_LONG_UNSIGNED)
      return ActionResult.TYPE_UNMATCHED
    if (size.value < 1 || size.value > this.options.imageBytesMax) return ActionResult.OTHER_REASON
    this.image = Buffer.alloc(size.value)
    this.identifier = identifier.value
    this.hasBlock = Array.from(
      { length: Math.ceil(size.value / this.options.blockBytes) },
      () => false,
    )
    this.status = 'initiated'
    return ActionResult.SUCCESS
  }

  private take(parameter: AxdrValue | undefined): number {
    const [number, block] = fieldsOf(parameter)
    if (number?.tag !== Tag.DOUBLE_LONG_UNSIGNED || block?.tag !== Tag.OCTET_STRING)
      return ActionResult.TYPE_UNMATCHED
    if (this.status !== 'initiated') return ActionResult.OTHER_REASON
    const start = number.value * this.options.blockBytes
    const bytes = Math.min(this.options.blockBytes, this.image.length - start)
    if (number.value >= this.hasBlock.length || block.value.length !== bytes)
      return ActionResult.OTHER_REASON
    block.value.copy(this.image, start)
    this.hasBlock[number.value] = true
    return ActionResult.SUCCESS
  }

  private verify(): number {
    if (this.status === 'verification_successful') return ActionResult.SUCCESS
    if (this.status !== 'initiated' && this.status !== 'verification_initiated')
      return ActionResult.OTHER_REASON
    if (this.hasBlock.includes(false)) return ActionResult.OTHER_REASON
    this.status = 'verification_initiated'
    this.goOn()
    return outcomeOf(this.status, 'verification_successful', 'verification_initiated')
  }

  private activate(): number {
    if (this.status === 'verification_successful') this.status = 'activation_initiated'
    else if (this.status !== 'activation_initiated') return ActionResult.OTHER_REASON
    this.goOn()
    return outcomeOf(this.status, 'activation_successful', 'activation_initiated')
  }

  /** Looks whether what is under way has come to its end. */
  private goOn(): void {
    const { checks } = this.options
    if (this.status === 'verification_initiated') {
      const isGood = checks.verify(this.image, this.identifier)
      if (isGood !== undefined)
        this.status = isGood ? 'verification_successful' : 'verification_failed'
    } else if (this.status === 'activation_initiated') {
      const isGood = checks.activate(this.image, this.identifier)
      if (isGood !== undefined) this.status = isGood ? 'activation_successful' : 'activation_failed'
    }
  }

  private jsonOf(attributeId: number): Json | undefined {
    const firstMissing = this.hasBlock.indexOf(false)
    switch (attributeId) {
      case 2:
        return this.options.blockBytes
      case 3:
        return this.hasBlock.map(Number).join('')
      case 4:
        return firstMissing < 0 ? this.hasBlock.length : firstMissing
      case 5:
        return this.isEnabled
      case 6:
        return this.status
      case 7:
        return this.status === 'verification_successful' ? [this.listed()] : []
      default:
        return undefined
    }
  }

  private listed(): Json {
    return {
      image_to_activate_size: this.image.length,
      image_to_activate_identification: this.identifier.toString('hex'),
      image_to_activate_signature: this.options.checks.signatureOf(this.image).toString('hex'),
    }
  }
}

function outcomeOf(status: Status, good: Status, underWay: Status): number {
  if (status === good) return ActionResult.SUCCESS
  return status === underWay ? ActionResult.TEMPORARY_FAILURE : ActionResult.OTHER_REASON
}

function fieldsOf(value: AxdrValue | undefined): AxdrValue[] {
  return value?.tag === Tag.STRUCTURE ? value.elements : []
}
