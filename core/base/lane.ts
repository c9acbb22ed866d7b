/** Priority lanes: what waits in a lower number goes first wherever Busbar has to choose. */
export const Lane = { URGENT: 0, NORMAL: 1, BULK: 2 } as const
export type Lane = (typeof Lane)[keyof typeof Lane]
export const laneCount = 3
