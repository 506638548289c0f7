// @ts-check
/** Who got an event: acknowledged by stock clients, told to producers and to the team. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { back, lost, started, token, wire } from './harness/lost.js';
import { Proxy } from './harness/proxy.js';
import { dial } from './harness/client.js';
import { startServer } from './harness/server.js';
import { KEYS } from './harness/settings.js';
import { until } from './harness/until.js';

// One line for all tenants: a number of one means something to another.
const server = await startServer({ settings: { journal: { partitions: 1 } } });
after(() => server.stop());

/** Longer than any test: what closes it closes it early. */
const LONG = { timeoutMs: 600_000 };

test('who has acknowledged, who was sent it and who was not there, is told at the end', async () => {
  const [ana, ben] = await audience(server, 'three', ['ana', 'ben']);

  const { id } = await asked(server, 'three', { receipt: { timeoutMs: 1_500 }, addRooms: ['user:zoe'] });
  (await ana.next('contact:updated')).ack?.();
  await ben.next('contact:updated');
  const users = { ana: 'acknowledged', ben: 'sent', zoe: 'offline' };
  const open = await state(server, id, (receipt) => receipt.users.ana === 'acknowledged');
  const { payload } = await ben.next('event:receipt', ({ eventId }) => eventId === id);
  const closed = await state(server, id, (receipt) => receipt.state === 'closed');

  assert.equal(open.state, 'open');
  assert.deepEqual(payload, {
    eventId: id,
    event: 'contact:updated',
    users,
    counts: { sent: 1, acknowledged: 1, offline: 1 },
    complete: false,
    timestamp: closed.closedAt,
  });
  assert.deepEqual(closed.users, users);
  assert.ok(closed.closedAt > closed.deadline);
  assert.equal((await server.received(ana)).filter(({ event }) => event === 'event:receipt').length, 1, 'once');
  assert.equal((await receipt(server, id, KEYS.globex)).status, 404, 'another tenant');
});

test('once everybody has acknowledged it ends early, whatever tab they did it in', async () => {
  const [ana, ben] = await audience(server, 'early', ['ana', 'ben']);
  const [tab] = await audience(server, 'early', ['ana']);

  const { id } = await asked(server, 'early', { receipt: LONG });
  for (const client of [ben, tab]) (await client.next('contact:updated')).ack?.();
  const { payload } = await ana.next('event:receipt', ({ eventId }) => eventId === id);

  assert.deepEqual(payload.users, { ana: 'acknowledged', ben: 'acknowledged' });
  assert.equal(payload.complete, true);
});

test('an answer that is made up or late has no effect', async (t) => {
  const [ana] = await audience(server, 'forged', ['ana']);
  const mallory = await wire(t, server);
  await mallory.join({ token: token({ user: 'mallory', rooms: ['contact:*'] }) });
  const other = await wire(t, server);
  await other.join({ token: token({ user: 'ana', tenant: 'globex', rooms: ['contact:*'] }) });
  const before = await ignored(server);

  const { id, position } = await asked(server, 'forged', { receipt: LONG });
  const event = await ana.next('contact:updated');
  mallory.send(`43${position.split('-')[1]}[]`);
  mallory.send('439007199254740991[]');
  other.send(`43${position.split('-')[1]}[]`);
  await Promise.all([mallory.request('ping'), other.request('ping')]);
  const open = await state(server, id, ({ users }) => users.ana !== undefined);
  event.ack?.();
  const { payload } = await ana.next('event:receipt', ({ eventId }) => eventId === id);
  mallory.send(`43${position.split('-')[1]}[]`);

  assert.deepEqual(open.users, { ana: 'sent' });
  assert.deepEqual(payload.users, { ana: 'acknowledged' });
  await until('three answers that do not count', async () => (await ignored(server)) === before + 3);
});

test('what was missed is acknowledged after coming back, and what is replayed too', async (t) => {
  const proxy = await Proxy.start(server.url);
  t.after(() => proxy.close());
  const [watcher] = await audience(server, 'nowhere', ['ana']);
  const client = dial(proxy.url, { user: 'ben', tenant: 'acme', token: token({ user: 'ben', rooms: ['contact:*'] }) });
  await client.connected();
  await client.subscribe('contact:missed');
  const { position } = await server.published(updated('missed'));
  await client.next('contact:updated');
  client.take();

  await lost(client, () => proxy.cut());
  const { id } = await asked(server, 'missed', { receipt: LONG });
  const [missed] = (await back(client)).filter(({ event }) => event === 'contact:updated');
  assert.equal(client.socket.recovered, true);
  const late = await server.connect({ user: 'cleo', rooms: ['contact:*'] });
  await late.request('subscribe:contact', 'missed', { after: position });
  const replayed = await late.next('contact:updated');
  missed.ack?.();
  replayed.ack?.();
  const { payload } = await watcher.next('event:receipt', ({ eventId }) => eventId === id);

  assert.equal(replayed.position.replay, true);
  assert.deepEqual(payload.users, { ben: 'acknowledged', cleo: 'acknowledged' });
  client.close();
});

