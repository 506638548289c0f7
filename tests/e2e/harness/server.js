// @ts-check
/** The real server, on a port that the system picks and a directory of its own. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Client, dial } from './client.js';
import { BINARY, Child, temporaryDirectory } from './process.js';
import { keepMessagesSecret, leaks } from './secrets.js';
import { defaultSettings, KEYS, merged, toml } from './settings.js';
import { claims, signHs256 } from './tokens.js';
import { until } from './until.js';
import { bodyInit, deliver } from './webhook.js';

/** How long a server may take to stop: its drain timeout and some slack for a busy machine. */
const STOP_DEADLINE_MS = 20_000;

/**
 * @typedef {object} ServerOptions
 * @property {import('./settings.js').Settings} [settings] laid upon the default ones
 * @property {string[]} [under] a command that the server is run under, such as `strace`
 * @property {Record<string, string>} [env]
 */

/**
 * Starts a server and waits until it accepts connections.
 *
 * @param {ServerOptions} [options]
 */
export async function startServer(options = {}) {
  const server = new Server(options);
  await server.start();
  return server;
}

/** @typedef {Record<string, any> | Array<unknown> | string | Buffer} Body */

/** A server that can be stopped, killed and started again on the same port and data. */
export class Server {
  /** @type {Client[]} */
  #clients = [];
  /** @type {string[]} */
  #lines = [];
  #fences = 0;

  /** @param {ServerOptions} options */
  constructor({ settings = {}, under = [], env }) {
    this.directory = temporaryDirectory();
    this.settings = merged(defaultSettings(join(this.directory, 'data')), settings);
    this.under = under;
    this.env = env;
    /** @type {Child | undefined} */
    this.child = undefined;
    this.url = '';
    /** Where `/metrics` is. */
    this.adminUrl = '';
  }

  /** Starts it: the first time on any free port, later on the same one. */
  async start() {
    const config = join(this.directory, 'switchboard.toml');
    writeFileSync(config, toml(this.settings));
    const command = [...this.under, BINARY, 'serve', '--config', config];
    const child = new Child(command, { cwd: this.directory, env: this.env });
    this.child = child;
    const address = await child.line('stderr', 'the line that says "listening"', listening);
    this.url = `http://${address}`;
    // Said before the other one, if at all.
    const admin = child.stderr.map(adminListening).find((found) => found !== undefined);
    this.adminUrl = admin === undefined ? '' : `http://${admin}`;
    this.settings = merged(this.settings, { server: { port: Number(new URL(this.url).port) } });
    await until('a server that is ready', async () => (await this.get('/readyz')).status === 200);
  }

