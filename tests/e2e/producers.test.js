// @ts-check
/** What a producer is answered, and what becomes of what it posts. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { startServer } from './harness/server.js';
import { KEYS } from './harness/settings.js';
import { RawConnection } from './harness/websocket.js';

const server = await startServer();
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

describe('what is refused is answered with a problem document, and nothing of it is appended', () => {
  refused('no key', { status: 401, code: 'unauthorized' }, paused(), { key: null });
  refused('a key that nobody has', { status: 401, code: 'unauthorized' }, paused(), { key: 'key_nobody' });
  refused('a key by another scheme', { status: 401, code: 'unauthorized' }, paused(), {
    key: null,
    headers: { authorization: `Basic ${KEYS.acme}` },
  });
  refused('the name of another tenant', { status: 403, field: 'tenant' }, paused({ tenant: 'globex' }));
  refused(
    'all tenants with a key for one',
    { status: 403, field: 'tenant' },
    { event: 'system:notification', data: { notification: { type: 'info', title: 't', message: 'm' } }, tenant: '*' },
  );
  refused('no tenant with a key for all', { status: 422, field: 'tenant' }, paused(), { key: KEYS['*'] });
  refused('a campaign for all tenants', { status: 422, field: 'tenant' }, paused({ tenant: '*' }), { key: KEYS['*'] });
  refused(
    'all tenants without an id',
    { status: 422, code: 'id_required', field: 'id' },
    { event: 'system:notification', data: { notification: { type: 'info', title: 't', message: 'm' } }, tenant: '*' },
    { key: KEYS['*'] },
  );
  refused('no JSON', { status: 400 }, '{"event": "campaign:paused", "data": {"campaignId": "c"}');
  refused('an empty body', { status: 400 }, '');
  refused('text that is not UTF-8', { status: 400 }, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]));
  refused('JSON that is no draft', { status: 400 }, '"campaign:paused"');
  refused('another content type', { status: 415 }, paused(), { headers: { 'content-type': 'text/plain' } });
  refused('an unknown field of the draft', { field: 'room' }, paused({ room: 'campaign:c' }));
  refused('no event name', { field: 'event' }, { data: { campaignId: 'c' } });
  refused('no data', { field: 'data' }, { event: 'campaign:paused' });
  refused(
    'an unknown event',
    { status: 422, code: 'unknown_event', field: 'event' },
    paused({ event: 'campaign:exploded' }),
  );
  refused('data that is no object', { status: 422, field: 'data' }, paused({ data: ['c'] }));
  refused('a missing id', { status: 422, field: 'data.campaignId' }, paused({ data: {} }));
  refused('an id that is null', { status: 422, field: 'data.campaignId' }, paused({ data: { campaignId: null } }));
  refused('an id with white space', { status: 422, field: 'data.campaignId' }, paused({ data: { campaignId: 'a b' } }));
  refused(
    'an id that is too long',
    { status: 422, field: 'data.campaignId' },
    paused({ data: { campaignId: 'x'.repeat(129) } }),
  );
  refused('an id of a wrong type', { status: 422, field: 'data.message.id' }, received({ id: { a: 1 } }));
  refused(
    'a missing discriminator',
    { status: 422, field: 'data.message.direction' },
    received({ direction: undefined }),
  );
  refused('a discriminator of a wrong type', { status: 422, field: 'data.message.type' }, received({ type: 7 }));
  refused('a field of a wrong type', { status: 422, field: 'data.message.content' }, received({ content: ['a'] }));
  refused(
    'a timestamp of a wrong type',
    { status: 422, field: 'data.timestamp' },
    paused({ data: { campaignId: 'c', timestamp: {} } }),
  );
  refused(
    'what only the server says',
    { status: 422, field: 'event' },
    { event: 'typing:indicator', data: { contactId: 'k', whatsappAccountId: 'w', isTyping: true, userId: 'u' } },
  );
  refused(
    'a status of a message that nobody knows',
    { status: 422, code: 'no_audience', field: 'rooms' },
    { event: 'message:read', data: { messageId: 'nobody-knows' } },
  );
  refused('an empty audience', { status: 422, code: 'no_audience', field: 'rooms' }, paused({ rooms: [] }));
  refused('a room of an unknown kind', { status: 422, field: 'rooms' }, paused({ rooms: ['nothing:1'] }));
  refused('an added room that is no room', { status: 422, field: 'addRooms' }, paused({ addRooms: ['campaign'] }));
  refused('an exception that is no room', { status: 422, field: 'except' }, paused({ except: ['x'] }));
  refused('an event id with white space', { field: 'id' }, paused({ id: 'a b' }));

  /**
   * @param {string} what
   * @param {{ status?: number, code?: string, field?: string }} expected
   * @param {import('./harness/server.js').Body} body
   * @param {{ key?: string | null, headers?: Record<string, string> }} [options]
   */
  function refused(what, { status = 422, code, field }, body, options) {
    test(what, async () => {
      const answer = await server.publish(body, options);

      const shown = JSON.stringify(answer.body);
      assert.equal(answer.status, status, shown);
      assert.match(answer.type, /^application\/problem\+json/);
      assert.equal(answer.body.status, status);
      for (const key of ['type', 'title', 'detail', 'code']) assert.equal(typeof answer.body[key], 'string', shown);
      assert.match(answer.body.code, /^[a-z_]+$/);
      if (code !== undefined) assert.equal(answer.body.code, code, shown);
      if (field !== undefined) assert.ok(answer.body.field?.startsWith(field), shown);
      await server.assertNothing(watcher, what);
    });
  }
});

