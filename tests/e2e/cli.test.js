// @ts-check
/** The command line, as the README uses it. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';

import { dial } from './harness/client.js';
import { BINARY, Child, run, temporaryDirectory } from './harness/process.js';
import { keepSecret, keepTokenSecret, leaks } from './harness/secrets.js';
import { startServer } from './harness/server.js';
import { defaultSettings, KEYS, merged, toml } from './harness/settings.js';
import { SECRET } from './harness/tokens.js';

const JSON_LOG = { SWITCHBOARD_LOG__FORMAT: 'json' };
const activity = {
  activity: { userId: 'u', userName: 'U', action: 'a', resource: 'r' },
  timestamp: '2025-11-05T10:00:00Z',
};

test('init writes settings with which serve works at once, and says the API key once', async (t) => {
  const cwd = temporaryDirectory();
  const { code, stdout, stderr } = await run(['init'], { cwd });
  assert.equal(code, 0, stderr);
  const written = readFileSync(join(cwd, 'switchboard.toml'), 'utf8');
  const tenant = /^tenant = "([^"]+)"/m.exec(written)?.[1];
  const key = stdout.split(/\s+/).find((word) => /^\w{24,}$/.test(word) && !written.includes(word));
  assert.ok(key !== undefined, `an API key, of which the file has only the hash:\n${stdout}`);
  keepSecret('API key', key);
  assert.match(written, /^#/m, 'the file explains itself');

  const check = await run(['config', 'check'], { cwd });
  assert.equal(check.code, 0, check.stderr);

  const server = new Child([BINARY, 'serve'], {
    cwd,
    env: { ...JSON_LOG, PORT: '0', SWITCHBOARD_ADMIN__PORT: '0' },
  });
  t.after(() => server.signal('SIGKILL'));
  const url = await listening(server);
  const token = await run(['token', '--user', 'ana', '--tenant', tenant ?? 'acme', '--room', 'contact:*'], { cwd });
  assert.equal(token.code, 0, token.stderr);
  const client = dial(url, { token: token.stdout.trim(), user: 'ana', tenant: tenant ?? '' });
  t.after(() => client.close());
  await client.connected();
  await client.subscribe('contact:1');

  const published = await run(
    [
      'publish',
      '--url',
      url,
      '--key',
      key,
      'team:activity',
      JSON.stringify(activity),
      ...(tenant === '*' ? ['--tenant', 'acme'] : []),
    ],
    { cwd },
  );

  assert.equal(published.code, 0, published.stderr);
  assert.deepEqual((await client.next('team:activity')).payload, activity);
  server.signal('SIGTERM');
  assert.equal((await server.ended()).code, 0, server.tail());
  assert.deepEqual(leaks(server.stderr), []);
});

test('init says what to do next in lines that can be pasted as they are', async (t) => {
  for (const { option, is } of [
    { option: [], is: /single_tenant = true/ },
    { option: ['--multi-tenant'], is: /single_tenant = false/ },
  ]) {
    const cwd = temporaryDirectory();
    const { stdout } = await run(['init', ...option], { cwd });
    const lines = stdout.split('\n').filter((line) => line.startsWith('  '));
    const [key, serve, token, listen, exported, publish] = lines;
    keepSecret('API key', key.trim());
    assert.match(readFileSync(join(cwd, 'switchboard.toml'), 'utf8'), is);
    const inShell = (/** @type {string} */ script) => {
      const child = new Child(['sh', '-c', script], { cwd, env: { ...JSON_LOG, SWITCHBOARD_ADMIN__PORT: '0' } });
      t.after(() => child.signal('SIGKILL'));
      return child;
    };

    const server = inShell(`exec ${serve} --host 127.0.0.1 --port 0`);
    const url = await listening(server);
    const listener = inShell(`${token}\nexec ${listen.replace(' listen ', ` listen ${url} `)}`);
    await listener.line('stderr', 'a subscription', (line) => (line.includes('contact:42') ? line : undefined));
    const { code } = await inShell(`${exported}\n${publish.replace(' publish ', ` publish --url ${url} `)}`).ended();

    assert.equal(code, 0);
    await listener.line('stdout', 'the event', (line) => (line.includes('contact:updated') ? line : undefined));
    server.signal('SIGTERM');
    assert.equal((await server.ended()).code, 0, server.tail());
  }
});

