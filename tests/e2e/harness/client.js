// @ts-check
/** The stock Socket.IO client, and a record of everything it was sent. */
import assert from 'node:assert/strict';

import { io } from 'socket.io-client';

import { DEADLINE_MS, until } from './until.js';

/** The three ways in which the stock client can be told to speak. */
export const TRANSPORTS = /** @type {const} */ ({
  'websocket only': ['websocket'],
  'polling only': ['polling'],
  'polling that upgrades': ['polling', 'websocket'],
});

/** @typedef {{ event: string, payload: any, position: any, ack?: () => void }} Received `ack` where a receipt is wanted */

/**
 * @typedef {object} DialOptions
 * @property {string} token
 * @property {string} user
 * @property {string} tenant
 * @property {readonly string[]} [transports]
 * @property {Record<string, unknown>} [auth] instead of the token
 * @property {Record<string, string>} [extraHeaders]
 * @property {boolean} [reconnection]
 * @property {boolean} [presence] whether `presence:update` is in the record, which comes at any time; not unless told
 * @property {Record<string, unknown>} [io] further options of the stock client
 */

/** @typedef {Partial<DialOptions> & { rooms?: string[], link?: string[] }} ConnectOptions */

/**
 * A stock client with a connection of its own.
 *
 * @param {string} url
 * @param {DialOptions} options
 */
export function dial(url, options) {
  const { token, user, tenant, transports, auth, extraHeaders, reconnection = false, io: more } = options;
  const socket = io(url, {
    auth: auth ?? { token },
    ...(transports === undefined ? {} : { transports: [...transports] }),
    ...(extraHeaders === undefined ? {} : { extraHeaders }),
    reconnection,
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
    forceNew: true,
    ...more,
  });
  return new Client(socket, user, tenant, options.presence);
}

/** One person's connection. */
export class Client {
  /** @type {Received[]} what came and was not taken yet */
  #received = [];
  /** @type {Error & { data?: any } | undefined} */
  refused;
  /** @type {string[]} why it was disconnected, each time */
  disconnects = [];

  /**
   * @param {import('socket.io-client').Socket} socket
   * @param {string} user
   * @param {string} tenant
   * @param {boolean} [presence]
   */
  constructor(socket, user, tenant, presence = false) {
    this.socket = socket;
    this.user = user;
    this.tenant = tenant;
    socket.onAny((event, payload, position, ...rest) => {
      if (event === 'session:sync' || (event === 'presence:update' && !presence)) return;
      const ack = typeof rest[0] === 'function' ? rest.shift() : undefined;
      assert.deepEqual(rest, [], `more than two arguments in ${event}`);
      this.#received.push({ event, payload, position, ...(ack === undefined ? {} : { ack }) });
    });
    socket.on('connect_error', (error) => (this.refused = error));
    socket.on('disconnect', (reason) => this.disconnects.push(reason));
  }

  /** Waits until it is connected; fails at once if it is refused. */
  async connected() {
    await until(
      'a connection',
      () => {
        if (this.refused !== undefined && !this.socket.active) throw this.refused;
        return this.socket.connected;
      },
      { state: () => String(this.refused) },
    );
  }

  /** Waits until it is refused, and gives the error. */
  async refusal() {
    await until('a refusal', () => {
      assert.ok(!this.socket.connected, 'connected, and ought to be refused');
      return this.refused;
    });
    return /** @type {Error & { data?: any }} */ (this.refused);
  }

  /** The name of the transport in use. */
  get transport() {
    return this.socket.io.engine.transport.name;
  }

  /**
   * Waits until the client speaks over `transport`.
   *
   * @param {string} transport
   */
  async speaksOver(transport) {
    await until(`a connection over ${transport}`, () => this.transport === transport);
  }

  /**
   * Emits and gives the acknowledgement.
   *
   * @param {string} event
   * @param {...unknown} args
   * @returns {Promise<any>}
   */
  async request(event, ...args) {
    return this.socket.timeout(DEADLINE_MS).emitWithAck(event, ...args);
  }

  /**
   * Joins rooms by their whole names; every one has to be allowed.
   *
   * @param {...string} rooms
   */
  async subscribe(...rooms) {
    for (const room of rooms) {
      const ack = await this.request('subscribe', room);
      assert.equal(ack.ok, true, `subscribe to ${room}: ${JSON.stringify(ack)}`);
    }
  }

  /**
   * Waits for an event that fits, and gives it; it stays in the record.
   *
   * @param {string} event
   * @param {(payload: any) => boolean} [fits]
   * @returns {Promise<Received>}
   */
  async next(event, fits = () => true) {
    const found = await until(event, () => this.#received.find((one) => one.event === event && fits(one.payload)), {
      state: () => this.#received,
    });
    return found;
  }

  /** Waits until the server has handled everything that was emitted so far. */
  async settled() {
    await settled(this.socket);
  }

  /** Takes everything that came so far. */
  take() {
    return this.#received.splice(0);
  }

  /**
   * Waits for a fence and takes everything that came before it.
   *
   * @param {string} fence
   */
  async takeThrough(fence) {
    const isFence = (/** @type {Received} */ one) => one.payload?.activity?.resource === fence;
    await until(fence, () => this.#received.some(isFence), { state: () => this.#received });
    return this.#received.splice(0, this.#received.findIndex(isFence) + 1).slice(0, -1);
  }

  close() {
    this.socket.disconnect();
  }
}

/**
 * Waits until the server has handled what a socket has emitted so far: it handles the events of one socket in their
 * order, and this one changes nothing.
 *
 * @param {import('socket.io-client').Socket} socket
 */
export async function settled(socket) {
  await socket.timeout(DEADLINE_MS).emitWithAck('unsubscribe', 'contact:nobody-joined');
}
