// @ts-check
/** API keys that are made and revoked while the server runs, by the command line and over HTTP. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';

import { run } from './harness/process.js';
import { keepSecret } from './harness/secrets.js';
import { startServer } from './harness/server.js';
import { KEYS, sha256 } from './harness/settings.js';
import { until } from './harness/until.js';

const ADMIN = `key_${randomBytes(24).toString('hex')}`;
const ACME_ADMIN = `key_${randomBytes(24).toString('hex')}`;
keepSecret('API key', ADMIN);
keepSecret('API key', ACME_ADMIN);

const server = await startServer({
  settings: {
    producers: [
      { name: 'acme-backend', key_sha256: sha256(KEYS.acme), tenant: 'acme', scopes: ['publish', 'read'] },
      { name: 'platform', key_sha256: sha256(KEYS['*']), tenant: '*', scopes: ['publish', 'read'] },
      { name: 'admin', key_sha256: sha256(ADMIN), tenant: '*', scopes: ['admin'] },
      { name: 'acme-admin', key_sha256: sha256(ACME_ADMIN), tenant: 'acme', scopes: ['admin', 'read'] },
    ],
  },
});
after(() => server.stop());

const draft = { event: 'contact:deleted', data: { contactId: 'c' } };

/** @param {string[]} args */
function producer(args, key = ADMIN) {
  return run(['producer', ...args, '--url', server.url], { env: { SWITCHBOARD_KEY: key } });
}

/** @param {string[]} args */
async function created(args, key = ADMIN) {
  const { code, stdout, stderr } = await producer(['create', ...args], key);
  assert.equal(code, 0, stderr);
  const made = stdout.trim();
  keepSecret('API key', made);
  assert.match(made, /^sb_[0-9a-f]{64}$/);
  const id = /key_[0-9a-f]{16}/.exec(stderr)?.[0];
  assert.equal(id, `key_${sha256(made).slice(0, 16)}`);
  return { key: made, id: /** @type {string} */ (id) };
}

async function listed(key = ADMIN) {
  const { code, stdout, stderr } = await producer(['list', '--json'], key);
  assert.equal(code, 0, stderr);
  return /** @type {any[]} */ (JSON.parse(stdout).producers);
}

