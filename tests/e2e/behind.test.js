// @ts-check
/** A client that does not keep up costs a cursor, slows nobody, and gets everything in the end. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { started, token, wire } from './harness/lost.js';
import { assertCounted, assertOnLine, count, numbered, numbers, range } from './harness/numbered.js';
import { Child } from './harness/process.js';
import { until } from './harness/until.js';

/** Heartbeats that let a client be silent for as long as a test takes. */
const PATIENT = { ping_interval: '60s', ping_timeout: '60s' };
/** An outbox that overflows once the kernel takes no more for a client that does not read. */
const TINY = { ...PATIENT, outbox_packets_max: 8 };
/** Some hundred of these are more than what the kernel keeps. */
const LARGE = { data: { filler: 'x'.repeat(15_000) } };
/** Events of three kilobytes: those that fill the server's caches first, and all of them. */
const WARM = 6_000;
const TOTAL = 24_000;
/** How much the server may grow while 54 MiB wait for a client: half, for what the allocator keeps on a busy machine. */
const GROWTH_MAX_MIB = 27;

test('a client that stops reading costs little, slows nobody, and then gets everything', async (t) => {
  const server = await started(t, { engine: PATIENT });
  const prompt = await joined(t, server, ['campaign:flood']);
  const filler = { data: { filler: 'x'.repeat(3_000) } };
  await count(server, 'flood', 1, WARM, filler);
  await receives(prompt, 'flood', WARM);
  // Only now: what it reads makes the kernel keep more for it, up to tens of megabytes.
  const slow = await joined(t, server, ['campaign:flood', 'campaign:trickle']);
  const before = residentMib(server);

  slow.pause();
  /** @type {number[]} */
  const pings = [];
  for (let last = WARM + 1_000; last <= TOTAL; last += 1_000) {
    await count(server, 'flood', last - 999, last, filler);
    await receives(prompt, 'flood', last);
    pings.push(slow.emit('ping'));
    await count(server, 'trickle', last);
  }

  await logged(server, 'behind');
  await until('a session that is behind', async () => (await behind(server)) > 0);
  assert.equal(slow.received.length, 0, 'it has read nothing meanwhile');
  const grown = residentMib(server) - before;
  t.diagnostic(`resident memory grew by ${grown.toFixed(1)} MiB`);
  assert.ok(grown < GROWTH_MAX_MIB, `resident memory grew by ${grown} MiB`);
  slow.resume();
  await receives(slow, 'flood', TOTAL);
  await until('the answers to the pings', () => pings.every((ping) => slow.isAcked(ping)));
  await logged(server, 'live again');
  await until('nobody who is behind', async () => (await behind(server)) === 0);
  await count(server, 'flood', TOTAL + 1, TOTAL + 1, filler);
  await Promise.all([prompt, slow].map((one) => receives(one, 'flood', TOTAL + 1)));
  assertCounted(prompt.received, 'flood', 1, TOTAL + 1);
  assertCounted(slow.received, 'flood', WARM + 1, TOTAL + 1);
  assert.deepEqual(
    numbers(slow.received, 'trickle'),
    range(WARM / 1_000 + 1, TOTAL / 1_000).map((thousands) => thousands * 1_000),
  );
  assertOnLine(events(slow));
});

