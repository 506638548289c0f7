// @ts-check
/** A client that lost its connection goes on where it was: with the stock client, and on every transport. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { TRANSPORTS } from './harness/client.js';
import { back, lost, started, through, token, wire } from './harness/lost.js';
import { assertCounted, assertOnLine, count, numbered, numbers, offsetOf } from './harness/numbered.js';
import { Proxy } from './harness/proxy.js';
import { startServer } from './harness/server.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until } from './harness/until.js';

/** A server that forgets history beyond this, and tells positions often. */
const SMALL = { journal: { retention_size: '1MiB' }, session: { sync_interval: '100ms' } };

const server = await startServer({ settings: { log: { level: 'info' } } });
after(() => server.stop());
const proxy = await Proxy.start(server.url);
after(() => proxy.close());

/** @type {Record<string, (client: import('./harness/client.js').Client) => void>} */
const LOSSES = {
  'the connection is cut': () => proxy.cut(),
  'the client closes the transport': (client) => void client.socket.io.engine.close(),
};

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  for (const [how, lose] of Object.entries(LOSSES)) {
    test(`over ${mode}, when ${how}, what was missed comes first, in order and once`, async () => {
      const room = `${mode} ${how}`.replaceAll(' ', '-');
      const client = await through(proxy, { rooms: ['campaign:*'], transports });
      if (transports.length === 2) await client.speaksOver('websocket');
      await client.subscribe(`campaign:${room}`);
      await count(server, room, 1, 3);
      const before = await server.received(client);
      const { id } = client.socket;

      await lost(client, () => lose(client));
      await count(server, room, 4, 9);
      const atConnect = await back(client);

      assert.equal(client.socket.recovered, true);
      assert.equal(client.socket.id, id, 'it is the socket it was');
      assertCounted(atConnect, room, 4, 9);
      await count(server, room, 10, 12);
      const line = [...before, ...atConnect, ...(await server.received(client))];
      assertCounted(line, room, 1, 12);
      assertOnLine(line);
      client.close();
    });
  }
}

test('a client that never received anything gets what it missed', async () => {
  const client = await through(proxy, { rooms: ['campaign:*'] });
  await client.subscribe('campaign:first');

  await lost(client, () => proxy.cut());
  await count(server, 'first', 1, 2);
  const atConnect = await back(client);

  assert.equal(client.socket.recovered, true);
  assertCounted(atConnect, 'first', 1, 2);
  client.close();
});

test('a room that was refused because its history is another one is not joined by coming back', async () => {
  const client = await through(proxy, { rooms: ['campaign:*'] });
  await client.subscribe('campaign:joined');
  const refused = await client.request('subscribe', 'campaign:refused', { after: `${'0'.repeat(16)}-1` });
  assert.equal(refused.error?.code, 'position_other_epoch');

  await lost(client, () => proxy.cut());
  await count(server, 'refused', 1, 2);
  await count(server, 'joined', 1, 2);
  const atConnect = await back(client);

  assert.equal(client.socket.recovered, true);
  assertCounted(atConnect, 'joined', 1, 2);
  assert.deepEqual(numbers(atConnect, 'refused'), []);
  client.close();
});

test('a client that was idle for longer than history is kept goes on all the same', async (t) => {
  const small = await started(t, SMALL);
  const client = await small.connect({ rooms: ['campaign:*'] });
  await client.subscribe('campaign:quiet');
  let told = '';
  client.socket.on('session:sync', ({ position }) => (told = position));
  await noise(small);
  const last = await small.published(numbered('noise', 0));
  await until('a sync behind the noise', () => told !== '' && offsetOf(told) >= offsetOf(last.position));

  await lost(client, () => void client.socket.io.engine.close());
  await count(small, 'quiet', 1);
  const atConnect = await back(client);

  assert.equal(client.socket.recovered, true);
  assertCounted(atConnect, 'quiet', 1, 1);
});

