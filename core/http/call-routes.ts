/**
 * Which methods a path has, for 404, 405 and OPTIONS: the framework knows only whole routes. Pure.
 */

/** Methods by the pattern of their paths, filled while routes are registered. */
export class CallRoutes {
  private readonly routes: { pattern: RegExp; methods: Set<string> }[] = []
  private readonly byUrl = new Map<string, Set<string>>()

  /** @param url pattern of the framework: `/v1/devices/:eui64/keys` */
  add(url: string, methods: readonly string[]): void {
    let known = this.byUrl.get(url)
    if (known === undefined) {
      known = new Set()
      this.byUrl.set(url, known)
      const escaped = url.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/:\w+/g, '[^/]+')
      this.routes.push({ pattern: new RegExp(`^${escaped}$`), methods: known })
    }
    for (const method of methods) known.add(method)
  }

  /**
   * Methods of `path`, with OPTIONS, in alphabetical order; undefined for a path that there is not.
   */
  methodsOf(path: string): string | undefined {
    const [bare = ''] = path.split('?', 1)
    const found = this.routes.filter(({ pattern }) => pattern.test(bare))
    if (found.length === 0) return undefined
    return [...new Set(found.flatMap(({ methods }) => [...methods])).add('OPTIONS')]
      .toSorted()
      .join(', ')
  }

  /** All methods that the door has anywhere, for `OPTIONS *`. */
  allMethods(): string {
    return [...new Set(this.routes.flatMap(({ methods }) => [...methods])).add('OPTIONS')]
      .toSorted()
      .join(', ')
  }
}
