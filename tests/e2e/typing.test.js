// @ts-check
/** Who types, and who hears of it. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { startServer } from './harness/server.js';
import { KEYS } from './harness/settings.js';
import { until } from './harness/until.js';

const server = await startServer({ settings: { typing: { lifetime: '1500ms', contact_lifetime: '1s' } } });
after(() => server.stop());

let contacts = 0;
/** A contact that no other test uses. */
const fresh = () => `typing-${(contacts += 1)}`;

/**
 * Two tabs of a typist, a colleague, and somebody of another tenant with the same rights, all at one contact.
 *
 * @param {string} contactId
 */
async function scene(contactId) {
  const rooms = [`contact:${contactId}`, 'whatsapp:1'];
  const [tab, other, colleague, stranger] = await Promise.all([
    server.connect({ user: 'ana', rooms }),
    server.connect({ user: 'ana', rooms }),
    server.connect({ user: 'rui', rooms }),
    server.connect({ user: 'rui', tenant: 'globex', rooms }),
  ]);
  for (const client of [tab, other, colleague, stranger]) await client.subscribe(`contact:${contactId}`);
  const typing = { contactId, whatsappAccountId: '1' };
  return { tab, other, colleague, stranger, typing };
}

/**
 * Shows that `client` got nothing since it was last asked, but for the fences of its other tabs.
 *
 * @param {import('./harness/client.js').Client} client
 * @param {string} [message]
 */
async function assertQuiet(client, message) {
  const heard = await server.received(client);
  assert.deepEqual(heard.filter(({ payload }) => payload?.activity?.action !== 'fence'), [], message);
}

/**
 * Waits for one indicator, takes everything, and shows that it was the only one.
 *
 * @param {import('./harness/client.js').Client} client
 * @param {boolean} isTyping
 */
async function indicated(client, isTyping) {
  const heard = await client.next('typing:indicator', (payload) => payload.isTyping === isTyping);
  const all = client.take();
  assert.deepEqual(all, [heard]);
  return heard;
}

test('colleagues hear who types, once, and neither the typist nor another tenant does', async () => {
  const contactId = fresh();
  const { tab, other, colleague, stranger, typing } = await scene(contactId);

  const ack = await tab.request('typing:start', typing);
  const { payload, position } = await indicated(colleague, true);
  for (let again = 0; again < 3; again += 1) await tab.request('typing:start', typing);
  await other.request('typing:start', typing);

  assert.deepEqual(ack, { ok: true });
  const { timestamp, ...rest } = payload;
  assert.deepEqual(rest, { ...typing, isTyping: true, userId: 'ana' });
  assert.ok(Math.abs(Date.now() - Date.parse(timestamp)) < 60_000, timestamp);
  assert.equal(typeof position, 'string', 'the position of the line');
  await assertQuiet(colleague, 'what is said again is not told again');
  for (const client of [tab, other, stranger]) await assertQuiet(client);
});

test('typing ends when it is stopped, and with two tabs when both have', async () => {
  const { tab, other, colleague, typing } = await scene(fresh());
  await tab.request('typing:start', typing);
  await other.request('typing:start', typing);
  await indicated(colleague, true);

  await tab.request('typing:stop', typing);
  await assertQuiet(colleague);
  await other.request('typing:stop', typing);

  await indicated(colleague, false);
  await tab.request('typing:stop', typing);
  for (const client of [tab, other, colleague]) await assertQuiet(client);
});

test('typing ends by itself, and not before its time', async () => {
  const { tab, colleague, typing } = await scene(fresh());

  const begin = Date.now();
  await tab.request('typing:start', typing);
  await indicated(colleague, true);
  await indicated(colleague, false);

  const took = Date.now() - begin;
  assert.ok(took >= 1_400, `ended after ${took} ms`);
  await assertQuiet(tab);
});

test('a client may ask for three seconds to a minute', async () => {
  const { tab, colleague, typing } = await scene(fresh());

  const begin = Date.now();
  await tab.request('typing:start', { ...typing, ttlMs: 1 });
  await indicated(colleague, true);
  await indicated(colleague, false);

  const took = Date.now() - begin;
  assert.ok(took >= 2_900, `ended after ${took} ms`);
});

test('typing ends when its connection does', async () => {
  const { tab, colleague, typing } = await scene(fresh());
  await tab.request('typing:start', typing);
  await indicated(colleague, true);

  const begin = Date.now();
  tab.close();

  await indicated(colleague, false);
  assert.ok(Date.now() - begin < 1_400, 'not by its time');
});

