// @ts-check
/** What the operator is told at `/metrics`: the numbers agree with what happened, and name nobody. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { Crm } from './harness/crm.js';
import { startServer } from './harness/server.js';
import { ADMINISTRATORS, KEYS } from './harness/settings.js';
import { until } from './harness/until.js';

const server = await startServer({ settings: { journal: { partitions: 2 } } });
after(() => server.stop());

/**
 * The series of a page in the text format of Prometheus, which it is held to line by line.
 *
 * @param {string} page
 * @returns {Map<string, number>}
 */
function series(page) {
  const NAME = '[a-z_]+';
  const SAMPLE = new RegExp(`^(${NAME})(\\{${NAME}="(?:[^"\\\\]|\\\\.)*"\\})? (\\S+)$`);
  const found = new Map();
  let family = '';
  for (const line of page.trimEnd().split('\n')) {
    const head = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (head !== null) {
      if (head[1] === 'TYPE') assert.equal(family, head[2], line);
      family = head[2];
      continue;
    }
    const sample = SAMPLE.exec(line);
    assert.ok(sample !== null && sample[1].startsWith(family), line);
    const value = Number(sample[3]);
    assert.ok(!Number.isNaN(value), line);
    found.set(`${sample[1]}${sample[2] ?? ''}`, value);
  }
  return found;
}

/** How much each series grew while `act` ran. @param {() => Promise<void>} act */
async function growth(act) {
  const before = series(await server.metrics());
  await act();
  const now = series(await server.metrics());
  return (/** @type {string} */ name) => (now.get(`switchboard_${name}`) ?? 0) - (before.get(`switchboard_${name}`) ?? 0);
}

const draft = { event: 'contact:deleted', data: { contactId: 'm' } };

test('connections, subscriptions, events and deliveries are counted as they happen', async (t) => {
  const grew = await growth(async () => {
    const clients = await Promise.all([
      server.connect({ user: 'met-1', rooms: ['contact:m'], transports: ['websocket'] }),
      server.connect({ user: 'met-2', rooms: ['contact:m'], transports: ['polling'] }),
      server.connect({ user: 'met-3', transports: ['websocket'] }),
    ]);
    t.after(() => clients.forEach((client) => client.close()));
    await Promise.all(clients.slice(0, 2).map((client) => client.subscribe('contact:m')));
    const refused = await clients[2].request('subscribe', 'contact:m');
    assert.equal(refused.ok, false);

    await server.published({ ...draft, id: 'metrics-1' });
    await server.published({ ...draft, id: 'metrics-1' });
    await Promise.all(clients.slice(0, 2).map((client) => client.next('contact:deleted')));
  });

  assert.equal(grew('connections{transport="websocket"}'), 2);
  assert.equal(grew('connections{transport="polling"}'), 1);
  assert.equal(grew('handshakes_total{result="accepted"}'), 3);
  assert.equal(grew('sessions'), 3);
  assert.equal(grew('users'), 3);
  assert.equal(grew('recoveries_total{result="new"}'), 3);
  assert.equal(grew('subscriptions_total{code="ok"}'), 2);
  assert.equal(grew('subscriptions_total{code="forbidden"}'), 1);
  assert.equal(grew('events_accepted_total'), 1);
  assert.equal(grew('events_duplicate_total'), 1);
  assert.equal(grew('publish_requests_total{code="accepted"}'), 2);
  assert.equal(grew('append_duration_seconds_count'), 2);
  assert.equal(grew('journal_records_total'), 1);
  assert.equal(grew('journal_sessions'), 3);
  assert.ok(grew('journal_bytes') > 0);
  assert.ok(grew('journal_commit_duration_seconds_count') > 0);
  assert.equal(grew('records_fanned_out_total'), 1);
  assert.equal(grew('deliveries_total{path="live"}'), 2);
  assert.equal(grew('fan_out_duration_seconds_count'), 1);
  assert.ok(grew('received_bytes_total') > 0);
  assert.ok(grew('sent_bytes_total') > 0);
  assert.equal(grew('sessions_behind'), 0);
});

test('a client that comes back is one that was recovered', async (t) => {
  const grew = await growth(async () => {
    const client = await server.connect({ user: 'met-back', rooms: ['*'], reconnection: true });
    t.after(() => client.close());
    await client.subscribe('contact:m');
    await server.published(draft);
    await client.next('contact:deleted');

    client.socket.io.engine.close();
    await server.published({ ...draft, data: { contactId: 'm', reason: 'away' } });

    await client.next('contact:deleted', ({ reason }) => reason === 'away');
  });

  assert.equal(grew('recoveries_total{result="recovered"}'), 1);
  assert.ok(grew('closes_total{reason="transport_closed"}') >= 1);
});

