/**
 * What a process with the role `views` has: the views over a store in its data directory, and the
 * operators' door to them.
 */
import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../../core/base/broker-error.ts'
import { parseEui64, readEui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { openLmdbRows } from '../../core/store/lmdb-rows.ts'
import type { RowStore } from '../../core/ports/rows.ts'
import {
  inventoryOf,
  inventoryPage,
  inventoryQueryOf,
  missingIn,
  usagePage,
  usageQueryOf,
} from '../views/queries.ts'
import { Views, type ViewsPorts } from '../views/views.ts'
import type { MeterPage, MeterType } from './status-rows.ts'

const safe = { exposeHeadRoute: true }
/** Devices have two names, of which the first is older. */
const devicePaths = ['/v1/inventory', '/v1/devices'] as const

export type ViewsRole = {
  /** Why they are not ready, or undefined. */
  readonly trouble: string | undefined
  routes(app: FastifyInstance): void
  /** Meters of one type, a page at a time. @throws BrokerError while views are not ready */
  metersOf(type: MeterType, after: string | undefined): MeterPage
  close(): Promise<void>
}

/** Begins; readiness says when they have caught up. */
export function startViews({
  folder,
  ...ports
}: Omit<ViewsPorts, 'store'> & { folder: string }): ViewsRole {
  const store = openLmdbRows({ folder, log: ports.log })
  const views = new Views({ ...ports, store })
  views.start()
  const answer = <Answer extends object>(read: (store: RowStore) => Answer) => ({
    ...views.ask(read),
    lagTicks: views.lagTicks,
  })
  return {
    get trouble() {
      return views.trouble
    },
    routes(app) {
      for (const path of devicePaths) {
        app.get(path, safe, async ({ query }) => {
          const asked = inventoryQueryOf(query)
          return answer((rows) => inventoryPage(rows, asked))
        })
        app.get<{ Params: { eui64: string } }>(`${path}/:eui64`, safe, async ({ params }) =>
          answer((rows) => inventoryOf(rows, params.eui64)),
        )
      }
      app.get('/v1/usage', safe, async ({ query }) => {
        const asked = usageQueryOf(query)
        return answer((rows) => ({ ...usagePage(rows, asked), missing: missingIn(rows) }))
      })
    },
    metersOf(type, after) {
      const limit = String(limits.viewsPageRowsMax)
      const asked = inventoryQueryOf({ type, limit, ...(after !== undefined && { after }) })
      const { rows, next } = answer((store) => inventoryPage(store, asked))
      const meters = rows.map(({ eui64 }) => readEui64(parseEui64(eui64)!))
      return { meters, next: next ?? undefined }
    },
    async close() {
      await views.close()
      await store.close()
    },
  }
}

/** Routes of a process without views, which say so for every path of them. */
export function addMissingViewsRoutes(app: FastifyInstance): void {
  for (const path of [...devicePaths.flatMap((one) => [one, `${one}/:eui64`]), '/v1/usage'])
    app.get(path, safe, async () => {
      throw new BrokerError(
        'REQUEST_PATH_UNKNOWN',
        "this process has no views of devices; ask the operators' door of a process with the role views",
      )
    })
}