test('init does not overwrite a file unless told to', async () => {
  const cwd = temporaryDirectory();
  await run(['init'], { cwd });
  const first = readFileSync(join(cwd, 'switchboard.toml'), 'utf8');

  const second = await run(['init'], { cwd });
  assert.notEqual(second.code, 0);
  assert.match(second.stderr, /switchboard\.toml/);
  writeFileSync(join(cwd, 'wrong.toml'), '[server]\nprot = 1\n');
  const wrong = await run(['serve', '--config', 'wrong.toml'], { cwd });
  assert.doesNotMatch(wrong.stderr, /init/, 'nobody is told to write anew what is only wrong');
  assert.match(wrong.stderr, /config check --config wrong\.toml/);
  assert.equal(readFileSync(join(cwd, 'switchboard.toml'), 'utf8'), first);

  const forced = await run(['init', '--force'], { cwd });
  assert.equal(forced.code, 0, forced.stderr);
  assert.notEqual(readFileSync(join(cwd, 'switchboard.toml'), 'utf8'), first, 'fresh secrets');
});

test('token prints a token and nothing else, and it says what it was asked to say', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const config = join(server.directory, 'switchboard.toml');

  const fromConfig = await run([
    'token',
    '--user',
    'rui',
    '--tenant',
    'acme',
    '--room',
    'contact:*',
    '--room',
    'flow:1',
    '--link',
    'whatsapp:1',
    '--ttl',
    '10m',
    '--config',
    config,
  ]);
  const fromSecret = await run([
    'token',
    '--user',
    'rui',
    '--tenant',
    'acme',
    '--room',
    'contact:*',
    '--secret',
    SECRET,
  ]);

  for (const { code, stdout, stderr } of [fromConfig, fromSecret]) {
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+$/);
    keepTokenSecret(stdout);
    const client = await server.connect({ token: stdout, user: 'rui' });
    assert.equal((await client.request('subscribe:contact', '9')).ok, true);
    await server.assertNothing(client);
  }
  const claims = JSON.parse(Buffer.from(fromConfig.stdout.split('.')[1], 'base64url').toString());
  assert.deepEqual(claims.rooms, ['contact:*', 'flow:1']);
  assert.deepEqual(claims.link, ['whatsapp:1']);
  assert.ok(Math.abs(claims.exp - Date.now() / 1000 - 600) < 30, `${claims.exp}`);
});

test('publish posts an event, by the key of the environment too, and says what was wrong', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const client = await server.connect({ rooms: ['*'] });
  const url = ['--url', server.url];
  const env = { SWITCHBOARD_KEY: KEYS.acme };

  const taken = await run(
    [
      'publish',
      ...url,
      '--id',
      'from-cli',
      '--room',
      'user:ana',
      '--add-room',
      'contact:1',
      'team:activity',
      JSON.stringify(activity),
    ],
    { env },
  );
  const again = await run([
    'publish',
    ...url,
    '--id',
    'from-cli',
    '--room',
    'user:ana',
    '--add-room',
    'contact:1',
    '--key',
    KEYS.acme,
    'team:activity',
    JSON.stringify(activity),
  ]);
  assert.equal(taken.code, 0, taken.stderr);
  assert.match(taken.stdout, /from-cli/);
  assert.equal(again.stdout, taken.stdout, 'the same id is the same event');
  assert.deepEqual(
    (await server.received(client)).map(({ payload }) => payload),
    [activity],
  );

  const forTenant = await run([
    'publish',
    ...url,
    '--tenant',
    'acme',
    '--key',
    KEYS['*'],
    'team:activity',
    JSON.stringify(activity),
  ]);
  assert.equal(forTenant.code, 0, forTenant.stderr);
  assert.equal((await server.received(client)).length, 1);

  const asked = ['--receipt', '1s', '--id', 'asked/7', '--room', 'user:zoe', 'team:activity', JSON.stringify(activity)];
  const receipt = await run(['publish', ...url, ...asked], { env });
  assert.equal(receipt.code, 0, receipt.stderr);
  const told = JSON.parse(receipt.stdout.trim().split('\n')[1]);
  assert.deepEqual([told.state, told.users], ['closed', { zoe: 'offline' }]);
  await client.next('event:receipt', ({ eventId }) => eventId === 'asked/7');
  client.take();

  for (const [what, args, says] of /** @type {Array<[string, string[], RegExp]>} */ ([
    ['an unknown event', ['--key', KEYS.acme, 'nothing:known', '{}'], /unknown_event|nothing:known/],
    ['a missing id', ['--key', KEYS.acme, 'campaign:paused', '{}'], /campaignId/],
    ['no JSON', ['--key', KEYS.acme, 'campaign:paused', '{'], /JSON/i],
    ['a wrong key', ['--key', 'key_nobody', 'campaign:paused', '{"campaignId":"1"}'], /401|unauthorized|key/i],
    ['no key', ['campaign:paused', '{"campaignId":"1"}'], /SWITCHBOARD_KEY|--key/],
  ])) {
    const { code, stderr } = await run(['publish', ...url, ...args]);
    assert.notEqual(code, 0, what);
    assert.match(stderr, says, what);
  }
  await server.assertNothing(client);
});

