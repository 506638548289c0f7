// @ts-check
/** What becomes of a message, however its gateway tells it: once, in order, never back. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { REPOSITORY } from './harness/process.js';
import { startServer } from './harness/server.js';
import { WEBHOOK } from './harness/settings.js';

const META = {
  endpoint: 'acme-cloud',
  tenant: 'acme',
  app_secret: WEBHOOK.appSecret,
  verify_token: WEBHOOK.verifyToken,
  accounts: { 200000000000001: 'account-1' },
};
const FIXTURE = join(REPOSITORY, 'crates/ingest/tests/fixtures/meta/status-delivered.json');

const server = await startServer({ settings: { webhooks: { meta: [META] } } });
after(() => server.stop());
const ana = await server.connect({ user: 'ana', rooms: ['whatsapp:*'] });
const ben = await server.connect({ user: 'ben', rooms: ['whatsapp:*'], transports: ['polling'] });
for (const client of [ana, ben]) await client.subscribe('whatsapp:account-1');

test('statuses that come out of order and twice move every screen forward only', async () => {
  const id = randomUUID();
  for (const [status, time] of /** @type {const} */ ([
    ['delivered', 20],
    ['sent', 10],
    ['delivered', 20],
    ['read', 30],
    ['played', 40],
    ['delivered', 20],
    ['failed', 50],
  ])) {
    await tell(id, status, time);
  }

  for (const client of [ana, ben]) {
    assert.deepEqual(await heard(client), [
      'message:delivered',
      'message:status:update Delivered',
      'message:read',
      'message:status:update Read',
    ]);
  }
});

test('a message that fails and is tried again is told anew', async () => {
  const id = randomUUID();
  for (const [status, time] of /** @type {const} */ ([
    ['sent', 10],
    ['failed', 20],
    ['sent', 10],
    ['sent', 30],
    ['delivered', 40],
  ])) {
    await tell(id, status, time);
  }

  assert.deepEqual(await heard(ana), [
    'message:sent',
    'message:status:update Sent',
    'message:failed',
    'message:status:update Failed',
    'message:sent',
    'message:status:update Sent',
    'message:delivered',
    'message:status:update Delivered',
  ]);
  await server.received(ben);
});

test('after a SIGKILL the status of a message is still known', async () => {
  const id = randomUUID();
  await tell(id, 'read', 30);
  await server.received(ana);
  await server.kill();
  await server.start();
  const client = await server.connect({ user: 'cleo', rooms: ['whatsapp:*'] });
  await client.subscribe('whatsapp:account-1');

  await tell(id, 'delivered', 20);
  await tell(id, 'read', 30);

  await server.assertNothing(client);
});

/**
 * @param {string} id
 * @param {string} status
 * @param {number} time
 */
async function tell(id, status, time) {
  const body = JSON.parse(readFileSync(FIXTURE, 'utf8'));
  const one = body.entry[0].changes[0].value.statuses[0];
  Object.assign(one, { id: `wamid.${id}`, status, timestamp: `17684712${time}` });
  const answer = await server.webhook('acme-cloud', body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

/** @param {import('./harness/client.js').Client} client */
async function heard(client) {
  const got = await server.received(client);
  return got.map(({ event, payload }) => (payload.status === undefined ? event : `${event} ${payload.status}`));
}
