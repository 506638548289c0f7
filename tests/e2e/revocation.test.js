// @ts-check
/** Rights that end before their time: within a second, for whoever is there, comes back, or asks for the past. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { dial } from './harness/client.js';
import { started, wire } from './harness/lost.js';
import { assertCounted, count, numbered, numbers, offsetOf } from './harness/numbered.js';
import { startServer } from './harness/server.js';
import { ADMINISTRATORS, KEYS } from './harness/settings.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until } from './harness/until.js';

/** In force within a second, and as much again for a busy machine. */
const IN_FORCE_MS = 2_000;

/** Tokens from after a revocation are of the next second, which lies ahead. */
const AHEAD = { auth: { leeway: '5s' }, producers: ADMINISTRATORS };

const server = await startServer({ settings: AHEAD });
after(() => server.stop());

let people = 0;

/**
 * Somebody of whom a right is taken, and how.
 *
 * @typedef {object} Victim
 * @property {string} user
 * @property {string} jti
 * @property {string} token
 * @property {string} room that may be heard, until then
 */

/** @type {Record<string, { order: (victim: Victim) => [path: string, body: any], ends: 'token' | 'room' }>} */
const KINDS = {
  'everything of a user': { order: ({ user }) => ['/v1/revocations', { user }], ends: 'token' },
  'what a user was issued before an instant': {
    order: ({ user }) => ['/v1/revocations', { user, issuedBefore: new Date().toISOString() }],
    ends: 'token',
  },
  'one token': { order: ({ jti }) => ['/v1/revocations', { token: jti }], ends: 'token' },
  'one token until its end': {
    order: ({ jti }) => ['/v1/revocations', { token: jti, expiresAt: new Date(Date.now() + 3_600_000).toISOString() }],
    ends: 'token',
  },
  'a room of a user': { order: ({ user, room }) => ['/v1/revocations', { user, room }], ends: 'room' },
};

for (const [what, { order, ends }] of Object.entries(KINDS)) {
  describe(`${what} is revoked`, () => {
    test('for whoever is connected, and nothing after it arrives', async (t) => {
      const [victim, bystander] = [somebody(), somebody()];
      const one = await joined(t, server, victim);
      const other = await joined(t, server, { ...bystander, room: victim.room });
      let isOver = false;
      const flood = (async () => {
        let n = 0;
        while (!isOver) await count(server, victim.room.slice(9), n + 1, (n += 20));
        return n;
      })();
      await until('events', () => one.received.length > 50);

      const begun = Date.now();
      const position = await server.ordered(...order(victim));
      await until('the end', () => one.received.some(({ event }) => NOTICES.includes(event)));
      const took = Date.now() - begun;
      await count(server, victim.room.slice(9), 1_000_001);
      isOver = true;
      const last = await flood;

      assert.ok(took < IN_FORCE_MS, `it took ${took} ms`);
      if (ends === 'token') await until('the end of the connection', () => one.isClosed);
      else await one.request('unsubscribe', 'contact:nobody');
      await until('the others', () => numbers(other.received, victim.room.slice(9)).includes(last));
      await until('the fence', () => numbers(other.received, victim.room.slice(9)).includes(1_000_001));
      const heard = one.received.filter((each) => typeof each.position === 'string');
      const late = heard.filter((each) => offsetOf(each.position) > offsetOf(position));
      assert.deepEqual(late, [], `nothing after ${position}`);
      assert.deepEqual(
        one.received.filter(({ event }) => NOTICES.includes(event)).map(({ event, payload }) => [event, payload]),
        ends === 'token'
          ? [['session:expired', { reason: 'revoked' }]]
          : [['session:left', { rooms: [victim.room], reason: 'revoked' }]],
      );
    });

    test('for whoever comes back to a line, also after a SIGKILL, and holds for what is old alone', async (t) => {
      const mortal = await started(t, AHEAD);
      const victim = somebody();
      const one = await joined(t, mortal, victim);
      await count(mortal, victim.room.slice(9), 1);
      await until('an event', () => one.received.length === 1);
      const [{ position: offset }] = one.received;
      one.close();

      await mortal.ordered(...order(victim));
      await count(mortal, victim.room.slice(9), 2);
      await comesBack(t, mortal, victim, one.replies[0].pid, offset, ends);
      await mortal.kill();
      await mortal.start();
      await comesBack(t, mortal, victim, one.replies[0].pid, offset, ends);

      const renewed = await wire(t, mortal);
      const reply = await renewed.join({ token: newer(victim), pid: one.replies[0].pid, offset });
      assert.equal(reply.data, undefined, JSON.stringify(reply));
      assert.equal((await renewed.request('subscribe', victim.room)).ok, true);
    });

    test('for whoever asks for the past', async (t) => {
      const victim = somebody();
      const one = await wire(t, server);
      await one.join({ token: victim.token });
      const { position } = await server.published(numbered('before', 1));
      await count(server, victim.room.slice(9), 1, 3);
      await server.ordered(...order(victim));
      await until('the end', () => ends === 'room' || one.isClosed);

      const again = ends === 'room' ? one : await wire(t, server);
      const refused =
        ends === 'room'
          ? (await again.request('subscribe', victim.room, { after: position })).error
          : (await again.join({ token: victim.token })).data;

      assert.equal(refused.code, ends === 'room' ? 'forbidden' : 'unauthorized');
      assert.deepEqual(numbers(again.received, victim.room.slice(9)), []);
    });

    test('for whoever renews a token with one that it names', async (t) => {
      const victim = somebody();
      const one = await wire(t, server);
      await one.join({ token: newer(victim) });
      await one.request('subscribe', victim.room);
      await server.ordered(...order(victim));

      const ack = await one.request('session:refresh', { token: victim.token });

      if (ends === 'token') {
        assert.equal(ack.error?.code, 'unauthorized', JSON.stringify(ack));
        assert.equal((await one.request('subscribe', 'campaign:other')).ok, true, 'the good one is still in force');
      } else {
        assert.deepEqual(ack.left, [victim.room]);
        assert.equal((await one.request('subscribe', victim.room)).error?.code, 'forbidden');
      }
    });
  });
}

