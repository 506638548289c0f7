// @ts-check
/** The journal in the hands of an operator: looked at, copied, put back, erased from, and unusable. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { back } from './harness/lost.js';
import { BINARY, Child, run, temporaryDirectory } from './harness/process.js';
import { startServer } from './harness/server.js';
import { ADMINISTRATORS, defaultSettings, KEYS, merged, toml } from './harness/settings.js';

const ADMIN = { log: { level: 'info' }, producers: ADMINISTRATORS };

test('what is erased from a running server is not replayed, not repeated and in no file', async (t) => {
  const server = await startServer({ settings: ADMIN });
  t.after(() => server.stop());
  const secret = 'nobody-shall-read-this';
  const message = { whatsappAccountId: 'w', direction: 'Inbound', type: 'Text', status: 'Delivered' };
  /** @param {string} contactId */
  const draft = (contactId) => ({
    id: `event-of-${contactId}`,
    event: 'message:received',
    data: { message: { ...message, id: `m-${contactId}`, contactId, content: `${secret}-${contactId}` } },
  });
  const first = await server.published(draft('42'));
  await server.published(draft('43'));
  const client = await server.connect({ rooms: ['whatsapp:*', 'contact:*'] });
  assert.ok(holds(server.directory, `${secret}-42`));

  const erased = await run(
    ['journal', 'erase', '--tenant', 'acme', '--room', 'contact:42', '--url', server.url, '--json'],
    { env: { SWITCHBOARD_KEY: KEYS.acme } },
  );

  assert.equal(erased.code, 0, erased.stderr);
  assert.deepEqual(JSON.parse(erased.stdout), { records: 1, values: 1 });
  assert.ok(!holds(server.directory, `${secret}-42`), 'its bytes are gone');
  assert.ok(holds(server.directory, `${secret}-43`));
  const before = first.position.replace(/\d+$/, '0');
  const reply = await client.request('subscribe', 'whatsapp:w', { after: before });
  assert.equal(reply.ok, true, JSON.stringify(reply));
  const events = await server.received(client);
  assert.deepEqual(
    events.map(({ payload }) => payload.message.contactId),
    ['43'],
  );
  const again = await server.published(draft('42'));
  assert.deepEqual(again, first, 'a retry is a duplicate at its old position');
  const other = ['journal', 'erase', '--tenant', 'acme', '--room', 'contact:43'];
  const data = join(server.directory, 'data');
  const refused = await run([...other, '--data', data]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /in use by another process\n next: ask the server that has it open: --url/);
  await server.terminate();
  const offline = await run([...other, '--data', data]);
  assert.equal(offline.code, 0, offline.stderr);
  assert.match(offline.stdout, /^erased 1 records and 1 values of contact:43$/);
  assert.ok(!holds(server.directory, secret));
  await server.start();
});

test('a backup of a running server is restored, and clients know that they missed something', async (t) => {
  const server = await startServer({ settings: ADMIN });
  t.after(() => server.stop());
  const config = ['--config', join(server.directory, 'switchboard.toml')];
  const file = join(server.directory, 'backup.db');
  await server.published({ event: 'contact:deleted', data: { contactId: '1' } });
  const client = await server.connect({ rooms: ['contact:*'] });
  await client.subscribe('contact:1');

  const backup = await run(['journal', 'backup', file, ...config]);
  await server.published({ event: 'contact:deleted', data: { contactId: '1' } });
  await server.received(client);
  const verified = await run(['journal', 'verify', ...config]);
  const stats = await run(['journal', 'stats', '--json', ...config]);
  const busy = await run(['journal', 'restore', file, '--replace', ...config]);
  const exported = await run(['journal', 'export', '--room', 'contact:1', ...config]);
  await server.terminate();
  const there = await run(['journal', 'restore', file, ...config]);
  const restored = await run(['journal', 'restore', file, '--replace', ...config]);
  await server.start();

  assert.equal(backup.code, 0, backup.stderr);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.match(verified.stdout, /^the journal is good: \d+ records/, verified.stderr);
  assert.ok(JSON.parse(stats.stdout).records >= 2);
  assert.equal(busy.code, 1);
  assert.match(busy.stderr, /in use by another process\n next: stop the server first/);
  const lines = exported.stdout.split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ event, data }) => [event, data.contactId]),
    [
      ['contact:deleted', '1'],
      ['contact:deleted', '1'],
    ],
  );
  assert.equal(there.code, 1);
  assert.match(there.stderr, /journal\.db exists already/);
  assert.equal(restored.code, 0, restored.stderr);
  assert.match(restored.stdout, /new epoch [0-9a-f]{16}/);
  await back(client);
  assert.equal(client.socket.recovered, false);
});

