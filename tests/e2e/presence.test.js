// @ts-check
/** Who is there, and who looks at whom. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { startServer } from './harness/server.js';
import { ADMINISTRATORS } from './harness/settings.js';
import { until } from './harness/until.js';

const GRACE_MS = 600;
const LEASE_MS = 2_000;

const server = await startServer({
  settings: { presence: { grace: `${GRACE_MS}ms`, lease: `${LEASE_MS}ms` }, producers: ADMINISTRATORS },
});
after(() => server.stop());

let numbers = 0;
/** A name that no other test uses. */
const fresh = (/** @type {string} */ kind) => `${kind}-${(numbers += 1)}`;

/** Somebody of `acme` who records who comes and goes. */
const watcher = (/** @type {Record<string, any>} */ more = {}) =>
  server.connect({ user: fresh('watcher'), presence: true, ...more });

/**
 * What `client` was told of `user`, until it was told `status`.
 *
 * @param {import('./harness/client.js').Client} client
 * @param {string} user
 * @param {string} status
 */
async function told(client, user, status) {
  const { payload } = await client.next('presence:update', (one) => one.userId === user && one.status === status);
  const all = client.take().filter(({ event, payload: one }) => event === 'presence:update' && one.userId === user);
  assert.deepEqual(all.map((one) => one.payload.status), [status], 'one event for one change');
  return payload;
}

/**
 * Shows that `client` was told nothing of `user`: the coming of somebody else is told after it would have been.
 *
 * @param {import('./harness/client.js').Client} client
 * @param {string} user
 */
async function toldNothing(client, user) {
  const other = fresh('fence');
  const fence = await server.connect({ user: other });
  await client.next('presence:update', ({ userId }) => userId === other);
  const all = client.take().filter(({ event, payload }) => event === 'presence:update' && payload.userId === user);
  fence.close();
  assert.deepEqual(all, []);
}

/**
 * The people of a team, by id.
 *
 * @param {import('./harness/client.js').Client} client
 */
async function team(client) {
  const ack = await client.request('presence:list');
  assert.equal(ack.ok, true);
  return Object.fromEntries(ack.users.map((/** @type {any} */ one) => [one.userId, one.status]));
}

/** Lets time pass in which something must not happen. */
async function passed(/** @type {number} */ ms) {
  const end = Date.now() + ms;
  await until(`${ms} ms`, () => Date.now() >= end);
}

test('several tabs and devices are one person, who comes once and goes once', async () => {
  const [ana, watching, stranger] = [fresh('ana'), await watcher(), await watcher({ tenant: 'globex' })];
  stranger.take();

  const tab = await server.connect({ user: ana });
  const online = await told(watching, ana, 'online');
  const phone = await server.connect({ user: ana });
  tab.close();
  await toldNothing(watching, ana);
  const left = Date.now();
  phone.close();
  const offline = await told(watching, ana, 'offline');

  assert.deepEqual(Object.keys(online).sort(), ['lastSeenAt', 'status', 'timestamp', 'userId']);
  assert.ok(Date.now() - left >= GRACE_MS - 100, 'not before the grace is over');
  const seen = Date.parse(offline.lastSeenAt);
  assert.ok(Math.abs(seen - left) < GRACE_MS / 2, `last seen when it left: ${offline.lastSeenAt}`);
  assert.ok(Date.parse(offline.timestamp) - seen >= GRACE_MS - 100);
  assert.ok(!(ana in (await team(watching))));
  const others = stranger.take().filter(({ payload }) => payload.userId === ana);
  assert.deepEqual(others, [], 'nothing crosses the tenant');
});

test('a reload within the grace is no absence', async () => {
  const [ana, watching] = [fresh('ana'), await watcher()];
  const page = await server.connect({ user: ana });
  await told(watching, ana, 'online');

  page.close();
  const reloaded = await server.connect({ user: ana });

  await passed(GRACE_MS * 2);
  await toldNothing(watching, ana);
  reloaded.close();
});