test('typing ends when the contact is left', async () => {
  const contactId = fresh();
  const { tab, colleague, typing } = await scene(contactId);
  await tab.request('typing:start', { ...typing, ttlMs: 60_000 });
  await indicated(colleague, true);

  await tab.request('unsubscribe:contact', contactId);

  await indicated(colleague, false);
});

test('typing ends with a message of that user to that contact, and of nobody else', async () => {
  const contactId = fresh();
  const { tab, colleague, typing } = await scene(contactId);
  const sent = (/** @type {string} */ id, /** @type {Record<string, any>} */ more) =>
    server.published({
      event: 'message:sent',
      data: {
        message: { id, contactId, whatsappAccountId: '1', direction: 'Outbound', type: 'Text', status: 'Sent', ...more },
      },
    });
  await tab.request('typing:start', { ...typing, ttlMs: 60_000 });
  await indicated(colleague, true);

  await sent('of-another', { userId: 'eve' });
  await sent('of-nobody', {});
  const heard = await server.received(colleague);
  assert.deepEqual(heard.map(({ event }) => event), ['message:sent', 'message:sent']);
  await sent('of-ana', { userId: 'ana' });

  await colleague.next('typing:indicator', (payload) => !payload.isTyping);
  const events = colleague.take().map(({ event }) => event);
  assert.deepEqual(events, ['message:sent', 'typing:indicator']);
});

test('whoever may not hear a contact may not type to it, and nobody hears of it', async () => {
  const contactId = fresh();
  const { colleague } = await scene(contactId);
  const eve = await server.connect({ user: 'eve', rooms: ['contact:other'] });
  const typing = { contactId, whatsappAccountId: '1' };

  for (const [event, data] of /** @type {const} */ ([
    ['typing:start', typing],
    ['typing:stop', typing],
    ['presence:viewing', { contactId, isViewing: true }],
    ['presence:list', { contactId }],
  ])) {
    const ack = await eve.request(event, data);
    assert.equal(ack.error?.code, 'forbidden', `${event}: ${JSON.stringify(ack)}`);
  }
  eve.socket.emit('typing:start', typing);

  const { payload } = await eve.next('session:error');
  assert.equal(payload.code, 'forbidden');
  assert.equal(payload.event, 'typing:start');
  await assertQuiet(colleague);
});

test('a right is enough: the contact need not be subscribed to', async () => {
  const { colleague, typing } = await scene(fresh());
  const zoe = await server.connect({ user: 'zoe', rooms: [`contact:${typing.contactId}`, 'whatsapp:1'] });

  const ack = await zoe.request('typing:start', typing);

  assert.deepEqual(ack, { ok: true });
  const { payload } = await indicated(colleague, true);
  assert.equal(payload.userId, 'zoe');
});

test('nobody types from an account that is not theirs, and whoever lost it may stop', async () => {
  const { tab, colleague, typing } = await scene(fresh());

  for (const whatsappAccountId of ['2', 'x']) {
    const ack = await tab.request('typing:start', { ...typing, whatsappAccountId });
    assert.equal(ack.error?.code, 'forbidden', JSON.stringify(ack));
    assert.equal((await tab.request('typing:stop', { ...typing, whatsappAccountId })).ok, true);
  }
  const ack = await tab.request('typing:start', { ...typing, whatsappAccountId: '1:link' });
  assert.equal(ack.error?.code, 'invalid_room', JSON.stringify(ack));

  await assertQuiet(colleague);
});

test('what cannot be read is refused', async () => {
  const { tab } = await scene(fresh());

  for (const data of [undefined, null, 'c', {}, { contactId: 'c' }, { contactId: 'a b', whatsappAccountId: '1' }]) {
    const ack = await tab.request('typing:start', ...(data === undefined ? [] : [data]));
    assert.equal(ack.error?.code, 'invalid_argument', JSON.stringify(data));
  }
  const ack = await tab.request('typing:faster', {});
  assert.equal(ack.error?.code, 'unknown_event');
});

test('one connection types to a bounded number of contacts at once', async () => {
  const tab = await server.connect({ user: 'many', rooms: ['contact:*', 'whatsapp:1'] });
  const typing = (/** @type {number} */ number) => ({ contactId: `many-${number}`, whatsappAccountId: '1', ttlMs: 60_000 });

  for (let number = 0; number < 32; number += 1) {
    assert.deepEqual(await tab.request('typing:start', typing(number)), { ok: true });
  }
  const refused = await tab.request('typing:start', typing(32));
  assert.equal(refused.error?.code, 'too_many_indicators');
  await tab.request('typing:stop', typing(0));

  assert.deepEqual(await tab.request('typing:start', typing(32)), { ok: true });
});