test('listen prints each event as a line of JSON', async (t) => {
  // Who comes and goes would be told at any time.
  const server = await startServer({ settings: { presence: { team_max: 0 } } });
  t.after(() => server.stop());
  const { stdout: token } = await run([
    'token',
    '--user',
    'eva',
    '--tenant',
    'acme',
    '--room',
    'contact:*',
    '--secret',
    SECRET,
  ]);
  keepTokenSecret(token);
  const listen = new Child([
    BINARY,
    'listen',
    server.url,
    '--auth',
    JSON.stringify({ token }),
    '--subscribe',
    'contact:1',
    '--subscribe',
    'contact:2',
  ]);
  t.after(() => listen.signal('SIGKILL'));
  await listen.line('stderr', 'the second subscription', (line) => (line.includes('contact:2') ? line : undefined));

  const update = (/** @type {string} */ contactId) => ({
    contactId,
    updates: { name: 'N' },
    timestamp: '2025-11-05T10:00:00Z',
  });
  for (const id of ['1', '2', '3'])
    await server.published({ event: 'contact:updated', data: update(id), rooms: [`contact:${id}`] });
  await server.published({ event: 'team:activity', data: activity });
  await listen.line('stdout', 'the last event', (line) => (line.includes('team:activity') ? line : undefined));

  const lines = listen.stdout.map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ event, args }) => ({ event, payload: args[0], position: typeof args[1] })),
    [
      { event: 'contact:updated', payload: update('1'), position: 'string' },
      { event: 'contact:updated', payload: update('2'), position: 'string' },
      { event: 'team:activity', payload: activity, position: 'string' },
    ],
  );
  for (const line of listen.stderr) JSON.parse(line);
});

test('listen says why it was refused', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());

  const { code, stdout, stderr } = await run(['listen', server.url, '--auth', '{"token":"nonsense"}']);

  assert.notEqual(code, 0);
  assert.equal(stdout, '');
  assert.match(stderr, /unauthorized/);
});

test('demo runs by itself, and its lines can be pasted into another terminal', async (t) => {
  const cwd = temporaryDirectory();
  const demo = new Child([BINARY, 'demo', '--port', '0'], { cwd, env: JSON_LOG });
  t.after(() => demo.signal('SIGKILL'));
  const everything = () => [...demo.stdout, ...demo.stderr];
  const pasted = (/** @type {string} */ command) =>
    demo.line('stdout', `a line with ${command}`, (line) => {
      const from = line.indexOf(command);
      return from < 0 ? undefined : line.slice(from);
    });
  const inShell = (/** @type {string} */ line) =>
    new Child(['sh', '-c', `exec ${line}`], { cwd, env: { PATH: `${dirname(BINARY)}:${process.env.PATH}` } });

  const listen = inShell(await pasted('switchboard listen'));
  t.after(() => listen.signal('SIGKILL'));
  const simulated = await listen.line('stdout', 'an event of the simulation', (line) => line);
  assert.equal(typeof JSON.parse(simulated).event, 'string');
  const publish = inShell(await pasted('switchboard publish'));
  assert.equal((await publish.ended()).code, 0, publish.tail());
  assert.ok(
    everything().some((line) => line.includes('socket.io-client') || line.includes('io(')),
    'a snippet for clients',
  );

  demo.signal('SIGTERM');
  assert.equal((await demo.ended()).code, 0, demo.tail());
});