test('a client whose history is gone is told so, and is in its rooms again', async (t) => {
  const small = await started(t, SMALL);
  const client = await small.connect({ rooms: ['campaign:*'] });
  await client.subscribe('campaign:here');
  await count(small, 'here', 1);
  await small.received(client);
  const { id } = client.socket;

  await lost(client, () => void client.socket.io.engine.close());
  await noise(small);
  const atConnect = await back(client);

  assert.equal(client.socket.recovered, false);
  assert.notEqual(client.socket.id, id);
  assert.deepEqual(atConnect, []);
  await count(small, 'here', 2);
  assertCounted(await small.received(client), 'here', 2, 2);
  await lost(client, () => void client.socket.io.engine.close());
  await count(small, 'here', 3);
  assertCounted(await back(client), 'here', 3, 3);
  assert.equal(client.socket.recovered, true, 'from then on it can come back');
});

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  test(`after a SIGKILL and a restart, clients over ${mode} come back by themselves to their rooms`, async (t) => {
    const mortal = await started(t);
    const client = await mortal.connect({ rooms: ['campaign:*'], transports, reconnection: true });
    if (transports.length === 2) await client.speaksOver('websocket');
    const ids = [client.socket.id];
    /** @type {boolean[]} */
    const recoveries = [];
    client.socket.on('connect', () => recoveries.push(client.socket.recovered));
    await client.subscribe('campaign:left', 'campaign:before');
    await count(mortal, 'before', 1, 2);
    const before = await mortal.received(client);
    await client.request('unsubscribe', 'campaign:left');
    await client.subscribe('campaign:just');

    await mortal.kill();
    await until('the loss', () => client.disconnects.length === 1);
    await mortal.start();
    await count(mortal, 'left', 1);
    await count(mortal, 'just', 1, 3);
    await count(mortal, 'before', 3, 4);
    await until('the client', () => client.socket.connected, { deadlineMs: 20_000 });

    const line = [...before, ...(await mortal.received(client))];
    assert.deepEqual(recoveries, [true]);
    assert.deepEqual([client.socket.id], ids);
    assertCounted(line, 'before', 1, 4);
    assertCounted(line, 'just', 1, 3);
    assert.deepEqual(numbers(line, 'left'), []);
    assertOnLine(line);
  });
}

test('a client that comes back before its half-open connection is given up takes over from it', async () => {
  const client = await through(proxy, { rooms: ['campaign:*'], transports: ['websocket'] });
  await client.subscribe('campaign:half');
  await count(server, 'half', 1);
  await server.received(client);
  const { id } = client.socket;
  const [old] = proxy.freeze();
  await count(server, 'half', 2, 3);
  await until('events that go nowhere', () => old.withheld.includes('"n":3'));

  await lost(client, () => void client.socket.io.engine.close());
  const atConnect = await back(client);

  assert.equal(client.socket.recovered, true);
  assert.equal(client.socket.id, id);
  assertCounted(atConnect, 'half', 2, 3);
  await until('the end of the old connection', () => old.closedByServer);
  await count(server, 'half', 4, 5);
  assertCounted(await server.received(client), 'half', 4, 5);
  assert.ok(!old.withheld.includes('"n":4'), 'the old connection gets nothing more');
  client.close();
});

test('of two that come back at once with the same pid, one stays and hears everything once', async (t) => {
  const auth = { token: token({ user: 'twice', rooms: ['campaign:*'] }) };
  const first = await wire(t, server);
  let { pid } = await first.join(auth);
  await first.request('subscribe', 'campaign:twice');
  for (let round = 1; round <= 20; round += 1) {
    const pair = await Promise.all([wire(t, server), wire(t, server)]);
    const replies = await Promise.all(pair.map((one) => one.join({ ...auth, pid })));

    await until('one of them', () => pair.some((one) => one.isClosed), { state: () => ({ round, replies }) });
    await count(server, 'twice', round);
    const stays = pair.find((one) => !one.isClosed);
    await until('the event', () => stays?.received.some(({ payload }) => payload.n === round));
    const other = pair.find((one) => one !== stays);
    assert.deepEqual(numbers(other?.received ?? [], 'twice').filter((n) => n === round), []);
    stays?.close();
  }
  assert.equal(first.isClosed, true);
});

