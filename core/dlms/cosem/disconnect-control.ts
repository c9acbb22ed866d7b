/**
 * Disconnect control of a device: which transitions a control mode allows. [IEC 62056-6-2,
 * Disconnect control (class_id 70)]
 *
 *   connected ─ b remote ─▶ disconnected        connected ─ f manual, g local ─▶ ready for reconnection
 *   disconnected ─ a remote ─▶ connected        disconnected ─ d remote ─▶ ready for reconnection
 *   ready for reconnection ─ e manual, h local ─▶ connected      ready for reconnection ─ c remote ─▶ disconnected
 */

/** control_state by its number. The output is on when connected. */
export const ControlState = { DISCONNECTED: 0, CONNECTED: 1, READY_FOR_RECONNECTION: 2 } as const
export type ControlState = (typeof ControlState)[keyof typeof ControlState]

export type ControlTrigger =
  | 'remote_disconnect'
  | 'remote_reconnect'
  | 'manual_disconnect'
  | 'manual_reconnect'
  | 'local_disconnect'
  | 'local_reconnect'

const { DISCONNECTED, CONNECTED, READY_FOR_RECONNECTION } = ControlState

/** The transitions under the letters that the standard gives them. */
const transitions: readonly (readonly [
  letter: string,
  from: ControlState,
  trigger: ControlTrigger,
  to: ControlState,
])[] = [
  ['a', DISCONNECTED, 'remote_reconnect', CONNECTED],
  ['b', CONNECTED, 'remote_disconnect', DISCONNECTED],
  ['c', READY_FOR_RECONNECTION, 'remote_disconnect', DISCONNECTED],
  ['d', DISCONNECTED, 'remote_reconnect', READY_FOR_RECONNECTION],
  ['e', READY_FOR_RECONNECTION, 'manual_reconnect', CONNECTED],
  ['f', CONNECTED, 'manual_disconnect', READY_FOR_RECONNECTION],
  ['g', CONNECTED, 'local_disconnect', READY_FOR_RECONNECTION],
  ['h', READY_FOR_RECONNECTION, 'local_reconnect', CONNECTED],
]

/** Transitions of the control modes 0 to 6; mode 0 is always connected. */
const lettersByMode: readonly string[] = [
  '',
  'bcdefg',
  'abcefg',
  'bcdeg',
  'abceg',
  'bcdefgh',
  'bcdegh',
]

/** The state after `trigger`, or undefined when the mode does not allow it in that state. */
export function nextControlState(
  mode: number,
  state: ControlState,
  trigger: ControlTrigger,
): ControlState | undefined {
  const allowed = lettersByMode[mode] ?? ''
  return transitions.find(
    ([letter, from, by]) => from === state && by === trigger && allowed.includes(letter),
  )?.[3]
}