/** What the server says of itself when a right ends. */
const NOTICES = ['session:expired', 'session:left'];

test('a client that is behind gets nothing after it either', async (t) => {
  const tiny = await started(t, { producers: ADMINISTRATORS, engine: { ping_interval: '60s', ping_timeout: '60s', outbox_packets_max: 8 } });
  const victim = somebody();
  const room = victim.room.slice(9);
  const one = await joined(t, tiny, victim);
  one.pause();
  const filler = { data: { filler: 'x'.repeat(2_000) } };
  let sent = 0;
  const isBehind = () => tiny.logs().some(({ message }) => message === 'behind');
  await until('being behind', async () => (await count(tiny, room, sent + 1, (sent += 500), filler), isBehind()));

  const position = await tiny.ordered('/v1/revocations', { user: victim.user });
  await count(tiny, room, sent + 1, sent + 500, filler);
  one.resume();
  await until('the end of the connection', () => one.isClosed, { deadlineMs: 20_000 });

  const late = one.received.filter((each) => typeof each.position === 'string');
  assert.deepEqual(
    late.filter((each) => offsetOf(each.position) > offsetOf(position)),
    [],
  );
});

test('a room that is taken from a client that is behind is not read any more', async (t) => {
  const tiny = await started(t, { producers: ADMINISTRATORS, engine: { ping_interval: '60s', ping_timeout: '60s', outbox_packets_max: 8 } });
  const victim = somebody();
  const room = victim.room.slice(9);
  const one = await joined(t, tiny, victim);
  await one.request('subscribe', 'campaign:fence');
  one.pause();
  const filler = { data: { filler: 'x'.repeat(2_000) } };
  let sent = 0;
  const isBehind = () => tiny.logs().some(({ message }) => message === 'behind');
  await until('being behind', async () => (await count(tiny, room, sent + 1, (sent += 500), filler), isBehind()));

  await tiny.ordered('/v1/revocations', { user: victim.user, room: victim.room });
  await count(tiny, room, sent + 1, sent + 500, filler);
  await count(tiny, 'fence', 1);
  one.resume();

  await until('the fence', () => numbers(one.received, 'fence').length === 1, { deadlineMs: 20_000 });
  assert.deepEqual(
    numbers(one.received, room).filter((n) => n > sent),
    [],
  );
});

