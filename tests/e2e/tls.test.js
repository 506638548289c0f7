// @ts-check
/** TLS on the public listener: everything over it, and a certificate that changes. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect as connectTls } from 'node:tls';

import { Authority } from './harness/certificates.js';
import { TRANSPORTS } from './harness/client.js';
import { BINARY, Child, run } from './harness/process.js';
import { KEYS, WEBHOOK } from './harness/settings.js';
import { TlsServer } from './harness/tls-server.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until } from './harness/until.js';

const authority = new Authority();
const server = new TlsServer(authority);
server.use(authority.sign('first'));
await server.start();
after(() => server.stop());

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  test(`the stock client is let in and hears what is published, over ${mode}`, async (t) => {
    const client = server.dialSecurely(transports);
    t.after(() => client.close());
    await client.connected();
    await client.subscribe('contact:42');
    if (transports.at(-1) === 'websocket') await client.speaksOver('websocket');

    const { status, body } = await server.ask('POST', '/v1/events', {
      headers: { authorization: `Bearer ${KEYS.acme}`, 'content-type': 'application/json' },
      body: JSON.stringify({ event: 'contact:deleted', data: { contactId: '42' } }),
    });

    assert.equal(status, 202, body);
    await client.next('contact:deleted');
  });
}

test('a large event arrives whole at a client that hears nothing after it', async (t) => {
  const client = server.dialSecurely(['websocket']);
  t.after(() => client.close());
  await client.connected();
  await client.subscribe('contact:large');
  const reason = 'x'.repeat(700_000);
  const { status, body } = await server.ask('POST', '/v1/events', {
    headers: { authorization: `Bearer ${KEYS.acme}`, 'content-type': 'application/json' },
    body: JSON.stringify({ event: 'contact:deleted', data: { contactId: 'large', reason } }),
  });
  assert.equal(status, 202, body);

  const { payload } = await client.next('contact:deleted');

  assert.equal(payload.reason, reason);
});

test('a webhook is challenged over TLS', async () => {
  const challenge = `hub.mode=subscribe&hub.verify_token=${WEBHOOK.verifyToken}&hub.challenge=1158201444`;

  const { status, body } = await server.ask('GET', `/webhooks/meta/acme?${challenge}`);

  assert.equal(status, 200, body);
  assert.equal(body, '1158201444');
});

test('whoever does not trust the authority does not get in', async (t) => {
  const client = server.dialSecurely(['websocket'], { trusts: false });
  t.after(() => client.close());

  await client.refusal();
});

test('the commands speak TLS to whoever they can trust', async (t) => {
  const url = `https://localhost:${server.port}`;
  const ca = ['--ca', authority.certFile];
  const env = { SWITCHBOARD_KEY: KEYS['*'] };
  const auth = JSON.stringify({ token: signHs256(claims({ user: 'ana', tenant: 'acme', rooms: ['*'] })) });
  const listening = new Child([BINARY, 'listen', url, ...ca, '--auth', auth, '--subscribe', 'contact:spoken']);
  t.after(() => listening.signal('SIGKILL'));
  await listening.line('stderr', 'the subscription', (line) => (line.includes('"subscribed"') ? line : undefined));

  const event = ['contact:deleted', '{"contactId":"spoken"}'];
  const published = await run(['publish', '--url', url, ...ca, ...event], { env: { SWITCHBOARD_KEY: KEYS.acme } });
  const listed = await run(['producer', 'list', '--url', url], { env: { ...env, SSL_CERT_FILE: authority.certFile } });

  assert.equal(published.code, 0, published.stderr);
  await listening.line('stdout', 'the event', (line) => (line.includes('"contact:deleted"') ? line : undefined));
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stdout, /acme-backend/);
});

test('the commands tell nothing to whoever they cannot trust, and say so in one line', async () => {
  const url = `https://localhost:${server.port}`;
  const other = ['--ca', new Authority().certFile];
  const env = { SWITCHBOARD_KEY: KEYS.acme };
  for (const command of [
    ['publish', '--url', url, ...other, 'contact:deleted', '{"contactId":"1"}'],
    ['producer', 'list', '--url', url, ...other],
    ['listen', url, ...other, '--auth', '{"token":"t"}'],
    ['listen', url],
  ]) {
    const { code, stdout, stderr } = await run(command, { env });

    assert.equal(code, 1, stderr);
    assert.equal(stdout, '');
    assert.equal(
      stderr,
      `error: the certificate of ${url} is not trusted: an unknown authority signed it\n` +
        ' next: name the authority that signed it with --ca FILE',
    );
  }
});

test('the commands say what is wrong with an address', async () => {
  const file = join(server.directory, 'no-authority.pem');
  writeFileSync(file, 'nonsense');
  const env = { SWITCHBOARD_KEY: KEYS.acme };
  const list = (/** @type {string[]} */ ...args) => run(['producer', 'list', ...args], { env });

  const none = await list('--url', `https://localhost:${server.port}`, '--ca', file);
  const plain = await list('--url', `http://localhost:${server.port}`, '--ca', authority.certFile);
  const insecure = await list('--url', `http://localhost:${server.port}`);
  const secure = await list('--url', server.adminUrl.replace('http:', 'https:'));

  assert.equal(none.code, 2);
  assert.match(none.stderr, /no-authority\.pem: no certificate in PEM/);
  assert.equal(plain.code, 2);
  assert.match(plain.stderr, /--ca is for an https:\/\/ address/);
  assert.equal(insecure.code, 1);
  assert.match(insecure.stderr, /does the server speak https:\/\/ there\?/);
  assert.equal(secure.code, 1);
  assert.match(secure.stderr, /does not speak TLS with us.*\n next: does the server speak http:\/\/ there\?/);
});

