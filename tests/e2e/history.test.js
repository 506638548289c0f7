// @ts-check
/** The past, for whoever asks: `session:replay`, `GET /v1/events`, what is wrong with a position, and who comes back. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { started, token, wire } from './harness/lost.js';
import { assertCounted, count, numbers, offsetOf, range } from './harness/numbered.js';
import { startServer } from './harness/server.js';
import { ADMINISTRATORS, KEYS } from './harness/settings.js';
import { until } from './harness/until.js';
import { Wire } from './harness/wire.js';

const server = await startServer({ settings: { log: { level: 'info' } } });
after(() => server.stop());

const first = await server.published({ event: 'campaign:paused', data: { campaignId: 'before' } });
await count(server, 'past', 1, 900);

test('a client is replayed what its rooms said, page by page, and its offset stays', async () => {
  const client = await server.connect({ rooms: ['campaign:*'] });
  await client.subscribe('campaign:past', 'campaign:other');
  await count(server, 'other', 1, 2);
  await server.received(client);

  const pages = [];
  for (let from = first.position; from !== undefined; from = pages.at(-1).next) {
    pages.push(await client.request('session:replay', { after: from, limit: 400 }));
    assert.equal(pages.at(-1).ok, true, JSON.stringify(pages.at(-1)));
  }

  const got = client.take();
  assert.deepEqual(pages.map(({ next }) => next !== undefined), [true, true, false]);
  assertCounted(got, 'past', 1, 900);
  assertCounted(got, 'other', 1, 2);
  for (const { position } of got) assert.equal(position.replay, true);
  for (const { position, next } of pages.slice(0, 2)) assert.equal(position, next);
  const offsets = got.map(({ position }) => offsetOf(position.position));
  assert.deepEqual(offsets, [...offsets].sort((a, b) => a - b));
  const end = await client.request('session:replay', { after: pages.at(-1).position });
  assert.deepEqual(end, { ok: true, position: pages.at(-1).position });
  client.close();
});

test('a client is replayed the rooms that it names, and none that it is not in', async () => {
  const client = await server.connect({ rooms: ['campaign:*'] });
  await client.subscribe('campaign:past');

  const ok = await client.request('session:replay', { rooms: ['campaign:past'], after: first.position, limit: 5 });
  const got = client.take();
  const not = await client.request('session:replay', { rooms: ['campaign:other'], after: first.position });
  await client.request('unsubscribe', 'campaign:past');
  const left = await client.request('session:replay', { after: first.position, limit: 5 });

  assert.equal(ok.ok, true);
  assertCounted(got, 'past', 1, 5);
  assert.equal(not.error.code, 'not_subscribed');
  assert.equal(left.ok, true);
  assert.deepEqual(numbers(client.take(), 'past'), [], 'it is not in the room any more');
  client.close();
});

test('one replay at a time, and everything else goes on meanwhile', async (t) => {
  const one = await wire(t, server);
  await one.join({ token: token({ rooms: ['campaign:*'] }) });
  await one.request('subscribe', 'campaign:past');

  const replay = one.emit('session:replay', { after: first.position });
  const second = await one.request('session:replay', { after: first.position });
  await until('the first one', () => one.isAcked(replay));
  const third = await one.request('session:replay', { after: first.position, limit: 1 });

  assert.deepEqual([second.error?.code, second.error?.retryAfterMs], ['busy', 1_000]);
  assertCounted(one.received.slice(0, 900), 'past', 1, 900);
  assert.equal(third.ok, true);
});

test('a QR code is replayed to who may pair while it is valid, and never to a backend', async (t) => {
  const one = await wire(t, server);
  await one.join({ token: token({ rooms: ['whatsapp:*'], link: ['whatsapp:*'] }) });
  await one.request('subscribe:whatsapp', 'qr');
  const qr = (/** @type {string} */ qrCode, /** @type {number} */ ms) => ({
    event: 'whatsapp:qr:generated',
    data: { accountId: 'qr', qrCode, expiresAt: new Date(Date.now() + ms).toISOString() },
  });
  const { position } = await server.published(qr('of-before', 60_000));
  const moment = qr('of-a-moment', 1_500);
  await server.published(moment);
  await server.published(qr('of-a-minute', 60_000));
  await until('what was live', () => one.received.length === 3);
  one.received = [];
  await until('the end of the moment', () => Date.now() > Date.parse(moment.data.expiresAt));

  await one.request('session:replay', { after: position });

  assert.deepEqual(one.received.map(({ payload }) => payload.qrCode), ['of-a-minute']);
  assert.equal((await read({ room: 'whatsapp:qr:link' })).body.code, 'forbidden');
  assert.deepEqual((await read({ room: 'whatsapp:qr' })).body.events, []);
});