test('a person is away when all their tabs are', async () => {
  const [ana, watching] = [fresh('ana'), await watcher()];
  const [one, two] = await Promise.all([server.connect({ user: ana }), server.connect({ user: ana })]);
  await told(watching, ana, 'online');

  assert.deepEqual(await one.request('presence:update', { status: 'away' }), { ok: true });
  await toldNothing(watching, ana);
  await two.request('presence:update', { status: 'away' });
  await two.request('presence:update', { status: 'away' });
  await told(watching, ana, 'away');
  assert.equal((await team(watching))[ana], 'away');
  await one.request('presence:update', { status: 'online' });

  await told(watching, ana, 'online');
  for (const data of [{ status: 'offline' }, { status: 'busy' }, {}, null]) {
    const ack = await one.request('presence:update', data);
    assert.equal(ack.error?.code, 'invalid_argument', JSON.stringify(data));
  }
});

test('a team is listed, and no other one', async () => {
  const [ana, rui, theirs] = [fresh('ana'), fresh('rui'), fresh('theirs')];
  await Promise.all([
    server.connect({ user: ana }),
    server.connect({ user: rui }),
    server.connect({ user: theirs, tenant: 'globex' }),
  ]);
  const watching = await watcher();

  await until('both in the list', async () => {
    const list = await team(watching);
    return list[ana] === 'online' && list[rui] === 'online';
  });

  assert.ok(!(theirs in (await team(watching))));
  const behind = await watching.request('presence:list', { after: ana });
  assert.ok(!behind.users.some((/** @type {any} */ one) => one.userId <= ana));
});

test('who looks at a contact is told to the others who do, and not to the tabs of that person', async () => {
  const contactId = fresh('contact');
  const rooms = [`contact:${contactId}`];
  const [tab, other, colleague, stranger] = await Promise.all([
    server.connect({ user: 'ana', rooms }),
    server.connect({ user: 'ana', rooms }),
    server.connect({ user: 'rui', rooms }),
    server.connect({ user: 'rui', tenant: 'globex', rooms }),
  ]);
  for (const client of [tab, other, colleague, stranger]) await client.subscribe(`contact:${contactId}`);

  for (let again = 0; again < 3; again += 1) {
    assert.deepEqual(await tab.request('presence:viewing', { contactId, isViewing: true }), { ok: true });
  }
  const { payload } = await colleague.next('presence:viewing');
  await other.request('presence:viewing', { contactId, isViewing: true });
  // The node says it again as long as the connection lasts.
  await passed(LEASE_MS * 1.5);
  const list = await colleague.request('presence:list', { contactId });
  const late = await server.connect({ user: 'late', rooms });
  const { snapshot } = await late.request('subscribe:contact', contactId);
  await tab.request('presence:viewing', { contactId, isViewing: false });
  await other.request('unsubscribe:contact', contactId);

  await colleague.next('presence:viewing', ({ isViewing }) => !isViewing);
  assert.deepEqual({ ...payload, timestamp: undefined }, {
    contactId,
    userId: 'ana',
    isViewing: true,
    timestamp: undefined,
  });
  assert.deepEqual(list, { ok: true, viewing: ['ana'], typing: [], contactTyping: [] });
  assert.deepEqual(snapshot.viewing, ['ana']);
  const events = (/** @type {any} */ client) =>
    client.take().filter((/** @type {any} */ one) => one.event === 'presence:viewing');
  assert.equal(events(colleague).length, 2, 'one event for each change');
  for (const client of [tab, other, stranger]) assert.deepEqual(events(client), []);
});

test('who looks at a contact and reloads the page was never gone, and who leaves is after the grace', async () => {
  const contactId = fresh('contact');
  const rooms = [`contact:${contactId}`];
  const [tab, colleague] = await Promise.all([
    server.connect({ user: 'ana', rooms }),
    server.connect({ user: 'rui', rooms }),
  ]);
  await colleague.subscribe(`contact:${contactId}`);
  await tab.request('presence:viewing', { contactId, isViewing: true });
  await colleague.next('presence:viewing');
  colleague.take();

  tab.close();
  const reloaded = await server.connect({ user: 'ana', rooms });
  await reloaded.request('presence:viewing', { contactId, isViewing: true });
  await passed(GRACE_MS * 1.5);
  assert.deepEqual(colleague.take().filter(({ event }) => event === 'presence:viewing'), []);
  reloaded.close();

  const { payload } = await colleague.next('presence:viewing');
  assert.equal(payload.isViewing, false);
});