test('a stock client that is stopped for a while gets everything, in order and once', async (t) => {
  const server = await started(t, { engine: { ...PATIENT, outbox_packets_max: 64 } });
  const script = `
    import { io } from 'socket.io-client';
    const [url, token] = process.argv.slice(-2);
    const socket = io(url, { auth: { token }, transports: ['websocket'], reconnection: false });
    socket.on('connect', () => socket.emit('subscribe', 'campaign:stopped', () => console.log('ready')));
    socket.on('disconnect', (reason) => console.log('disconnected: ' + reason));
    socket.on('campaign:progress', ({ n }) => console.log(n));`;
  const person = token({ user: 'stopped', rooms: ['campaign:*'] });
  const cwd = import.meta.dirname;
  const child = new Child(['node', '--input-type=module', '-e', script, '--', server.url, person], { cwd });
  t.after(() => child.signal('SIGKILL'));
  await child.line('stdout', 'a client that is ready', (line) => (line === 'ready' ? line : undefined));
  const filler = { data: { filler: 'x'.repeat(1_000) } };

  child.signal('SIGSTOP');
  await count(server, 'stopped', 1, 10_000, filler);
  await logged(server, 'behind');
  await until('a session that is behind', async () => (await behind(server)) > 0);
  child.signal('SIGCONT');

  await until('the last event', () => child.stdout.at(-1) === '10000', { state: () => child.stdout.slice(-5) });
  await logged(server, 'live again');
  await until('nobody who is behind', async () => (await behind(server)) === 0);
  await count(server, 'stopped', 10_001);
  await until('a live event', () => child.stdout.at(-1) === '10001');
  assert.deepEqual(child.stdout.slice(1), range(1, 10_001).map(String));
});

test('a client that falls behind again and again while events keep flowing misses none', async (t) => {
  const server = await started(t, { engine: TINY });
  const slow = await joined(t, server, ['campaign:left', 'campaign:right']);
  const { position } = await server.published(numbered('past', 0));
  await count(server, 'past', 1, 600);
  const sent = { left: 0, right: 0 };
  let isOver = false;
  const flow = (/** @type {'left' | 'right'} */ side, /** @type {number} */ size) =>
    (async () => {
      while (!isOver) {
        const from = sent[side] + 1;
        await count(server, side, from, from + size - 1, LARGE);
        sent[side] += size;
      }
    })();
  const stutter = async () => {
    const within = { deadlineMs: 30_000 };
    for (let round = 1; round <= 3; round += 1) {
      slow.pause();
      await until('being behind', () => falls(server) >= round, within);
      slow.resume();
      await until('being live again', () => returns(server) >= round, within);
    }
    isOver = true;
  };

  // Small bursts and large ones: together they come at any moment of going live again.
  const flows = [flow('left', 5), flow('right', 40), stutter()];
  await until('being behind', () => falls(server) > 0);
  const ack = await slow.request('subscribe', 'campaign:past', { after: position });
  await Promise.all(flows);

  assert.equal(ack.ok, true, JSON.stringify(ack));
  await receives(slow, 'left', sent.left);
  await receives(slow, 'right', sent.right);
  assertCounted(slow.received, 'left', 1, sent.left);
  assertCounted(slow.received, 'right', 1, sent.right);
  assertOnLine(events(slow).filter(({ payload }) => payload.campaignId !== 'past'));
  assertCounted(slow.received, 'past', 1, 600);
  t.diagnostic(`${sent.left + sent.right} events, behind ${falls(server)} times`);
});

test('however a burst ends, the client gets all of it without anything further happening', async (t) => {
  const server = await started(t, { engine: TINY });
  const clients = await Promise.all(range(1, 8).map(() => joined(t, server, ['campaign:burst'])));
  let sent = 0;
  for (let round = 0; round < 60; round += 1) {
    const sizes = [100 + round * 7, round % 12, 1];
    for (const size of sizes.filter((one) => one > 0)) {
      await count(server, 'burst', sent + 1, sent + size);
      sent += size;
    }

    await Promise.all(clients.map((one) => receives(one, 'burst', sent)));
  }
  for (const one of clients) assertCounted(one.received, 'burst', 1, sent);
  t.diagnostic(`${sent} events, behind ${falls(server)} times`);
});

test('a client that is live again hears where its line is, however quiet it is', async (t) => {
  const server = await started(t, { engine: TINY, session: { sync_interval: '100ms' } });
  const one = await joined(t, server, ['campaign:quiet']);
  one.pause();
  await until('being behind', async () => {
    await count(server, 'quiet', 1, 50, LARGE);
    return falls(server) > 0;
  });
  one.resume();
  await logged(server, 'live again');

  const heard = one.syncs.length;
  await until(
    'two more syncs, of the last event',
    () => one.syncs.length >= heard + 2 && one.syncs.at(-1)?.position === one.received.at(-1)?.position,
    { state: () => [heard, one.syncs.length, one.syncs.at(-1), one.received.at(-1)] },
  );
});

