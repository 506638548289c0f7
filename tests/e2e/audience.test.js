// @ts-check
/** Who hears an event: its rooms, `rooms`, `addRooms`, `except`, and what the settings declare. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { startServer } from './harness/server.js';
import { KEYS } from './harness/settings.js';

const server = await startServer({
  settings: {
    catalogue: {
      rooms: ['order'],
      events: [{ name: 'order:paid', audience: ['order:{orderId}', 'team:{tenant}'] }],
    },
  },
});
after(() => server.stop());

const watcher = await server.connect({ user: 'watcher', rooms: ['*'] });
await watcher.subscribe('campaign:c', 'contact:k', 'whatsapp:w');

/** A draft that is taken. */
const paused = (over = {}) => ({ event: 'campaign:paused', data: { campaignId: 'c' }, ...over });
const received = (/** @type {object} */ message, over = {}) => ({
  event: 'message:received',
  data: {
    message: {
      id: 'm',
      contactId: 'k',
      whatsappAccountId: 'w',
      direction: 'Inbound',
      type: 'Text',
      content: 'a text to keep',
      ...message,
    },
    ...over,
  },
});

test('an event in two rooms reaches whoever is in both of them once', async () => {
  await server.published(received({ id: 'm-1' }));

  const heard = await server.received(watcher);
  assert.deepEqual(
    heard.map(({ payload }) => payload.message.id),
    ['m-1'],
  );
});

test('rooms is the whole audience', async () => {
  const other = await server.connect({ user: 'other', rooms: ['*'] });

  await server.published(paused({ rooms: ['user:other'] }));

  assert.equal((await server.received(other)).length, 1);
  await server.assertNothing(watcher);
});

test('addRooms adds to the default audience', async () => {
  const other = await server.connect({ user: 'added', rooms: ['*'] });

  await server.published(paused({ addRooms: ['user:added', 'contact:k'] }));

  assert.equal((await server.received(other)).length, 1);
  assert.equal((await server.received(watcher)).length, 1);
});

test('whoever is in a room of except gets nothing, in however many of the rooms', async () => {
  const other = await server.connect({ user: 'colleague', rooms: ['*'] });
  await other.subscribe('contact:k', 'whatsapp:w');

  await server.published({ ...received({ id: 'm-2' }), except: ['user:watcher'] });

  assert.deepEqual(
    (await server.received(other)).map(({ payload }) => payload.message.id),
    ['m-2'],
  );
  await server.assertNothing(watcher);
});

test('what was declared in the settings is treated like what is built in', async () => {
  const client = await server.connect({ user: 'seller', rooms: ['order:*'] });
  await client.subscribe('order:77');

  await server.published({ event: 'order:paid', data: { orderId: '77', amount: 12.5 } });
  const unknown = await server.publish({ event: 'order:paid', data: { amount: 1 } });

  const [got, ...more] = await server.received(client);
  assert.deepEqual(more, []);
  assert.equal(got.event, 'order:paid');
  assert.equal(got.payload.amount, 12.5);
  assert.equal(unknown.status, 422, JSON.stringify(unknown.body));
  assert.equal((await server.received(watcher)).length, 1, 'the team hears it too');
});

test('only a key for all tenants speaks to all of them at once', async () => {
  const globex = await server.connect({ user: 'g', tenant: 'globex' });
  const notification = { type: 'warning', title: 'Maintenance', message: 'At noon' };
  const data = { notification, timestamp: '2025-11-05T10:00:00Z' };

  await server.published({ id: 'maintenance', event: 'system:notification', data, tenant: '*' }, { key: KEYS['*'] });

  // It may lie in a partition of its own, so a fence of the tenant does not say that it has come.
  for (const client of [watcher, globex]) {
    const { payload } = await client.next('system:notification');
    assert.deepEqual(payload, data);
    assert.equal((await server.received(client)).length, 1);
  }
});

test('a key for all tenants speaks to the one that the draft names', async () => {
  const globex = await server.connect({ user: 'g2', tenant: 'globex' });

  await server.published(
    {
      event: 'team:activity',
      data: { activity: { userId: 'x', userName: 'X', action: 'a', resource: 'r' } },
      tenant: 'globex',
    },
    { key: KEYS['*'] },
  );

  assert.equal((await server.received(globex)).length, 1);
  await server.assertNothing(watcher);
});

test('a status finds its audience by the message that was published before', async () => {
  await server.published({
    event: 'message:sent',
    data: {
      message: {
        id: 'sent-1',
        contactId: 'k',
        whatsappAccountId: 'w',
        direction: 'Outbound',
        type: 'Text',
        content: 'words of ours',
        status: 'Sent',
      },
    },
  });

  await server.published({ event: 'message:read', data: { messageId: 'sent-1' } });

  assert.deepEqual(
    (await server.received(watcher)).map(({ event }) => event),
    ['message:sent', 'message:read'],
  );
});

test('a status finds its audience in its own payload', async () => {
  await server.published({
    event: 'message:delivered',
    data: { messageId: 'unseen', contactId: 'k', whatsappAccountId: 'w' },
  });

  assert.equal((await server.received(watcher)).length, 1);
});

test('a client that joins while events are fanned out misses nothing after its position and gets nothing twice', async () => {
  const total = 200;
  const draft = (/** @type {number} */ n) => paused({ data: { campaignId: 'busy', n } });
  /** @type {number[]} */
  const offsets = [];
  const publishing = (async () => {
    for (let n = 0; n < total; n += 1) offsets.push(offsetOf((await server.published(draft(n))).position));
  })();
  const clients = [];
  for (let n = 0; n < 10; n += 1) {
    const client = await server.connect({ user: `joins-${n}`, rooms: ['campaign:*'] });
    clients.push({ client, ack: await client.request('subscribe:campaign', 'busy') });
  }
  await publishing;

  for (const { client, ack } of clients) {
    const heard = await server.received(client);
    const beyond = offsets.filter((offset) => offset > offsetOf(ack.position));
    assert.deepEqual(
      heard.map(({ position }) => offsetOf(position)),
      beyond,
    );
    assert.deepEqual(
      heard.map(({ payload }) => payload.n),
      beyond.map((offset) => offsets.indexOf(offset)),
    );
  }
});

/** @param {string} position */
function offsetOf(position) {
  return Number(position.split('-')[1]);
}
