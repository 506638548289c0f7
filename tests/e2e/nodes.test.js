// @ts-check
/** Nodes that share a journal on Redis: what they know of each other, and one that is cut off or held still. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { assertCounted, assertOnLine, count, numbered } from './harness/numbered.js';
import { Proxy } from './harness/proxy.js';
import { Redis } from './harness/redis.js';
import { startServer } from './harness/server.js';
import { ADMINISTRATORS, KEYS } from './harness/settings.js';
import { until } from './harness/until.js';

/** Longer than a node is believed that says nothing any more. */
const GONE_MS = 30_000;

const redis = await Redis.start();
after(() => redis.stop());
const proxy = await Proxy.start(redis.url);
after(() => proxy.close());
const near = await node('near', redis.url);
const far = await node('far', proxy.url.replace('http:', 'redis:'));
after(() => Promise.all([near.stop(), far.stop()]));

/**
 * @param {string} name
 * @param {string} url
 * @param {Record<string, any>} [more]
 */
function node(name, url, more = {}) {
  return startServer({
    settings: {
      server: { name },
      journal: { kind: 'redis', path: undefined },
      redis: { url, command_timeout: '1s', connect_timeout: '1s' },
      presence: { grace: '300ms', lease: '2s' },
      producers: ADMINISTRATORS,
      ...more,
    },
  });
}

/** Waits until a node says whether it can append. */
const ready = (/** @type {import('./harness/server.js').Server} */ server, /** @type {number} */ status) =>
  until(`${status} of /readyz`, async () => (await server.get('/readyz')).status === status);

/**
 * Waits until what a node counts fits.
 *
 * @param {import('./harness/server.js').Server} server
 * @param {(stats: any) => boolean} fits
 */
const counted = async (server, fits) => {
  /** @type {any} */
  let stats;
  return until('these counts', async () => (fits((stats = await server.stats())) ? stats : undefined), {
    deadlineMs: GONE_MS,
    state: () => stats,
  });
};

const names = (/** @type {any} */ stats) => stats.nodes.map((/** @type {any} */ one) => one.name).sort();

test('any node counts for all of them, and for each', async () => {
  const clients = [await near.connect({ user: 'ana' }), await far.connect({ user: 'ben' }), await far.connect({ user: 'cleo' })];

  for (const server of [near, far]) {
    const { connected, users, complete, node, nodes } = await counted(server, (stats) => stats.connected === 3);
    assert.deepEqual({ users, complete }, { users: 3, complete: true });
    const own = nodes.find((/** @type {any} */ one) => one.node === node);
    assert.equal(own.name, server === near ? 'near' : 'far');
    assert.equal(`http://${own.address}`, server.url);
    const by = Object.fromEntries(nodes.map((/** @type {any} */ one) => [one.name, one.connected]));
    assert.deepEqual(by, { near: 1, far: 2 });
    assert.ok(nodes.every((/** @type {any} */ one) => one.startedAt <= one.at && /^\d+\.\d+\.\d+/.test(one.version)));
    assert.equal(connected, 3);
    assert.match(await server.metrics(), /^switchboard_nodes 2$/m);
  }
  for (const client of clients) client.close();
});

test('a node that stops is counted no more, and one that is killed soon', async () => {
  const [leaving, dying] = await Promise.all([node('leaving', redis.url), node('dying', redis.url)]);
  await dying.connect({ user: 'dora' });
  await counted(near, ({ nodes, connected }) => nodes.length === 4 && connected === 1);

  await Promise.all([leaving.stop(), dying.kill()]);

  const { connected } = await counted(near, (stats) => names(stats).join() === 'far,near');
  assert.equal(connected, 0);
});

test('a node that is cut off delivers nothing new, refuses in time, says so, and comes back by itself', async () => {
  const rooms = ['campaign:*', 'contact:*'];
  const client = await far.connect({ user: 'ana', rooms, transports: ['websocket'] });
  await client.subscribe('campaign:cut', 'contact:c-1');
  const typist = await far.connect({ user: 'typist', rooms, transports: ['websocket'] });
  await typist.subscribe('contact:c-1');
  const victim = await far.connect({ user: 'victim', rooms, transports: ['websocket'] });
  await victim.subscribe('campaign:cut');
  const witness = await near.connect({ user: 'ben', rooms });
  await witness.subscribe('campaign:cut');
  await count(near, 'cut', 1, 3);
  const before = await near.received(client);
  await near.received(victim);

  proxy.down();
  await ready(far, 503);
  await near.ordered('/v1/revocations', { user: 'victim' });
  await count(near, 'cut', 4, 6);
  assertCounted((await near.received(witness)).slice(-3), 'cut', 4, 6);
  const begun = Date.now();
  const refused = await far.publish(numbered('cut', 7));
  const subscribed = await client.request('subscribe:campaign', 'other');
  await typist.request('typing:start', { contactId: 'c-1', whatsappAccountId: '1' });
  assert.ok(Date.now() - begun < 5_000, 'nobody hangs');
  const late = far.dial({ user: 'late', rooms, reconnection: true });
  const { status, body } = await far.get('/readyz');

  assert.equal(refused.status, 503, JSON.stringify(refused.body));
  assert.ok(Number(refused.headers.get('retry-after')) >= 1);
  assert.equal(subscribed.ok, false);
  assert.equal(subscribed.error.code, 'unavailable');
  assert.ok(subscribed.error.retryAfterMs > 0);
  assert.deepEqual([status, body.status], [503, 'failing']);
  const { nodes, complete } = await counted(far, (stats) => !stats.complete);
  assert.deepEqual([nodes.length, complete], [1, false]);
  await counted(near, (stats) => names(stats).join() === 'near');
  assert.ok(client.socket.connected && victim.socket.connected, 'who was there stays');
  assert.ok(!late.socket.connected, 'nobody is let in');
  const meanwhile = client.take().filter(({ event }) => event !== 'session:sync');
  assert.deepEqual(meanwhile, [], 'nothing new is delivered');
  assert.deepEqual(victim.take(), []);

  proxy.up();
  await ready(far, 200);
  await late.connected();
  await victim.next('session:expired', ({ reason }) => reason === 'revoked');
  await count(far, 'cut', 7, 9);
  const line = [...before, ...(await far.received(client))].filter(({ event }) => event === 'campaign:progress');
  assertCounted(line, 'cut', 1, 9);
  assertOnLine(line);
  assert.deepEqual(client.disconnects, []);
  assert.deepEqual(victim.take().filter(({ event }) => event === 'campaign:progress'), [], 'nothing behind the revocation');
  await Promise.all([near, far].map((server) => counted(server, (stats) => names(stats).join() === 'far,near')));
  for (const one of [client, typist, witness, late]) one.close();
});

