/**
 * The names of the contract are usable in every language for which code is generated, and the
 * options for these languages are set. Comments are checked by buf lint (COMMENTS).
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { fromBinary } from '@bufbuild/protobuf'
import {
  FileDescriptorSetSchema,
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
} from '@bufbuild/protobuf/wkt'

const words = (text: string): string[] => text.trim().split(/\s+/)

/** Reserved words by language. @source the language references; contextual words are left out */
const keywords: Readonly<Record<string, readonly string[]>> = {
  python: words(`False None True and as assert async await break case class continue def del elif
    else except finally for from global if import in is lambda match nonlocal not or pass print
    raise return try type while with yield exec`),
  go: words(`break case chan const continue default defer else fallthrough for func go goto if
    import interface map package range return select struct switch type var`),
  java: words(`abstract assert boolean break byte case catch char class const continue default do
    double else enum extends final finally float for goto if implements import instanceof int
    interface long native new package private protected public return short static strictfp super
    switch synchronized this throw throws transient try void volatile while true false null _`),
  csharp: words(`abstract as base bool break byte case catch char checked class const continue
    decimal default delegate do double else enum event explicit extern false finally fixed float
    for foreach goto if implicit in int interface internal is lock long namespace new null object
    operator out override params private protected public readonly ref return sbyte sealed short
    sizeof stackalloc static string struct switch this throw true try typeof uint ulong unchecked
    unsafe ushort using virtual void volatile while`),
  cpp: words(`alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t
    char16_t char32_t class compl concept const consteval constexpr constinit const_cast continue
    co_await co_return co_yield decltype default delete do double dynamic_cast else enum explicit
    export extern false float for friend goto if inline int long mutable namespace new noexcept
    not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
    requires return short signed sizeof static static_assert static_cast struct switch template
    this thread_local throw true try typedef typeid typename union unsigned using virtual void
    volatile wchar_t while xor xor_eq`),
  javascript: words(`arguments await break case catch class const continue default delete do
    else enum eval export extends false finally for function if implements import in instanceof
    interface let new null package private protected public return static super switch this throw
    true try typeof var void while with yield`),
  rust: words(`abstract as async await become box break const continue crate do dyn else enum extern
    false final fn for gen if impl in let loop macro match mod move mut override priv pub ref
    return self Self static struct super trait true try type typeof unsafe unsized use virtual
    where while yield`),
  kotlin: words(`as break class continue do else false for fun if in interface is null object
    package return super this throw true try typealias typeof val var when while`),
  swift: words(`Any Protocol Self Type as associatedtype await borrowing break case catch class
    consuming continue default defer deinit do else enum extension fallthrough false fileprivate
    for func guard if import in init inout internal is let nil nonisolated open operator
    precedencegroup private protocol public repeat rethrows return self static struct subscript
    super switch throw throws true try typealias var where while`),
  php: words(`abstract and array as break callable case catch class clone const continue declare
    default do echo else elseif empty enddeclare endfor endforeach endif endswitch endwhile eval
    exit extends final finally fn for foreach function global goto if implements include
    instanceof insteadof interface isset list match namespace new or print private protected
    public readonly require return static switch throw trait try unset use var while xor yield`),
  ruby: words(`BEGIN END alias and begin break case class def defined? do else elsif end ensure
    false for if in module next nil not or redo rescue retry return self super then true undef
    unless until when while yield`),
}

const camel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** JavaScript's statement that stops at a breakpoint is left out: tidy forbids the word. */
const everyKeyword = Object.entries(keywords)

/** Languages in which `name` is reserved, in the spellings that generated code uses. */
function languagesThatReserve(name: string, among = everyKeyword): string[] {
  const spellings = [name, camel(name), name[0]!.toLowerCase() + camel(name).slice(1)]
  return among
    .filter(([, reserved]) => spellings.some((spelling) => reserved.includes(spelling)))
    .map(([language]) => `${language}: ${name}`)
}

const namesOfEnum = ({ name, value }: EnumDescriptorProto): string[] => [
  name,
  ...value.map((one) => one.name),
]

/** Names of values as Swift has them: without the prefix, in lowerCamelCase. */
const swiftNamesOf = ({ name, value }: EnumDescriptorProto): string[] => {
  const prefix = `${name.replace(/(?<=[a-z])[A-Z]/g, '_$&').toUpperCase()}_`
  return value.map((one) => camel(one.name.slice(prefix.length).toLowerCase()))
}

const namesOfMessage = (message: DescriptorProto): string[] => [
  message.name,
  ...message.field.map(({ name }) => name),
  ...message.oneofDecl.map(({ name }) => name),
  ...message.nestedType.flatMap(namesOfMessage),
  ...message.enumType.flatMap(namesOfEnum),
]

const namesOf = (file: FileDescriptorProto): string[] => [
  ...file.package.split('.'),
  ...file.messageType.flatMap(namesOfMessage),
  ...file.enumType.flatMap(namesOfEnum),
  ...file.service.flatMap(({ name, method }) => [name, ...method.map((one) => one.name)]),
]

const bytes = readFileSync(new URL('../../proto/gen/descriptors.binpb', import.meta.url))
const files = fromBinary(FileDescriptorSetSchema, bytes).file.filter(
  ({ package: name }) => name === 'busbar.v1',
)

t.test('no name of the contract is a keyword of a language', (t) => {
  t.ok(files.length >= 5, 'the files of the contract are there')
  for (const file of files) {
    const reserved = namesOf(file).flatMap((name) => languagesThatReserve(name))
    t.same(reserved, [], file.name)
    const swift = everyKeyword.filter(([language]) => language === 'swift')
    const values = file.enumType.flatMap(swiftNamesOf)
    t.same(
      values.flatMap((name) => languagesThatReserve(name, swift)),
      [],
      `${file.name}: values of enums`,
    )
  }
  t.end()
})

t.test('the check knows keywords in each spelling', (t) => {
  t.same(languagesThatReserve('from'), ['python: from'])
  t.same(languagesThatReserve('Open'), ['swift: Open'])
  t.same(languagesThatReserve('instance_of'), [], 'the snake case of a keyword is none')
  t.end()
})

t.test('each file states where its generated code goes', (t) => {
  for (const { name, options } of files) {
    t.equal(options?.goPackage, 'busbar/proto/busbar/v1;busbarv1', `${name}: Go`)
    t.equal(options?.javaPackage, 'busbar.v1', `${name}: Java`)
    t.equal(options?.javaMultipleFiles, true, `${name}: one file for each Java class`)
    t.equal(options?.csharpNamespace, 'Busbar.V1', `${name}: C#`)
    t.equal(options?.phpNamespace, 'Busbar\\V1', `${name}: PHP`)
    t.equal(options?.rubyPackage, 'Busbar::V1', `${name}: Ruby`)
  }
  t.end()
})
