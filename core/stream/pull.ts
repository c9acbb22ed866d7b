/**
 * A demand-driven source. RxJS has no back-pressure of its own: what is pushed faster than it is
 * worked on piles up in an operator's queue (measured: 1,000 pulled, 3 worked on). Here nothing is
 * taken from the source before the step for the batch before it has settled, so what waits, waits
 * where it is bounded: in the mailbox.
 *
 *   mailbox ──take(max)──► step(batch) ──settled──► result downstream ──► take(max) …
 *
 * The step stands inside because an Observable is never told when its consumer is done. Batches are
 * arrays: one notification a batch, never one a message. It does not order, retry or time anything.
 */
import { Observable } from 'rxjs'

export type PullSource<T> = {
  /** At most `countMax` items, taken out of the source; an empty array when there are none. */
  take(countMax: number): T[]
  /**
   * Registers what to call when there may be items again. Calling it too often is harmless, calling
   * it never is a standstill.
   */
  onReady(ready: () => void): void
}

export type PullOptions = {
  /** Items of one batch. */
  batchMax?: number
}

/**
 * Takes batches from `source` and emits what `step` makes of each, one after the other, for as long
 * as there is a subscriber. The first batch of a silent source is taken in a microtask, so that
 * what arrives in one turn of the event loop goes together. An error of `step` ends the stream;
 * after unsubscribing nothing more is taken, and a step under way finishes unheard.
 */
export function pullFrom<T, R>(
  source: PullSource<T>,
  step: (batch: T[]) => PromiseLike<R> | R,
  options: PullOptions = {},
): Observable<R> {
  const batchMax = options.batchMax ?? Number.MAX_SAFE_INTEGER
  return new Observable<R>((subscriber) => {
    let isPlanned = false
    let isStepping = false

    const plan = (): void => {
      if (isPlanned || isStepping || subscriber.closed) return
      isPlanned = true
      queueMicrotask(() => {
        isPlanned = false
        pump()
      })
    }

    const pump = (): void => {
      while (!isStepping && !subscriber.closed) {
        const batch = source.take(batchMax)
        if (batch.length === 0) return
        isStepping = true
        let result: PromiseLike<R> | R
        try {
          result = step(batch)
        } catch (fault) {
          subscriber.error(fault)
          return
        }
        if (isPromiseLike(result)) {
          result.then(
            (value) => {
              isStepping = false
              subscriber.next(value)
              pump()
            },
            (fault: unknown) => subscriber.error(fault),
          )
          return
        }
        isStepping = false
        subscriber.next(result)
      }
    }

    source.onReady(plan)
    plan()
  })
}

function isPromiseLike<R>(value: PromiseLike<R> | R): value is PromiseLike<R> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { then?: unknown }).then === 'function'
  )
}