describe('a pid in the wrong hands', () => {
  for (const [whose, person] of Object.entries({
    'another user': { user: 'eve', tenant: 'acme' },
    'the same user of another tenant': { user: 'ana', tenant: 'globex' },
  })) {
    test(`of ${whose} is worth nothing, and does not disturb its owner`, async (t) => {
      const room = `stolen-by-${person.user}-${person.tenant}`;
      const client = await through(proxy, { rooms: ['campaign:*'] });
      await client.subscribe(`campaign:${room}`);
      await count(server, room, 1);
      const [{ position: offset }] = await server.received(client);
      const { id, _pid: pid } = /** @type {any} */ (client.socket);
      const connected = await wire(t, server);
      await connected.join({ token: token({ ...person, rooms: ['*'] }), pid, offset });
      assert.deepEqual(client.disconnects, []);
      await lost(client, () => proxy.cut());
      await count(server, room, 2);

      const thief = await wire(t, server);
      const reply = await thief.join({ token: token({ ...person, rooms: ['*'] }), pid, offset });

      assert.notEqual(reply.sid, id);
      assert.notEqual(reply.pid, pid);
      await count(server, room, 3);
      await thief.request('unsubscribe', 'contact:nobody');
      assert.deepEqual(thief.received, []);
      assertCounted(await back(client), room, 2, 3);
      assert.equal(client.socket.recovered, true);
      client.close();
    });
  }

  test('of nobody known, or of no form at all, begins a new session', async (t) => {
    for (const pid of ['YHcX2sdAF1z452-HAAAW', 'short', '', "'; --", 'x'.repeat(10_000), 7, null, {}]) {
      const one = await wire(t, server);
      const reply = await one.join({ token: token({}), pid, offset: 'x' });
      assert.match(reply.sid, /^[\w-]{20}$/, JSON.stringify(pid));
      assert.notEqual(reply.pid, pid);
    }
  });
});

test('who comes back with fewer rights neither gets what was missed beyond them, nor what is live', async () => {
  const client = await through(proxy, { rooms: ['campaign:kept', 'campaign:taken'] });
  await client.subscribe('campaign:kept', 'campaign:taken');

  await lost(client, () => proxy.cut());
  await count(server, 'kept', 1);
  await count(server, 'taken', 1);
  client.socket.auth = { token: token({ rooms: ['campaign:kept'] }) };
  const atConnect = await back(client);
  await count(server, 'taken', 2);
  await count(server, 'kept', 2);

  const line = [...atConnect, ...(await server.received(client))];
  assert.equal(client.socket.recovered, true);
  assertCounted(line, 'kept', 1, 2);
  assert.deepEqual(numbers(line, 'taken'), []);
  client.close();
});

test('who comes back with a token that is over gets nothing, and everything with a new one', async (t) => {
  const person = { user: 'late', tenant: 'acme', rooms: ['campaign:*'] };
  const [first, late, again] = [await wire(t, server), await wire(t, server), await wire(t, server)];
  const { pid, sid } = await first.join({ token: token(person) });
  await first.request('subscribe', 'campaign:late');
  first.close();
  await count(server, 'late', 1);

  const refusal = await late.join({ token: signHs256({ ...claims(person), exp: 1 }), pid });

  assert.equal(refusal.data.code, 'token_expired');
  assert.deepEqual(late.received, []);
  assert.deepEqual(await again.join({ token: token(person), pid }), { sid, pid });
  assertCounted(again.received, 'late', 1, 1);
});

for (const transports of [['websocket'], ['polling']]) {
  test(`over ${transports}, more than a page of missed events comes whole, and live ones behind it`, async () => {
    const room = `many-${transports}`;
    const client = await through(proxy, { rooms: ['campaign:*'], transports });
    await client.subscribe(`campaign:${room}`);
    await lost(client, () => proxy.cut());
    await count(server, room, 1, 2_000);

    const atConnect = await back(client);
    for (let n = 2_001; n <= 2_050; n += 1) await count(server, room, n);

    assert.equal(client.socket.recovered, true);
    assert.ok(atConnect.length > 0 && atConnect.length < 1_000, `${atConnect.length} came before the reply`);
    const line = [...atConnect, ...(await server.received(client))];
    assertCounted(line, room, 1, 2_050);
    assertOnLine(line);
    client.close();
  });
}

