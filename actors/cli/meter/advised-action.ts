/**
 * Actions of `busbar dlms` and `busbar meter`, whose faults come with advice for a person with one
 * meter.
 */

/** `action`, with advice added to the fault that it throws. */
export const advised =
  <Arguments extends unknown[]>(action: (...given: Arguments) => Promise<void>) =>
  async (...given: Arguments): Promise<void> => {
    try {
      await action(...given)
    } catch (fault) {
      const { withAdvice } = await import('./meter-advice.ts')
      throw withAdvice(fault)
    }
  }
