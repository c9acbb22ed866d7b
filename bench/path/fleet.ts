/**
 * The simulated fleet as a process of its own. Entry: `fleet.ts
 * '{"meters":…,"seed":…,"devicesFile":…}'`; see actors/simulator/network/fleet-process.ts.
 */
import { systemClock } from '../../core/ports/clock.ts'
import { runFleetProcess } from '../../actors/simulator/network/fleet-process.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as {
  meters: number
  seed: number
  devicesFile: string
  securityShares?: [number, number, number]
}
await runFleetProcess({ ...options, clock: systemClock, endsWithInput: true })
