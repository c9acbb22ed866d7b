/**
 * General block transfer: any APDU, also a ciphered one, in numbered pieces with acknowledgement
 * and a window.
 *
 *   general-block-transfer [E0] = block-control (bit 7 last-block, 6 streaming, 0 to 5 window), block-number Unsigned16,
 *                                 block-number-ack Unsigned16, block-data OCTET STRING
 *
 * [IEC 62056-5-3, General-Block-Transfer]
 */
import { octetString, service, unsigned16, unsigned8 } from './grammar.ts'

/** Bits of `blockControl`; the others are the window. */
export const BlockControl = { LAST_BLOCK: 0x80, STREAMING: 0x40, WINDOW_MASK: 0x3f } as const

export const generalBlockTransfer = service('general-block-transfer', {
  blockControl: {
    ...unsigned8,
    show: (value: number) =>
      `window ${value & BlockControl.WINDOW_MASK}` +
      (value & BlockControl.STREAMING ? ', streaming' : '') +
      (value & BlockControl.LAST_BLOCK ? ', last block' : ''),
  },
  blockNumber: unsigned16,
  blockNumberAck: unsigned16,
  blockDataView: octetString('raw'),
})
