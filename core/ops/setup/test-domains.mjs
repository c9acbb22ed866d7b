// @ts-check
/**
 * Stands in for the package async-hook-domain in test processes: it says to which test of tap an
 * error belongs that nobody has caught. The package follows every promise with hooks of Node and
 * waits for its collection, which takes half of the CPU time of tests with many promises. Here the
 * domain is in an AsyncLocalStorage, which V8 itself carries along.
 */
import { AsyncLocalStorage, AsyncResource, executionAsyncResource } from 'node:async_hooks'

/** @type {AsyncLocalStorage<Domain>} */
const storage = new AsyncLocalStorage()
/** The first of this process: takes what belongs to no other. @type {Domain | undefined} */
let root

/** @returns {Domain | undefined} the innermost that is not over */
function currentDomain() {
  let domain = storage.getStore() ?? root
  while (domain?.isDestroyed) domain = domain.parent
  return domain
}

/** @param {unknown} error @param {string} event @returns {boolean} a domain has taken it */
function giveToDomain(error, event) {
  const domain = currentDomain()
  // Somebody else deals with it.
  if (
    domain === undefined ||
    process.hasUncaughtExceptionCaptureCallback() ||
    process.listenerCount('uncaughtException') > 0
  )
    return false
  try {
    domain.onerror(error, event)
  } catch (other) {
    domain.destroy()
    if (!giveToDomain(other, event)) throw other
  }
  return true
}

/** What runs in the scope in which it is made, and all that comes of it. */
export class Domain {
  isDestroyed = false

  /** @param {(error: unknown, event: string) => void} onerror */
  constructor(onerror) {
    this.onerror = onerror
    /** @type {Domain | undefined} */
    this.parent = storage.getStore() ?? root
    if (root === undefined) {
      root = this
      watch()
    }
    const resource = executionAsyncResource()
    if (!(resource instanceof AsyncResource)) return
    const run = resource.runInAsyncScope.bind(resource)
    resource.runInAsyncScope = (callback, that, ...args) =>
      run(() => storage.run(this, () => callback.apply(/** @type {any} */ (that), args)))
  }

  destroy() {
    this.isDestroyed = true
  }
}

function watch() {
  process.on('uncaughtExceptionMonitor', (error, origin) => {
    if (!giveToDomain(error, origin)) return
    // It was dealt with: the process goes on.
    process.setUncaughtExceptionCaptureCallback(() =>
      process.setUncaughtExceptionCaptureCallback(null),
    )
  })
  const emit = process.emit
  process.emit = /** @type {typeof emit} */ (
    /** @this {NodeJS.Process} @param {[any, ...any[]]} event */
    function (...event) {
      return event[0] === 'unhandledRejection' && process.listenerCount(event[0]) === 0
        ? giveToDomain(event[1], event[0])
        : emit.apply(this, /** @type {any} */ (event))
    }
  )
}
