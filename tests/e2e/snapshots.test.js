// @ts-check
/** What whoever subscribes is shown at once. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { startServer } from './harness/server.js';
import { until, within } from './harness/until.js';

const server = await startServer();
after(() => server.stop());

test('a subscription shows the state of an account, also after a SIGKILL', async () => {
  await server.published(status('a-1', 'Connecting'));
  await server.published(status('a-1', 'Connected'));
  await server.published({ event: 'whatsapp:ready', data: { accountId: 'a-1', accountInfo: { displayName: 'Support' } } });
  await server.kill();
  await server.start();
  const client = await server.connect({ rooms: ['*'] });

  const ack = await client.request('subscribe:whatsapp', 'a-1');

  assert.deepEqual(Object.keys(ack.snapshot), ['whatsapp:connection:status', 'whatsapp:ready']);
  assert.equal(ack.snapshot['whatsapp:connection:status'].status, 'Connected');
  assert.equal(ack.snapshot['whatsapp:ready'].accountInfo.displayName, 'Support');
  const other = await client.request('subscribe:whatsapp', 'a-2');
  assert.deepEqual(other.snapshot, {});
});

test('a code is shown to whoever may pair the account, and to nobody else', async () => {
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  await server.published(code('q-1', 'code-1', expiresAt));
  await server.published(code('q-1', 'code-2', expiresAt));
  const pairing = await server.connect({ user: 'pairing', rooms: ['whatsapp:*'], link: ['whatsapp:q-1', 'q-1'] });
  const reading = await server.connect({ user: 'reading', rooms: ['whatsapp:*'], link: [] });
  const foreign = await server.connect({ user: 'foreign', tenant: 'globex', rooms: ['*'] });

  const [shown, ...hidden] = await Promise.all(
    [pairing, reading, foreign].map((client) => client.request('subscribe:whatsapp', 'q-1')),
  );

  assert.equal(shown.snapshot['whatsapp:qr:generated'].qrCode, 'code-2');
  for (const ack of hidden) assert.deepEqual(ack.snapshot, {});

  await server.published(status('q-1', 'Connected'));
  const later = await pairing.request('subscribe:whatsapp', 'q-1');
  assert.deepEqual(Object.keys(later.snapshot), ['whatsapp:connection:status']);
});

test('a code that has expired is not shown any more', async () => {
  const client = await server.connect({ user: 'pairing', rooms: ['*'] });
  const shown = async () => (await client.request('subscribe:whatsapp', 'q-2')).snapshot['whatsapp:qr:generated'];
  await server.published(code('q-2', 'code', new Date(Date.now() + 1_500).toISOString()));
  assert.equal((await shown()).qrCode, 'code');

  await until('the code to be gone', async () => (await shown()) === undefined);
});

test('a flow and a published campaign are shown as they stand', async () => {
  await server.publish([
    { event: 'flow:execution:started', data: { flowId: 'f-1', executionId: 'e-1' } },
    { event: 'flow:execution:failed', data: { flowId: 'f-1', executionId: 'e-1', error: 'a step failed' } },
    { event: 'campaign:started', data: { campaignId: 'c-1', campaign: { name: 'Spring', totalRecipients: 9 } } },
    { event: 'campaign:progress', data: { campaignId: 'c-1', progress: { sent: 3, total: 9 } } },
    { event: 'campaign:paused', data: { campaignId: 'c-1' } },
  ]);
  const client = await server.connect({ rooms: ['*'] });

  const flow = await client.request('subscribe:flow', 'f-1');
  const campaign = await client.request('subscribe:campaign', 'c-1');

  assert.equal(flow.snapshot['flow:execution:failed'].error, 'a step failed');
  assert.deepEqual(Object.keys(flow.snapshot), ['flow:execution:failed']);
  assert.deepEqual(Object.keys(campaign.snapshot), ['campaign:paused', 'campaign:progress', 'campaign:started']);
});

test('a binary value in a snapshot comes as an attachment', async () => {
  const data = { flowId: 'f-2', executionId: 'e-1', thumbnail: { $binary: 'AQID' } };
  await server.published({ event: 'flow:execution:started', data });
  const client = await server.connect({ rooms: ['*'] });

  const { snapshot } = await client.request('subscribe:flow', 'f-2');

  assert.deepEqual([...snapshot['flow:execution:started'].thumbnail], [1, 2, 3]);
});

test('what is live never brings a screen behind the snapshot that it was shown', async () => {
  const clients = await Promise.all(
    Array.from({ length: 8 }, (_, index) => server.connect({ user: `viewer-${index}`, rooms: ['*'] })),
  );
  const COUNT = 300;
  let published = 0;
  const publishing = (async () => {
    for (; published < COUNT; published += 1) {
      await server.published({ event: 'campaign:progress', data: { campaignId: 'c-2', progress: { sent: published } } });
    }
  })();

  await Promise.all(
    clients.map(async (client, index) => {
      await until('some progress', () => published > index * 30);
      /** @type {number[]} */
      const seen = [];
      client.socket.on('campaign:progress', (payload) => seen.push(payload.progress.sent));
      // In the callback itself: what waits for a promise goes on after events that came behind the ack.
      const [shown, before] = await within(
        'the ack',
        new Promise((resolve) =>
          client.socket.emit('subscribe:campaign', 'c-2', (/** @type {any} */ ack) =>
            resolve([ack.snapshot['campaign:progress'].progress.sent, seen.splice(0)]),
          ),
        ),
      );
      assert.deepEqual(before, [], `before a snapshot of ${shown}`);
      await until('the last one', () => seen.at(-1) === COUNT - 1 || shown === COUNT - 1);
      for (const [at, sent] of seen.entries()) {
        if (at > 0) assert.equal(sent, Number(seen[at - 1]) + 1, 'in order, without a gap');
      }
      if (seen.length > 0) assert.ok(Number(seen[0]) <= shown + 1, `a gap between ${shown} and ${seen[0]}`);
    }),
  );
  await publishing;
});

/**
 * @param {string} accountId
 * @param {string} word
 */
function status(accountId, word) {
  return { event: 'whatsapp:connection:status', data: { accountId, status: word } };
}

/**
 * @param {string} accountId
 * @param {string} qrCode
 * @param {string} expiresAt
 */
function code(accountId, qrCode, expiresAt) {
  return { event: 'whatsapp:qr:generated', data: { accountId, qrCode, expiresAt } };
}