test('a client that is behind further than history goes is told to reload, and may come back', async (t) => {
  const server = await started(t, { engine: PATIENT, journal: { retention_size: '4MiB' } });
  const auth = { token: token({ user: 'slow', rooms: ['campaign:*'] }) };
  const slow = await wire(t, server);
  const { pid } = await slow.join(auth);
  await slow.request('subscribe', 'campaign:flood');

  slow.pause();
  // In small requests: fan-out itself must not be further behind than history goes.
  let sent = 0;
  const publish = async () => {
    await count(server, 'flood', sent + 1, sent + 100, { data: { filler: 'x'.repeat(1_000) } });
    sent += 100;
  };
  await until('being behind', async () => (await publish(), falls(server) > 0), { deadlineMs: 20_000 });
  for (const end = sent + 8_000; sent < end;) await publish();
  slow.resume();
  await until('the end of the connection', () => slow.isClosed);

  const last = events(slow).at(-1);
  assert.equal(last?.event, 'session:lagged', JSON.stringify(last?.event));
  assert.ok(last?.payload.retryAfterMs > 0);
  const offset = events(slow).findLast((one) => typeof one.position === 'string')?.position;
  const again = await wire(t, server);
  const reply = await again.join({ ...auth, pid, offset });
  assert.notEqual(reply.pid, pid, 'not recovered');
  await count(server, 'flood', 1);
  await until('an event of a room of before', () => numbers(again.received, 'flood').length === 1);
});

/**
 * A client over a bare WebSocket, in these rooms.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('./harness/server.js').Server} server
 * @param {string[]} rooms
 */
async function joined(t, server, rooms) {
  const one = await wire(t, server);
  await one.join({ token: token({ user: 'reader', rooms: ['campaign:*'] }) });
  for (const room of rooms) assert.equal((await one.request('subscribe', room)).ok, true);
  return one;
}

/**
 * Waits until the highest number of a campaign is there, in whatever way the ones before it came.
 *
 * @param {import('./harness/wire.js').Wire} wire
 * @param {string} campaign
 * @param {number} n
 */
async function receives(wire, campaign, n) {
  let seen = 0;
  let last = 0;
  await until(
    `${campaign} ${n}`,
    () => {
      for (; seen < wire.received.length; seen += 1) {
        const { payload } = wire.received[seen];
        if (payload.campaignId === campaign) last = payload.n;
      }
      return last >= n;
    },
    { deadlineMs: 20_000, state: () => ({ last, isClosed: wire.isClosed }) },
  );
}

/**
 * What came through the line; nothing that only this client was told.
 *
 * @param {import('./harness/wire.js').Wire} wire
 */
function events(wire) {
  return wire.received.filter(({ event }) => event !== 'pong');
}

/**
 * How many sessions are behind, as the operator sees it.
 *
 * @param {import('./harness/server.js').Server} server
 */
async function behind(server) {
  const gauge = /^switchboard_sessions_behind (\d+)$/m.exec(await server.metrics());
  assert.ok(gauge !== null, 'a gauge of sessions that are behind');
  return Number(gauge[1]);
}

/** @param {import('./harness/server.js').Server} server */
function falls(server) {
  return server.logs().filter(({ message }) => message === 'behind').length;
}

/**
 * How often somebody went live again.
 *
 * @param {import('./harness/server.js').Server} server
 */
function returns(server) {
  return server.logs().filter(({ message }) => message === 'live again').length;
}

/**
 * @param {import('./harness/server.js').Server} server
 * @param {string} message
 */
async function logged(server, message) {
  await until(`"${message}" in the log`, () => server.logs().some((log) => log.message === message));
}

/** @param {import('./harness/server.js').Server} server */
function residentMib(server) {
  const status = readFileSync(`/proc/${server.child?.process.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