for (const [what, { order, ends }] of Object.entries({
  'a client that comes back': KINDS['everything of a user'],
  'a room that is joined again': KINDS['a room of a user'],
})) {
  test(`at whatever moment of ${what} it comes, nothing after it arrives`, async (t) => {
    for (let round = 0; round < 40; round += 1) {
      const victim = somebody();
      const room = victim.room.slice(9);
      const first = await joined(t, server, victim);
      const again = await wire(t, server);
      first.close();

      const joining = again.join({ token: victim.token, pid: first.replies[0].pid });
      const subscribing = joining.then(() => again.emit('subscribe', victim.room, {}));
      await new Promise((resolve) => setImmediate(resolve));
      const ordering = server.ordered(...order(victim));
      for (let n = 1; n <= 3; n += 1) await count(server, room, n);
      const position = await ordering;
      await count(server, room, 4, 6);
      await subscribing;
      await until('the end', async () => {
        if (again.isClosed) return true;
        if (ends === 'token') return again.replies.some((reply) => reply.data !== undefined);
        return (await again.request('unsubscribe', 'contact:nobody')).ok;
      });

      const late = again.received.filter((one) => typeof one.position === 'string');
      assert.deepEqual(
        late.filter((one) => offsetOf(one.position) > offsetOf(position)),
        [],
        `round ${round}, after ${position}`,
      );
      again.close();
    }
  });
}

test('an account that is taken from a user cannot be paired either', async (t) => {
  const one = await wire(t, server);
  const token = signHs256(claims({ user: 'pairs', tenant: 'acme', rooms: ['whatsapp:*'], link: ['*'] }));
  await one.join({ token });
  await one.request('subscribe', 'whatsapp:taken');
  const qr = { event: 'whatsapp:qr:generated', data: { accountId: 'taken', qrCode: 'first' } };
  await server.published(qr);
  await until('a QR code', () => one.received.length === 1);

  await server.ordered('/v1/revocations', { user: 'pairs', room: 'whatsapp:taken' });
  await server.published(qr);

  assert.equal((await one.request('subscribe', 'whatsapp:taken')).error.code, 'forbidden');
  assert.equal((await one.request('subscribe', 'whatsapp:taken:link')).error.code, 'forbidden');
  assert.deepEqual(
    one.received.map(({ event }) => event),
    ['whatsapp:qr:generated', 'session:left'],
  );
});

test('a stock client with a token callback comes back by itself with a token that is newer', async () => {
  const victim = somebody();
  let tokens = 0;
  const auth = (/** @type {(auth: object) => void} */ give) =>
    give({ token: (tokens += 1) === 1 ? victim.token : newer(victim) });
  const client = dial(server.url, {
    user: victim.user,
    tenant: 'acme',
    token: '',
    reconnection: true,
    auth: /** @type {any} */ (auth),
  });
  await client.connected();
  await client.subscribe(victim.room);

  await server.ordered('/v1/revocations', { user: victim.user });
  await until('coming back', () => client.socket.connected && tokens === 2);
  await count(server, victim.room.slice(9), 1);

  assert.equal(client.socket.recovered, true);
  assertCounted(await server.received(client), victim.room.slice(9), 1, 1);
  client.close();
});

test('what is revoked stays so when an earlier instant is named, and of several rooms each', async () => {
  const victim = somebody();
  const hourAgo = new Date(Date.now() - 3_600_000).toISOString();
  await server.ordered('/v1/revocations', { user: victim.user });
  await server.ordered('/v1/revocations', { user: victim.user, issuedBefore: hourAgo });
  assert.equal((await server.dial({ token: victim.token }).refusal()).data.code, 'unauthorized');

  const other = somebody();
  await Promise.all(
    Array.from({ length: 6 }, (_, n) =>
      server.ordered('/v1/revocations', { user: other.user, room: `campaign:many-${n}` }),
    ),
  );
  const client = await server.connect({ user: other.user, token: other.token });
  for (let n = 0; n < 6; n += 1) {
    assert.equal((await client.request('subscribe', `campaign:many-${n}`)).error?.code, 'forbidden');
  }
  assert.equal((await client.request('subscribe', 'campaign:many-6')).ok, true);
});

