// @ts-check
/** Waits that end when something is true, never after a guessed time. */

/** How long anything may take before a test gives up on it. */
export const DEADLINE_MS = 10_000;

const LOOK_EVERY_MS = 5;

/**
 * Waits until `condition` gives something truthy, and gives that.
 *
 * @template T
 * @param {string} what what is waited for, named when the deadline passes
 * @param {() => T | Promise<T>} condition
 * @param {{ deadlineMs?: number, state?: () => unknown }} [options] `state` is shown on failure
 * @returns {Promise<Exclude<T, undefined | null | false>>}
 */
export async function until(what, condition, { deadlineMs = DEADLINE_MS, state } = {}) {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return /** @type {Exclude<T, undefined | null | false>} */ (value);
    if (Date.now() > deadline) {
      const seen = state === undefined ? '' : `; instead: ${show(state())}`;
      throw new Error(`waited ${deadlineMs} ms for ${what}${seen}`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/**
 * Gives what `promise` gives, or fails after the deadline.
 *
 * @template T
 * @param {string} what
 * @param {Promise<T>} promise
 * @param {number} [deadlineMs]
 * @returns {Promise<T>}
 */
export async function within(what, promise, deadlineMs = DEADLINE_MS) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${deadlineMs} ms for ${what}`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, /** @type {Promise<never>} */ (late)]);
  } finally {
    clearTimeout(timer);
  }
}

/** @param {unknown} value */
function show(value) {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 4_000 ? `${text.slice(0, 4_000)}...` : text;
}