test('a room that is taken in the middle of a replay is not replayed any further', async (t) => {
  const own = await started(t, { producers: ADMINISTRATORS });
  const start = await own.published({ event: 'campaign:paused', data: { campaignId: 'c' } });
  await told(own, 'long', 6_000);
  const auth = { token: token({ user: 'zoe', rooms: ['campaign:*'] }) };
  const [slow, other] = [await wire(t, own), await wire(t, own)];
  for (const one of [slow, other]) {
    await one.join(auth);
    await one.request('subscribe', 'campaign:long');
  }
  const asked = slow.emit('session:replay', { after: start.position, limit: 10_000 });
  await until('some of it', () => slow.received.length > 300);
  slow.pause();

  await own.ordered('/v1/revocations', { user: 'zoe', room: 'campaign:long' });
  await until('the loss of the room', () => other.received.some(({ event }) => event === 'session:left'));
  slow.resume();
  await until('the end of the replay', () => slow.isAcked(asked));
  const again = await slow.request('session:replay', { rooms: ['campaign:long'], after: start.position });

  const replays = slow.received.filter(({ position }) => position?.replay);
  assertCounted(replays, 'long', 1, replays.length);
  assert.ok(replays.length < 6_000, `${replays.length}`);
  assert.equal(again.error.code, 'not_subscribed');
});

test('a backend reads a room page by page, and what comes next from where it was', async () => {
  const events = [];
  /** @type {any} */
  let page = { next: first.position };
  while (page.next !== undefined) {
    ({ body: page } = await read({ room: 'campaign:past', after: page.next, limit: '400' }));
    events.push(...page.events);
  }
  const { id, position } = await server.published({ id: 'later', event: 'campaign:paused', data: { campaignId: 'past' } });
  const later = await read({ room: 'campaign:past', after: page.position });

  assert.deepEqual(events.slice(0, 900).map(({ data }) => data.n), range(1, 900));
  assert.equal(later.body.events.length, 1);
  assert.equal(later.body.events[0].id, id);
  assert.equal(later.body.events[0].position, position);
  assert.deepEqual(later.body.events[0].rooms, ['campaign:past']);
});

test('what is wrong with a position has a code of its own, wherever it comes in', async (t) => {
  const small = await started(t, { journal: { retention_size: '1MiB' } });
  const old = await small.published({ event: 'campaign:paused', data: { campaignId: 'c' } });
  const wires = await Promise.all(
    range(1, 4).map(async () => {
      const one = await Wire.open(small.url);
      const { pid } = await one.join({ token: token({ rooms: ['campaign:*'] }) });
      one.close();
      return pid;
    }),
  );
  const filler = { data: { filler: 'x'.repeat(1_000) } };
  for (let n = 0; n < 1_600; n += 100) await count(small, 'noise', n, n + 99, filler);
  const client = await small.connect({ rooms: ['campaign:*'] });
  await client.subscribe('campaign:here');

  for (const [index, [code, status, position]] of /** @type {const} */ ([
    ['position_too_old', 410, old.position],
    ['position_other_epoch', 410, `${'0'.repeat(16)}-1`],
    ['position_ahead', 422, old.position.replace(/-.*/, '-1000000')],
    ['position_malformed', 422, 'yesterday'],
  ]).entries()) {
    const subscribed = await client.request('subscribe', 'campaign:c', { after: position });
    const replayed = await client.request('session:replay', { after: position });
    const answer = await read({ room: 'campaign:c', after: position }, small);
    const back = await wire(t, small);
    const reply = await back.join({ token: token({ rooms: ['campaign:*'] }), pid: wires[index], offset: position });

    assert.equal(subscribed.error?.code, code, 'subscribe');
    assert.equal(replayed.error?.code, code, 'session:replay');
    assert.deepEqual([answer.status, answer.body.code, answer.body.field], [status, code, 'after']);
    // What cannot be one counts as none: the line goes on from its beginning, which is gone.
    assert.equal(reply.pid === undefined || reply.pid === wires[index], false, `a new line: ${code}`);
    for (const { error } of [subscribed, replayed]) assert.equal(error.retryAfterMs, undefined);
  }
  assert.equal((await client.request('subscribe', 'campaign:c')).ok, true, 'a refused one had no effect');
});

