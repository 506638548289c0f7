// @ts-check
/** What was answered with a 2xx is there, whatever happens to the process, the machine or the disk. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { draftOf, Load, LOAD_ROOM, random } from './harness/load.js';
import { temporaryDirectory } from './harness/process.js';
import { startServer } from './harness/server.js';
import { WEBHOOK } from './harness/settings.js';
import { CHANGING, RECEIVING, SENDING, SYNCING, syncsFor, unsyncedAnswer } from './harness/trace.js';
import { until } from './harness/until.js';

const ROUNDS = 4;
const PRODUCERS = 16;

test('after a SIGKILL under load every answered event is there, once, in order', async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);
  t.diagnostic(`SEED=${seed}`);
  const next = random(seed);
  const server = await startServer({ settings: { log: { level: 'info' } } });
  t.after(() => server.stop());
  const first = await server.published({ event: 'campaign:paused', data: { campaignId: 'before' } });
  /** @type {import('./harness/load.js').Answered[]} */
  const answered = [];

  for (let round = 0; round < ROUNDS; round += 1) {
    const load = new Load(server, { name: `round-${round}`, producers: PRODUCERS, next });
    const enough = 20 + Math.floor(next() * 400);
    await until(`${enough} answers`, () => load.answered.length >= enough);
    await server.kill();
    await load.stop();
    answered.push(...load.answered);
    await server.start();

    const journal = await replay(server, first.position);
    checkJournal(journal, answered);
  }

  const again = await republished(server, answered);
  assert.deepEqual(again, answered, 'the same ids have the same positions');
  const last = await server.published({ event: 'campaign:paused', data: { campaignId: 'after' } });
  assert.ok(answered.every(({ position }) => offsetOf(position) < offsetOf(last.position)));
  t.diagnostic(`${answered.length} answered events in ${ROUNDS} rounds`);
});

test('a message that was answered before a SIGKILL still lends its audience to its statuses', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const message = {
    id: 'm',
    contactId: 'k',
    whatsappAccountId: 'w',
    direction: 'Outbound',
    type: 'Text',
    status: 'Sent',
  };
  await server.published({ event: 'message:sent', data: { message } });
  await server.kill();
  await server.start();
  const client = await server.connect({ rooms: ['contact:k'] });
  await client.subscribe('contact:k');

  await server.published({ event: 'message:read', data: { messageId: 'm' } });

  assert.deepEqual(
    (await server.received(client)).map(({ event }) => event),
    ['message:read'],
  );
});

