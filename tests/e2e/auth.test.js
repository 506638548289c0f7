// @ts-check
/** Who may connect at all. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { TRANSPORTS } from './harness/client.js';
import { temporaryDirectory } from './harness/process.js';
import { keepTokenSecret } from './harness/secrets.js';
import { startServer } from './harness/server.js';
import { KEYS, sha256 } from './harness/settings.js';
import { claims, rsaKey, signHs256, signNone, signRs256 } from './harness/tokens.js';
import { until } from './harness/until.js';
import { openWebSocket, textFrame } from './harness/websocket.js';

const hs256 = await startServer();
const rsa = rsaKey();
const pemFile = join(temporaryDirectory(), 'jwt.pem');
writeFileSync(pemFile, rsa.pem);
const rs256 = await startServer({
  settings: { auth: { algorithm: 'RS256', secret: undefined, public_key_file: pemFile } },
});
// Producers of other tenants than the single one are refused at the start.
const platform = { name: 'platform', key_sha256: sha256(KEYS['*']), tenant: '*', scopes: ['publish', 'read'] };
const single = await startServer({ settings: { auth: { single_tenant: true }, producers: [platform] } });
after(() => Promise.all([hs256, rs256, single].map((server) => server.stop())));

const person = claims({ tenant: 'acme', rooms: ['*'] });
const PAST = Math.floor(Date.now() / 1000) - 60;

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  test(`a token in auth.token is taken over ${mode}`, async () => {
    const client = await hs256.connect({ transports, rooms: ['*'] });

    await works(client);
  });

  test(`a token in the Authorization header is taken over ${mode}`, async () => {
    const token = signHs256(person);
    const extraHeaders = { Authorization: `Bearer ${token}` };

    const client = await hs256.connect({ transports, auth: {}, extraHeaders });

    await works(client);
  });

  describe(`over ${mode}`, () => {
    refuses('no token', 'unauthorized', hs256, { auth: {} });
    refuses('a token that is no text', 'unauthorized', hs256, { auth: { token: { a: 1 } } });
    refuses('a token that is no JWT', 'unauthorized', hs256, { auth: { token: kept('nonsense.nonsense.nonsense') } });
    refuses('a token whose time is over', 'token_expired', hs256, token(signHs256({ ...person, exp: PAST })));
    refuses('a token that never ends', 'unauthorized', hs256, token(signHs256({ ...person, exp: undefined })));
    refuses('a token that is not valid yet', 'unauthorized', hs256, token(signHs256({ ...person, nbf: PAST + 3600 })));
    refuses('a token that somebody else signed', 'unauthorized', hs256, token(signHs256(person, 'x'.repeat(32))));
    refuses(
      'an expired token that somebody else signed',
      'unauthorized',
      hs256,
      token(signHs256({ ...person, exp: PAST }, 'x'.repeat(32))),
    );
    refuses('claims that were changed after signing', 'unauthorized', hs256, token(tampered()));
    refuses('alg none without a signature', 'unauthorized', hs256, token(signNone(person)));
    refuses('alg none with a signature', 'unauthorized', hs256, token(signNone(person, 'c2lnbmF0dXJl')));
    refuses('alg none where RS256 is set', 'unauthorized', rs256, token(signNone(person)));
    refuses('HS256 signed with the public key', 'unauthorized', rs256, token(signHs256(person, rsa.pem)));
    refuses(
      'HS256 signed with the public key without its last newline',
      'unauthorized',
      rs256,
      token(signHs256(person, rsa.pem.trim())),
    );
    refuses('RS256 where HS256 is set', 'unauthorized', hs256, token(signRs256(person, rsa.privateKey)));
    refuses('RS256 of another key', 'unauthorized', rs256, token(signRs256(person, rsaKey().privateKey)));
    refuses('a token without a tenant', 'unauthorized', hs256, token(signHs256(claims({}))));
    refuses('a token without a user', 'unauthorized', hs256, token(signHs256({ ...person, userId: undefined })));
    refuses('a tenant that stands for all', 'unauthorized', hs256, token(signHs256({ ...person, tenantId: '*' })));

    /**
     * @param {string} what
     * @param {string} code
     * @param {import('./harness/server.js').Server} server
     * @param {import('./harness/client.js').ConnectOptions} options
     */
    function refuses(what, code, server, options) {
      test(`${what} is refused as ${code}`, async (t) => {
        const client = server.dial({ ...options, transports });
        t.after(() => client.close());

        const error = await client.refusal();

        assert.equal(error.data?.code, code, `${error.message} ${JSON.stringify(error.data)}`);
        assert.notEqual(error.message, '');
        assert.equal(client.socket.connected, false);
        assert.equal(client.socket.active, false, 'the stock client does not try again');
        await until('nobody to be connected', async () => (await server.stats()).connected === 0);
      });
    }
  });
}