test('a SIGKILL forgets neither who has acknowledged nor that it is to be closed', async (t) => {
  const own = await started(t);
  const [ana, ben] = await audience(own, 'killed', ['ana', 'ben'], { reconnection: true });
  const { id } = await asked(own, 'killed', { receipt: LONG });
  const { id: alone } = await asked(own, 'nobody', { receipt: { timeoutMs: 1_000 }, addRooms: ['user:zoe'] });
  (await ana.next('contact:updated')).ack?.();
  const before = await ben.next('contact:updated');
  await state(own, id, ({ users }) => users.ana === 'acknowledged' && users.ben === 'sent');

  await own.kill();
  await own.start();
  await until('both are back', () => ana.socket.recovered && ben.socket.recovered);
  before.ack?.();
  const { payload } = await ben.next('event:receipt', ({ eventId }) => eventId === id);
  await state(own, alone, ({ closedAt }) => closedAt !== undefined);

  assert.deepEqual(payload.users, { ana: 'acknowledged', ben: 'acknowledged' });
  const ends = (await own.received(ana)).filter(({ event }) => event === 'event:receipt');
  assert.deepEqual(ends.map(({ payload: { eventId } }) => eventId).sort(), [id, alone].sort());
});

test('an event without a wish asks nobody, and one that is published again asks once', async () => {
  const [ana] = await audience(server, 'again', ['ana']);

  const { id: plain } = await server.published(updated('again'));
  const draft = { ...updated('again'), id: 'again', receipt: LONG };
  await server.published(draft);
  await server.published(draft);
  const { body } = await server.publish({ ...draft, receipt: { timeoutMs: 5_000 } });

  const [first, second, ...more] = await server.received(ana);
  assert.equal(first.ack, undefined);
  assert.equal(typeof second.ack, 'function');
  assert.deepEqual(more, []);
  assert.equal(body.code, 'id_reused');
  assert.equal((await receipt(server, plain)).body.code, 'no_receipt');
  second.ack?.();
  await ana.next('event:receipt', ({ eventId }) => eventId === 'again');
});

/**
 * Clients of these users in the room of a contact.
 *
 * @param {import('./harness/server.js').Server} to
 * @param {string} contact
 * @param {string[]} users
 * @param {import('./harness/client.js').ConnectOptions} [options]
 */
async function audience(to, contact, users, options = {}) {
  const clients = [];
  for (const user of users) {
    const client = await to.connect({ user, rooms: ['contact:*'], ...options });
    await client.request('subscribe', `contact:${contact}`);
    clients.push(client);
  }
  return clients;
}

/**
 * @param {import('./harness/server.js').Server} to
 * @param {string} contact
 * @param {Record<string, unknown>} more
 */
function asked(to, contact, more) {
  return to.published({ ...updated(contact), rooms: [`contact:${contact}`], ...more });
}

/** @param {string} contactId */
function updated(contactId) {
  return { event: 'contact:updated', data: { contactId, updates: {} }, rooms: [`contact:${contactId}`] };
}

/**
 * @param {import('./harness/server.js').Server} of
 * @param {string} id
 * @param {string} [key]
 */
function receipt(of, id, key = KEYS.acme) {
  return of.get(`/v1/events/${id}/receipt`, { authorization: `Bearer ${key}` });
}

/**
 * The receipt once it fits.
 *
 * @param {import('./harness/server.js').Server} of
 * @param {string} id
 * @param {(receipt: any) => boolean} fits
 */
function state(of, id, fits) {
  return until('the receipt', async () => {
    const { status, body } = await receipt(of, id);
    assert.equal(status, 200, JSON.stringify(body));
    return fits(body) ? body : undefined;
  });
}

/**
 * How many answers did not count.
 *
 * @param {import('./harness/server.js').Server} of
 */
async function ignored(of) {
  const metric = /^switchboard_receipt_acks_total\{result="ignored"\} (\d+)$/m;
  return Number(metric.exec(await of.metrics())?.[1]);
}