describe('serve refuses to start', () => {
  refuses('without a secret', { auth: { secret: undefined } }, /secret/);
  refuses('with a secret that can be guessed', { auth: { secret: 'short' } }, /secret|32/);
  refuses('without a public key for RS256', { auth: { algorithm: 'RS256', secret: undefined } }, /public_key_file/);
  refuses(
    'with a key hash that is none',
    { producers: [{ name: 'x', key_sha256: 'abc', tenant: 'acme' }] },
    /key_sha256/,
  );
  refuses('with an unknown key', { server: { prot: 5000 } }, /prot\b[^]*\bport\b/);

  /**
   * @param {string} what
   * @param {import('./harness/settings.js').Settings} over
   * @param {RegExp} says
   */
  function refuses(what, over, says) {
    test(what, async () => {
      const cwd = temporaryDirectory();
      const config = join(cwd, 'switchboard.toml');
      writeFileSync(config, toml(merged(defaultSettings(join(cwd, 'data')), over)));

      for (const command of [['serve'], ['config', 'check']]) {
        const { code, stdout, stderr } = await run([...command, '--config', config], { cwd });
        assert.notEqual(code, 0, command.join(' '));
        assert.match(stdout + stderr, says, command.join(' '));
        assert.ok(!(stdout + stderr).includes('panicked'), stderr);
      }
    });
  }

  test('on a port that is in use, and names it', async (t) => {
    const taken = createServer();
    await new Promise((resolve) => taken.listen(0, '127.0.0.1', () => resolve(undefined)));
    t.after(() => taken.close());
    const { port } = /** @type {import('node:net').AddressInfo} */ (taken.address());
    const cwd = temporaryDirectory();
    const config = join(cwd, 'switchboard.toml');
    writeFileSync(config, toml(merged(defaultSettings(join(cwd, 'data')), { server: { port } })));

    const { code, stderr } = await run(['serve', '--config', config], { cwd });

    assert.notEqual(code, 0);
    assert.match(stderr, new RegExp(`${port}`));
    assert.match(stderr, /in use/);
  });

  test('on an admin port that is in use, and names its setting', async (t) => {
    const taken = createServer();
    await new Promise((resolve) => taken.listen(0, '127.0.0.1', () => resolve(undefined)));
    t.after(() => taken.close());
    const { port } = /** @type {import('node:net').AddressInfo} */ (taken.address());
    const cwd = temporaryDirectory();
    const config = join(cwd, 'switchboard.toml');
    writeFileSync(config, toml(merged(defaultSettings(join(cwd, 'data')), { admin: { port } })));

    const { code, stderr } = await run(['serve', '--config', config], { cwd });

    assert.notEqual(code, 0);
    assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${port}`));
    assert.match(stderr, /in use/);
    assert.match(stderr, /admin\.port/);
  });
});

test('a setting comes from the environment too, and a secret from a file', async (t) => {
  const cwd = temporaryDirectory();
  const config = join(cwd, 'switchboard.toml');
  const secretFile = join(cwd, 'secret');
  writeFileSync(secretFile, `${SECRET}\n`);
  const settings = merged(defaultSettings(join(cwd, 'data')), { auth: { secret: undefined }, log: { format: 'text' } });
  writeFileSync(config, toml(settings));

  const server = new Child([BINARY, 'serve', '--config', config], {
    cwd,
    env: { ...JSON_LOG, SWITCHBOARD_AUTH__SECRET_FILE: secretFile },
  });
  t.after(() => server.signal('SIGKILL'));
  const url = await listening(server);
  const { stdout: token } = await run(['token', '--user', 'ana', '--tenant', 'acme', '--secret', SECRET]);
  const client = dial(url, { token, user: 'ana', tenant: 'acme' });
  t.after(() => client.close());
  await client.connected();
  client.close();

  const unknown = await run(['serve', '--config', config], { cwd, env: { SWITCHBOARD_SERVER__PROT: '1' } });
  assert.notEqual(unknown.code, 0);
  assert.match(unknown.stderr, /PROT|prot/);
  server.signal('SIGTERM');
  assert.equal((await server.ended()).code, 0);
});

test('a variable that is nearly a setting is named, and that nobody can publish', async () => {
  const cwd = temporaryDirectory();
  const config = join(cwd, 'switchboard.toml');
  writeFileSync(config, `[auth]\nsecret = "${SECRET}"\n`);

  const checked = await run(['config', 'check', '--config', config], { cwd, env: { SWITCHBOARD_LOG_FORMAT: 'json' } });

  assert.equal(checked.code, 0, checked.stderr);
  assert.match(checked.stderr, /SWITCHBOARD_LOG_FORMAT .* SWITCHBOARD_LOG__FORMAT/);
  assert.match(checked.stderr, /nobody can publish/);
});

test('a reader that leaves early makes no command fail', async () => {
  const cwd = temporaryDirectory();
  await run(['init'], { cwd });

  const child = new Child(['sh', '-c', '{ sleep 0.2; "$0" config check; echo "ended with $?" >&2; } | :', BINARY], { cwd });

  await child.line('stderr', 'success', (line) => (line.includes('ended with 0') ? line : undefined));
});

test('--version says which it is', async () => {
  const { code, stdout } = await run(['--version']);

  assert.equal(code, 0);
  assert.match(stdout, /^switchboard \d+\.\d+\.\d+/);
});

test('every command shows an example in its help', async () => {
  for (const command of [['init'], ['serve'], ['demo'], ['token'], ['publish'], ['listen'], ['producer', 'list'], ['config', 'check']]) {
    const { code, stdout } = await run([...command, '--help']);
    assert.equal(code, 0, command.join(' '));
    assert.match(stdout, new RegExp(`switchboard ${command.join(' ')}\\b`), command.join(' '));
    assert.match(stdout, /example/i, command.join(' '));
  }
});

/** @param {Child} server */
async function listening(server) {
  const address = await server.line('stderr', 'the line that says "listening"', (line) => {
    if (!line.startsWith('{')) return undefined;
    const log = JSON.parse(line);
    return log.message === 'listening' ? String(log.address) : undefined;
  });
  return `http://127.0.0.1:${new URL(`http://${address}`).port}`;
}
