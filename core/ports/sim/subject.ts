/**
 * True when `subject` matches `pattern`, whose last token may be `*`; as on NATS, which knows more.
 */
export function isMatching(pattern: string, subject: string): boolean {
  if (!pattern.endsWith('.*')) return pattern === subject
  const head = pattern.slice(0, -1)
  return subject.startsWith(head) && !subject.includes('.', head.length)
}
