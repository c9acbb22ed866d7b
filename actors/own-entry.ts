/** The file that runs the `busbar` command, for processes that start another of the same kind. */
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Absolute path: TypeScript in a clone, compiled JavaScript in an installed package, as this file.
 */
export const ownEntry = fileURLToPath(new URL(`main${extname(import.meta.url)}`, import.meta.url))
