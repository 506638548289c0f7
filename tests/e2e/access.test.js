// @ts-check
/** Who may hear what. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { startServer } from './harness/server.js';
import { KEYS } from './harness/settings.js';

const server = await startServer({ settings: { catalogue: { rooms: ['order'] } } });
after(() => server.stop());

test('a room outside the rights is forbidden, said by the acknowledgement', async () => {
  const client = await server.connect({ rooms: ['whatsapp:mine', 'contact:4*'] });

  for (const [event, id] of [
    ['subscribe:whatsapp', 'other'],
    ['subscribe:whatsapp', 'mine-too'],
    ['subscribe:contact', '5'],
    ['subscribe:campaign', 'mine'],
    ['subscribe:flow', 'mine'],
    ['subscribe', 'order:7'],
    ['subscribe', 'user:rui'],
    ['subscribe', 'team:globex'],
    ['subscribe', 'contacts:acme'],
    ['subscribe', 'contacts:globex'],
  ]) {
    const ack = await client.request(event, id);
    assert.equal(ack.ok, false, `${event} ${id}`);
    assert.equal(ack.error.code, 'forbidden', `${event} ${id}: ${JSON.stringify(ack)}`);
    assert.equal(typeof ack.error.message, 'string');
  }
  await client.subscribe('whatsapp:mine', 'contact:42');
});

test('without an acknowledgement a refusal comes as session:error', async () => {
  const client = await server.connect({ rooms: ['whatsapp:mine'] });

  client.socket.emit('subscribe:whatsapp', 'other');
  const { payload } = await client.next('session:error');

  assert.equal(payload.code, 'forbidden');
  assert.equal(payload.event, 'subscribe:whatsapp');
  assert.equal(typeof payload.message, 'string');
});

test('a token that names no rooms may join none', async () => {
  const client = await server.connect({});

  for (const room of ['whatsapp:1', 'contact:1', 'campaign:1', 'flow:1', 'order:1']) {
    const ack = await client.request('subscribe', room);
    assert.equal(ack.error?.code, 'forbidden', room);
  }
});

test('what was refused is not heard, and what is left is heard no more', async () => {
  const client = await server.connect({ rooms: ['contact:1'] });
  const update = (/** @type {string} */ contactId) =>
    server.published({ event: 'contact:updated', data: { contactId, updates: {} } });
  await client.request('subscribe:contact', '1');
  await client.request('subscribe:contact', '2');

  await update('2');
  await update('1');
  const heard = await server.received(client);
  await client.request('unsubscribe:contact', '1');
  await update('1');

  assert.deepEqual(
    heard.map(({ payload }) => payload.contactId),
    ['1'],
  );
  await server.assertNothing(client);
});

test('names that are no rooms are refused with a code that says so', async () => {
  const client = await server.connect({ rooms: ['*'] });

  for (const name of [
    '',
    'nothing',
    'unknown:1',
    'contact:',
    'contact:a b',
    'contact:a\u0000b',
    `contact:${'x'.repeat(200)}`,
  ]) {
    const ack = await client.request('subscribe', name);
    assert.equal(ack.ok, false, JSON.stringify(name));
    assert.ok(
      ['invalid_room', 'invalid_argument'].includes(ack.error.code),
      `${JSON.stringify(name)}: ${ack.error.code}`,
    );
  }
  for (const id of [undefined, null, {}, [], true, '', 'a b', 'x'.repeat(129)]) {
    const ack = await client.request('subscribe:contact', id);
    assert.equal(ack.ok, false, JSON.stringify(id));
    assert.ok(
      ['invalid_room', 'invalid_argument'].includes(ack.error.code),
      `${JSON.stringify(id)}: ${ack.error.code}`,
    );
  }
  const unknown = await client.request('subscribe:everything', '1');
  assert.equal(unknown.error?.code, 'unknown_event');
});

test('a QR code goes only to who may pair the account', async () => {
  const [may, mayNot, mayOther] = await Promise.all([
    server.connect({ user: 'may', rooms: ['whatsapp:*'], link: ['whatsapp:acc'] }),
    server.connect({ user: 'may-not', rooms: ['whatsapp:*'], link: [] }),
    server.connect({ user: 'may-other', rooms: ['whatsapp:*'], link: ['whatsapp:other'] }),
  ]);
  for (const client of [may, mayNot, mayOther]) {
    assert.equal((await client.request('subscribe:whatsapp', 'acc')).ok, true);
  }
  const data = {
    accountId: 'acc',
    qrCode: 'data:image/png;base64,AAAA',
    expiresAt: new Date(Date.now() + 60_000).toISOString(),
    timestamp: '2025-11-05T10:00:00Z',
  };

  await server.published({ event: 'whatsapp:qr:generated', data });
  await server.published({ event: 'whatsapp:ready', data: { accountId: 'acc' } });

  const names = async (/** @type {import('./harness/client.js').Client} */ client) =>
    (await server.received(client)).map(({ event }) => event);
  assert.deepEqual(await names(may), ['whatsapp:qr:generated', 'whatsapp:ready']);
  assert.deepEqual(await names(mayNot), ['whatsapp:ready']);
  assert.deepEqual(await names(mayOther), ['whatsapp:ready']);
});

