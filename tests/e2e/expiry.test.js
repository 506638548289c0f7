// @ts-check
/** A token ends while its client is connected: it is told, it can renew, and else it comes back by itself. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { dial, TRANSPORTS } from './harness/client.js';
import { started, wire } from './harness/lost.js';
import { assertCounted, count, numbers } from './harness/numbered.js';
import { startServer } from './harness/server.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until } from './harness/until.js';

const server = await startServer();
after(() => server.stop());

/** How late the end may be noticed on a busy machine. */
const SLACK_MS = 2_000;

test('a client is told ahead of the end, then that it has come, and its transport is closed', async () => {
  const exp = inSeconds(4);
  const client = await server.connect({ token: short('told', exp) });

  const expiring = await client.next('session:expiring');
  const toldAt = Date.now();
  const expired = await client.next('session:expired');
  const endedAt = Date.now();
  await until('the end of the connection', () => client.disconnects.length > 0);

  assert.deepEqual(expiring.payload, { expiresAt: new Date(exp * 1_000).toISOString() });
  assert.ok(toldAt < exp * 1_000, 'told ahead');
  assert.deepEqual(expired.payload, { reason: 'token_expired' });
  assert.ok(endedAt >= exp * 1_000 && endedAt < exp * 1_000 + SLACK_MS, `${endedAt - exp * 1_000} ms after the end`);
  assert.deepEqual(client.disconnects, ['transport close'], 'not of the namespace: the stock client comes back');
  for (const { position } of [expiring, expired]) assert.equal(position, undefined, 'no offset of the line');
  assert.match(await server.metrics(), /switchboard_sessions_ended_total\{reason="token_expired"\} [1-9]/);
});

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  test(`over ${mode}, a token callback comes back by itself, recovered, and nothing is missed`, async () => {
    const user = `callback-${mode.replaceAll(' ', '-')}`;
    let tokens = 0;
    const auth = (/** @type {(auth: object) => void} */ give) => {
      tokens += 1;
      give({ token: tokens === 1 ? short(user, inSeconds(3)) : short(user, inSeconds(3_600)) });
    };
    const person = { user, tenant: 'acme', token: '' };
    const client = dial(server.url, { ...person, transports, reconnection: true, auth: /** @type {any} */ (auth) });
    await client.connected();
    const { id } = client.socket;
    await client.subscribe(`campaign:${user}`);
    let sent = 0;
    const line = [];
    const publish = () => count(server, user, (sent += 1));

    await until('the end', async () => (await publish(), client.disconnects.length > 0));
    for (let more = 0; more < 20; more += 1) await publish();
    await until('the client', () => client.socket.connected && tokens === 2);
    await publish();
    line.push(...(await server.received(client)));

    assert.equal(client.socket.recovered, true);
    assert.equal(client.socket.id, id);
    assertCounted(line, user, 1, sent);
    client.close();
  });
}

test('a token that is renewed in time goes on without a break', async () => {
  const client = await server.connect({ user: 'renews', token: short('renews', inSeconds(3)) });
  await client.subscribe('campaign:renews');
  const exp = inSeconds(3_600);

  await client.next('session:expiring');
  const ack = await client.request('session:refresh', { token: short('renews', exp) });
  const later = Date.now() + 3_000;
  await until('what would have been the end', () => Date.now() > later);
  await count(server, 'renews', 1, 3);

  assert.deepEqual(ack, { ok: true, expiresAt: new Date(exp * 1_000).toISOString(), left: [] });
  assertCounted(await server.received(client), 'renews', 1, 3);
  assert.deepEqual(client.disconnects, []);
});

test('a token that is renewed by a shorter one ends when that ends', async () => {
  const client = await server.connect({ token: short('shorter', inSeconds(3_600)) });

  const ack = await client.request('session:refresh', { token: short('shorter', inSeconds(2)) });

  assert.equal(ack.ok, true);
  await client.next('session:expired');
});

test('a renewed token with other rights leaves the rooms that it does not cover, at once', async () => {
  const narrow = ['campaign:kept', 'contact:*'];
  const token = signHs256(claims({ user: 'narrows', tenant: 'acme', rooms: ['campaign:*'] }));
  const client = await server.connect({ user: 'narrows', token });
  await client.subscribe('campaign:kept', 'campaign:lost');

  const ack = await client.request('session:refresh', {
    token: signHs256(claims({ user: 'narrows', tenant: 'acme', rooms: narrow })),
  });
  await count(server, 'lost', 1, 2);
  await count(server, 'kept', 1, 2);
  await server.published({ event: 'contact:deleted', data: { contactId: '1' } });

  assert.deepEqual(ack.left, ['campaign:lost']);
  const line = await server.received(client);
  assert.deepEqual(numbers(line, 'lost'), []);
  assertCounted(line, 'kept', 1, 2);
  assert.ok(
    line.some(({ event }) => event === 'contact:deleted'),
    'whoever may hear every contact now is in the room of all',
  );
  assert.equal((await client.request('subscribe', 'campaign:lost')).error.code, 'forbidden');
});

