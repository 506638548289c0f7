// @ts-check
/** What a fault is: a world, something that is done to it, and what that may do to clients. */

/**
 * What a fault may do to clients.
 *
 * @typedef {object} Leave
 * @property {boolean} [mayBeUnrecovered] whether they may have to ask for their rooms anew
 * @property {boolean} [mayStartOver] whether they may have to load their rooms anew, because the history is another one
 * @property {boolean} [mayLose] whether what was answered may be missing in that
 */

/**
 * What is tried in a world.
 *
 * @template {import('./world.js').World} W
 * @template O
 * @typedef {object} Trial
 * @property {string} says what happens in a round
 * @property {number} rounds in a long run
 * @property {number} short rounds in a short one
 * @property {(world: W) => Promise<void>} round
 * @property {Leave} [leave]
 * @property {O} [options] of the world
 */

/**
 * A trial whose world is made when it begins.
 *
 * @typedef {object} Fault
 * @property {string} says
 * @property {number} rounds
 * @property {number} short
 * @property {Leave} [leave]
 * @property {(seed: number) => Promise<{ world: import('./world.js').World, round: () => Promise<void> }>} begin
 */

/**
 * Trials of one kind of world as faults.
 *
 * @template {import('./world.js').World} W
 * @template O
 * @param {Record<string, Trial<W, O>>} trials
 * @param {(seed: number, options?: O) => Promise<W>} begin
 * @returns {Record<string, Fault>}
 */
export function tried(trials, begin) {
  const faults = Object.entries(trials).map(([name, { round, options, ...rest }]) => {
    const begun = async (/** @type {number} */ seed) => {
      const world = await begin(seed, options);
      return { world, round: () => round(world) };
    };
    return [name, { ...rest, begin: begun }];
  });
  return Object.fromEntries(faults);
}