test('verify tells what is damaged, where, and fails', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  await server.published({ event: 'contact:deleted', data: { contactId: 'somebody-secret' } });
  await server.terminate();
  const data = join(server.directory, 'data');
  const bytes = readFileSync(join(data, 'journal.db'));
  bytes[bytes.indexOf('somebody-secret')] = 0x54;
  const copy = temporaryDirectory();
  cpSync(data, copy, { recursive: true });
  writeFileSync(join(copy, 'journal.db'), bytes);

  const told = await run(['journal', 'verify', '--data', copy]);
  const json = await run(['journal', 'verify', '--data', copy, '--json']);

  assert.deepEqual([told.code, json.code], [1, 1]);
  assert.match(told.stdout, /^record, partition \d+, offset 1: is not as written$/m);
  assert.equal(JSON.parse(json.stdout).good, false);
  assert.ok(!(told.stdout + json.stdout).includes('omebody'), 'nothing that was published');
  await server.start();
});

describe('a directory that is no journal of ours is told in one line', () => {
  refused('a file', /journal \S+\/data is not a directory/, (data) => writeFileSync(data, ''));
  refused('something else', /journal\.db is not a journal of switchboard/, (data) => {
    mkdirSync(data);
    writeFileSync(join(data, 'journal.db'), 'something else'.repeat(100));
  });
  refused('a newer format', /has format 99, this version reads \d+/, (data) => {
    mkdirSync(data);
    const fixture = join(import.meta.dirname, '../../crates/journal/tests/fixtures/format-1.db');
    const bytes = readFileSync(fixture);
    bytes.writeUInt32BE(99, 60);
    writeFileSync(join(data, 'journal.db'), bytes);
  });

  test('one that another process holds', async (t) => {
    const server = await startServer();
    t.after(() => server.stop());

    const { code, error } = await served(server.settings.journal.path);

    assert.equal(code, 1, error);
    assert.match(error, /^error: journal \S+ is in use by another process$/);
  });

  test('one that may not be read', { skip: process.getuid?.() !== 0 && 'needs another user' }, async () => {
    const data = join(temporaryDirectory(), 'data');
    mkdirSync(data, { mode: 0o700 });

    const { code, error } = await served(data, ['setpriv', '--reuid', '65534', '--clear-groups']);

    assert.equal(code, 1, error);
    assert.match(error, /^error: journal \S+: permission denied$/);
  });

  const mounts = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;
  test('one on a file system that is read only', { skip: !mounts && 'needs a mount' }, async () => {
    const data = join(temporaryDirectory(), 'data');
    mkdirSync(data);
    const mount = `mount -t tmpfs -o ro none ${data} && exec "$0" "$@"`;

    const { code, error } = await served(data, ['unshare', '-m', 'sh', '-c', mount]);

    assert.equal(code, 1, error);
    assert.match(error, /^error: journal \S+ cannot be opened: Read-only file system/);
  });

  /**
   * @param {string} what
   * @param {RegExp} reason
   * @param {(data: string) => void} make
   */
  function refused(what, reason, make) {
    test(what, async () => {
      const data = join(temporaryDirectory(), 'data');
      make(data);

      const { code, error } = await served(data);

      assert.equal(code, 1, error);
      assert.match(error, reason);
    });
  }
});

/**
 * What `switchboard serve` says of a directory, besides its log.
 *
 * @param {string} data
 * @param {string[]} [under]
 */
async function served(data, under = []) {
  const cwd = temporaryDirectory();
  const config = join(cwd, 'switchboard.toml');
  writeFileSync(config, toml(merged(defaultSettings(data), {})));
  for (const path of [cwd, join(data, '..')]) chmodSync(path, 0o755);
  chmodSync(config, 0o644);
  const child = new Child([...under, BINARY, 'serve', '--config', config], { cwd });
  const { code } = await child.ended();
  const errors = child.stderr.filter((line) => line.startsWith('error:'));
  assert.equal(errors.length, 1, child.tail());
  return { code, error: errors[0] };
}

/**
 * Whether a file of the journal holds `text`.
 *
 * @param {string} directory
 * @param {string} text
 */
function holds(directory, text) {
  const data = join(directory, 'data');
  return readdirSync(data).some((name) => readFileSync(join(data, name)).includes(text));
}
