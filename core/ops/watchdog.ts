/**
 * Ends a process when this one is gone, however it went: a shell in a session of its own reads a pipe from us, and the end
 * of the pipe is the end of us. Costs one sleeping shell; needs /bin/sh, as every POSIX system has it.
 */
import { spawn } from 'node:child_process'

/**
 * Ends process `pid` when our end of its stdin closes without a line before: that is, when we are gone. It has a session of
 * its own, so a Ctrl-C or a kill of our group does not reach it.
 */
export function startWatchdog(pid: number): { dismiss(): void } {
  const script = `trap '' HUP INT TERM; read -r line || { kill -TERM ${pid}; i=0; while kill -0 ${pid} && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; kill -KILL ${pid}; }`
  const watchdog = spawn('/bin/sh', ['-c', script], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  const stdin = watchdog.stdin!
  // It may be killed by somebody: then writing to it fails, which changes nothing for us.
  stdin.on('error', () => {})
  watchdog.on('error', () => {})
  watchdog.unref()
  ;(stdin as unknown as { unref(): void }).unref()
  return { dismiss: () => void stdin.end('\n') }
}
