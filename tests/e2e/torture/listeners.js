// @ts-check
/** Stock clients that stay, whatever happens to their connections, and keep what they hear. */
import { io } from 'socket.io-client';

import { Proxy } from '../harness/proxy.js';
import { claims, signHs256 } from '../harness/tokens.js';
import { until } from '../harness/until.js';

import { ROOMS } from './ledger.js';

const WAYS = [['websocket'], ['polling'], ['polling', 'websocket']];
/** How far ahead a token of a listener ends: the clock is moved by less. */
const TOKEN_S = 24 * 3600;
/** How long a client may take to be where it was, after everything that went wrong is over. */
const BACK_MS = 30_000;
/** An event that nobody else publishes. */
const FENCE_EVENT = 'campaign:paused';

/** One person's client: reconnects by itself, as an application would have it. */
export class Listener {
  /** @type {import('./checker.js').Heard[]} */
  heard = [];
  /** How often it came back, and how often without being recovered. */
  returns = 0;
  unrecovered = 0;
  /** @type {string[]} what ought not to be */
  faults = [];
  #last = '';
  #fence = '';
  #wasConnected = false;
  /** Whether it is in its rooms. */
  joined = false;

  /**
   * @param {string} url
   * @param {{ name: string, tenant: string, rooms: string[], transports: string[] }} options
   */
  constructor(url, { name, tenant, rooms, transports }) {
    this.name = name;
    this.tenant = tenant;
    this.rooms = new Set(rooms);
    const body = { ...claims({ user: name, tenant, rooms }) };
    const now = Math.floor(Date.now() / 1000);
    const token = signHs256({ ...body, iat: now - TOKEN_S, exp: now + TOKEN_S });
    this.socket = io(url, {
      auth: { token },
      transports,
      forceNew: true,
      reconnectionDelay: 20,
      reconnectionDelayMax: 100,
    });
    this.socket.on('team:activity', ({ activity }, place) => {
      const position = this.#at(place);
      this.heard.push({ id: activity.action, body: JSON.stringify(activity), position });
    });
    this.socket.on(FENCE_EVENT, ({ campaignId }, place) => {
      this.#at(place);
      this.#fence = campaignId;
    });
    this.socket.on('connect', () => this.#connected());
    this.socket.on('connect_error', (error) => {
      // Not a lost connection but a refusal, after which the stock client does not come back.
      if (!this.socket.active) this.faults.push(`${name} was refused: ${error.message}`);
    });
  }

  /** Where its line is. */
  get position() {
    return this.#last;
  }

  /** Waits until it is in its rooms. */
  async ready() {
    await until(`${this.name} in its rooms`, () => this.joined || this.faults.length > 0, { deadlineMs: BACK_MS });
    if (this.faults.length > 0) throw new Error(this.faults.join('; '));
  }

  /**
   * Waits until it has heard a fence.
   *
   * @param {string} fence
   */
  async reached(fence) {
    await until(`${fence} at ${this.name}`, () => this.#fence === fence, {
      deadlineMs: BACK_MS,
      state: () => ({
        connected: this.socket.connected,
        active: this.socket.active,
        manager: this.socket.io._readyState,
        engine: this.socket.io.engine?.readyState,
        transport: this.socket.io.engine?.transport?.name,
        fence: this.#fence,
        last: this.#last,
        returns: this.returns,
        faults: this.faults,
      }),
    });
  }

  close() {
    this.socket.disconnect();
  }

  /** @param {any} place the last argument of an event */
  #at(place) {
    const position = typeof place === 'string' ? place : place.position;
    this.#last = position;
    return position;
  }

  #connected() {
    if (this.#wasConnected) this.returns += 1;
    if (this.#wasConnected && !this.socket.recovered) this.unrecovered += 1;
    this.#wasConnected = true;
    if (!this.socket.recovered) this.#join();
  }

  /** Joins its rooms, from where it was. */
  async #join() {
    const from = this.#last;
    for (const room of this.rooms) {
      try {
        for (let after = from; after !== undefined;) {
          const ack = await this.#subscribe(room, after === '' ? {} : { after });
          after = ack.next;
        }
      } catch {
        // The connection went, and with the next one all of this begins again.
        return;
      }
    }
    this.joined = true;
  }

  /**
   * @param {string} room
   * @param {{ after?: string }} options
   */
  async #subscribe(room, options) {
    for (;;) {
      const ack = await this.socket.timeout(BACK_MS).emitWithAck('subscribe', room, options);
      if (ack.ok) return ack;
      if (ack.error.retryAfterMs === undefined) {
        this.faults.push(`${this.name} in ${room}: ${JSON.stringify(ack)}`);
        return {};
      }
      await new Promise((resolve) => setTimeout(resolve, ack.error.retryAfterMs));
    }
  }
}

/** Listeners of two tenants in different rooms and over different transports, each behind a proxy of its own. */
export class Audience {
  /** @type {Listener[]} */
  listeners = [];
  /** @type {Proxy[]} */
  proxies = [];
  #fences = 0;

  /**
   * @param {import('../harness/server.js').Server} server
   * @param {number} size
   * @param {() => number} next
   */
  static async gather(server, size, next) {
    const audience = new Audience();
    for (let index = 0; index < size; index += 1) {
      const proxy = await Proxy.start(server.url);
      audience.proxies.push(proxy);
      const some = ROOMS.filter(() => next() < 0.6);
      const listener = new Listener(proxy.url, {
        name: `listener-${index}`,
        tenant: index % 3 === 2 ? 'globex' : 'acme',
        rooms: some.length === 0 ? ROOMS : some,
        transports: WAYS[index % WAYS.length],
      });
      audience.listeners.push(listener);
    }
    await Promise.all(audience.listeners.map((listener) => listener.ready()));
    return audience;
  }

  /**
   * Waits until all of them have heard everything that was published before.
   *
   * @param {import('../harness/server.js').Server} server
   * @param {Record<string, string>} keys
   */
  async settled(server, keys) {
    const fence = `fence-${(this.#fences += 1)}`;
    for (const tenant of ['acme', 'globex']) {
      const rooms = this.listeners.filter((one) => one.tenant === tenant).map(({ name }) => `user:${name}`);
      if (rooms.length === 0) continue;
      await server.published({ event: FENCE_EVENT, data: { campaignId: fence }, rooms }, { key: keys[tenant] });
    }
    await Promise.all(this.listeners.map((listener) => listener.reached(fence)));
  }

  close() {
    for (const listener of this.listeners) listener.close();
    for (const proxy of this.proxies) proxy.close();
  }
}