  /** Asks it to drain and waits until it has ended; then its log must hold no secret. */
  async stop() {
    for (const client of this.#clients) client.close();
    await this.terminate();
    const found = leaks(this.lines());
    assert.deepEqual(found, [], 'secrets in the log');
  }

  /** Asks it to drain, with its clients still there, and waits until it has ended. */
  async terminate() {
    const child = this.#running();
    if (child.exit === undefined) child.signal('SIGTERM');
    try {
      const { code } = await child.ended(STOP_DEADLINE_MS);
      assert.equal(code, 0, `exit code after SIGTERM: ${child.tail()}`);
    } finally {
      child.signal('SIGKILL');
      this.#keepLines();
    }
  }

  /** Ends it as the loss of power would end the process. */
  async kill() {
    const child = this.#running();
    child.signal('SIGKILL');
    await child.ended(STOP_DEADLINE_MS);
    this.#keepLines();
  }

  /** Everything that it wrote, in all of its lives. */
  lines() {
    return [...this.#lines, ...(this.child?.stderr ?? []), ...(this.child?.stdout ?? [])];
  }

  /** Its log lines as objects. */
  logs() {
    return this.lines().flatMap((line) => parsed(line) ?? []);
  }

  /** @param {string} path */
  async get(path, headers = {}) {
    return answer(await fetch(this.url + path, { headers }));
  }

  /** What this node counts. */
  async stats() {
    const { status, body } = await this.get('/v1/stats', { authorization: `Bearer ${KEYS['*']}` });
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  /** The metrics of this node as text. */
  async metrics() {
    const { status, type, body } = await answer(await fetch(`${this.adminUrl}/metrics`));
    assert.equal(status, 200, body);
    assert.equal(type, 'text/plain; version=0.0.4; charset=utf-8');
    return /** @type {string} */ (body);
  }

  /**
   * Posts to `/v1/events`: one draft or an array of them, or any text.
   *
   * @param {Body} body
   * @param {{ key?: string | null, headers?: Record<string, string>, signal?: AbortSignal }} [options] the key is that of `acme`
   *   unless told
   */
  async publish(body, { key = KEYS.acme, headers = {}, signal } = {}) {
    keepMessagesSecret(body);
    const raw = typeof body === 'string' || Buffer.isBuffer(body);
    return answer(
      await fetch(`${this.url}/v1/events`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...headers,
        },
        body: raw ? bodyInit(body) : JSON.stringify(body),
        signal,
      }),
    );
  }

  /**
   * Posts JSON to any route of producers.
   *
   * @param {string} path
   * @param {Body | undefined} [body]
   * @param {{ key?: string | null }} [options] the key is that of `acme` unless told
   */
  async post(path, body, { key = KEYS.acme } = {}) {
    return answer(
      await fetch(this.url + path, {
        method: 'POST',
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      }),
    );
  }

  /**
   * Orders something that has to be taken, and gives its position.
   *
   * @param {string} path
   * @param {Body | undefined} [body]
   * @param {{ key?: string }} [options]
   * @returns {Promise<string>}
   */
  async ordered(path, body, options) {
    const { status, body: answered } = await this.post(path, body, options);
    assert.equal(status, 202, JSON.stringify(answered));
    return answered.position;
  }

  /**
   * Publishes one draft that has to be taken, and gives its id and position.
   *
   * @param {Record<string, any>} draft
   * @param {{ key?: string, headers?: Record<string, string> }} [options]
   * @returns {Promise<{ id: string, position: string }>}
   */
  async published(draft, options) {
    const { status, body } = await this.publish(draft, options);
    assert.equal(status, 202, JSON.stringify(body));
    return body;
  }

  /**
   * Posts to a route of a campaign: `c-1/start` and the like.
   *
   * @param {string} path
   * @param {object} [body] none at all if it is left out
   */
  async campaign(path, body) {
    return answer(
      await fetch(`${this.url}/v1/campaigns/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${KEYS.acme}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );
  }

  /**
   * Posts a webhook body as Meta would, signed.
   *
   * @param {string} endpoint
   * @param {Body} body
   * @param {import('./webhook.js').DeliverOptions} [options]
   */
  async webhook(endpoint, body, options) {
    keepMessagesSecret(body);
    return answer(await deliver(`${this.url}/webhooks/meta/${endpoint}`, body, options));
  }

  /**
   * A stock client of this server, connected.
   *
   * @param {import('./client.js').ConnectOptions} [options]
   */
  async connect(options) {
    const client = this.dial(options);
    await client.connected();
    return client;
  }

  /**
   * A stock client of this server that may or may not come to be connected.
   *
   * @param {import('./client.js').ConnectOptions} [options]
   */
  dial({ user = 'ana', tenant = 'acme', rooms, link, token, ...options } = {}) {
    const minted = token ?? signHs256(claims({ user, tenant, rooms, link }));
    const client = dial(this.url, { ...options, token: minted, user: String(user), tenant });
    this.#clients.push(client);
    return client;
  }

  /**
   * What `client` got since it was last asked, and for certain nothing more of what was published before.
   *
   * An event that only it gets is published last; within a tenant order is kept, so when that has arrived
   * everything before it has arrived too, or never will.
   *
   * @param {Client} client
   * @returns {Promise<import('./client.js').Received[]>}
   */
  async received(client) {
    const fence = `fence-${(this.#fences += 1)}`;
    const activity = { userId: client.user, userName: fence, action: 'fence', resource: fence };
    const key = KEYS[/** @type {keyof typeof KEYS} */ (client.tenant)];
    await this.published({ event: 'team:activity', data: { activity }, rooms: [`user:${client.user}`] }, { key });
    return client.takeThrough(fence);
  }

  /**
   * Shows that `client` got nothing since it was last asked.
   *
   * @param {Client} client
   * @param {string} [message]
   */
  async assertNothing(client, message) {
    assert.deepEqual(await this.received(client), [], message);
  }

  #running() {
    if (this.child === undefined) throw new Error('the server was never started');
    return this.child;
  }

  #keepLines() {
    this.#lines = this.lines();
    this.child?.stderr.splice(0);
    this.child?.stdout.splice(0);
  }
}

/**
 * The address in a log line that says that the server listens.
 *
 * @param {string} line
 * @returns {string | undefined}
 */
function listening(line) {
  const log = parsed(line);
  return log?.message === 'listening' ? log.address : undefined;
}

/**
 * The address in a log line that says that the server listens for its operator.
 *
 * @param {string} line
 * @returns {string | undefined}
 */
function adminListening(line) {
  const log = parsed(line);
  return log?.message === 'admin listening' ? log.address : undefined;
}

/**
 * @param {string} line
 * @returns {Record<string, any> | undefined}
 */
function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/**
 * An answer with its body read: as JSON if it is that, else as text.
 *
 * @param {Response} response
 */
async function answer(response) {
  const text = await response.text();
  const type = response.headers.get('content-type') ?? '';
  const body = /[/+]json/.test(type) ? JSON.parse(text) : text;
  return { status: response.status, headers: response.headers, type, body };
}
