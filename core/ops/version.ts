/**
 * The version of Busbar, as in package.json; a test compares the two. A constant, so that compiled
 * code needs no file for it.
 */
export const version = '0.1.0'
