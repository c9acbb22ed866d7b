/**
 * Options of `busbar meter` as the command line has them: texts, which meter-options.ts and
 * meter-model.ts parse.
 */
/** Texts of the command line that say which keys there are. */
export type KeyOptions = {
  suite?: string
  keys?: string
  unicastKey?: string
  broadcastKey?: string
  authenticationKey?: string
  devices?: string
}

/** Texts of the command line. What is left out is as the inventory has it, or as it is usual. */
export type MeterOptions = KeyOptions & {
  client?: string
  logicalDevice?: string
  transport?: string
  hdlcAddressOctets?: string
  profile?: string
  waitMs?: string
  password?: string
  mechanism?: string
  protection?: string
  generalCiphering?: string
  sign?: string
  systemTitle?: string
  meterTitle?: string
  counter?: string
  counterObject?: string
  counterClient?: string
  conformance?: string
  shortNames?: string
  modeE?: string | true
  modeEBaudMax?: string
  timeZone?: string
  hex: boolean
  json: boolean
}
