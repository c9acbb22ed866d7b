/**
 * The door of COSEM objects: classes as data, values in words and back, names, profiles, object
 * lists, procedures. Pure.
 */
export {
  decodeScalerUnit,
  isScaled,
  readAttribute,
  readReturn,
  scaledValue,
  scalerAttributeOf,
  unitCode,
  writeAttribute,
  writeParameter,
  type MemberOf,
  type Reading,
  type Scaled,
  type ScalerUnit,
} from './attribute.ts'
export {
  attributeOf,
  attributeShortName,
  classOf,
  findClass,
  interfaceClasses,
  methodOf,
  methodShortName,
  type Attribute,
  type InterfaceClass,
  type Method,
} from './class-table.ts'
export {
  octetsOfDate,
  octetsOfDateTime,
  octetsOfTime,
  textOfDate,
  textOfDateTime,
  textOfTime,
} from './date-time-text.ts'
export { scaledFloatText, scaledText, unscaled } from './decimal.ts'
export { ControlState, nextControlState, type ControlTrigger } from './disconnect-control.ts'
export { ImageReceiver, type ImageChecks, type ImageReceiverOptions } from './image-receiver.ts'
export {
  imageOperations,
  imageStart,
  interruptedImage,
  nextImageState,
  type ImageFailure,
  type ImagePhase,
  type ImagePlan,
  type ImageState,
} from './image-transfer.ts'
export { labelledValues, obisIn, scalerUnitIn, type LabelledValue } from './labelled.ts'
export {
  decodeObjectList,
  decodeShortNameList,
  encodeObjectList,
  findObject,
  shortNamesOf,
  type AttributeRights,
  type ListedObject,
  type MethodRights,
  type ObjectList,
  type Protection,
  type ShownObject,
} from './object-list.ts'
export { usualClassOf } from './obis-class.ts'
export { formatObisWithStar, nameOfObis } from './obis-name.ts'
export { invokeOperation, readOperation, writeOperation, type CosemObject } from './operation.ts'
export {
  compressRows,
  decodeColumns,
  isClockColumn,
  nameOfColumn,
  rangeOfEntries,
  rangeOfLocalTimes,
  rangeOfTimes,
  readProfile,
  type Profile,
  type ProfileCell,
  type ProfileColumn,
  type ProfileOptions,
  type ProfileRow,
} from './profile.ts'
export { localTimeSlackMs, rowsByNumber, rowsWithin, type CutProfile } from './profile-cut.ts'
export { ProfileBuffer, SortMethod, type BufferOptions } from './profile-buffer.ts'
export { describedValueIn, pushObjectsIn, type PushObject } from './push-objects.ts'
export { rawJson, valueOfRaw } from './raw-json.ts'
export { meaningOf, type Meaning, type Note, type Problem } from './reading.ts'
export {
  activatePolicy,
  agreeKeys,
  decodeAgreedKeys,
  decodeDer,
  exportCertificate,
  generateKeyPair,
  importCertificate,
  removeCertificate,
  requestCertificateSigning,
  transferKeys,
  type CertificateName,
  type KeyOctets,
  type KeyPairUse,
  type SecuritySetup,
} from './security-setup.ts'
export { formatType, type CosemType, type Json } from './type.ts'
export { KeyId } from '../security/suite.ts'
export { shortNameBook } from './short-name-book.ts'
export { unitNames, unitOf } from './units.ts'
export { valueOf } from './writing.ts'