test('who may not hear a contact any more does not look at it or type to it any more', async () => {
  const [ana, contactId] = [fresh('ana'), fresh('contact')];
  const rooms = [`contact:${contactId}`, 'whatsapp:1'];
  const tab = await server.connect({ user: ana, rooms });
  const colleague = await server.connect({ user: 'rui', rooms });
  for (const client of [tab, colleague]) await client.subscribe(`contact:${contactId}`);
  await tab.request('presence:viewing', { contactId, isViewing: true });
  await tab.request('typing:start', { contactId, whatsappAccountId: '1', ttlMs: 60_000 });
  await colleague.next('typing:indicator');

  await server.ordered('/v1/revocations', { user: ana, room: `contact:${contactId}` });

  await colleague.next('presence:viewing', ({ isViewing }) => !isViewing);
  await colleague.next('typing:indicator', ({ isTyping }) => !isTyping);
  const ack = await tab.request('typing:start', { contactId, whatsappAccountId: '1' });
  assert.equal(ack.error?.code, 'forbidden', JSON.stringify(ack));
});

test('a snapshot of a contact tells who of the team is there', async () => {
  const [ana, contactId] = [fresh('ana'), fresh('contact')];
  const client = await server.connect({ user: ana, rooms: [`contact:${contactId}`] });

  const ack = await until('a snapshot with the client itself', async () => {
    const subscribed = await client.request('subscribe:contact', contactId);
    return subscribed.snapshot.online?.some((/** @type {any} */ one) => one.userId === ana) && subscribed;
  });

  assert.deepEqual(Object.keys(ack.snapshot).sort(), ['contactTyping', 'online', 'typing', 'viewing']);
});

test('in a team that is too large nobody is told, and everybody can ask', async () => {
  const crowded = await startServer({ settings: { presence: { team_max: 2 } } });
  after(() => crowded.stop());
  const first = await crowded.connect({ user: 'one', presence: true });
  await first.next('presence:update', ({ userId }) => userId === 'one');
  await crowded.connect({ user: 'two' });
  await first.next('presence:update', ({ userId }) => userId === 'two');

  await crowded.connect({ user: 'three' });

  await until('all in the list', async () => Object.keys(await team(first)).length === 3);
  await crowded.received(first);
  assert.deepEqual(first.take(), []);
});

test('after the server was killed nobody flickers who comes back, and nobody is online for ever who does not', async () => {
  const killed = await startServer({
    settings: { presence: { grace: `${GRACE_MS}ms`, lease: `${LEASE_MS}ms` } },
  });
  after(() => killed.stop());
  const watching = await killed.connect({ user: 'watching', presence: true, reconnection: true });
  const back = await killed.connect({ user: 'back', reconnection: true });
  const gone = await killed.connect({ user: 'gone' });
  for (const user of ['watching', 'back', 'gone']) {
    await watching.next('presence:update', ({ userId }) => userId === user);
  }
  watching.take();

  await killed.kill();
  gone.close();
  await killed.start();
  const restarted = Date.now();
  await watching.connected();
  await back.connected();
  const { payload } = await watching.next('presence:update', ({ userId }) => userId === 'gone');

  assert.equal(payload.status, 'offline');
  assert.ok(Date.now() - restarted >= LEASE_MS / 2, 'who might come back is waited for');
  // Who came back holds a lease of this life: the one of the life before may end.
  await passed(LEASE_MS * 1.5);
  const told = watching.take().filter(({ event }) => event === 'presence:update');
  assert.deepEqual(told.map((one) => one.payload), [payload], 'nothing else was told');
  assert.deepEqual(await team(watching), { watching: 'online', back: 'online' });
});