test('a body beyond the limit is refused with 413, whether it says so or not', async () => {
  const announced = await RawConnection.open(server.url);
  announced.write(
    `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.acme}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${2 ** 40}\r\n\r\n`,
  );
  await announced.says('HTTP/1.1 413');
  announced.close();

  const big = JSON.stringify(paused({ data: { campaignId: 'c', filler: 'x'.repeat(20 << 20) } }));
  const { status, body } = await server.publish(big);
  assert.equal(status, 413, JSON.stringify(body));
  await server.assertNothing(watcher);
});

test('the same id twice is one event at one position', async () => {
  const draft = paused({ id: 'twice', data: { campaignId: 'c', timestamp: '2025-11-05T10:00:00Z' } });

  const first = await server.published(draft);
  const second = await server.published(draft);

  assert.equal(first.id, 'twice');
  assert.deepEqual(second, first);
  assert.equal((await server.received(watcher)).length, 1);
});

test('the same id is one event although the server filled in its timestamp', async () => {
  const draft = paused({ id: 'no-timestamp' });

  const first = await server.published(draft);
  const second = await server.published(draft);

  assert.deepEqual(second, first);
  assert.equal((await server.received(watcher)).length, 1);
});

test('an Idempotency-Key is the id of its one event', async () => {
  const headers = { 'idempotency-key': 'key-1' };

  const first = await server.published(paused(), { headers });
  const second = await server.published(paused(), { headers });

  assert.deepEqual(second, first);
  assert.equal((await server.received(watcher)).length, 1);
});

test('the same id with another body is a conflict, and the first one stays', async () => {
  await server.published(paused({ id: 'taken' }));

  for (const other of [
    { event: 'campaign:resumed', data: { campaignId: 'c' }, id: 'taken' },
    paused({ id: 'taken', data: { campaignId: 'c', more: 1 } }),
    paused({ id: 'taken', addRooms: ['contact:k'] }),
  ]) {
    const { status, body } = await server.publish(other);
    assert.equal(status, 409, JSON.stringify(body));
    assert.equal(typeof body.code, 'string');
  }
  assert.deepEqual(
    (await server.received(watcher)).map(({ event }) => event),
    ['campaign:paused'],
  );
});

test('the same id in two tenants is two events', async () => {
  const acme = await server.publish(paused({ id: 'shared' }));
  const globex = await server.publish(
    { event: 'campaign:resumed', data: { campaignId: 'c' }, id: 'shared' },
    { key: KEYS.globex },
  );

  assert.deepEqual([acme.status, globex.status], [202, 202]);
  assert.equal((await server.received(watcher)).length, 1);
});

