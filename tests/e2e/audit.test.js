// @ts-check
/** The audit: a line with a stable code for everybody who comes, hears and goes, and no secret in any. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { leaks } from './harness/secrets.js';
import { startServer } from './harness/server.js';
import { ADMINISTRATORS } from './harness/settings.js';
import { until } from './harness/until.js';

const server = await startServer({
  settings: {
    producers: ADMINISTRATORS,
    log: { audit: 'audit.log', level: 'info' },
    server: { trusted_proxies: ['127.0.0.1'] },
    limits: { events: '1/h burst 3', refusals: '1/h burst 2' },
  },
});
after(() => server.stop());

const file = join(server.directory, 'audit.log');
const lines = (path = file) => readFileSync(path, 'utf8').trimEnd().split('\n').filter(Boolean);
/** @returns {Array<Record<string, any>>} */
const audit = () => lines().map((line) => JSON.parse(line));

/** What is known of one user, without what differs from run to run. */
const of = (/** @type {string} */ user) =>
  audit()
    .filter((line) => line.user === user)
    .map(({ action, code, room }) => [action, code, ...(room === undefined ? [] : [room])]);

test('who connects, joins, is refused, leaves and goes is written down', async () => {
  const client = await server.connect({
    user: 'ana',
    rooms: ['contact:1'],
    transports: ['websocket'],
    extraHeaders: { 'X-Forwarded-For': '203.0.113.7' },
  });
  await client.subscribe('contact:1');
  await client.request('subscribe:contact', '2');
  await client.request('unsubscribe:contact', '1');
  const id = client.socket.id;
  client.close();

  await until('the end', () => of('ana').some(([action]) => action === 'disconnect'));
  assert.deepEqual(of('ana'), [
    ['connect', 'new'],
    ['join', 'ok', 'user:ana'],
    ['join', 'ok', 'team:acme'],
    ['join', 'ok', 'contact:1'],
    ['refuse', 'forbidden', 'contact:2'],
    ['leave', 'unsubscribed', 'contact:1'],
    ['disconnect', 'client_left'],
  ]);
  for (const line of audit().filter((one) => one.user === 'ana')) {
    assert.equal(line.target, 'switchboard::audit');
    assert.deepEqual([line.tenant, line.client, line.socket], ['acme', '203.0.113.7', id]);
    assert.ok(!Number.isNaN(Date.parse(line.timestamp)));
  }
});

test('a token that is renewed, a room that is taken and a user who is revoked are written down', async () => {
  const client = await server.connect({ user: 'rex', rooms: ['contact:1'], transports: ['websocket'] });
  await client.subscribe('contact:1');
  assert.equal((await client.request('session:refresh', { token: 'nonsense' })).ok, false);

  await server.ordered('/v1/revocations', { user: 'rex', room: 'contact:1' });
  await server.ordered('/v1/revocations', { user: 'rex' });

  await until('the end', () => of('rex').some(([action]) => action === 'disconnect'));
  assert.deepEqual(of('rex').slice(4), [
    ['refresh', 'unauthorized'],
    ['order', 'revoke_room', 'contact:1'],
    ['leave', 'revoked', 'contact:1'],
    ['order', 'revoke_user'],
    ['end', 'revoked'],
    ['disconnect', 'requested'],
  ]);
});

test('who is not let in is written down with the code and the address', async (t) => {
  const stranger = server.dial({ token: 'no.token.atall', extraHeaders: { 'X-Forwarded-For': '203.0.113.8' } });
  t.after(() => stranger.close());
  await stranger.refusal();

  const refused = await until('the refusal', () => audit().find((line) => line.client === '203.0.113.8'));
  assert.deepEqual([refused.action, refused.code, refused.user], ['refuse', 'unauthorized', undefined]);
});

test('who floods is written down as closed for that', async (t) => {
  const client = await server.connect({ user: 'flood', transports: ['websocket'] });
  t.after(() => client.close());
  for (let n = 0; n < 10; n += 1) client.socket.emit('ping');

  await until('the end', () => of('flood').some(([action, code]) => action === 'disconnect' && code === 'rate_limited'));
});

test('the file holds no secret, and stderr none of it', async () => {
  assert.deepEqual(leaks(lines()), []);
  assert.ok(!server.lines().some((line) => line.includes('switchboard::audit')));
  assert.ok(server.logs().some((log) => log.message === 'connected'), 'the lines for people stay');
});

test('after a rotation and SIGHUP it goes on in a new file', async (t) => {
  const moved = `${file}.1`;
  renameSync(file, moved);
  const count = lines(moved).length;
  server.child?.signal('SIGHUP');
  await until('a new file', () => existsSync(file));

  const client = await server.connect({ user: 'later' });
  t.after(() => client.close());

  await until('a line in it', () => of('later').length > 0);
  assert.equal(lines(moved).length, count);
});

test('among the other lines it comes whatever the level, and off it comes nowhere', async () => {
  for (const [setting, expected] of /** @type {const} */ ([
    ['stderr', true],
    ['off', false],
  ])) {
    const other = await startServer({ settings: { log: { audit: setting, level: 'info,switchboard_gateway=off' } } });
    const client = await other.connect({ user: 'ana' });
    client.close();
    await until('an end', async () => (await other.stats()).connected === 0);
    await other.stop();
    const heard = other.logs().filter((log) => log.target === 'switchboard::audit');
    assert.equal(heard.some((log) => log.action === 'disconnect'), expected, setting);
    assert.equal(heard.length > 0, expected, setting);
  }
});