test('a replay that a SIGKILL cuts off goes on from the last position, in order and without a gap', async (t) => {
  const own = await started(t);
  const start = await own.published({ event: 'campaign:paused', data: { campaignId: 'c' } });
  await told(own, 'long', 6_000);
  const auth = { token: token({ rooms: ['campaign:*'] }) };
  const cut = await wire(t, own);
  const { pid } = await cut.join(auth);
  await cut.request('subscribe', 'campaign:long');
  const asked = cut.emit('session:replay', { after: start.position, limit: 10_000 });
  await until('some of it', () => cut.received.length > 300);
  cut.pause();

  await own.kill();
  cut.resume();
  await until('the end', () => cut.isClosed);
  assert.equal(cut.isAcked(asked), false, 'it was cut off');
  await own.start();
  const back = await wire(t, own);
  const reply = await back.join({ ...auth, pid });
  const replays = cut.received.filter(({ position }) => position?.replay);
  /** @type {any} */
  let page = { next: replays.at(-1)?.position.position };
  while (page.next !== undefined) {
    page = await back.request('session:replay', { rooms: ['campaign:long'], after: page.next });
    assert.equal(page.ok, true, JSON.stringify(page));
  }

  assert.equal(reply.pid, pid, 'it is in its rooms again');
  assert.ok(replays.length < 6_000, `${replays.length}`);
  assertCounted([...replays, ...back.received.filter(({ position }) => position?.replay)], 'long', 1, 6_000);
});

test('everybody who comes back after a restart reads the disk once, and not each', async (t) => {
  const own = await started(t, { journal: { partitions: 1 } });
  const people = range(1, 100);
  const auth = (/** @type {number} */ n) => ({ token: token({ user: `u${n}`, rooms: ['campaign:*'] }) });
  const pids = await Promise.all(
    people.map(async (n) => {
      const one = await Wire.open(own.url);
      const { pid } = await one.join(auth(n));
      for (const room of ['campaign:all', `campaign:${n}`]) await one.request('subscribe', room);
      one.close();
      return pid;
    }),
  );
  await count(own, 'all', 1, 50);
  await own.kill();
  await own.start();

  const back = await Promise.all(
    people.map(async (n, index) => {
      const one = await wire(t, own);
      const reply = await one.join({ ...auth(n), pid: pids[index] });
      assert.equal(reply.pid, pids[index]);
      return one;
    }),
  );

  for (const one of back) assertCounted(one.received, 'all', 1, 50);
  const metrics = await own.metrics();
  const reads = (/** @type {string} */ what) =>
    Number(new RegExp(`^switchboard_journal_disk_reads_total\\{what="${what}"\\} (\\d+)$`, 'm').exec(metrics)?.[1]);
  assert.deepEqual([reads('recent'), reads('page')], [1, 0]);
});

test('a producer that goes away in the middle of an append finds it by its id, once', async () => {
  const client = await server.connect({ rooms: ['campaign:*'] });
  await client.subscribe('campaign:gone');
  const drafts = range(1, 40).map((n) => ({ id: `gone-${n}`, event: 'campaign:paused', data: { campaignId: 'gone', n } }));

  await Promise.all(
    drafts.map(async (draft, index) => {
      const gone = new AbortController();
      const headers = { authorization: `Bearer ${KEYS.acme}`, 'content-type': 'application/json' };
      const { signal } = gone;
      const request = fetch(`${server.url}/v1/events`, { method: 'POST', headers, body: JSON.stringify(draft), signal });
      setTimeout(() => gone.abort(), index / 4);
      await request.catch(() => {});
    }),
  );
  const again = await Promise.all(drafts.map((draft) => server.published(draft)));
  const oncemore = await Promise.all(drafts.map((draft) => server.published(draft)));

  assert.deepEqual(oncemore, again, 'one id, one position');
  const got = (await server.received(client)).map(({ payload }) => payload.n);
  assert.deepEqual(got.sort((a, b) => a - b), range(1, 40));
  client.close();
});

/**
 * Publishes more than sockets hold, and waits until it was handed out: it is all of the past to who comes now.
 *
 * @param {import('./harness/server.js').Server} to
 * @param {string} campaign
 * @param {number} through
 */
async function told(to, campaign, through) {
  await count(to, campaign, 1, through, { data: { filler: 'x'.repeat(2_000) } });
  const witness = await to.connect();
  await to.received(witness);
  witness.close();
}

/**
 * Reads what a room said as a backend.
 *
 * @param {Record<string, string>} query
 * @param {import('./harness/server.js').Server} [from]
 */
function read(query, from = server) {
  return from.get(`/v1/events?${new URLSearchParams(query)}`, { authorization: `Bearer ${KEYS.acme}` });
}
