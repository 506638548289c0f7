// @ts-check
/** Tokens whose keys must be asked for, and several who sign them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { Authority } from './harness/certificates.js';
import { TRANSPORTS } from './harness/client.js';
import { KeyServer, Signer } from './harness/key-server.js';
import { run, temporaryDirectory } from './harness/process.js';
import { startServer } from './harness/server.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until } from './harness/until.js';

const ISSUER = 'https://crm.example.com';
const person = { ...claims({ tenant: 'acme', rooms: ['*'] }), iss: ISSUER };

/** @type {Array<{ stop: () => Promise<unknown> }>} */
const running = [];
after(async () => {
  for (const one of running.reverse()) await one.stop();
});

test('each algorithm of a key server lets a client in, and its keys are asked for once', async () => {
  const algorithms = /** @type {const} */ (['RS256', 'ES256', 'ES384', 'EdDSA']);
  const signers = algorithms.map((algorithm) => new Signer(`of ${algorithm}`, algorithm));
  const keys = await keyServer(...signers);
  const server = await serverOf(keys, { algorithms });

  for (const signer of signers) await works(server, signer.sign(person));

  assert.equal(keys.asked, 1);
  const metrics = await server.metrics();
  assert.match(metrics, /^switchboard_jwks_fetches_total\{result="ok"\} 1$/m);
  assert.match(metrics, /^switchboard_jwks_keys\{issuer="https:\/\/crm.example.com"\} 4$/m);
  assert.match(metrics, /^switchboard_jwks_age_seconds\{issuer="https:\/\/crm.example.com"\} [0-9.e-]+$/m);
});

test('a key that was rotated in is found, and one that was taken back is refused', async () => {
  const [old, fresh] = [new Signer('1'), new Signer('2')];
  const keys = await keyServer(old);
  const server = await serverOf(keys, { jwks_pause: '200ms' });
  await works(server, old.sign(person));

  keys.publish(fresh);
  // Whoever comes a moment too soon comes back by itself.
  const client = server.dial({ token: fresh.sign(person), reconnection: true });
  await client.connected();

  await refused(server, old.sign(person));
});

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  test(`a client waits while nobody answers for the key server and comes in after it, over ${mode}`, async () => {
    const signer = new Signer('1');
    const keys = await keyServer(signer);
    await keys.stop();
    const server = await serverOf(keys, { jwks_pause: '100ms' });

    const client = server.dial({ token: signer.sign(person), reconnection: true, transports });
    await until('a log line that the client was put off', () =>
      server.logs().some((log) => log.message === 'authentication put off' && log.code === 'unavailable'),
    );
    assert.equal(client.socket.connected, false);
    assert.equal(client.refused?.data, undefined, 'no CONNECT_ERROR, which the stock client would give up after');
    assert.equal((await server.get('/readyz')).status, 200);
    await keys.start();
    await client.connected();

    assert.match(await server.metrics(), /^switchboard_authentication_failures_total\{code="unavailable"\} [1-9]/m);
    client.close();
  });
}

test('known keys go on while the key server is down', async () => {
  const signer = new Signer('1');
  const keys = await keyServer(signer);
  const server = await serverOf(keys, { jwks_refresh: '100ms', jwks_pause: '100ms' });
  await works(server, signer.sign(person));

  keys.fail(503);
  await until('a failed question', async () => fetches(await server.metrics(), 'status') > 0);

  await works(server, signer.sign(person));
});

test('a key server that hangs delays whoever needs it and nobody else', async () => {
  const [known, unknown] = [new Signer('1'), new Signer('2')];
  const keys = await keyServer(known);
  const server = await serverOf(keys, { jwks_pause: '100ms' });
  await works(server, known.sign(person));
  const asked = keys.asked;

  keys.hang();
  const waiting = server.dial({ token: unknown.sign(person), reconnection: true });
  await until('a question', () => keys.asked > asked);

  await works(server, known.sign(person));
  assert.equal(waiting.socket.connected, false);
  waiting.close();
});

test('a redirect is not followed', async () => {
  const [signer, attacker] = [new Signer('1'), new Signer('2')];
  const [keys, elsewhere] = [await keyServer(signer), await keyServer(attacker)];
  keys.redirect(elsewhere.url);
  const server = await serverOf(keys);

  const client = server.dial({ token: attacker.sign(person) });
  await until('a redirect', async () => fetches(await server.metrics(), 'redirect') > 0);

  assert.equal(elsewhere.asked, 0);
  assert.equal(client.socket.connected, false);
});

