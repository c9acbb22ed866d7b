// What `busbar load` and the benches use of autocannon, which brings no types of its own.
declare module 'autocannon' {
  namespace autocannon {
    type Request = {
      body?: string
      path?: string
      method?: string
      headers?: Record<string, string>
    }
    type RequestPlan = Request & {
      /** `context` is an object for this request and its response alone. */
      setupRequest?: (request: Request, context: object) => Request
      onResponse?: (status: number, body: string, context: object) => void
    }
    type Options = {
      url: string
      connections: number
      duration: number
      method: string
      overallRate?: number
      headers: Record<string, string>
      requests: RequestPlan[]
      tlsOptions?: { cert: string; key: string }
    }
    type Instance = { on(name: 'done', listener: () => void): void; stop(): void }
  }
  function autocannon(options: autocannon.Options): autocannon.Instance
  namespace autocannon {
    function track(run: Instance, options: { renderProgressBar: boolean }): void
  }
  export default autocannon
}
