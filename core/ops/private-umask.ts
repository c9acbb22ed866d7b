/**
 * Files of this process and its children that nobody else may read, whatever umask it was started
 * with.
 */
import { isMainThread } from 'node:worker_threads'

/**
 * Runs `action`, which starts a child or makes files before it returns, so that all of them are
 * their owner's alone.
 */
export function withPrivateUmask<T>(action: () => T): T {
  // The umask is the process's; a worker thread may not set it, and starts no servers.
  if (!isMainThread) return action()
  const before = process.umask(0o077)
  try {
    return action()
  } finally {
    process.umask(before)
  }
}
