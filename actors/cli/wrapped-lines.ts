/**
 * `text` in lines of at most `columnMax` columns, each behind `prefix`; a word that is longer
 * stands in a line of its own.
 */
export function wrappedLines(text: string, prefix: string, columnMax: number): string[] {
  const lines: string[] = []
  let line = prefix
  for (const word of text.split(' ')) {
    const isFirst = line === prefix
    if (!isFirst && line.length + 1 + word.length > columnMax) {
      lines.push(line)
      line = prefix + word
    } else line += isFirst ? word : ` ${word}`
  }
  return [...lines, line]
}
