/**
 * Ceilings of alert storms: part of `limits`, whose rules hold here.
 */
export const alertLimits = {
  /**
   * Alerts of one device with one code that are delivered within a window; the rest is held, and
   * one notice at the end of the window says how many they were.
   */
  alertsPassedMax: 10,
  alertWindowMs: 600_000,
  /**
   * Pushes of one device that are taken within `deviceAlertsMs`, delivered or held. Further ones
   * are refused before they are opened.
   */
  deviceAlertsTakenMax: 6_000,
  /**
   * Pushes that a device remembers by their ids, so that one which is decided again is not counted
   * again: more than one device has on their way at a time.
   */
  deviceAlertsRememberedMax: 1_000,
} as const
