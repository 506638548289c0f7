// @ts-check
/** From Meta's webhook to the browser. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { expectedEvents } from './harness/cloud-api.js';
import { startServer } from './harness/server.js';
import { WEBHOOK } from './harness/settings.js';
import { fixtures, signature } from './harness/webhook.js';

const ACCOUNTS = { 200000000000001: 'account-1', 200000000000002: 'account-2' };
const GLOBEX_SECRET = `${WEBHOOK.appSecret}-globex`;

const endpoint = (/** @type {string} */ tenant, /** @type {string} */ secret) => ({
  endpoint: `${tenant}-cloud`,
  tenant,
  app_secret: secret,
  verify_token: WEBHOOK.verifyToken,
  accounts: ACCOUNTS,
});
const server = await startServer({
  settings: { webhooks: { meta: [endpoint('acme', WEBHOOK.appSecret), endpoint('globex', GLOBEX_SECRET)] } },
});
after(() => server.stop());

const all = fixtures().map(({ name, bytes }) => {
  const body = JSON.parse(bytes.toString());
  return { name, bytes, body, expected: expectedEvents('acme', ACCOUNTS, body) };
});

/** Everybody who could hear something: in all of the rooms, in none, and of another tenant in all of them. */
const rooms = roomsOf(all.flatMap(({ expected }) => expected));
const subscriber = await server.connect({ user: 'subscriber', rooms: ['*'] });
const bystander = await server.connect({ user: 'bystander', rooms: ['*'] });
const foreigner = await server.connect({ user: 'foreigner', tenant: 'globex', rooms: ['*'] });
await subscriber.subscribe(...rooms);
await foreigner.subscribe(...rooms);

