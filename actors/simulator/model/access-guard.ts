/**
 * How a meter authenticates its management client: not at all, by the secret of low-level security,
 * or under a suite.
 */
export type Guard = 'open' | 'secret' | 'suite'
