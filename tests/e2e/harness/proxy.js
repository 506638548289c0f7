// @ts-check
/** A TCP proxy that loses connections as networks do: cut off at once, or silently gone. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** One connection through the proxy. */
class Pair {
  /** Whether nothing is forwarded any more, and neither side is told. */
  isFrozen = false;
  /** What the server sent since then. */
  withheld = Buffer.alloc(0);
  closedByServer = false;

  /**
   * @param {import('node:net').Socket} client
   * @param {import('node:net').Socket} server
   */
  constructor(client, server) {
    this.client = client;
    this.server = server;
    client.on('data', (chunk) => this.isFrozen || server.write(chunk));
    server.on('data', (chunk) => {
      if (this.isFrozen) this.withheld = Buffer.concat([this.withheld, chunk]);
      else client.write(chunk);
    });
    for (const socket of [client, server]) socket.on('error', () => {});
    client.on('close', () => this.isFrozen || server.destroy());
    server.on('close', () => {
      this.closedByServer = true;
      if (!this.isFrozen) client.destroy();
    });
    server.on('end', () => (this.closedByServer = true));
  }

  cut() {
    this.client.destroy();
    this.server.destroy();
  }

  /** Lets nothing pass, and loses nothing either: as a network that will be there again. */
  hold() {
    this.client.pause();
    this.server.pause();
  }

  release() {
    this.client.resume();
    this.server.resume();
  }
}

/** Stands between clients and a server. */
export class Proxy {
  /** @type {Pair[]} */
  #pairs = [];
  /** Whether nobody gets through. */
  #isDown = false;
  /** Whether everybody waits. */
  #isHeld = false;

  /** @param {string} target URL of the server */
  constructor(target) {
    this.target = target;
    this.listener = createServer({ noDelay: true }, (client) => {
      if (this.#isDown) return void client.destroy();
      const { hostname, port } = new URL(this.target);
      const pair = new Pair(client, connect({ port: Number(port), host: hostname, noDelay: true }));
      if (this.#isHeld) pair.hold();
      this.#pairs.push(pair);
    });
  }

  /** @param {string} target */
  static async start(target) {
    const proxy = new Proxy(target);
    proxy.listener.listen(0, '127.0.0.1');
    await once(proxy.listener, 'listening');
    return proxy;
  }

  get url() {
    const { port } = /** @type {import('node:net').AddressInfo} */ (this.listener.address());
    return `http://127.0.0.1:${port}`;
  }

  /** Ends all connections without a goodbye. */
  cut() {
    for (const pair of this.#pairs.splice(0)) pair.cut();
  }

  /** Ends all connections, and every new one at once, until `up`. */
  down() {
    this.#isDown = true;
    this.cut();
  }

  up() {
    this.#isDown = false;
  }

  /**
   * Leads to another server from now on. Who is connected is cut off.
   *
   * @param {string} target
   */
  moveTo(target) {
    this.target = target;
    this.cut();
  }

  /** Lets nothing pass on any connection, old or new, until `release`; then all that was sent arrives. */
  hold() {
    this.#isHeld = true;
    for (const pair of this.#pairs) pair.hold();
  }

  release() {
    this.#isHeld = false;
    for (const pair of this.#pairs) pair.release();
  }

  /** Makes the present connections half-open, and gives them. */
  freeze() {
    const pairs = this.#pairs.filter((pair) => !pair.client.destroyed);
    for (const pair of pairs) pair.isFrozen = true;
    return pairs;
  }

  close() {
    this.cut();
    this.listener.close();
  }
}