describe('each fixture of the project, signed, arrives as the contract says, once although in several of the rooms', () => {
  for (const { name, bytes, expected } of all) {
    test(name, async () => {
      const { status } = await server.webhook('acme-cloud', bytes);

      assert.equal(status, 200);
      const got = await server.received(subscriber);
      assert.deepEqual(
        got.map(({ event, payload }, index) => ({ event, fields: named(payload, expected[index]?.fields ?? {}) })),
        expected.map(({ event, fields }) => ({ event, fields })),
      );
      for (const { event, payload } of got) {
        assert.match(payload.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
        if (event === 'message:failed') assert.equal(typeof payload.error, 'string');
        assert.ok(!JSON.stringify(payload).includes('wamid.'), 'an id that holds a phone number');
      }
      await server.assertNothing(bystander);
      await server.assertNothing(foreigner);
    });
  }
});

test('the fixtures are not all of one kind', () => {
  const events = new Set(all.flatMap(({ expected }) => expected.map(({ event }) => event)));

  assert.deepEqual([...events].sort(), [
    'message:delivered',
    'message:failed',
    'message:read',
    'message:received',
    'message:sent',
    'message:status:update',
  ]);
  assert.ok(
    all.some(({ expected }) => expected.length === 0),
    'one that makes no event',
  );
  assert.ok(
    all.some(({ expected }) => expected.length > 2),
    'one with many',
  );
});

test('a body delivered twice makes no second event', async () => {
  for (const { bytes } of all) {
    const { status } = await server.webhook('acme-cloud', bytes);
    assert.equal(status, 200);
  }

  await server.assertNothing(subscriber);
});

test('a body delivered many times at once makes one event', async () => {
  const body = text(randomUUID());

  const answers = await Promise.all(Array.from({ length: 32 }, () => server.webhook('acme-cloud', body)));

  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  assert.deepEqual(
    (await server.received(subscriber)).map(({ event }) => event),
    ['message:received'],
  );
});

test('the same message in another batch makes no second event', async () => {
  const [first, second] = [randomUUID(), randomUUID()];
  await server.webhook('acme-cloud', text(first));

  const both = text(first);
  both.entry[0].changes.push(...text(second).entry[0].changes);
  await server.webhook('acme-cloud', both);

  assert.equal((await server.received(subscriber)).length, 2);
});

test('the endpoint says whose the events are, whatever the body says', async () => {
  const id = randomUUID();

  const { status } = await server.webhook('globex-cloud', text(id), { appSecret: GLOBEX_SECRET });

  assert.equal(status, 200);
  assert.equal((await server.received(foreigner)).length, 1);
  await server.assertNothing(subscriber);
  await server.webhook('acme-cloud', text(id));
  assert.equal(
    (await server.received(subscriber)).length,
    1,
    'the same message id in another tenant is another message',
  );
  await server.assertNothing(foreigner);
});

describe('a signature that is not good is a 401 and nothing more', () => {
  const body = JSON.stringify(text(randomUUID()));
  const good = signature(body);
  for (const [what, options] of /** @type {Array<[string, import('./harness/webhook.js').DeliverOptions]>} */ ([
    ['missing', { headers: { 'x-hub-signature-256': undefined } }],
    ['of another secret', { appSecret: 'not-the-secret' }],
    ['of another endpoint', { appSecret: GLOBEX_SECRET }],
    ['of another body', { headers: { 'x-hub-signature-256': signature(`${body} `) } }],
    ['without its scheme', { headers: { 'x-hub-signature-256': good.slice('sha256='.length) } }],
    ['cut short', { headers: { 'x-hub-signature-256': good.slice(0, -2) } }],
    ['too long', { headers: { 'x-hub-signature-256': `${good}00` } }],
    ['no hexadecimal', { headers: { 'x-hub-signature-256': `sha256=${'z'.repeat(64)}` } }],
    ['by the old header', { headers: { 'x-hub-signature-256': undefined, 'x-hub-signature': good } }],
  ])) {
    test(what, async () => {
      const { status, body: answer } = await server.webhook('acme-cloud', body, options);

      assert.equal(status, 401);
      assert.ok(!JSON.stringify(answer).includes(good.slice(7)), 'the answer must not tell the signature');
      await server.assertNothing(subscriber);
    });
  }

  test('while the same body, well signed, is taken', async () => {
    assert.equal((await server.webhook('acme-cloud', body)).status, 200);
    assert.equal((await server.received(subscriber)).length, 1);
  });
});

test('the signature is over the bytes, not over what they mean', async () => {
  const body = text(randomUUID());
  body.entry[0].changes[0].value.messages[0].text.body = 'ol\u00e1 \u{1f600} and more';
  const plain = JSON.stringify(body, null, 2);
  const escaped = JSON.stringify(body).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

  const mixed = await server.webhook('acme-cloud', escaped, { headers: { 'x-hub-signature-256': signature(plain) } });
  const right = await server.webhook('acme-cloud', escaped);

  assert.deepEqual([mixed.status, right.status], [401, 200]);
  const [{ payload }] = await server.received(subscriber);
  assert.equal(payload.message.content, 'ol\u00e1 \u{1f600} and more');
});

test('an authentic body that is no JSON is a 400', async () => {
  const { status } = await server.webhook('acme-cloud', '{"object":');

  assert.equal(status, 400);
});

test('an unknown phone number is a 200, so that Meta does not try for a week, and makes no event', async () => {
  const { status } = await server.webhook('acme-cloud', text(randomUUID(), '1'));

  assert.equal(status, 200);
  await server.assertNothing(subscriber);
});

test('an unknown endpoint is a 404', async () => {
  const { status } = await server.webhook('nobody', text(randomUUID()));

  assert.equal(status, 404);
});

test('a body beyond the limit is a 413', async () => {
  const { status } = await server.webhook('acme-cloud', { filler: 'x'.repeat(5 << 20) });

  assert.equal(status, 413);
});

test('the challenge of a verification comes back as it is, for the right token only', async () => {
  const ask = (/** @type {Record<string, string>} */ over) =>
    server.get(
      `/webhooks/meta/acme-cloud?${new URLSearchParams({
        'hub.mode': 'subscribe',
        'hub.verify_token': WEBHOOK.verifyToken,
        'hub.challenge': '1158201444',
        ...over,
      })}`,
    );

  const right = await ask({});
  assert.deepEqual([right.status, right.body], [200, '1158201444']);
  assert.match(right.type, /^text\/plain/);
  assert.equal((await ask({ 'hub.verify_token': 'another-token' })).status, 403);
  assert.equal((await ask({ 'hub.mode': 'unsubscribe' })).status, 403);
});

/**
 * What a payload has of the fields that are expected, at every depth.
 *
 * @param {any} payload
 * @param {Record<string, any>} fields
 * @returns {Record<string, any>}
 */
function named(payload, fields) {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => {
      const isTable = value !== null && typeof value === 'object';
      return [key, isTable ? named(payload?.[key] ?? {}, value) : payload?.[key]];
    }),
  );
}

/** @param {import('./harness/cloud-api.js').Expected[]} expected */
function roomsOf(expected) {
  const names = expected.flatMap(({ contactId, account }) => [`contact:${contactId}`, `whatsapp:${account}`]);
  return [...new Set(names)];
}

/**
 * A text message as Meta sends it.
 *
 * @param {string} id
 * @param {string} phoneNumberId
 */
function text(id, phoneNumberId = '200000000000001') {
  const message = {
    from: '15550100002',
    id: `wamid.${id}`,
    timestamp: '1768469400',
    type: 'text',
    text: { body: `text of ${id}` },
  };
  const value = {
    messaging_product: 'whatsapp',
    metadata: { display_phone_number: '15550100001', phone_number_id: phoneNumberId },
    contacts: [{ profile: { name: 'Ana' }, wa_id: '15550100002' }],
    messages: [message],
  };
  return { object: 'whatsapp_business_account', entry: [{ id: '1', changes: [{ field: 'messages', value }] }] };
}
