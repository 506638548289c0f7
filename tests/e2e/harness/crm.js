// @ts-check
/** The CRM's backend, which is asked who may hear what: it verifies, counts, says no, hangs and goes away. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import { keepSecret } from './secrets.js';

/** @typedef {{ user: string, tenant: string, room: string, kind: string, id: string }} Question */
/** @typedef {{ allow: boolean, ttlMs?: number }} Verdict */

/** How old a question may be; older ones were listened to by somebody. */
const AGE_MAX_S = 300;

/** A backend that may be told what to say. */
export class Crm {
  secret = randomBytes(24).toString('hex');
  /** @type {Question[]} every question with a good signature */
  asked = [];
  /** How many had another one. */
  forged = 0;
  /** @type {Map<string, Verdict>} by user and room; everything else is a no */
  verdicts = new Map();
  /** @type {'answers' | 'hangs' | 'fails' | 'knows nothing'} */
  mood = 'answers';
  /** @type {Set<string>} rooms about which it fails, whatever its mood */
  broken = new Set();
  /** @type {Map<string, Promise<void>>} rooms whose answers wait */
  held = new Map();
  /** @type {Array<() => void>} */
  releases = [];
  port = 0;

  constructor() {
    keepSecret('secret of the backend', this.secret);
    this.server = createServer((request, response) => this.#serve(request, response));
  }

  get url() {
    return `http://127.0.0.1:${this.port}/access`;
  }

  /** Starts it; later on the same port again. */
  async start() {
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = /** @type {import('node:net').AddressInfo} */ (this.server.address()).port;
  }

  async stop() {
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  /**
   * @param {string} user
   * @param {string} room
   * @param {Partial<Verdict>} [verdict]
   */
  allow(user, room, verdict = {}) {
    this.verdicts.set(`${user} ${room}`, { allow: true, ...verdict });
  }

  /**
   * @param {string} user
   * @param {string} room
   */
  deny(user, room) {
    this.verdicts.delete(`${user} ${room}`);
  }

  /**
   * Makes up its mind about a room from now on as ever, and says so once it is released.
   *
   * @param {string} room
   */
  hold(room) {
    this.held.set(room, new Promise((resolve) => this.releases.push(resolve)));
  }

  release() {
    this.held.clear();
    for (const resolve of this.releases.splice(0)) resolve();
  }

  /**
   * How often it was asked about a room of a user.
   *
   * @param {string} user
   * @param {string} room
   */
  count(user, room) {
    return this.asked.filter((one) => one.user === user && one.room === room).length;
  }

  /**
   * @param {import('node:http').IncomingMessage} request
   * @param {import('node:http').ServerResponse} response
   */
  async #serve(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (!this.#isOurs(request, body)) {
      this.forged += 1;
      response.writeHead(401).end();
      return;
    }
    const question = /** @type {Question} */ (JSON.parse(body.toString()));
    this.asked.push(question);
    if (this.mood === 'hangs') return;
    if (this.mood === 'fails' || this.broken.has(question.room)) {
      response.writeHead(500).end('oops');
      return;
    }
    if (this.mood === 'knows nothing') {
      response.writeHead(404).end();
      return;
    }
    const verdict = this.verdicts.get(`${question.user} ${question.room}`) ?? { allow: false };
    await this.held.get(question.room);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(verdict));
  }

  /**
   * As docs/security.md says it.
   *
   * @param {import('node:http').IncomingMessage} request
   * @param {Buffer} body
   */
  #isOurs({ method, headers }, body) {
    const timestamp = String(headers['x-switchboard-timestamp']);
    const age = Math.abs(Date.now() / 1000 - Number(timestamp));
    const signed = createHmac('sha256', this.secret).update(`${timestamp}.`).update(body).digest('hex');
    const expected = Buffer.from(`sha256=${signed}`);
    const given = Buffer.from(String(headers['x-switchboard-signature']));
    return method === 'POST' && age <= AGE_MAX_S && given.length === expected.length && timingSafeEqual(given, expected);
  }
}
