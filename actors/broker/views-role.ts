/** What a process with the role `views` has: the views over a store in its data directory, and the operators' door to them. */
import type { FastifyInstance } from 'fastify'
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

export type ViewsRole = {
  /** Why they are not ready, or undefined. */
  readonly trouble: string | undefined
  routes(app: FastifyInstance): void
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
      const safe = { exposeHeadRoute: true }
      app.get('/v1/inventory', safe, async ({ query }) => {
        const asked = inventoryQueryOf(query)
        return answer((rows) => inventoryPage(rows, asked))
      })
      app.get<{ Params: { eui64: string } }>('/v1/inventory/:eui64', safe, async ({ params }) =>
        answer((rows) => inventoryOf(rows, params.eui64)),
      )
      app.get('/v1/usage', safe, async ({ query }) => {
        const asked = usageQueryOf(query)
        return answer((rows) => ({ ...usagePage(rows, asked), missing: missingIn(rows) }))
      })
    },
    async close() {
      await views.close()
      await store.close()
    },
  }
}
