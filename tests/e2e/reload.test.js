// @ts-check
/** Settings that are read again on SIGHUP: what can change does, and the rest is named. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { keepSecret } from './harness/secrets.js';
import { startServer } from './harness/server.js';
import { KEYS, merged, sha256, toml, WEBHOOK } from './harness/settings.js';
import { until } from './harness/until.js';

const FRESH = `key_${randomBytes(24).toString('hex')}`;
keepSecret('API key', FRESH);

const server = await startServer({ settings: { log: { level: 'info' } } });
after(() => server.stop());
// As it was started: on any port.
const original = merged(server.settings, { server: { port: 0 } });

const draft = { event: 'contact:deleted', data: { contactId: 'c' } };
const RELOADED = 'settings reloaded';
const REFUSED = 'settings not reloaded, nothing has changed';

/**
 * Writes a settings file, lets the server read it, and gives the line that says what became of it.
 *
 * @param {string} text
 */
async function reload(text) {
  const lines = () => server.logs().filter((log) => [RELOADED, REFUSED].includes(log.message));
  const before = lines().length;
  writeFileSync(join(server.directory, 'switchboard.toml'), text);
  server.child?.signal('SIGHUP');
  return until('the end of a reload', () => lines()[before]);
}

/** @param {import('./harness/settings.js').Settings} over */
const changed = (over) => toml(merged(original, over));

test('keys, webhooks, limits, origins, proxies and the level are in force at once, for who is connected too', async (t) => {
  const client = await server.connect({ user: 'stays' });
  t.after(() => client.close());
  const origin = 'https://crm.example.com';
  const open = async () => (await server.get('/socket.io/?EIO=4&transport=polling', { origin })).status;
  assert.equal(await open(), 403);
  assert.equal((await server.webhook('new', '{}')).status, 404);

  const line = await reload(
    changed({
      producers: [{ name: 'fresh', key_sha256: sha256(FRESH), tenant: 'acme' }],
      webhooks: {
        meta: [{ endpoint: 'new', tenant: 'acme', app_secret: WEBHOOK.appSecret, verify_token: WEBHOOK.verifyToken }],
      },
      limits: { events: '1/h burst 1' },
      server: { cors_origins: [origin], trusted_proxies: ['127.0.0.1'] },
      log: { level: 'debug' },
    }),
  );

  assert.equal(
    line.applied,
    'limits, log.level, producers, server.cors_origins, server.trusted_proxies, webhooks',
  );
  await server.published(draft, { key: FRESH });
  assert.equal((await server.publish(draft)).status, 401, 'a key that is not there any more');
  assert.equal(await open(), 200);
  assert.equal((await server.webhook('new', '{"object":"whatsapp_business_account","entry":[]}')).status, 200);
  const acks = [await client.request('ping'), await client.request('ping')];
  assert.deepEqual(
    acks.map((ack) => ack.error?.code),
    [undefined, 'rate_limited'],
  );
  assert.equal(client.disconnects.length, 0);
  await until('a line of the new level', () => server.logs().some((log) => log.level === 'DEBUG'));

  await reload(toml(original));
  await server.published(draft, { key: KEYS.acme });
  assert.equal((await client.request('ping')).ok, true);
});

test('what needs a restart is named, each key, until it is as it was', async () => {
  await reload(changed({ server: { port: 1 }, journal: { partitions: 3 }, auth: { leeway: '5s' } }));

  const named = () => server.logs().filter((log) => log.message === 'settings that need a restart differ');
  await until('the keys', () => named().length === 1);
  assert.equal(named()[0].keys, 'auth.leeway, journal.partitions, server.port');
  assert.equal((await server.get('/readyz')).status, 200);

  await reload(toml(original));
  assert.equal(named().length, 1);
});

test('a file that is wrong changes nothing and says why', async () => {
  const wrong = await reload(changed({ limits: { events: 'many' }, producers: [] }));
  assert.equal(wrong.message, REFUSED);
  assert.match(wrong.reason, /switchboard\.toml:\d+: limits\.events is "many", must be/);

  const broken = await reload('[server\n');
  assert.match(broken.reason, /switchboard\.toml:1: not TOML/);

  await server.published(draft, { key: KEYS.acme });
});