test('what speaks no TLS is closed without an answer, and counted', async () => {
  const before = await refused();
  for (const text of ['GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n', '\0\x01\x02\x03garbage']) {
    const socket = connectTcp(server.port, '127.0.0.1');
    socket.on('error', () => {});
    let answer = '';
    socket.on('data', (bytes) => (answer += bytes.toString('latin1')));
    socket.write(text);
    await new Promise((resolve) => socket.on('close', resolve));
    assert.doesNotMatch(answer, /HTTP/);
  }

  await until('both to be counted', async () => (await refused()) === before + 2);
});

test('a certificate that changes is shown to new clients, and a broken one is not', async (t) => {
  assert.equal(await shown(), 'first');
  const client = server.dialSecurely(['websocket']);
  t.after(() => client.close());
  await client.connected();

  server.use(authority.sign('second'));
  await until('the second certificate', async () => (await shown()) === 'second');
  writeFileSync(server.certFile, 'broken');
  await until('a line that it is broken', () =>
    server.logs().some((log) => log.level === 'WARN' && /cannot be used: the old one stays/.test(log.message)),
  );

  assert.equal(await shown(), 'second');
  assert.deepEqual(client.disconnects, []);
  await client.subscribe('contact:1');
  const [, notAfter] = /^switchboard_tls_certificate_not_after_seconds (\d+)/m.exec(await server.metrics()) ?? [];
  assert.ok(Number(notAfter) > Date.now() / 1_000, String(notAfter));
  assert.match(await server.metrics(), /^switchboard_certificate_reloads_total\{result="ok"\} 1$/m);
  server.use(authority.sign('third'));
  await until('the third certificate', async () => (await shown()) === 'third');
});

test('settings with a certificate that is none are refused before anything is served', async () => {
  const file = join(server.directory, 'broken.toml');
  const [cert, key] = [join(server.directory, 'none.pem'), server.keyFile].map((path) => JSON.stringify(path));
  const secret = `secret = "${'x'.repeat(32)}"`;
  writeFileSync(file, `[auth]\n${secret}\n[server]\nport = 0\ntls_cert_file = ${cert}\ntls_key_file = ${key}\n`);
  for (const command of [['config', 'check'], ['serve']]) {
    const { code, stderr } = await run([...command, '--config', file]);
    assert.notEqual(code, 0);
    assert.match(stderr, /cannot read .*none\.pem/);
  }
  writeFileSync(file, `[auth]\n${secret}\n[server]\ntls_cert_file = ${cert}\n`);
  const half = await run(['config', 'check', '--config', file]);
  assert.match(half.stderr, /server\.tls_key_file is missing/);
});


/** The name of the certificate that a new client is shown. */
async function shown() {
  const socket = connectTls({ port: server.port, host: '127.0.0.1', servername: 'localhost', ca: authority.cert });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return subject.CN;
}

async function refused() {
  return Number(/^switchboard_refused_total\{reason="tls_handshake"\} (\d+)$/m.exec(await server.metrics())?.[1]);
}