describe('an offset', () => {
  /** @type {Record<string, { offset: (position: string) => unknown, isRecovered: boolean, numbers: number[] }>} */
  const OFFSETS = {
    'of before the session is taken as its beginning': {
      offset: (position) => position.replace(/\d+$/, '1'),
      isRecovered: true,
      numbers: [2, 3, 4],
    },
    'that is none of ours is taken as the beginning of the session': {
      offset: () => 'MzUPkW0',
      isRecovered: true,
      numbers: [2, 3, 4],
    },
    'that is not even text is taken as the beginning of the session': {
      offset: () => ({ a: 1 }),
      isRecovered: true,
      numbers: [2, 3, 4],
    },
    'of another history is not recovered': {
      offset: (position) => position.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
      isRecovered: false,
      numbers: [],
    },
    'of the future is not recovered': {
      offset: (position) => position.replace(/\d+$/, '999999999'),
      isRecovered: false,
      numbers: [],
    },
  };

  for (const [what, { offset, isRecovered, numbers: expected }] of Object.entries(OFFSETS)) {
    test(what, async (t) => {
      const user = `offset-${Object.keys(OFFSETS).indexOf(what)}`;
      const draft = (/** @type {number} */ n) => numbered('offset', n, { rooms: [`user:${user}`] });
      const auth = { token: token({ user }) };
      await server.published(draft(1));
      const first = await wire(t, server);
      const { sid, pid } = await first.join(auth);
      for (const n of [2, 3]) await server.published(draft(n));
      await until('two events', () => first.received.length === 2);
      first.close();
      const { position } = await server.published(draft(4));

      const again = await wire(t, server);
      const reply = await again.join({ ...auth, pid, offset: offset(position) });

      assert.equal(reply.sid === sid && reply.pid === pid, isRecovered, JSON.stringify(reply));
      assert.deepEqual(numbers(again.received, 'offset'), expected);
      await server.published(draft(5));
      await until('a live event', () => numbers(again.received, 'offset').at(-1) === 5);
    });
  }
});

test('a client may be away for the time that the settings say, counted from when it went', async (t) => {
  const brief = await started(t, { session: { ttl: '4s' } });
  const away = await brief.connect({ user: 'away', rooms: ['campaign:*'] });
  const there = await brief.connect({ user: 'there', rooms: ['campaign:*'] });
  for (const client of [away, there]) await client.subscribe('campaign:brief');
  const { id } = away.socket;

  await lost(away, () => void away.socket.io.engine.close());
  const gone = Date.now();
  await until('the end of its time', () => Date.now() > gone + 4_500);
  await lost(there, () => void there.socket.io.engine.close());
  await count(brief, 'brief', 1);

  assert.deepEqual(await back(away), []);
  assert.equal(away.socket.recovered, false);
  assert.notEqual(away.socket.id, id);
  assertCounted(await back(there), 'brief', 1, 1);
  assert.equal(there.socket.recovered, true);
});

test('a client that leaves on purpose is forgotten', async (t) => {
  const auth = { token: token({ user: 'leaver', rooms: ['campaign:*'] }) };
  for (let round = 0; round < 20; round += 1) {
    const one = await wire(t, server);
    const { sid, pid } = await one.join(auth);
    await one.request('subscribe', 'campaign:leaver');

    one.send('41');
    const reply = await one.join({ ...auth, pid });

    assert.notEqual(reply.sid, sid, `round ${round}`);
    assert.notEqual(reply.pid, pid);
    one.close();
  }
});

test('an event of two rooms is missed once, and one that excepts a room of the client not at all', async () => {
  const client = await through(proxy, { rooms: ['campaign:*'] });
  await client.subscribe('campaign:one', 'campaign:two', 'campaign:three');

  await lost(client, () => proxy.cut());
  await count(server, 'both', 1, 3, { rooms: ['campaign:one', 'campaign:two'] });
  await count(server, 'excepted', 1, 1, { rooms: ['campaign:one'], except: ['campaign:three'] });
  await count(server, 'not-excepted', 1, 1, { rooms: ['campaign:one'], except: ['campaign:four'] });
  const atConnect = await back(client);

  assertCounted(atConnect, 'both', 1, 3);
  assert.deepEqual(numbers(atConnect, 'excepted'), []);
  assertCounted(atConnect, 'not-excepted', 1, 1);
  client.close();
});

/**
 * Publishes more than a small server keeps; little at a time, or fan-out itself would come too late for it.
 *
 * @param {import('./harness/server.js').Server} small
 */
async function noise(small) {
  const filler = { data: { filler: 'x'.repeat(1_000) } };
  for (let n = 0; n < 1_600; n += 100) await count(small, 'noise', n, n + 99, filler);
}