test('a node that is held still beyond its leases, and woken, changes nothing', async (t) => {
  const still = await node('still', redis.url);
  t.after(() => still.stop());
  const rooms = ['campaign:*', 'contact:*'];
  const watcher = await near.connect({ user: 'watcher', rooms, presence: true });
  await watcher.subscribe('campaign:c-1', 'contact:c-2');
  const held = await still.connect({ user: 'held', rooms, transports: ['websocket'] });
  await held.subscribe('campaign:c-1', 'contact:c-2');
  const ofHeld = (/** @type {string} */ status) => (/** @type {any} */ one) => one.userId === 'held' && one.status === status;
  await watcher.next('presence:update', ofHeld('online'));
  await counted(near, ({ nodes }) => nodes.length === 3);
  const { id: receipt } = await still.published({
    event: 'contact:updated',
    data: { contactId: 'c-2', updates: {} },
    receipt: { timeoutMs: 2_000 },
  });
  for (const [path, body] of /** @type {const} */ ([
    ['c-1/start', { name: 'Spring', totalRecipients: 3 }],
    ['c-1/results', results(0, 2)],
  ])) {
    const { status, body: answer } = await still.campaign(path, body);
    assert.ok(status < 300, JSON.stringify(answer));
  }

  still.child?.signal('SIGSTOP');
  await watcher.next('presence:update', ofHeld('offline'));
  const { status } = await near.campaign('c-1/results', results(2, 3));
  assert.ok(status < 300);
  const { payload } = await watcher.next('campaign:completed');
  await watcher.next('event:receipt', ({ eventId }) => eventId === receipt);
  await counted(near, (stats) => names(stats).join() === 'far,near');
  const closed = await near.get(`/v1/events/${receipt}/receipt`, { authorization: `Bearer ${KEYS.acme}` });
  const head = await near.published(numbered('c-1', 1));

  still.child?.signal('SIGCONT');
  await counted(near, ({ nodes }) => nodes.length === 3);
  // Whoever is there again says so: nobody else's word changes that.
  await watcher.next('presence:update', ofHeld('online'));
  await still.received(held);
  const tail = await near.published(numbered('c-1', 2));
  const got = await near.received(watcher);

  assert.equal(payload.stats.sentCount, 3);
  const once = (/** @type {string} */ name) => got.filter(({ event }) => event === name).length;
  assert.deepEqual([once('campaign:completed'), once('event:receipt')], [1, 1], 'neither is told twice');
  assert.deepEqual((await still.get(`/v1/events/${receipt}/receipt`, { authorization: `Bearer ${KEYS.acme}` })).body, closed.body);
  assert.equal(still.child?.exit, undefined);
  const written = offset(tail.position) - offset(head.position);
  assert.ok(written <= 2, `the fence of one client and what was published, not ${written}`);
  assert.deepEqual(held.disconnects, []);
  watcher.close();
});

test('who connects to several nodes has no more connections for it', async (t) => {
  const limits = { connections_per_user_max: 4 };
  const [one, other] = await Promise.all([node('one', redis.url, { limits }), node('other', redis.url, { limits })]);
  t.after(() => Promise.all([one.stop(), other.stop()]));
  await one.connect({ user: 'many' });
  await one.connect({ user: 'many' });
  const watcher = await other.connect({ user: 'watcher' });
  await until('the other node to know', async () => {
    const { users } = await watcher.request('presence:list');
    return users.some((/** @type {any} */ person) => person.userId === 'many');
  });

  await other.connect({ user: 'many' });
  await other.connect({ user: 'many' });
  const fifth = other.dial({ user: 'many', reconnection: false });
  await until('a line in the log', () =>
    other.logs().some(({ limit, user }) => limit === 'connections_per_user_max' && user === 'many'),
  );

  assert.ok(!fifth.socket.connected);
});

/**
 * @param {number} from
 * @param {number} to
 */
function results(from, to) {
  return { results: Array.from({ length: to - from }, (_, index) => ({ messageId: `m-${from + index}`, status: 'Sent' })) };
}

/** @param {string} position */
function offset(position) {
  return Number(position.split('-')[1]);
}