test('what a renewed token left is not there again after coming back', async (t) => {
  const person = { user: 'narrowed', tenant: 'acme' };
  const narrow = signHs256(claims({ ...person, rooms: ['campaign:stays'] }));
  const first = await wire(t, server);
  const { pid, sid } = await first.join({ token: signHs256(claims({ ...person, rooms: ['campaign:*'] })) });
  await first.request('subscribe', 'campaign:stays');
  await first.request('subscribe', 'campaign:goes');
  assert.deepEqual((await first.request('session:refresh', { token: narrow })).left, ['campaign:goes']);
  first.close();
  await count(server, 'goes', 1);
  await count(server, 'stays', 1);

  const again = await wire(t, server);
  const reply = await again.join({ token: narrow, pid });

  assert.equal(reply.sid, sid);
  assert.deepEqual(numbers(again.received, 'goes'), []);
  assert.deepEqual(numbers(again.received, 'stays'), [1]);
});

test('a token of somebody else, or of none, renews nothing and leaves everything as it was', async () => {
  const client = await server.connect({ user: 'steady', rooms: ['campaign:*'] });
  await client.subscribe('campaign:steady');
  const code = async (/** @type {unknown[]} */ ...args) =>
    (await client.request('session:refresh', ...args)).error?.code;

  for (const person of [
    { user: 'eve', tenant: 'acme' },
    { user: 'steady', tenant: 'globex' },
  ]) {
    assert.equal(await code({ token: signHs256(claims(person)) }), 'other_user');
  }
  assert.equal(await code({ token: 'x.y.z' }), 'unauthorized');
  assert.equal(await code({ token: short('steady', 1) }), 'token_expired');
  assert.equal(await code(), 'invalid_argument');
  assert.equal(await code({ tokn: 't' }), 'invalid_argument');

  await count(server, 'steady', 1);
  assertCounted(await server.received(client), 'steady', 1, 1);
});

test('a front end that never renews keeps its connection, if the settings say so', async (t) => {
  const kept = await started(t, { auth: { on_expiry: 'keep' } });
  const client = await kept.connect({ user: 'kept', token: short('kept', inSeconds(2)) });
  await client.subscribe('campaign:kept');

  const later = Date.now() + 4_000;
  await until('what would have been the end', () => Date.now() > later);
  await count(kept, 'kept', 1, 2);

  const line = await kept.received(client);
  assertCounted(line, 'kept', 1, 2);
  assert.deepEqual(
    line.filter(({ event }) => event.startsWith('session:')),
    [],
  );
  assert.deepEqual(client.disconnects, []);
});

test('the settings say how long before, and how far clocks may be apart', async (t) => {
  const own = await started(t, { auth: { expiry_notice: '0s', leeway: '2s' } });
  const exp = inSeconds(2);
  const client = await own.connect({ token: short('lenient', exp) });

  await client.next('session:expired');

  assert.ok(Date.now() >= (exp + 2) * 1_000, 'for as long as it would be taken');
  assert.deepEqual(
    client.take().map(({ event }) => event),
    ['session:expired'],
  );
});

test('many tokens that end at once leave nothing behind', async (t) => {
  const own = await started(t);
  const exp = inSeconds(3);
  const wires = await Promise.all(Array.from({ length: 300 }, () => wire(t, own)));
  await Promise.all(wires.map((one, index) => one.join({ token: short(`many-${index % 7}`, exp) })));
  assert.equal((await own.stats()).connected, 300);

  await until('the end of all', () => wires.every((one) => one.isClosed));

  await until('an empty server', async () => (await own.stats()).connected === 0);
  assert.equal((await own.stats()).rooms, 0);
  for (const one of wires) assert.equal(one.received.at(-1)?.event, 'session:expired');
});

/** @param {number} seconds */
function inSeconds(seconds) {
  return Math.ceil(Date.now() / 1_000) + seconds;
}

/**
 * A token that may hear campaigns until then.
 *
 * @param {string} user
 * @param {number} exp
 */
function short(user, exp) {
  return signHs256({ ...claims({ user, tenant: 'acme', rooms: ['campaign:*'] }), exp });
}
