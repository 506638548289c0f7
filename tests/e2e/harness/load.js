// @ts-check
/** Producers that publish all the time, and remember what they were answered. */

/** The room in which all of the load is heard. */
export const LOAD_ROOM = 'campaign:load';

/** @typedef {{ id: string, position: string }} Answered */

/**
 * Numbers in [0, 1) that are the same for the same seed.
 *
 * @param {number} seed
 */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A number of producers, each of which publishes one request after the other. */
export class Load {
  /** @type {Answered[]} what was answered, in the order of the answers */
  answered = [];
  #stopped = false;

  /**
   * @param {import('./server.js').Server} server
   * @param {{ name: string, producers: number, next: () => number }} options
   */
  constructor(server, { name, producers, next }) {
    this.server = server;
    this.name = name;
    this.next = next;
    this.running = Promise.all(Array.from({ length: producers }, (_, producer) => this.#publish(producer)));
  }

  /** Waits for the producers, which end with the server. */
  async stop() {
    this.#stopped = true;
    await this.running;
  }

  /** @param {number} producer */
  async #publish(producer) {
    for (let n = 0; !this.#stopped;) {
      const count = this.next() < 0.7 ? 1 : 1 + Math.floor(this.next() * 5);
      const drafts = Array.from({ length: count }, () => draft(this.name, producer, n++));
      try {
        const { status, body } = await this.server.publish(count === 1 ? drafts[0] : drafts);
        // The same once more: its ids say that it is the same.
        if (status !== 202) n -= count;
        else this.answered.push(...(count === 1 ? [body] : body.results));
      } catch {
        // The server is gone, and what it did not answer may or may not be there.
        return;
      }
    }
  }
}

/**
 * A draft that says who published it, and as which of theirs.
 *
 * @param {string} load
 * @param {number} producer
 * @param {number} n
 */
export function draft(load, producer, n) {
  const progress = { sent: n, total: 1_000_000, percentage: 0, failed: 0 };
  return {
    id: `${load}/${producer}/${n}`,
    event: 'campaign:progress',
    data: { campaignId: 'load', progress, load, producer, n },
  };
}

/**
 * The draft that was published under an id.
 *
 * @param {string} id
 */
export function draftOf(id) {
  const [load, producer, n] = id.split('/');
  return draft(load, Number(producer), Number(n));
}
