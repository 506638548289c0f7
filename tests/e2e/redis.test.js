// @ts-check
/** Two nodes that share a journal on Redis: what happens at one is so at the other. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { back, lost } from './harness/lost.js';
import { assertCounted, assertOnLine, count, numbered } from './harness/numbered.js';
import { Redis } from './harness/redis.js';
import { startServer } from './harness/server.js';
import { ADMINISTRATORS } from './harness/settings.js';
import { until } from './harness/until.js';

/** How long Redis may be silent, and what a busy machine takes beside. */
const TIMEOUT_MS = 1_000;
const SLACK_MS = 2_000;

const redis = await Redis.start();
after(() => redis.stop());
const [here, there] = await Promise.all([node(), node()]);
after(() => Promise.all([here.stop(), there.stop()]));

function node() {
  return startServer({
    settings: {
      journal: { kind: 'redis', path: undefined },
      redis: { url: redis.url, command_timeout: `${TIMEOUT_MS}ms`, connect_timeout: `${TIMEOUT_MS}ms` },
      presence: { grace: '300ms' },
      producers: ADMINISTRATORS,
    },
  });
}

/** Waits until a node says whether it can append. */
const ready = (/** @type {import('./harness/server.js').Server} */ server, /** @type {number} */ status) =>
  until(`${status} of /readyz`, async () => (await server.get('/readyz')).status === status);

test('what is published at one node is heard at the other, in order and once', async () => {
  const client = await there.connect({ rooms: ['campaign:*'] });
  await client.subscribe('campaign:across');

  await count(here, 'across', 1, 50);
  await count(there, 'across', 51, 60);

  const line = await there.received(client);
  assertCounted(line, 'across', 1, 60);
  assertOnLine(line);
  client.close();
});

test('an event that is repeated at the other node is one event', async () => {
  const client = await there.connect({ rooms: ['campaign:*'] });
  await client.subscribe('campaign:twice');
  const draft = numbered('twice', 1, { id: 'twice-1' });

  const first = await here.published(draft);
  const again = await there.published(draft);

  assert.deepEqual(again, first);
  assertCounted(await there.received(client), 'twice', 1, 1);
  client.close();
});

test('a client that lost its node goes on where it was on the other one', async () => {
  const client = await here.connect({ rooms: ['campaign:*'] });
  await client.subscribe('campaign:moved');
  await count(here, 'moved', 1, 3);
  const before = await here.received(client);
  const { id } = client.socket;

  await lost(client, () => void client.socket.io.engine.close());
  await count(here, 'moved', 4, 9);
  Object.assign(client.socket.io, { uri: there.url });
  const atConnect = await back(client);

  assert.equal(client.socket.recovered, true);
  assert.equal(client.socket.id, id, 'it is the socket it was');
  assertCounted(atConnect, 'moved', 4, 9);
  await count(here, 'moved', 10);
  const line = [...before, ...atConnect, ...(await there.received(client))];
  assertCounted(line, 'moved', 1, 10);
  assertOnLine(line);
  client.close();
});

test('who comes, types and goes at one node is told at the other', async () => {
  const rooms = ['contact:*', 'whatsapp:*'];
  const watching = await there.connect({ user: 'watcher', presence: true, rooms });
  await watching.subscribe('contact:c-1');
  const typing = { contactId: 'c-1', whatsappAccountId: '1' };

  const typist = await here.connect({ user: 'typist', rooms });
  await typist.subscribe('contact:c-1');
  const ofTypist = (/** @type {string} */ status) => (/** @type {any} */ one) =>
    one.userId === 'typist' && one.status === status;
  await watching.next('presence:update', ofTypist('online'));
  assert.deepEqual(await typist.request('typing:start', typing), { ok: true });
  await watching.next('typing:indicator', (one) => one.userId === 'typist' && one.isTyping);
  assert.deepEqual(await typist.request('typing:stop', typing), { ok: true });
  await watching.next('typing:indicator', (one) => one.userId === 'typist' && !one.isTyping);
  typist.close();
  await watching.next('presence:update', ofTypist('offline'));
  watching.close();
});

test('a right that is taken at one node ends at the other', async () => {
  const victim = await there.connect({ user: 'victim', rooms: ['campaign:*'] });
  await victim.subscribe('campaign:secret');

  await here.ordered('/v1/revocations', { user: 'victim' });
  await count(here, 'secret', 1);

  await victim.next('session:expired', ({ reason }) => reason === 'revoked');
  await until('the end of the connection', () => !victim.socket.connected);
  assert.deepEqual(victim.take().filter(({ event }) => event === 'campaign:progress'), []);
});

test('while Redis is held still producers are refused in time, and nothing that was answered is lost', async () => {
  const client = await there.connect({ rooms: ['campaign:*'], transports: ['websocket'] });
  await client.subscribe('campaign:held');
  await count(here, 'held', 1, 3);
  const before = await there.received(client);

  redis.hold();
  const begun = Date.now();
  const refused = await here.publish(numbered('held', 4, { id: 'held-4' }));
  const took = Date.now() - begun;
  await ready(here, 503);
  const at = Date.now();
  const again = await here.publish(numbered('held', 4, { id: 'held-4' }));

  assert.equal(refused.status, 503, JSON.stringify(refused.body));
  assert.ok(took < TIMEOUT_MS + SLACK_MS, `it took ${took} ms`);
  assert.equal(again.status, 503, JSON.stringify(again.body));
  assert.ok(Date.now() - at < TIMEOUT_MS + SLACK_MS);
  assert.ok(client.socket.connected, 'the client stays');

  redis.wake();
  await Promise.all([ready(here, 200), ready(there, 200)]);
  await here.published(numbered('held', 4, { id: 'held-4' }));
  await count(here, 'held', 5, 20);
  const line = [...before, ...(await there.received(client))];

  assert.deepEqual(client.disconnects, [], 'the client never noticed');
  assertCounted(line, 'held', 1, 20);
  assertOnLine(line);
  client.close();
});
