// @ts-check
/** Producers that publish all the time, repeat what was not answered, and remember what was. */
import { KEYS } from '../harness/settings.js';

/** @typedef {import('./checker.js').Published} Published */

/**
 * Whoever takes events: a server, or several that are one.
 *
 * @typedef {Pick<import('../harness/server.js').Server, 'publish'>} Publisher
 */

/** The rooms that are published to, in each tenant under the same names. */
export const ROOMS = ['campaign:a', 'campaign:b', 'contact:c', 'flow:d'];

/** The most drafts of one request. */
const BATCH_MAX = 6;
/** How much filler an event has at most, in characters. */
const FILLER_MAX = 2_000;
/** How long a producer waits before it repeats what was not taken. */
const AGAIN_MS = 20;

/** A number of producers, each of which publishes one request after the other, in its order. */
export class Ledger {
  /** @type {Published[]} all that was ever sent, in the order in which it was */
  published = [];
  /** How often what was not answered had to be sent again. */
  repeated = 0;
  /** @type {string[]} what ought not to be */
  faults = [];
  /** How many were answered. */
  answered = 0;
  #stopped = false;
  #running = Promise.resolve();
  #load = 0;

  /**
   * @param {Publisher} server
   * @param {() => number} next
   */
  constructor(server, next) {
    this.server = server;
    this.next = next;
  }

  /**
   * Begins to publish.
   *
   * @param {number} producers of each tenant
   */
  start(producers) {
    this.#stopped = false;
    this.#load += 1;
    const names = Array.from({ length: producers }, (_, index) => `${this.#load}/${index}`);
    const all = names.flatMap((name) => [this.#produce('acme', name), this.#produce('globex', name)]);
    this.#running = Promise.all(all).then(() => {});
  }

  /** Waits until all that was begun is answered. Needs a server that answers. */
  async stop() {
    this.#stopped = true;
    await this.#running;
  }

  /**
   * @param {'acme' | 'globex'} tenant
   * @param {string} name
   */
  async #produce(tenant, name) {
    for (let n = 0; !this.#stopped;) {
      const count = this.next() < 0.7 ? 1 : 1 + Math.floor(this.next() * BATCH_MAX);
      const events = Array.from({ length: count }, () => this.#made(tenant, `${name}/${n++}`));
      this.published.push(...events.map(({ entry }) => entry));
      await this.#publish(tenant, events);
    }
  }

  /**
   * A draft, and what the books say of it.
   *
   * @param {string} tenant
   * @param {string} id
   */
  #made(tenant, id) {
    const room = ROOMS[Math.floor(this.next() * ROOMS.length)];
    const filler = tenant.repeat(Math.floor((this.next() * FILLER_MAX) / tenant.length));
    const activity = { userId: 'u', userName: 'n', action: id, resource: filler };
    /** @type {Published} */
    const entry = { id, tenant, room, body: JSON.stringify(activity) };
    return { entry, draft: { id, event: 'team:activity', data: { activity }, rooms: [room] } };
  }

  /**
   * Publishes until it is answered.
   *
   * @param {'acme' | 'globex'} tenant
   * @param {Array<{ entry: Published, draft: object }>} events
   */
  async #publish(tenant, events) {
    const body = events.length === 1 ? events[0].draft : events.map(({ draft }) => draft);
    for (;;) {
      try {
        const { status, body: answer } = await this.server.publish(body, { key: KEYS[tenant] });
        if (status === 202) {
          this.#keep(events, events.length === 1 ? [answer] : answer.results);
          return;
        }
        if (status !== 503) {
          this.faults.push(`${events[0].entry.id} was answered with a ${status}: ${JSON.stringify(answer)}`);
          return;
        }
      } catch {
        // The server is gone, and what it did not answer may or may not be there.
      }
      this.repeated += 1;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  /**
   * @param {Array<{ entry: Published }>} events
   * @param {Array<{ id: string, position: string }>} results
   */
  #keep(events, results) {
    for (const [index, { entry }] of events.entries()) {
      const { id, position } = results[index];
      if (id !== entry.id) this.faults.push(`${entry.id} was answered as ${id}`);
      entry.position = position;
    }
    this.answered += events.length;
  }
}
