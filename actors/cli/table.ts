/** Tables for people. */

/** Lines with the columns of `rows` under one another. */
export function tableOf(rows: ReadonlyArray<ReadonlyArray<string | number>>): string[] {
  const texts = rows.map((row) => row.map(String))
  const widths = (texts[0] ?? []).map((_, column) =>
    texts.reduce((width, row) => Math.max(width, row[column]!.length), 0),
  )
  return texts.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
}