test('a flood of made-up keys does not reach the key server', async () => {
  const [signer, stranger] = [new Signer('1'), new Signer('x')];
  const keys = await keyServer(signer);
  const server = await serverOf(keys, { jwks_pause: '1h' });
  await works(server, signer.sign(person));

  for (let number = 0; number < 50; number += 1) {
    server.dial({ token: stranger.sign(person, { kid: `../${number}`, jku: keys.url }) });
  }
  await until('all to be put off', () => server.logs().filter((log) => log.message === 'authentication put off').length >= 50);

  assert.equal(keys.asked, 1);
});

test('the keys of one issuer open no door of another', async () => {
  const [crm, sso] = [new Signer('1'), new Signer('1')];
  const [crmKeys, ssoKeys] = [await keyServer(crm), await keyServer(sso)];
  const other = 'https://sso.example.com';
  const server = await startServer({
    settings: {
      auth: {
        algorithm: 'HS256',
        issuers: [
          { issuer: ISSUER, algorithm: 'ES256', jwks_url: crmKeys.url },
          { issuer: other, algorithm: 'ES256', jwks_url: ssoKeys.url, tenant: 'globex', audience: ['switchboard'] },
        ],
      },
    },
  });
  running.push(server);
  const guest = { ...person, iss: other, tenantId: 'globex', aud: 'switchboard' };

  await works(server, crm.sign(person));
  await works(server, sso.sign(guest));
  await works(server, signHs256(claims({ tenant: 'acme', rooms: ['*'] })));
  await refused(server, sso.sign(person));
  await refused(server, crm.sign(guest));
  await refused(server, sso.sign({ ...guest, tenantId: 'acme' }));
  await refused(server, sso.sign({ ...guest, aud: 'billing' }));
  await refused(server, signHs256(person));
});

test('an https key server must be trusted', async () => {
  const authority = new Authority();
  const signer = new Signer('1');
  const keys = await keyServerOf(new KeyServer(authority.sign()), signer);

  const trusting = await serverOf(keys, {}, { SSL_CERT_FILE: authority.certFile });
  await works(trusting, signer.sign(person));

  const asked = keys.asked;
  const wary = await serverOf(keys);
  wary.dial({ token: signer.sign(person) });
  await until('a failed question', async () => fetches(await wary.metrics(), 'unreachable') > 0);
  assert.equal(keys.asked, asked);
});

test('a set of keys can be a file, and `switchboard token` says that it cannot sign for it', async () => {
  const signer = new Signer('1', 'EdDSA');
  const file = join(temporaryDirectory(), 'jwks.json');
  writeFileSync(file, JSON.stringify({ keys: [signer.jwk, { kty: 'oct', k: 'c2VjcmV0' }] }));
  const server = await startServer({
    settings: { auth: { algorithm: 'EdDSA', secret: undefined, jwks_file: file, issuer: ISSUER } },
  });
  running.push(server);
  await works(server, signer.sign(person));
  await refused(server, signer.sign({ ...person, iss: undefined }));

  const config = join(server.directory, 'switchboard.toml');
  const signed = await run(['token', '--user', '7', '--tenant', 'acme', '--config', config]);

  assert.notEqual(signed.code, 0);
  assert.match(signed.stderr, /EdDSA with a set of the signer's public keys: only the holder of the private key can sign/);
});

/** @param {...Signer} signers */
function keyServer(...signers) {
  return keyServerOf(new KeyServer(), ...signers);
}

/**
 * @param {KeyServer} keys
 * @param {...Signer} signers
 */
async function keyServerOf(keys, ...signers) {
  keys.publish(...signers);
  await keys.start();
  running.push({ stop: async () => keys.server.listening && keys.stop() });
  return keys;
}

/**
 * A server whose only issuer has its keys there.
 *
 * @param {KeyServer} keys
 * @param {Record<string, unknown>} [more]
 * @param {Record<string, string>} [env]
 */
async function serverOf(keys, more = {}, env) {
  const algorithm = more.algorithms === undefined ? 'ES256' : undefined;
  const auth = { algorithm, secret: undefined, issuer: ISSUER, jwks_url: keys.url, ...more };
  const server = await startServer({ settings: { auth }, env });
  running.push(server);
  return server;
}

/**
 * @param {import('./harness/server.js').Server} server
 * @param {string} token
 */
async function works(server, token) {
  const client = await server.connect({ token });
  const ack = await client.request('subscribe:contact', '1');
  assert.equal(ack.ok, true, JSON.stringify(ack));
  client.close();
}

/**
 * @param {import('./harness/server.js').Server} server
 * @param {string} token
 */
async function refused(server, token) {
  const client = server.dial({ token, reconnection: true });
  await until('a refusal', () => client.refused?.data?.code);
  assert.equal(client.refused?.data.code, 'unauthorized');
  client.close();
}

/**
 * @param {string} metrics
 * @param {string} result
 */
function fetches(metrics, result) {
  return Number(new RegExp(`^switchboard_jwks_fetches_total\\{result="${result}"\\} (\\d+)$`, 'm').exec(metrics)?.[1]);
}