test('without a claim for pairing, who may subscribe may pair', async () => {
  const client = await server.connect({ rooms: ['whatsapp:acc-2'] });
  await client.request('subscribe:whatsapp', 'acc-2');
  const expiresAt = new Date(Date.now() + 60_000).toISOString();

  await server.published({ event: 'whatsapp:qr:generated', data: { accountId: 'acc-2', qrCode: 'q', expiresAt } });

  assert.deepEqual(
    (await server.received(client)).map(({ event }) => event),
    ['whatsapp:qr:generated'],
  );
});

test('nobody reaches the room of QR codes by naming it as an account', async () => {
  const client = await server.connect({ rooms: ['*'], link: [] });

  for (const [event, id] of [
    ['subscribe:whatsapp', 'acc:link'],
    ['subscribe', 'whatsapp:acc:link'],
  ]) {
    const ack = await client.request(event, id);
    assert.equal(ack.ok, false, `${event} ${id}`);
  }
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  await server.published({ event: 'whatsapp:qr:generated', data: { accountId: 'acc', qrCode: 'q', expiresAt } });
  const named = await server.publish({ event: 'whatsapp:ready', data: { accountId: 'acc:link' } });
  assert.equal(named.status, 422, JSON.stringify(named.body));
  await server.assertNothing(client);
});

test('no room can be added to a QR code', async () => {
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  const data = { accountId: 'acc', qrCode: 'q', expiresAt };

  for (const over of [{ rooms: ['team:acme'] }, { addRooms: ['team:acme'] }]) {
    const { status, body } = await server.publish({ event: 'whatsapp:qr:generated', data, ...over });
    assert.equal(status, 422, JSON.stringify(body));
  }
});

test('two tenants with the same ids get nothing of each other, in any kind of room', async () => {
  const link = ['whatsapp:*'];
  const acme = await server.connect({ user: 'u', tenant: 'acme', rooms: ['*'], link });
  const globex = await server.connect({ user: 'u', tenant: 'globex', rooms: ['*'], link });
  const ids = ['whatsapp:1', 'contact:1', 'campaign:1', 'flow:1', 'order:1'];
  await acme.subscribe(...ids);
  await globex.subscribe(...ids);

  for (const { event, data, rooms } of everyRoom()) {
    await server.published({ event, data, rooms }, { key: KEYS.acme });
  }

  const heard = (await server.received(acme)).map(({ event }) => event);
  assert.deepEqual(
    heard,
    everyRoom().map(({ event }) => event),
  );
  await server.assertNothing(globex);

  for (const room of ['team:acme', 'contacts:acme', 'user:somebody']) {
    const ack = await globex.request('subscribe', room);
    assert.equal(ack.error?.code, 'forbidden', room);
  }
});

test('whoever may hear every contact hears of each without subscribing, and nobody else', async () => {
  const [every, some] = await Promise.all([
    server.connect({ user: 'every', rooms: ['contact:*'] }),
    server.connect({ user: 'some', rooms: ['contact:1', 'contact:2'] }),
  ]);
  const contact = { id: '1', name: 'Rita', phone: '+351 900', email: null };

  await server.published({ event: 'contact:created', data: { contact } });
  await server.published({ event: 'contact:updated', data: { contactId: '2', updates: { name: 'R' } } });
  await server.published({ event: 'contact:deleted', data: { contactId: '3' } });

  const heard = (await server.received(every)).map(({ event }) => event);
  assert.deepEqual(heard, ['contact:created', 'contact:updated', 'contact:deleted']);
  await server.assertNothing(some);
});

test('with an open policy everybody of the tenant may join, the server warns, and the tenant is still the border', async (t) => {
  const open = await startServer({ settings: { access: { policy: 'open' } } });
  t.after(() => open.stop());
  const acme = await open.connect({ tenant: 'acme' });
  const globex = await open.connect({ tenant: 'globex' });
  for (const client of [acme, globex]) await client.subscribe('contact:1');

  await open.published({ event: 'contact:updated', data: { contactId: '1', updates: {} } });

  assert.deepEqual(
    (await open.received(acme)).map(({ event }) => event),
    ['contact:updated'],
  );
  await open.assertNothing(globex);
  const warnings = open.logs().filter(({ level }) => level === 'WARN');
  assert.ok(
    warnings.some((log) => JSON.stringify(log).includes('access.policy')),
    JSON.stringify(warnings),
  );
});

test('a refused room leaves a warning in the log', async () => {
  const client = await server.connect({ user: 'curious' });
  await client.request('subscribe:contact', 'forbidden-room-1');

  const warnings = server.logs().filter(({ level }) => level === 'WARN');

  assert.ok(warnings.some((log) => JSON.stringify(log).includes('forbidden-room-1')));
});

/** An event for every kind of room. */
function everyRoom() {
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  const notification = { type: 'info', title: 't', message: 'm' };
  return [
    { event: 'whatsapp:qr:generated', data: { accountId: '1', qrCode: 'q', expiresAt } },
    { event: 'whatsapp:ready', data: { accountId: '1' } },
    { event: 'campaign:paused', data: { campaignId: '1' } },
    { event: 'contact:updated', data: { contactId: '1', updates: {} }, rooms: ['contact:1'] },
    { event: 'contact:deleted', data: { contactId: '9' } },
    { event: 'flow:execution:started', data: { flowId: '1', executionId: '1' }, rooms: ['flow:1'] },
    { event: 'campaign:resumed', data: { campaignId: '1' }, rooms: ['order:1'] },
    { event: 'campaign:started', data: { campaignId: '1' }, rooms: ['user:u'] },
    { event: 'system:notification', data: { notification } },
  ];
}