test('RS256 with a public key in a PEM file is taken', async () => {
  const client = await rs256.connect({ token: signRs256(person, rsa.privateKey) });

  await works(client);
});

test('a user in sub, in id, or as a number is the user of the room', async () => {
  for (const [user, over] of /** @type {Array<[string, object]>} */ ([
    ['7001', { userId: 7001 }],
    ['sub-user', { userId: undefined, sub: 'sub-user' }],
    ['7002', { userId: undefined, id: 7002 }],
  ])) {
    const token = signHs256({ ...person, ...over });
    const client = await hs256.connect({ user, token });

    await hs256.assertNothing(client);
    client.close();
  }
});

test('with a single tenant a token needs to name none', async () => {
  const token = signHs256(claims({ rooms: ['*'] }));
  const client = await single.connect({ token });

  await works(client);
});

test('with a single tenant a token that names another is refused', async (t) => {
  const other = single.dial(token(signHs256({ ...person, tenantId: 'globex' })));
  t.after(() => other.close());

  assert.equal((await other.refusal()).data?.code, 'unauthorized');
  const same = await single.connect({ token: signHs256({ ...person, tenantId: 'default' }), tenant: 'default' });
  await works(same);
});

test('a token whose end is written in milliseconds is refused, and the log says so', async (t) => {
  const client = hs256.dial(token(signHs256({ ...person, exp: Date.now() + 3_600_000 })));
  t.after(() => client.close());

  assert.equal((await client.refusal()).data?.code, 'unauthorized');
  await until('the reason in the log', () =>
    hs256.logs().some((log) => log.message === 'authentication failed' && /milliseconds/.test(String(log.reason))),
  );
});

test('whoever is refused has joined nothing', async (t) => {
  const witness = await hs256.connect({ user: 'ana', token: signHs256(person) });
  const socket = await openWebSocket(hs256.url);
  t.after(() => [witness, socket].forEach((one) => one.close()));
  socket.write(textFrame(`40${JSON.stringify({ token: 'nonsense' })}`));
  await socket.says('44{');
  for (const room of ['user:ana', 'team:acme']) {
    const notification = { type: 'info', title: room, message: 'm' };
    await hs256.published({ event: 'system:notification', data: { notification }, rooms: [room] });
    // An answer means durable, not delivered: who joined before the delivery would rightly hear it.
    await witness.next('system:notification', (payload) => payload.notification.title === room);
  }

  socket.write(textFrame(`40${JSON.stringify({ token: signHs256(person) })}`));
  await socket.says('40{"sid"');

  assert.ok(!socket.received.includes('42['), socket.received.toString());
});

test('a refusal leaves the log with an error that says why, and without the token', async () => {
  const client = hs256.dial(token(signHs256(person, 'y'.repeat(32))));
  await client.refusal();

  await until('an error in the log', () =>
    hs256
      .logs()
      .some((log) => log.level === 'ERROR' && log.code === 'unauthorized' && /signature/.test(String(log.reason))),
  );
});

/** A token whose claims say more than was signed. */
function tampered() {
  const [header, , signature] = signHs256(person).split('.');
  const changed = Buffer.from(JSON.stringify({ ...person, tenantId: 'globex' })).toString('base64url');
  return kept(`${header}.${changed}.${signature}`);
}

/** @param {string} text */
function kept(text) {
  keepTokenSecret(text);
  return text;
}

/** @param {string} text */
function token(text) {
  return { token: text };
}

/**
 * Shows that a client is connected and may subscribe, and lets it go.
 *
 * @param {import('./harness/client.js').Client} client
 */
async function works(client) {
  const ack = await client.request('subscribe:contact', '1');
  assert.equal(ack.ok, true, JSON.stringify(ack));
  client.close();
}
