/**
 * JSON schemas of the messages of busbar.v1 in their proto3 JSON form, made from the descriptors
 * that reflection serves, so that they cannot differ from the contract. For answers: members may be
 * absent, and a newer gateway may add some, as it may add values of enums.
 * @source the JSON mapping of proto3
 */
import { readFileSync } from 'node:fs'
import {
  createFileRegistry,
  fromBinary,
  ScalarType,
  type DescEnum,
  type DescField,
  type DescMessage,
} from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'

export type Schema = { readonly [key: string]: unknown }

const descriptorSet = new URL('../../../proto/gen/descriptors.binpb', import.meta.url)
const prefix = 'busbar.v1.'

/** A reference to the schema of a message, by its name without the package. */
export const messageRef = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })

const wide: Schema = { type: 'string', pattern: '^-?\\d{1,20}$' }
const double: Schema = { anyOf: [{ type: 'number' }, { enum: ['NaN', 'Infinity', '-Infinity'] }] }
const int32: Schema = { type: 'integer', minimum: -(2 ** 31), maximum: 2 ** 31 - 1 }
const uint32: Schema = { type: 'integer', minimum: 0, maximum: 2 ** 32 - 1 }

const scalars: Readonly<Record<ScalarType, Schema>> = {
  [ScalarType.DOUBLE]: double,
  [ScalarType.FLOAT]: double,
  [ScalarType.INT64]: wide,
  [ScalarType.UINT64]: wide,
  [ScalarType.FIXED64]: wide,
  [ScalarType.SFIXED64]: wide,
  [ScalarType.SINT64]: wide,
  [ScalarType.INT32]: int32,
  [ScalarType.SINT32]: int32,
  [ScalarType.SFIXED32]: int32,
  [ScalarType.UINT32]: uint32,
  [ScalarType.FIXED32]: uint32,
  [ScalarType.BOOL]: { type: 'boolean' },
  [ScalarType.STRING]: { type: 'string' },
  [ScalarType.BYTES]: { type: 'string', contentEncoding: 'base64' },
}

/** Names of this version; a value without a name here is its number. */
const enumSchema = ({ values }: DescEnum): Schema => ({
  anyOf: [{ enum: values.map(({ name }) => name) }, { type: 'integer' }],
})

function messageSchema({ typeName }: DescMessage): Schema {
  return typeName === 'google.protobuf.Timestamp'
    ? { type: 'string', format: 'date-time' }
    : messageRef(typeName.slice(prefix.length))
}

function oneSchema({ scalar, enum: names, message }: DescField): Schema {
  if (names !== undefined) return enumSchema(names)
  return message === undefined ? scalars[scalar!] : messageSchema(message)
}

function fieldSchema(field: DescField): Schema {
  return field.fieldKind === 'list' ? { type: 'array', items: oneSchema(field) } : oneSchema(field)
}

/** Schemas of `names` and of all messages that they hold, by name without the package. */
export function messageSchemas(names: readonly string[]): Record<string, Schema> {
  const registry = createFileRegistry(
    fromBinary(FileDescriptorSetSchema, readFileSync(descriptorSet)),
  )
  const schemas: Record<string, Schema> = {}
  const add = (message: DescMessage): void => {
    const name = message.typeName.slice(prefix.length)
    if (!message.typeName.startsWith(prefix) || schemas[name] !== undefined) return
    schemas[name] = {
      type: 'object',
      properties: Object.fromEntries(
        message.fields.map((field) => [field.jsonName, fieldSchema(field)]),
      ),
    }
    for (const field of message.fields) if (field.message !== undefined) add(field.message)
  }
  for (const name of names) add(registry.getMessage(prefix + name)!)
  return schemas
}
