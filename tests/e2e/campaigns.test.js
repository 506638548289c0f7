// @ts-check
/** Campaigns: exact, whoever counts at once, and whatever happens to the process. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { random } from './harness/load.js';
import { startServer } from './harness/server.js';
import { until } from './harness/until.js';

test('a campaign is seen by everybody from its start to its end', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const clients = [
    await server.connect({ user: 'ana', rooms: ['campaign:*'] }),
    await server.connect({ user: 'ben', rooms: ['campaign:*'], transports: ['polling'] }),
  ];
  for (const client of clients) await client.subscribe('campaign:c-1');

  await ok(server.campaign('c-1/start', { name: 'Spring', totalRecipients: 400 }));
  await ok(server.campaign('c-1/pause'));
  await ok(server.campaign('c-1/resume'));
  await ok(server.campaign('c-1/results', results(0, 398, 'Sent')));
  await ok(server.campaign('c-1/results', results(0, 390, 'Delivered')));
  await ok(server.campaign('c-1/results', results(398, 400, 'Failed')));
  await ok(server.campaign('c-1/results', results(0, 100, 'Read')));

  for (const client of clients) {
    const got = await server.received(client);
    assert.deepEqual(
      got.map(({ event }) => event),
      [
        'campaign:started',
        'campaign:paused',
        'campaign:resumed',
        ...Array.from({ length: 20 }, () => 'campaign:progress'),
        'campaign:completed',
        'campaign:stats',
      ],
    );
    assert.deepEqual(got[0]?.payload.campaign, { name: 'Spring', totalRecipients: 400 });
    assert.deepEqual(got[3]?.payload.progress, { sent: 20, total: 400, percentage: 5, failed: 0 });
    const stats = { totalRecipients: 400, sentCount: 398, deliveredCount: 390, failedCount: 2, deliveryRate: 98 };
    assert.deepEqual(got.at(-2)?.payload.stats, { ...stats, readCount: 0, readRate: 0 });
    assert.deepEqual(got.at(-1)?.payload.stats, { ...stats, readCount: 100, readRate: 25 });
  }

  const late = await server.connect({ user: 'cleo', rooms: ['campaign:*'] });
  const { snapshot } = await late.request('subscribe:campaign', 'c-1');
  assert.deepEqual(Object.keys(snapshot), [
    'campaign:completed',
    'campaign:progress',
    'campaign:started',
    'campaign:stats',
  ]);
});

test('what a campaign cannot do is refused with the state that it is in', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  await ok(server.campaign('c-1/start', { totalRecipients: 2 }));
  await ok(server.campaign('c-1/results', results(0, 2, 'Sent')));

  for (const [path, body, code, state] of /** @type {const} */ ([
    ['c-1/pause', undefined, 'campaign_transition', 'Completed'],
    ['c-1/results', results(2, 3, 'Sent'), 'campaign_finished', 'Completed'],
    ['c-2/results', results(0, 1, 'Sent'), 'campaign_unknown', 'Unknown'],
    ['c-2/complete', {}, 'campaign_unknown', 'Unknown'],
  ])) {
    const answer = await server.campaign(path, body);
    assert.equal(answer.type, 'application/problem+json');
    assert.deepEqual(
      { status: answer.status, code: answer.body.code, state: answer.body.state },
      { status: 409, code, state },
      path,
    );
  }
});

test('a campaign that is killed in its middle ends with exact counts, once', async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);
  t.diagnostic(`SEED=${seed}`);
  const next = random(seed);
  const TOTAL = 6_000;
  const PRODUCERS = 8;
  const BATCH = 50;
  const server = await startServer();
  t.after(() => server.stop());
  const viewer = await server.connect({ user: 'ana', rooms: ['campaign:*'], reconnection: true });
  await viewer.subscribe('campaign:c-1');
  await ok(server.campaign('c-1/start', { totalRecipients: TOTAL }));

  /** Every batch of results, each to be posted until it is answered. */
  const batches = Array.from({ length: TOTAL / BATCH }, (_, index) => {
    const from = index * BATCH;
    // A tenth of the messages fail; of the others half are told as delivered at once.
    const rows = Array.from({ length: BATCH }, (_, offset) => ({
      messageId: `m-${from + offset}`,
      status: offset % 10 === 9 ? 'Failed' : offset % 2 === 0 ? 'Delivered' : 'Sent',
    }));
    return { results: rows };
  });
  let answered = 0;
  let unanswered = 0;
  const produce = async () => {
    for (let batch = batches.pop(); batch !== undefined; batch = batches.pop()) {
      for (;;) {
        const answer = await server.campaign('c-1/results', batch).catch(() => undefined);
        if (answer?.status === 200) break;
        assert.ok(answer === undefined || answer.status === 503, JSON.stringify(answer?.body));
        unanswered += 1;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      answered += 1;
    }
  };
  const producing = Promise.all(Array.from({ length: PRODUCERS }, produce));
  for (let kill = 1; kill <= 3; kill += 1) {
    const enough = Math.floor((kill * TOTAL) / BATCH / 5 + next() * 10);
    await until(`${enough} answers`, () => answered >= enough);
    await server.kill();
    await server.start();
  }
  await producing;
  t.diagnostic(`${unanswered} attempts were not answered`);
  assert.ok(unanswered > 0, 'a kill that nobody noticed');

  const stats = {
    totalRecipients: TOTAL,
    sentCount: (TOTAL * 9) / 10,
    deliveredCount: TOTAL / 2,
    readCount: 0,
    failedCount: TOTAL / 10,
    deliveryRate: 55.6,
    readRate: 0,
  };
  const again = await server.campaign('c-1/complete');
  assert.deepEqual({ state: again.body.state, stats: again.body.stats }, { state: 'Completed', stats });
  await until('the viewer to be back', () => viewer.socket.connected);
  const got = await server.received(viewer);
  const completed = got.filter(({ event }) => event === 'campaign:completed');
  assert.deepEqual(
    completed.map(({ payload }) => payload.stats),
    [stats],
  );
  const marks = got
    .filter(({ event }) => event === 'campaign:progress')
    .map(({ payload }) => payload.progress.sent + payload.progress.failed);
  assert.deepEqual(
    marks,
    Array.from({ length: 60 }, (_, index) => (index + 1) * 100),
  );
});

/**
 * @param {Promise<{ status: number, body: any }>} answering
 */
async function ok(answering) {
  const { status, body } = await answering;
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

/**
 * @param {number} from
 * @param {number} to
 * @param {string} status
 */
function results(from, to, status) {
  return { results: Array.from({ length: to - from }, (_, index) => ({ messageId: `m-${from + index}`, status })) };
}
