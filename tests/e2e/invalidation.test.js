// @ts-check
/** A right that is said to be invalid counts from the order on, whoever decides may take its time. */
import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';

import { Crm } from './harness/crm.js';
import { startServer } from './harness/server.js';
import { ADMINISTRATORS } from './harness/settings.js';
import { until } from './harness/until.js';

const crm = new Crm();
await crm.start();
const ask = { policy: 'http' };
const server = await startServer({
  settings: {
    producers: ADMINISTRATORS,
    access: {
      ttl: '10m',
      kinds: { contact: ask, whatsapp: ask, link: ask },
      http: { url: crm.url, secret: crm.secret, timeout: '15s' },
    },
  },
});
after(async () => {
  crm.release();
  await server.stop();
  await crm.stop();
});

let people = 0;
/** @type {string} */
let user;
beforeEach(() => {
  people += 1;
  user = `person-${people}`;
});

/**
 * Somebody in the rooms of these contacts, and what it hears of them.
 *
 * @param {string[]} contacts
 * @param {object} [options]
 */
async function listener(contacts, options = {}) {
  for (const contact of contacts) crm.allow(user, contact);
  const client = await server.connect({ user, rooms: ['flow:*'], ...options });
  /** @type {string[]} */
  const said = [];
  client.socket.on('contact:updated', ({ contactId, updates }) => said.push(`${contactId} ${updates.number}`));
  await client.subscribe(...contacts);
  return { client, said };
}

/** @param {string} room @param {number} number */
const say = (room, number) =>
  server.published({ event: 'contact:updated', data: { contactId: room.slice(8), updates: { number } } });

/** A room that is invalidated and asked about, and not answered about. @param {string} room */
async function putInDoubt(room) {
  const before = crm.count(user, room);
  crm.hold(room);
  await server.ordered('/v1/access/invalidate', { room });
  await until('the question', () => crm.count(user, room) > before);
}

test('nothing of a room is heard until somebody decides; then the line goes on without a gap', async () => {
  const [doubtful, sure] = [`contact:a-${user}`, `contact:b-${user}`];
  const { client, said } = await listener([doubtful, sure]);
  await putInDoubt(doubtful);

  await say(sure, 1);
  await until('the other room', () => said.length === 1);
  await say(doubtful, 2);
  await say(sure, 3);
  await say(doubtful, 4);
  const ack = await client.request('ping', {});
  assert.equal(ack.ok, true);
  assert.deepEqual(said, [`b-${user} 1`], 'what is beyond the room waits with it');
  crm.release();
  await until('all', () => said.length === 4);

  assert.deepEqual(said, [`b-${user} 1`, `a-${user} 2`, `b-${user} 3`, `a-${user} 4`]);
  await say(doubtful, 5);
  await until('what is live again', () => said.length === 5);
  assert.deepEqual(client.disconnects, []);
  assert.ok(client.take().every(({ event }) => event !== 'session:left'));
});

test('while a room is silent the line goes on, and is told of other rooms', async () => {
  const [doubtful, sure] = [`contact:a-${user}`, `contact:b-${user}`];
  const { client, said } = await listener([doubtful, sure]);
  await putInDoubt(doubtful);

  for (const number of [1, 2, 3]) await say(sure, number);
  await until('the other room', () => said.length === 3);

  crm.release();
  await say(doubtful, 4);
  await until('the room', () => said.length === 4);
});

test('what is denied is left, and of what was said since the order nothing is heard', async () => {
  const [doubtful, sure] = [`contact:a-${user}`, `contact:b-${user}`];
  const { client, said } = await listener([doubtful, sure]);
  crm.deny(user, doubtful);
  await putInDoubt(doubtful);

  await say(doubtful, 1);
  await say(sure, 2);
  crm.release();
  const left = await client.next('session:left');

  assert.deepEqual(left.payload, { rooms: [doubtful], reason: 'withdrawn' });
  await say(sure, 3);
  await until('the other room', () => said.length === 2);
  assert.deepEqual(said, [`b-${user} 2`, `b-${user} 3`]);
});

test('what nobody can say is left before long, though the yes of before would hold for minutes', async () => {
  const doubtful = `contact:a-${user}`;
  const { client, said } = await listener([doubtful]);
  await client.subscribe(`flow:b-${user}`);
  await crm.stop();
  try {
    await server.ordered('/v1/access/invalidate', { user });
    await say(doubtful, 1);
    const left = await client.next('session:left');

    assert.deepEqual(left.payload, { rooms: [doubtful], reason: 'unavailable' });
    await server.published({ event: 'flow:execution:started', data: { flowId: `b-${user}`, executionId: 'e' } });
    await client.next('flow:execution:started');
    assert.deepEqual(said, []);
  } finally {
    await crm.start();
    await until('a backend that is found again', async () => (await server.get('/readyz')).body.status === 'ready');
  }
});

test('an order that comes while another one is being decided about counts too', async () => {
  const room = `contact:a-${user}`;
  const { client, said } = await listener([room]);
  await putInDoubt(room);
  const before = crm.count(user, room);

  crm.deny(user, room);
  await server.ordered('/v1/access/invalidate', { room });
  await until('another question', () => crm.count(user, room) > before);
  await say(room, 1);
  crm.release();

  const left = await client.next('session:left');
  assert.deepEqual(left.payload, { rooms: [room], reason: 'withdrawn' });
  assert.deepEqual(said, []);
});

test('who comes back while it is being decided is asked about anew, and misses nothing', async () => {
  const room = `contact:a-${user}`;
  const { client, said } = await listener([room], { reconnection: true });
  await say(room, 1);
  await until('the first', () => said.length === 1);
  await putInDoubt(room);
  await say(room, 2);

  client.socket.io.engine.close();
  await until('a disconnect', () => client.disconnects.length > 0);
  await until('coming back', () => crm.count(user, room) > 1);
  assert.deepEqual(said, [`a-${user} 1`]);
  crm.release();

  await until('what was missed', () => said.length === 2);
  assert.equal(client.socket.recovered, true);
  client.close();
});

test('a subscription is decided again if its right is invalidated before the room is joined', async () => {
  const [room, link] = [`whatsapp:${user}`, `whatsapp:${user}:link`];
  crm.allow(user, room);
  crm.allow(user, link);
  const client = await server.connect({ user, rooms: [] });
  crm.hold(link);

  // The room itself was decided about already when the order comes.
  const asking = client.request('subscribe', room);
  await until('the second question', () => crm.count(user, link) === 1);
  crm.deny(user, room);
  await server.ordered('/v1/access/invalidate', { room });
  crm.release();

  const ack = await asking;
  assert.equal(ack.error?.code, 'forbidden', JSON.stringify(ack));
  await server.published({ event: 'whatsapp:ready', data: { accountId: user } });
  await server.assertNothing(client);
});
