/**
 * COSEM data in A-XDR, the door of its three files: layout (tags, lengths, skipping), writer, value
 * trees.
 */
export {
  bcdNumber,
  contentBytesOf,
  hasFloatLength,
  lengthBytes,
  lengthBytesFor,
  nameOfType,
  readLength,
  skipOctets,
  skipValue,
  Tag,
  writeLength,
} from './layout.ts'
export {
  decodeType,
  decodeValue,
  encodeValue,
  integerRanges,
  utf8Value,
  type AxdrType,
  type AxdrValue,
} from './value.ts'
export { AxdrWriter } from './writer.ts'
