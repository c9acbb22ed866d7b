// What the load client uses of autocannon, which brings no types of its own.
declare module 'autocannon' {
  namespace autocannon {
    type Request = {
      body?: string
      path?: string
      method?: string
      headers?: Record<string, string>
    }
    type RequestPlan = Request & {
      setupRequest?: (request: Request) => Request
      onResponse?: (status: number, body: string) => void
    }
    type Options = {
      url: string
      connections: number
      duration: number
      method: string
      headers: Record<string, string>
      requests: RequestPlan[]
    }
    type Instance = { on(name: 'done', listener: () => void): void; stop(): void }
  }
  function autocannon(options: autocannon.Options): autocannon.Instance
  export default autocannon
}
