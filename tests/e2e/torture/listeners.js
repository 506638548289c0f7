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
/** What a client is answered whose history is gone. */
const LOST = ['position_other_epoch', 'position_ahead'];
/** After what time a fence is published again to those who may have had to miss it. */
const FENCE_MS = 2_000;
/** An event that nobody else publishes. */
const FENCE_EVENT = 'campaign:paused';

/** One person's client: reconnects by itself, as an application would have it. */
export class Listener {
  /** @type {import('./checker.js').Heard[]} */
  heard = [];
  /** How often it came back, and how often without being recovered. */
  returns = 0;
  unrecovered = 0;
  /** How often it lost its connection. */
  losses = 0;
  /** @type {string[]} what ought not to be */
  faults = [];
  #last = '';
  #fence = 0;
  #wasConnected = false;
  /** @type {Map<string, string>} rooms that it was told to load anew, and the position from which it hears on */
  anew = new Map();
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
      this.#fence = Number(campaignId);
    });
    this.socket.on('connect', () => this.#connected());
    this.socket.on('disconnect', () => (this.losses += 1));
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
   * Waits until it is in its rooms and has heard a fence, or one of those that came later.
   *
   * @param {number} fence
   */
  async reached(fence) {
    await until(`fence ${fence} at ${this.name}`, () => this.#fence >= fence && this.joined, {
      deadlineMs: BACK_MS,
      state: () => ({
        connected: this.socket.connected,
        active: this.socket.active,
        manager: this.socket.io._readyState,
        engine: this.socket.io.engine?.readyState,
        transport: this.socket.io.engine?.transport?.name,
        fence: this.#fence,
        joined: this.joined,
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
    if (this.socket.recovered) return;
    this.joined = false;
    this.#join();
  }

  /** Joins its rooms, from where it was. */
  async #join() {
    const from = this.#last;
    for (const room of this.rooms) {
      try {
        for (let after = from; after !== undefined;) {
          const ack = await this.#subscribe(room, after === '' ? {} : { after });
          if (LOST.includes(ack.error?.code)) await this.#begin(room, from);
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
   * Loads a room anew, as an application does whose position is of a history that is gone.
   *
   * @param {string} room
   * @param {string} from
   */
  async #begin(room, from) {
    const { position } = await this.#subscribe(room, {});
    const [before, after] = [from, position].map((one) => one.split('-')[0]);
    if (before === after) this.faults.push(`${this.name} lost ${from} in ${room}, and the history is the same at ${position}`);
    this.anew.set(room, position);
  }

  /**
   * @param {string} room
   * @param {{ after?: string }} options
   */
  async #subscribe(room, options) {
    for (;;) {
      const ack = await this.socket.timeout(BACK_MS).emitWithAck('subscribe', room, options);
      if (ack.ok) return ack;
      if (LOST.includes(ack.error.code)) return ack;
      if (ack.error.retryAfterMs === undefined) {
        this.faults.push(`${this.name} in ${room}: ${JSON.stringify(ack)}`);
        return {};
      }
      const { id } = this.socket;
      await new Promise((resolve) => setTimeout(resolve, ack.error.retryAfterMs));
      if (this.socket.id !== id) throw new Error('the connection is another one by now');
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
   * @param {readonly import('../harness/server.js').Server[]} servers over which they are spread
   * @param {number} size
   * @param {() => number} next
   */
  static async gather(servers, size, next) {
    const audience = new Audience();
    for (let index = 0; index < size; index += 1) {
      // Clients of each tenant and of each transport at each server.
      const server = servers[(index + Math.floor(index / servers.length)) % servers.length];
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
   * @param {import('./ledger.js').Publisher} server
   * @param {Record<string, string>} keys
   * @param {{ mayStartOver?: boolean }} [leave] whether a client may be told meanwhile to load everything anew, and so miss a fence
   */
  async settled(server, keys, { mayStartOver = false } = {}) {
    const fence = this.#fences + 1;
    const settled = Promise.all(this.listeners.map((listener) => listener.reached(fence))).then(() => true);
    do {
      this.#fences += 1;
      await Promise.all(['acme', 'globex'].map((tenant) => this.#publish(server, tenant, keys[tenant])));
    } while (!(await Promise.race([settled, mayStartOver ? later(FENCE_MS) : settled])));
  }

  /**
   * Publishes the next fence to each listener of a tenant.
   *
   * @param {import('./ledger.js').Publisher} server
   * @param {string} tenant
   * @param {string} key
   */
  async #publish(server, tenant, key) {
    const rooms = this.listeners.filter((one) => one.tenant === tenant).map(({ name }) => `user:${name}`);
    if (rooms.length === 0) return;
    const campaignId = String(this.#fences);
    const draft = { id: `fence-${campaignId}`, event: FENCE_EVENT, data: { campaignId }, rooms };
    const isTaken = () => server.publish(draft, { key }).then(({ status }) => status === 202, () => false);
    await until(`fence ${campaignId} to be taken`, isTaken, { deadlineMs: BACK_MS });
  }

  close() {
    for (const listener of this.listeners) listener.close();
    for (const proxy of this.proxies) proxy.close();
  }
}

/**
 * @param {number} ms
 * @returns {Promise<false>}
 */
function later(ms) {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms));
}
