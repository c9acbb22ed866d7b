/**
 * The supply switch (class 70): the states and what may lead from one to another are core's, the
 * amounts that do not flow meanwhile are the meter's. [IEC 62056-6-2, Disconnect control version 0]
 */
import { ActionResult } from '../../../core/dlms/apdu/constants.ts'
import {
  ControlState,
  nextControlState,
  type ControlTrigger,
} from '../../../core/dlms/cosem/index.ts'
import { classObject } from './class-object.ts'
import { encodedEnumerations, encodedFalse, encodedTrue } from './cosem-object.ts'
import { EventCode } from '../model/event-log.ts'
import type { MeterState } from '../model/meter-state.ts'

const codes: Readonly<Record<ControlTrigger, EventCode>> = {
  remote_disconnect: EventCode.REMOTE_DISCONNECTION,
  remote_reconnect: EventCode.REMOTE_RECONNECTION,
  manual_disconnect: EventCode.MANUAL_DISCONNECTION,
  manual_reconnect: EventCode.MANUAL_RECONNECTION,
  local_disconnect: EventCode.LOCAL_DISCONNECTION,
  local_reconnect: EventCode.LOCAL_RECONNECTION,
}

/** What is already so is done, too. */
export function operateSupply(meter: MeterState, trigger: ControlTrigger, nowMs: number): number {
  const mode = supplySwitch.shown(meter, 'control_mode')[1]!
  const next = nextControlState(mode, meter.controlState, trigger)
  if (next !== undefined) {
    meter.switchTo(next, nowMs, codes[trigger])
    return ActionResult.SUCCESS
  }
  const wanted = trigger.endsWith('reconnect') ? ControlState.CONNECTED : ControlState.DISCONNECTED
  return meter.controlState === wanted ? ActionResult.SUCCESS : ActionResult.OTHER_REASON
}

export const supplySwitch = classObject({
  obis: '0-0:96.3.10.255',
  classId: 70,
  attributes: {
    output_state: (meter) => (meter.isConnected ? encodedTrue : encodedFalse),
    control_state: (meter) => encodedEnumerations[meter.controlState]!,
    // Switched from afar or by hand, and reconnected from afar without a button.
    control_mode: 'mode_4',
  },
  writable: ['control_mode'],
  methods: {
    remote_disconnect: (meter, _zero, nowMs) => operateSupply(meter, 'remote_disconnect', nowMs),
    remote_reconnect: (meter, _zero, nowMs) => operateSupply(meter, 'remote_reconnect', nowMs),
  },
})