test('of an older token nothing is left when it was issued before the instant, and a token without a time is older', async () => {
  const user = 'instants';
  const at = (/** @type {number | undefined} */ iat) =>
    signHs256({ ...claims({ user, tenant: 'acme', rooms: ['campaign:*'] }), iat });
  const now = Math.floor(Date.now() / 1_000);
  await server.ordered('/v1/revocations', { user, issuedBefore: new Date((now - 100) * 1_000).toISOString() });

  assert.equal((await server.dial({ user, token: at(now - 101) }).refusal()).data.code, 'unauthorized');
  assert.equal((await server.dial({ user, token: at(undefined) }).refusal()).data.code, 'unauthorized');
  await server.connect({ user, token: at(now - 100) });
});

test('a user who is disconnected may come back with the same token, and misses nothing', async () => {
  const victim = somebody();
  const options = { user: victim.user, tenant: 'acme', token: victim.token, reconnection: true };
  const clients = [dial(server.url, options), dial(server.url, { ...options, transports: ['polling'] })];
  for (const client of clients) {
    await client.connected();
    await client.subscribe(victim.room);
  }
  const bystander = await server.connect({ user: 'bystander', token: somebody().token });

  const path = `/v1/users/${encodeURIComponent(victim.user)}/disconnect`;
  await server.ordered(path);
  for (const client of clients) await until('the disconnect', () => client.disconnects.length === 1);
  await count(server, victim.room.slice(9), 1, 3);

  for (const client of clients) {
    await until('coming back', () => client.socket.connected);
    assert.equal(client.socket.recovered, true);
    const line = await server.received(client);
    assertCounted(line, victim.room.slice(9), 1, 3);
    assert.ok(line.some(({ event, payload }) => event === 'session:expired' && payload.reason === 'disconnected'));
    client.close();
  }
  assert.deepEqual(bystander.disconnects, []);
});

test('what is invalidated is decided again, and what is still allowed goes on', async () => {
  const client = await server.connect({ user: 'asked-again', rooms: ['campaign:*', 'contact:*'] });
  await client.subscribe('campaign:again', 'contact:again');

  for (const body of [{}, { user: 'asked-again' }, { room: 'contact:again' }, { kind: 'campaign' }]) {
    await server.ordered('/v1/access/invalidate', body);
  }
  await count(server, 'again', 1);

  const line = await server.received(client);
  assertCounted(line, 'again', 1, 1);
  assert.deepEqual(client.disconnects, []);
});