describe('the sync between the write and the answer, in the system calls', () => {
  const traced = [...RECEIVING, ...SENDING, ...CHANGING, ...SYNCING];

  test('each answer begins after its record was written and synced', async (t) => {
    assert.equal(spawnSync('strace', ['-V']).status, 0, 'strace is missing: apt-get install strace');
    const file = join(temporaryDirectory(), 'trace');
    const under = [
      'strace',
      '-D',
      '-f',
      '-ttt',
      '-y',
      '-s',
      '65536',
      '-o',
      file,
      '-e',
      `trace=${[...new Set(traced)].join()}`,
    ];
    const server = await startServer({ under, settings: { webhooks: { meta: [META] }, log: { level: 'info' } } });
    t.after(() => server.stop());

    for (const marker of ['marker-1', 'marker-2']) {
      await server.published({ event: 'campaign:paused', data: { campaignId: 'c', marker } });
    }
    const many = ['marker-3', 'filler'].map((marker) => ({
      event: 'campaign:paused',
      data: { campaignId: 'c', marker },
    }));
    assert.equal((await server.publish(many)).status, 202);
    assert.equal((await server.webhook(META.endpoint, webhookText('marker-4 in a message'))).status, 200);
    await server.terminate();
    await until('the end of the trace', () => readFileSync(file, 'utf8').trimEnd().endsWith('+++'));

    const trace = readFileSync(file, 'utf8');
    const journal = join(server.directory, 'data');
    assert.equal(syncsFor(trace, { marker: 'marker-2', journal, status: 202 }), 1, 'an idle append waits for one sync');
    const withoutSync = trace
      .split('\n')
      .filter((line) => !SYNCING.some((name) => line.includes(name)))
      .join('\n');
    for (const [marker, status] of /** @type {const} */ ([
      ['marker-1', 202],
      ['marker-2', 202],
      ['marker-3', 202],
      ['marker-4', 200],
    ])) {
      assert.equal(unsyncedAnswer(trace, { marker, journal, status }), undefined, marker);
      assert.match(unsyncedAnswer(withoutSync, { marker, journal, status }) ?? '', /^no sync of/, 'the check can fail');
    }
  });

  const request = '7 1.0 recvfrom(9<socket:[1]>, "POST ... marker", 8192, 0, NULL, NULL) = 20';
  const write = '8 1.1 pwrite64(5</data/journal-wal>, "...marker...", 4096, 0) = 4096';
  const sync = '8 1.2 fdatasync(5</data/journal-wal>) = 0';
  const answer = '7 1.3 writev(9<socket:[1]>, [{iov_base="HTTP/1.1 202 Accepted", iov_len=21}], 1) = 21';
  const begun = '8 1.2 fdatasync(5</data/journal-wal> <unfinished ...>';
  const done = '8 1.4 <... fdatasync resumed>) = 0';

  found('nothing, when all is in order', [request, write, sync, answer], undefined);
  found('nothing, when the sync was interrupted but ended in time', [request, write, begun, done, answer], undefined);
  found('no sync', [request, write, answer], /no sync/);
  found('a sync after the answer', [request, write, answer, sync], /no sync/);
  found('a sync that had not ended', [request, write, begun, answer, done], /no sync/);
  found('a sync before the last write', [request, write, sync, write, answer], /no sync/);
  found('a sync of another file', [request, write, sync.replace('journal-wal', 'journal-shm'), answer], /no sync/);
  found(
    'a sync that failed',
    [request, write, sync.replace('= 0', '= -1 EIO (Input/output error)'), answer],
    /no sync/,
  );
  found('a record that was written after the answer', [request, answer, write, sync], /was not written/);
  found('an answer that never came', [request, write, sync], /never answered/);

  /**
   * @param {string} what
   * @param {string[]} lines
   * @param {RegExp | undefined} fault
   */
  function found(what, lines, fault) {
    test(`the check finds ${what}`, () => {
      const seen = unsyncedAnswer(lines.join('\n'), { marker: 'marker', journal: '/data', status: 202 });

      if (fault === undefined) assert.equal(seen, undefined);
      else assert.match(seen ?? '', fault);
    });
  }
});

describe('a journal that cannot append', () => {
  test('a limit on the size of files is a 503 until it is lifted', async (t) => {
    // In blocks of 512 bytes: small enough to reach, large enough to start.
    const under = ['sh', '-c', 'trap "" XFSZ; ulimit -S -f 4096; exec "$0" "$@"'];
    const server = await startServer({ under, settings: { log: { level: 'info' } } });
    t.after(() => server.stop());

    await failsAndRecovers(server, () => {
      execFileSync('prlimit', ['--pid', String(server.child?.process.pid), '--fsize=unlimited']);
    });
  });

  test('a full disk is a 503 until there is room again', async (t) => {
    const directory = temporaryDirectory();
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', directory]);
    if (mounted.status !== 0) {
      t.skip('mounting a small file system needs to be root; the test before shows the same with a limit');
      return;
    }
    t.after(() => execFileSync('umount', ['--lazy', directory]));
    const ballast = join(directory, 'ballast');
    writeFileSync(ballast, Buffer.alloc(4 << 20));
    const server = await startServer({
      settings: { journal: { path: join(directory, 'data') }, log: { level: 'info' } },
    });
    t.after(() => server.stop());

    await failsAndRecovers(server, () => rmSync(ballast));
  });
});

/** Longer than the journal takes to try to mend itself. */
const MENDING_MS = 2_500;

const META = {
  endpoint: 'acme-cloud',
  tenant: 'acme',
  app_secret: WEBHOOK.appSecret,
  verify_token: WEBHOOK.verifyToken,
};

/**
 * Publishes until the journal is full, looks at how it says so, and goes on after `repair`.
 *
 * @param {import('./harness/server.js').Server} server
 * @param {() => void} repair
 */
