/** How a long-running command learns that it is to end. */
import { Option } from 'commander'

/** For a process that starts this one, and must not be outlived by it. */
export const endsWithInputOption = (): Option =>
  new Option('--ends-with-input', 'end when stdin does').hideHelp()

/** Settles at SIGINT or SIGTERM, or when stdin ends and the parent asked for that. */
export function untilStopped(isEndingWithInput: boolean): Promise<undefined> {
  return new Promise((resolve) => {
    const stop = (): void => {
      // An open pipe would keep the process alive.
      if (isEndingWithInput) process.stdin.destroy()
      resolve(undefined)
    }
    process.once('SIGINT', stop)
    process.once('SIGTERM', stop)
    if (isEndingWithInput) process.stdin.on('end', stop).resume()
  })
}