/** @param {string} path @param {RequestInit & { key?: string }} [options] */
async function ask(path, { key = ADMIN, ...init } = {}) {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const response = await fetch(server.url + path, { ...init, headers });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

test('a key works from when it is made until it is revoked', async (t) => {
  const watcher = await server.connect({ user: 'watcher', rooms: ['contact:*'] });
  t.after(() => watcher.close());
  await watcher.subscribe('contact:c');

  const { key, id } = await created(['erp', '--tenant', 'acme']);
  await server.published(draft, { key });
  await watcher.next('contact:deleted');

  const { code, stdout, stderr } = await producer(['revoke', id]);
  const revokedAt = Date.now();
  assert.equal(code, 0, stderr);
  assert.match(stdout, new RegExp(`revoked ${id}`));
  await until('the end of the key', async () => (await server.publish(draft, { key })).status === 401);
  assert.ok(Date.now() - revokedAt < 1_000, 'within a second');
  assert.equal((await producer(['revoke', id])).code, 1, 'there is no such key any more');
});

test('a key is changed for another without a gap: both work until the old one is revoked', async () => {
  const old = await created(['shop', '--tenant', 'acme', '--scope', 'publish']);
  const fresh = await created(['shop', '--tenant', 'acme', '--scope', 'publish']);

  await server.published(draft, { key: old.key });
  await server.published(draft, { key: fresh.key });
  assert.equal((await producer(['revoke', old.id])).code, 0);

  assert.equal((await server.publish(draft, { key: old.key })).status, 401);
  await server.published(draft, { key: fresh.key });
});

test('keys are listed with their use and without themselves', async () => {
  const { key, id } = await created(['used', '--tenant', 'acme']);
  const find = async () => (await listed()).find((one) => one.id === id);
  assert.equal((await find())?.lastUsedAt, null);
  const before = Date.now();

  await server.published(draft, { key });

  const told = await find();
  const used = Date.parse(told.lastUsedAt);
  assert.ok(used >= before - 1 && used <= Date.now() + 1, told.lastUsedAt);
  assert.deepEqual(
    [told.name, told.tenant, told.scopes, told.source, told.key],
    ['used', 'acme', ['publish'], 'api', undefined],
  );
  const { stdout } = await producer(['list']);
  assert.match(stdout, /^ID +NAME +TENANT +SCOPES +SOURCE +LAST USED\n/);
  assert.match(stdout, /acme-backend +acme +publish,read +settings/);
  assert.ok(!stdout.includes(key));
  assert.equal((await find()).lastUsedAt, told.lastUsedAt, 'being listed is no use');
});

test('what was made and revoked is so after a kill', async () => {
  const kept = await created(['kept', '--tenant', 'acme']);
  const gone = await created(['gone', '--tenant', 'acme']);
  await server.published(draft, { key: gone.key });
  assert.equal((await producer(['revoke', gone.id])).code, 0);

  await server.kill();
  await server.start();

  await server.published(draft, { key: kept.key });
  assert.equal((await server.publish(draft, { key: gone.key })).status, 401);
});

test('a key does nothing that it has no scope for', async () => {
  const reader = await created(['reader', '--tenant', 'acme', '--scope', 'read']);
  const writer = await created(['writer', '--tenant', 'acme', '--scope', 'publish']);

  const publishing = await server.publish(draft, { key: reader.key });
  assert.deepEqual([publishing.status, publishing.body.code], [403, 'forbidden']);
  const reading = await ask('/v1/stats', { key: writer.key });
  assert.deepEqual([reading.status, reading.body.code], [403, 'forbidden']);
  assert.equal((await ask('/v1/stats', { key: reader.key })).status, 200);
  const unsaid = await created(['unsaid', '--tenant', 'acme']);
  await server.published(draft, { key: unsaid.key });
  const history = await ask('/v1/events?room=contact:42', { key: unsaid.key });
  assert.deepEqual([history.status, history.body.code], [403, 'forbidden'], 'what nobody asked for is not given');
  for (const key of [reader.key, writer.key, KEYS['*']]) {
    for (const [path, method] of [
      ['/v1/producers', 'GET'],
      ['/v1/producers', 'POST'],
      [`/v1/producers/${reader.id}`, 'DELETE'],
    ]) {
      const { status, body } = await ask(path, { key, method });
      assert.deepEqual([status, body.code], [403, 'forbidden'], `${method} ${path}`);
    }
  }
  const { code, stderr } = await producer(['list'], KEYS.acme);
  assert.equal(code, 1);
  assert.match(stderr, /forbidden/);
});

test('the admin of a tenant makes and sees keys of that tenant only', async () => {
  const theirs = await created(['theirs', '--tenant', 'globex']);

  const ours = await created(['ours'], ACME_ADMIN);

  assert.equal((await server.publish({ ...draft, tenant: 'globex' }, { key: ours.key })).status, 403);
  assert.ok((await listed(ACME_ADMIN)).every((one) => one.tenant === 'acme'));
  const foreign = await ask(`/v1/producers/${theirs.id}`, { key: ACME_ADMIN, method: 'DELETE' });
  assert.deepEqual([foreign.status, foreign.body.code], [404, 'unknown_producer']);
  const { stderr: unknown } = await producer(['revoke', theirs.id], ACME_ADMIN);
  assert.match(unknown, /refused as unknown_producer: .*\n next: `switchboard producer list`/);
  for (const tenant of ['globex', '*']) {
    const { code, stderr } = await producer(['create', 'x', '--tenant', tenant], ACME_ADMIN);
    assert.equal(code, 1);
    assert.match(stderr, /other_tenant/);
  }
  await server.published(draft, { key: theirs.key });
});

test('a key of the settings is not revoked here', async () => {
  const [first] = await listed();

  const { status, body } = await ask(`/v1/producers/${first.id}`, { method: 'DELETE' });

  assert.deepEqual([first.source, status, body.code], ['settings', 409, 'producer_of_settings']);
});