async function failsAndRecovers(server, repair) {
  const client = await server.connect({ rooms: ['campaign:*'] });
  await client.subscribe('campaign:full');
  const draft = (/** @type {number} */ n) => ({
    event: 'campaign:paused',
    data: { campaignId: 'full', n, filler: 'x'.repeat(60_000) },
  });
  /** @type {number[]} */
  const taken = [];
  let n = 0;
  const publish = async () => {
    const answer = await server.publish(draft(n));
    if (answer.status === 202) taken.push(n);
    n += 1;
    return answer;
  };

  // The journal mends itself once a second, and finds room a few times before there is none left.
  /** @type {number | undefined} */
  let refusedSince;
  const refusal = await until(
    'nothing but refusals',
    async () => {
      const answer = await publish();
      refusedSince = answer.status === 202 ? undefined : (refusedSince ?? Date.now());
      return refusedSince !== undefined && Date.now() - refusedSince > MENDING_MS ? answer : undefined;
    },
    { deadlineMs: 30_000 },
  );
  assert.equal(refusal.status, 503, JSON.stringify(refusal.body));
  assert.match(refusal.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  assert.match(refusal.type, /^application\/problem\+json/);
  const ready = await until('not ready', async () => {
    const answer = await server.get('/readyz');
    return answer.status === 503 ? answer : undefined;
  });
  assert.equal(ready.body.status, 'failing', JSON.stringify(ready.body));
  assert.equal((await server.get('/healthz')).status, 200, 'the process itself is well');
  await client.settled();
  assert.deepEqual(client.disconnects, [], 'who is connected stays connected');

  repair();
  await until('ready', async () => (await server.get('/readyz')).status === 200);
  assert.equal((await publish()).status, 202);
  const heard = await server.received(client);
  assert.deepEqual(
    heard.map(({ payload }) => payload.n),
    taken,
    'what was answered came, and nothing else',
  );
}

/**
 * Everything that the journal has for the room of the load, as a client is told.
 *
 * @param {import('./harness/server.js').Server} server
 * @param {string} after
 */
async function replay(server, after) {
  const client = await server.connect({ rooms: [LOAD_ROOM], user: 'reader' });
  /** @type {import('./harness/client.js').Received[]} */
  const journal = [];
  for (let from = after; from !== undefined;) {
    const ack = await client.request('subscribe:campaign', 'load', { after: from });
    assert.equal(ack.ok, true, JSON.stringify(ack));
    journal.push(...client.take());
    from = ack.next;
  }
  client.close();
  return journal.map(({ payload, position }) => ({
    id: `${payload.load}/${payload.producer}/${payload.n}`,
    position: typeof position === 'string' ? position : position.position,
  }));
}

/**
 * Every answered event at its position, each event once, each producer's in its order.
 *
 * @param {import('./harness/load.js').Answered[]} journal
 * @param {import('./harness/load.js').Answered[]} answered
 */
function checkJournal(journal, answered) {
  const positions = new Map(journal.map(({ id, position }) => [id, position]));
  assert.equal(positions.size, journal.length, 'an event is there twice');
  for (const { id, position } of answered) assert.equal(positions.get(id), position, `${id} was answered`);

  const offsets = journal.map(({ position }) => offsetOf(position));
  assert.deepEqual(
    offsets,
    offsets.map((_, index) => offsets[0] + index),
    'dense and in order',
  );
  /** @type {Map<string, number>} */
  const lasts = new Map();
  for (const { id } of journal) {
    const [load, producer, n] = id.split('/');
    const name = `${load}/${producer}`;
    assert.equal(Number(n), (lasts.get(name) ?? -1) + 1, `${id} is out of order`);
    lasts.set(name, Number(n));
  }
}

/**
 * Publishes all of it once more, and gives the answers.
 *
 * @param {import('./harness/server.js').Server} server
 * @param {import('./harness/load.js').Answered[]} answered
 */
async function republished(server, answered) {
  const results = [];
  for (let from = 0; from < answered.length; from += 1000) {
    const drafts = answered.slice(from, from + 1000).map(({ id }) => draftOf(id));
    const { status, body } = await server.publish(drafts);
    assert.equal(status, 202, JSON.stringify(body).slice(0, 1000));
    results.push(...body.results);
  }
  return results.map(({ id, position }) => ({ id, position }));
}

/** @param {string} body */
function webhookText(body) {
  const message = {
    from: '15550100002',
    id: 'wamid.TRACED-MESSAGE',
    timestamp: '1768469400',
    type: 'text',
    text: { body },
  };
  const value = { messaging_product: 'whatsapp', metadata: { phone_number_id: '1' }, messages: [message] };
  return { object: 'whatsapp_business_account', entry: [{ id: '1', changes: [{ field: 'messages', value }] }] };
}

/** @param {string} position */
function offsetOf(position) {
  return Number(position.split('-')[1]);
}
