/** The door of `busbar/testing`: a broker and simulated meters for the tests of other programs. */
export {
  startSandbox,
  type Sandbox,
  type SandboxOptions,
  type SandboxParty,
  type SandboxPush,
} from './sandbox.ts'
export type { PartyCredentials } from '../../core/access/credentials.ts'
export type { RunningBroker } from './broker.ts'
export type { BrokerOptions, DeviceInput, PartyInput } from './options.ts'