test('refusals are counted by their code', async () => {
  const grew = await growth(async () => {
    await server.dial({ token: 'not a token' }).refusal();
    assert.equal((await server.publish(draft, { key: 'wrong' })).status, 401);
    assert.equal((await server.publish({ event: 'no:such', data: {} })).status, 422);
    assert.equal((await server.publish('{')).status, 400);
    assert.equal((await server.publish([draft, { event: 'no:such', data: {} }])).status, 207);
    assert.equal((await server.webhook('nobody', {})).status, 404);
    const { status } = await server.get('/socket.io/?EIO=4&transport=polling', { origin: 'https://evil.example.org' });
    assert.equal(status, 403);
  });

  assert.equal(grew('authentication_failures_total{code="unauthorized"}'), 1);
  assert.equal(grew('publish_requests_total{code="unauthorized"}'), 1);
  assert.equal(grew('publish_requests_total{code="unknown_event"}'), 1);
  assert.equal(grew('publish_requests_total{code="malformed_json"}'), 1);
  assert.equal(grew('publish_requests_total{code="partial"}'), 1);
  assert.equal(grew('events_refused_total{code="unknown_event"}'), 2);
  assert.equal(grew('webhooks_refused_total'), 1);
  assert.equal(grew('handshakes_total{result="forbidden"}'), 1);
});

describe('the page', () => {
  test('names no tenant, user, room, id, address or secret', async (t) => {
    const client = await server.connect({ user: 'met-secret', rooms: ['contact:met-room'] });
    t.after(() => client.close());
    await client.subscribe('contact:met-room');
    await server.published({ event: 'contact:deleted', data: { contactId: 'met-room', 'met-field': 1 }, id: 'met-id' });
    await client.next('contact:deleted');

    const page = await server.metrics();

    for (const word of ['met-', 'acme', 'globex', '127.0.0.1', '@', ...Object.values(KEYS)]) {
      assert.ok(!page.includes(word), word);
    }
    assert.ok((series(page).get('switchboard_unknown_fields_total{event="contact:deleted"}') ?? 0) >= 1);
  });

  test('does not grow with those who are connected', async (t) => {
    const few = series(await server.metrics()).size;
    const clients = await Promise.all(
      Array.from({ length: 20 }, (_, n) => server.connect({ user: `many-${n}`, rooms: ['*'] })),
    );
    t.after(() => clients.forEach((client) => client.close()));
    await Promise.all(clients.map((client, n) => client.subscribe(`contact:many-${n}`)));

    assert.equal(series(await server.metrics()).size, few);
  });

  test('is not where clients and producers are', async () => {
    assert.equal((await server.get('/metrics')).status, 404);
    assert.equal((await fetch(`${server.adminUrl}/v1/events`, { method: 'POST' })).status, 404);
  });
});

test('rights that nobody decides about are counted while it is so', async (t) => {
  const crm = new Crm();
  await crm.start();
  const http = { url: crm.url, secret: crm.secret, timeout: '10s' };
  const asking = await startServer({
    settings: { producers: ADMINISTRATORS, access: { ttl: '1s', kinds: { contact: { policy: 'http' } }, http } },
  });
  t.after(async () => {
    crm.release();
    await asking.stop();
    await crm.stop();
  });
  const told = async () => {
    const now = series(await asking.metrics());
    return ['leases_overdue', 'undecided'].map((name) => now.get(`switchboard_access_${name}`));
  };
  assert.deepEqual(await told(), [0, 0]);
  const page = await asking.metrics();
  assert.match(page, /^# TYPE switchboard_access_leases_overdue gauge$/m);
  assert.match(page, /^# TYPE switchboard_access_undecided gauge$/m);
  // More than are asked about at once, so that some have their turn late.
  const rooms = Array.from({ length: 60 }, (_, id) => `contact:${id}`);
  for (const room of rooms) crm.allow('otto', room);
  const client = await asking.connect({ user: 'otto' });
  await client.subscribe(...rooms);

  for (const room of rooms) crm.hold(room);
  await until('some that wait too long', async () => Number((await told())[0]) > 0);
  crm.release();
  await until('all to have had their turn', async () => (await told())[0] === 0);
  crm.hold(rooms[0]);
  await asking.ordered('/v1/access/invalidate', { room: rooms[0] });
  await until('one in doubt', async () => (await told())[1] === 1);
  crm.release();

  await until('none in doubt', async () => (await told())[1] === 0);
});

test('without a listener for the operator there is none', async (t) => {
  const own = await startServer({ settings: { admin: { enabled: false } } });
  t.after(() => own.stop());

  assert.ok(!own.logs().some(({ message }) => message === 'admin listening'));
});

test('a drain can be watched to its end', async (t) => {
  const own = await startServer();
  t.after(() => own.stop());
  assert.match(await own.metrics(), /^switchboard_ready 1$/m);

  await own.terminate();

  await until('nobody at the address', () => fetch(own.adminUrl).then(() => false, () => true));
});
