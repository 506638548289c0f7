// @ts-check
/** Clients that lose their connection and come back, each for one test alone. */
import { dial } from './client.js';
import { startServer } from './server.js';
import { claims, signHs256 } from './tokens.js';
import { until } from './until.js';
import { Wire } from './wire.js';

/**
 * A server of this test alone.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('./settings.js').Settings} [settings]
 */
export async function started(t, settings = {}) {
  const own = await startServer({ settings: { log: { level: 'info' }, ...settings } });
  t.after(() => own.stop());
  return own;
}

/**
 * @param {import('node:test').TestContext} t
 * @param {import('./server.js').Server} to
 */
export async function wire(t, to) {
  const one = await Wire.open(to.url);
  t.after(() => one.close());
  return one;
}

/** @param {import('./tokens.js').Person} person */
export function token(person) {
  return signHs256(claims({ tenant: 'acme', ...person }));
}

/**
 * A stock client that reaches its server through `proxy`.
 *
 * @param {import('./proxy.js').Proxy} proxy
 * @param {{ rooms: string[], transports?: readonly string[] }} options
 */
export async function through(proxy, { rooms, transports }) {
  const person = { user: 'ana', tenant: 'acme' };
  const client = dial(proxy.url, { ...person, transports, token: token({ ...person, rooms }) });
  await client.connected();
  return client;
}

/**
 * Waits until `client` knows that its connection is gone.
 *
 * @param {import('./client.js').Client} client
 * @param {() => void} lose
 */
export async function lost(client, lose) {
  // A cut between two polls goes unnoticed, so it may take another one.
  await until('the loss of the connection', () => (lose(), !client.socket.connected));
}

/**
 * Connects `client` again, and gives what it had received when its handlers of `connect` ran.
 *
 * @param {import('./client.js').Client} client
 */
export async function back(client) {
  /** @type {import('./client.js').Received[] | undefined} */
  let atConnect;
  client.socket.once('connect', () => (atConnect = client.take()));
  client.socket.connect();
  await client.connected();
  return /** @type {import('./client.js').Received[]} */ (atConnect);
}
