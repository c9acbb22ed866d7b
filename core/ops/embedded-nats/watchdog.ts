/**
 * Ends a process when this one is gone, however it went: a shell in a session of its own reads a
 * pipe from us, and the end of the pipe is the end of us. Costs one sleeping shell; needs /bin/sh,
 * as every POSIX system has it.
 */
import { spawn } from 'node:child_process'
import { environmentOfServer } from '../setup/child-environment.mjs'

export type Watchdog = {
  /**
   * Ends process `pid` when we are gone. It has a session of its own, so a Ctrl-C or a kill of our
   * group does not reach it.
   */
  watch(pid: number): void
  dismiss(): void
}

const script = `trap '' HUP INT TERM
read -r pid && [ "$pid" ] || exit 0
read -r line || { kill -TERM $pid; i=0; while kill -0 $pid && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; [ $i -lt 100 ] || kill -KILL $pid; }`

/**
 * Started before the process that it watches, because it may fail.
 * @throws what the system says: out of descriptors (EMFILE), of processes (EAGAIN), of memory
 */
export async function startWatchdog(): Promise<Watchdog> {
  const watchdog = spawn('/bin/sh', ['-c', script], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: environmentOfServer(process.env),
  })
  const failed = new Promise<Error>((settle) => void watchdog.on('error', settle))
  const { pid, stdin } = watchdog
  // Without descriptors there is no stdin either, whatever its type says.
  if (pid === undefined || !stdin) throw await failed
  // It may be killed by somebody: then writing to it fails, which changes nothing for us.
  stdin.on('error', () => {})
  watchdog.unref()
  ;(stdin as unknown as { unref(): void }).unref()
  return { watch: (of) => void stdin.write(`${of}\n`), dismiss: () => void stdin.end('\n') }
}
