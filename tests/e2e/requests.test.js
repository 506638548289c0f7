// @ts-check
/** What a client asks for twice under one `requestId` has its effect once, and one answer. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { back, lost, token } from './harness/lost.js';
import { dial } from './harness/client.js';
import { Proxy } from './harness/proxy.js';
import { startServer } from './harness/server.js';

const server = await startServer();
after(() => server.stop());

test('a repeated request has the first answer again and no second effect', async () => {
  const client = await server.connect({ rooms: ['contact:*'] });

  const first = await client.request('ping', { requestId: 'r-1' });
  await client.next('pong');
  client.take();
  const again = await client.request('ping', { requestId: 'r-1' });
  const other = await client.request('ping', { requestId: 'r-2' });

  assert.deepEqual(again, first);
  assert.equal(other.ok, true);
  assert.equal(client.take().filter(({ event }) => event === 'pong').length, 1, 'the pong of the other one');
});

test('a subscription that is repeated after coming back replays nothing again', async (t) => {
  const proxy = await Proxy.start(server.url);
  t.after(() => proxy.close());
  const { position } = await server.published(updated('before'));
  const told = await server.published(updated('told'));
  const options = { user: 'ben', tenant: 'acme', token: token({ user: 'ben', rooms: ['contact:*'] }) };
  const client = dial(proxy.url, options);
  await client.connected();
  const wish = { after: position, requestId: 'r-1' };

  const first = await client.request('subscribe:contact', 'told', wish);
  const [replayed] = client.take();
  await lost(client, () => proxy.cut());
  await back(client);
  const again = await client.request('subscribe:contact', 'told', wish);
  const another = await server.connect({ user: 'ben', rooms: ['contact:*'] });
  await another.request('subscribe:contact', 'told', wish);

  assert.equal(client.socket.recovered, true);
  assert.deepEqual(replayed.position, { position: told.position, replay: true });
  assert.deepEqual(again, first);
  assert.deepEqual(client.take(), [], 'nothing twice');
  assert.equal(another.take().length, 1, 'another session has its own effect');
  client.close();
});

test('a refusal is repeated too, and an id that is none is refused', async () => {
  const client = await server.connect({ rooms: ['contact:1'] });

  const refused = await client.request('subscribe', 'contact:2', { requestId: 7 });
  const again = await client.request('subscribe', 'contact:2', { requestId: '7' });
  const invalid = await client.request('subscribe', 'contact:1', { requestId: 'a b' });

  assert.equal(refused.error.code, 'forbidden');
  assert.deepEqual(again, refused);
  assert.equal(invalid.error.code, 'invalid_argument');
});

/** @param {string} contactId */
function updated(contactId) {
  return { event: 'contact:updated', data: { contactId, updates: {} }, rooms: [`contact:${contactId}`] };
}