test('who begins to listen is told who types, and what a recovered line had is not moved back', async () => {
  const contactId = fresh();
  const { tab, typing } = await scene(contactId);
  await tab.request('typing:start', { ...typing, ttlMs: 60_000 });

  const late = await server.connect({ user: 'late', rooms: [`contact:${contactId}`] });
  /** @type {any} */
  const ack = await until('a snapshot with the typist', async () => {
    const subscribed = await late.request('subscribe:contact', contactId);
    return subscribed.snapshot.typing.length > 0 && subscribed;
  });

  assert.deepEqual(ack.snapshot.typing, [{ userId: 'ana', whatsappAccountId: '1' }]);
  const before = ack.position;
  await server.published({ event: 'contact:updated', data: { contactId, updates: {} } });
  const updated = await late.next('contact:updated');
  await tab.request('typing:stop', typing);
  const stopped = await late.next('typing:indicator');
  assert.notEqual(updated.position, before);
  assert.equal(stopped.position, updated.position, 'a fleeting event bears the position of the line');
});

test('a contact that types is told to whoever hears it, and ends by itself', async () => {
  const contactId = fresh();
  const { tab, colleague, stranger } = await scene(contactId);
  const inbox = await server.connect({ user: 'inbox', rooms: ['whatsapp:1'] });
  await inbox.subscribe('whatsapp:1');
  const data = { contactId, whatsappAccountId: '1', isTyping: true, kind: 'typing', more: [1, 2] };
  const publish = (/** @type {Record<string, any>} */ more) =>
    server.published({ event: 'contact:typing', data: { ...data, ...more } });

  const taken = await publish({});
  const first = await colleague.next('contact:typing');
  await publish({});
  await publish({ kind: 'recording' });
  const second = await colleague.next('contact:typing', ({ kind }) => kind === 'recording');
  const last = await colleague.next('contact:typing', ({ isTyping }) => !isTyping);

  assert.deepEqual(Object.keys(taken), ['id'], 'there is no position of what is not kept');
  assert.deepEqual({ ...first.payload, timestamp: undefined }, { ...data, timestamp: undefined });
  assert.deepEqual(second.payload.more, [1, 2], 'what is beyond the contract passes');
  assert.deepEqual({ ...last.payload, timestamp: undefined }, {
    contactId,
    whatsappAccountId: '1',
    isTyping: false,
    timestamp: undefined,
  });
  for (const client of [tab, colleague, inbox]) {
    const heard = (await server.received(client)).filter(({ event }) => event !== 'team:activity');
    assert.deepEqual(heard.map(({ event, payload }) => [event, payload.isTyping]), [
      ['contact:typing', true],
      ['contact:typing', true],
      ['contact:typing', false],
    ]);
  }
  await assertQuiet(stranger);
});

test('a message of the contact ends that it types', async () => {
  const contactId = fresh();
  const { colleague } = await scene(contactId);
  const typing = { contactId, whatsappAccountId: '1', isTyping: true };
  await server.published({ event: 'contact:typing', data: typing });
  await colleague.next('contact:typing');

  const message = { id: 'of-contact', contactId, whatsappAccountId: '1', direction: 'Inbound', type: 'Text' };
  await server.published({ event: 'message:received', data: { message } });

  await colleague.next('contact:typing', ({ isTyping }) => !isTyping);
  assert.deepEqual(colleague.take().map(({ event }) => event), ['contact:typing', 'message:received', 'contact:typing']);
});

test('producers cannot speak for colleagues, and of nobody else', async () => {
  for (const [event, key, code] of /** @type {const} */ ([
    ['typing:indicator', KEYS.acme, 'not_producible'],
    ['presence:update', KEYS.acme, 'not_producible'],
    ['presence:viewing', KEYS.acme, 'not_producible'],
  ])) {
    const { status, body } = await server.publish({ event, data: {} }, { key });
    assert.equal(status, 422);
    assert.equal(body.code, code);
  }
  const data = { contactId: 'c', whatsappAccountId: '1' };
  const { body } = await server.publish({ event: 'contact:typing', data });
  assert.equal(body.code, 'missing_field');
  assert.equal(body.field, 'data.isTyping');
});