describe('an order that cannot be taken', () => {
  const future = new Date(Date.now() + 3_600_000).toISOString();
  for (const [path, body, status, code, field] of /** @type {Array<[string, any, number, string, string?]>} */ ([
    ['/v1/revocations', {}, 422, 'missing_field', 'user'],
    ['/v1/revocations', { room: 'contact:1' }, 422, 'missing_field', 'user'],
    ['/v1/revocations', { user: 'a b' }, 422, 'invalid_field', 'user'],
    ['/v1/revocations', { user: '7', token: 'x' }, 422, 'invalid_field', 'token'],
    ['/v1/revocations', { token: '' }, 422, 'invalid_field', 'token'],
    ['/v1/revocations', { token: 'x', issuedBefore: '2025-11-05T10:00:00Z' }, 422, 'invalid_field', 'token'],
    ['/v1/revocations', { user: '7', issuedBefore: 'soon' }, 422, 'invalid_field', 'issuedBefore'],
    ['/v1/revocations', { user: '7', issuedBefore: future }, 422, 'invalid_field', 'issuedBefore'],
    ['/v1/revocations', { user: '7', expiresAt: future }, 422, 'invalid_field', 'expiresAt'],
    ['/v1/revocations', { user: '7', room: 'nothing' }, 422, 'invalid_room', 'room'],
    ['/v1/revocations', { user: '7', room: 'team:acme' }, 422, 'invalid_room', 'room'],
    ['/v1/revocations', { user: '7', room: 'user:7' }, 422, 'invalid_room', 'room'],
    ['/v1/revocations', { user: '7', room: 'contacts:globex' }, 422, 'invalid_room', 'room'],
    ['/v1/revocations', { user: '7', usre: '8' }, 422, 'unknown_field', 'usre'],
    ['/v1/revocations', [], 400, 'malformed_json'],
    ['/v1/revocations', { user: '7', tenant: 'globex' }, 403, 'other_tenant', 'tenant'],
    ['/v1/users/a%20b/disconnect', undefined, 422, 'invalid_field', 'id'],
    ['/v1/users/7/disconnect', { force: true }, 422, 'unknown_field', 'force'],
    ['/v1/access/invalidate', { kind: 'nothing' }, 422, 'invalid_field', 'kind'],
    ['/v1/access/invalidate', { room: 'contact' }, 422, 'invalid_room', 'room'],
  ])) {
    test(`${path} ${JSON.stringify(body)} is refused with ${code}`, async () => {
      const answer = await server.post(path, body);

      assert.deepEqual(
        [answer.status, answer.body.code, answer.body.field],
        [status, code, field],
        JSON.stringify(answer.body),
      );
    });
  }

  test('needs a key, and with one for all tenants a tenant that is one', async () => {
    const key = KEYS['*'];
    for (const path of ['/v1/revocations', '/v1/users/7/disconnect', '/v1/access/invalidate']) {
      const body = path === '/v1/revocations' ? { user: 'nobody-there' } : {};
      assert.equal((await server.post(path, body, { key: null })).status, 401);
      assert.equal((await server.post(path, body, { key })).body.code, 'tenant_required');
      assert.equal((await server.post(path, { ...body, tenant: '*' }, { key })).body.code, 'invalid_tenant');
      assert.equal((await server.post(path, { ...body, tenant: 'globex' }, { key })).status, 202);
    }
  });

  test('is not an event that a producer can publish', async () => {
    for (const event of ['session:revoked', 'session:disconnected', 'access:invalidated']) {
      const { status, body } = await server.publish({ event, data: { user: '7' }, rooms: ['team:acme'] });
      assert.deepEqual([status, body.code], [422, 'unknown_event']);
    }
  });
});

/** Somebody new, with a token from a while ago that may hear campaigns. */
function somebody() {
  people += 1;
  const user = `person-${people}`;
  const jti = `jti ${people}/${user}`;
  const iat = Math.floor(Date.now() / 1_000) - 10;
  const token = signHs256({ ...claims({ user, tenant: 'acme', rooms: ['campaign:*'] }), iat, jti });
  return { user, jti, token, room: `campaign:of-${user}` };
}

/**
 * A token of the same user from after whatever is revoked now.
 *
 * @param {Victim} victim
 */
function newer({ user }) {
  const iat = Math.ceil(Date.now() / 1_000) + 1;
  return signHs256({ ...claims({ user, tenant: 'acme', rooms: ['campaign:*'] }), iat });
}

/**
 * A client in the room of its person.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('./harness/server.js').Server} to
 * @param {Victim} victim
 */
async function joined(t, to, { token, room }) {
  const one = await wire(t, to);
  await one.join({ token });
  assert.equal((await one.request('subscribe', room)).ok, true);
  return one;
}

/**
 * Comes back with what is revoked, and gets nothing of it.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('./harness/server.js').Server} to
 * @param {Victim} victim
 * @param {string} pid
 * @param {string} offset
 * @param {'token' | 'room'} ends
 */
async function comesBack(t, to, victim, pid, offset, ends) {
  const one = await wire(t, to);
  const reply = await one.join({ token: victim.token, pid, offset });
  if (ends === 'token') {
    assert.equal(reply.data?.code, 'unauthorized', JSON.stringify(reply));
  } else {
    assert.equal(reply.pid, pid, 'it is the session of before, without the room');
    const ack = await one.request('subscribe', victim.room, { after: offset });
    assert.equal(ack.error?.code, 'forbidden', JSON.stringify(ack));
    await count(to, victim.room.slice(9), 9);
    await one.request('unsubscribe', 'contact:nobody');
  }
  assert.deepEqual(one.received, []);
  one.close();
}