test('identical posts at the same time are one event', async () => {
  const draft = paused({ id: 'at-once' });

  const answers = await Promise.all(Array.from({ length: 32 }, () => server.published(draft)));

  assert.equal(new Set(answers.map(({ position }) => position)).size, 1);
  assert.equal((await server.received(watcher)).length, 1);
});

test('different bodies with one id at the same time are one event, and conflicts', async () => {
  const drafts = Array.from({ length: 16 }, (_, n) => paused({ id: 'raced', data: { campaignId: 'c', n } }));

  const answers = await Promise.all(drafts.map((draft) => server.publish(draft)));

  const statuses = answers.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [202, ...Array(15).fill(409)]);
  const [{ payload }, ...more] = await server.received(watcher);
  assert.deepEqual(more, []);
  assert.equal(answers[payload.n].status, 202, 'the one that was answered is the one that came');
});

test('an array is answered for each, in order, with 202 if all were taken', async () => {
  const ids = ['a-1', 'a-2', 'a-3'];

  const { status, body } = await server.publish(ids.map((id) => paused({ id, data: { campaignId: 'c', id } })));

  assert.equal(status, 202, JSON.stringify(body));
  assert.deepEqual(
    body.results.map((/** @type {any} */ one) => one.id),
    ids,
  );
  const offsets = body.results.map((/** @type {any} */ one) => Number(one.position.split('-')[1]));
  assert.deepEqual(offsets, [offsets[0], offsets[0] + 1, offsets[0] + 2]);
  const heard = await server.received(watcher);
  assert.deepEqual(
    heard.map(({ payload }) => payload.id),
    ids,
  );
  assert.deepEqual(
    heard.map(({ position }) => position),
    body.results.map((/** @type {any} */ one) => one.position),
  );
});

test('an array of which some were taken is a 207, and those are delivered', async () => {
  const { status, body } = await server.publish([
    paused({ id: 's-1' }),
    paused({ id: 's-2', data: {} }),
    paused({ id: 's-3', event: 'nothing:known' }),
    paused({ id: 's-4' }),
  ]);

  assert.equal(status, 207, JSON.stringify(body));
  const [one, two, three, four] = body.results;
  assert.equal(one.id, 's-1');
  assert.equal(typeof one.position, 'string');
  assert.equal(two.error.code !== undefined && two.error.field, 'data.campaignId', JSON.stringify(two));
  assert.equal(three.error.code, 'unknown_event', JSON.stringify(three));
  assert.equal(typeof four.position, 'string');
  assert.equal((await server.received(watcher)).length, 2);
});

test('an array of which none was taken is a 422', async () => {
  const { status, body } = await server.publish([paused({ data: {} }), { event: 'nothing:known', data: {} }]);

  assert.equal(status, 422, JSON.stringify(body));
  assert.equal(body.results.length, 2);
  for (const one of body.results) assert.equal(typeof one.error.code, 'string');
  await server.assertNothing(watcher);
});

test('an array with an id twice is one event of it', async () => {
  const { status, body } = await server.publish([paused({ id: 'same' }), paused({ id: 'same' })]);

  assert.equal(status, 202, JSON.stringify(body));
  assert.equal(body.results[0].position, body.results[1].position);
  assert.equal((await server.received(watcher)).length, 1);
});

test('an array of a thousand is taken, and one more is refused as a whole', async () => {
  const many = (/** @type {number} */ count) =>
    Array.from({ length: count }, (_, n) => paused({ rooms: ['campaign:many'], data: { campaignId: 'many', n } }));

  const taken = await server.publish(many(1000));
  const refused = await server.publish(many(1001));

  assert.equal(taken.status, 202);
  assert.equal(taken.body.results.length, 1000);
  assert.ok(refused.status >= 400 && refused.status < 500, `${refused.status}`);
  assert.equal(typeof refused.body.code, 'string');
});

test('what is not there is a 404, and what takes no such method a 405, as problem documents', async () => {
  const missing = await server.get('/v1/nothing');
  const get = await server.get('/v1/revocations');

  assert.equal(missing.status, 404);
  assert.equal(get.status, 405);
  for (const { type } of [missing, get]) assert.match(type, /^application\/problem\+json/);
});
