/** Commands to copy at the end of `npm start`, true for the addresses and the devices in use. */

import { settings } from '../../core/ops/settings.ts'

/** The default of `--gateway`, which need not be given. */
const gatewayDefault = settings.grpc.default

/** The default of `busbar demo --data-dir`. */
export const dataDirDefault = '.busbar/demo'

export type Surroundings = {
  /** `host:port` of the gRPC gateway and of the operators' door. */
  grpc: string
  ops: string
  /** EUI-64 of the party of the commands, and of an electricity meter; undefined without one. */
  party: string
  device: string | undefined
  dataDir: string
  /** The broker has ended, or is about to. */
  isOnce: boolean
}

/** A word that a shell takes as it is. */
const quoted = (text: string): string =>
  /^[\w./:[\]-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`

export function nextSteps(around: Surroundings): string[] {
  const { grpc, ops, party, device, dataDir, isOnce } = around
  if (isOnce) {
    const folder = dataDir === dataDirDefault ? '' : ` -- --data-dir ${quoted(dataDir)}`
    return [
      'Next: keep a broker and its meters running, and try commands on them',
      `  npm start${folder}`,
    ]
  }
  const pki = ` --pki ${quoted(`${dataDir}/pki`)}`
  const gateway = grpc === gatewayDefault ? '' : ` --gateway ${quoted(grpc)}`
  const submit =
    device === undefined
      ? []
      : [
          `  npx busbar submit${gateway}${pki} --party ${party} --device ${device} --srv 4.1.1 --wait`,
        ]
  return [
    'Next, in a second terminal: read a meter, receive what waits for the party, look at the metrics',
    ...submit,
    `  npx busbar receive${gateway}${pki} --party ${party} --idle 5`,
    `  curl ${quoted(`http://${ops}/metrics`)}`,
  ]
}
