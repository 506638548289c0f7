// @ts-check
/** nginx and Caddy in front, as examples/proxy has them: one origin for the CRM's pages and for Switchboard. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, describe, test } from 'node:test';

import { dial, TRANSPORTS } from './harness/client.js';
import { Crm, PROXIES, startFront } from './harness/front.js';
import { startServer } from './harness/server.js';
import { KEYS, WEBHOOK } from './harness/settings.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until } from './harness/until.js';
import { deliver, fixtures } from './harness/webhook.js';

const webhook = { endpoint: 'acme', tenant: 'acme', app_secret: WEBHOOK.appSecret, verify_token: WEBHOOK.verifyToken };
const server = await startServer({
  settings: { server: { trusted_proxies: ['127.0.0.1'] }, webhooks: { meta: [webhook] } },
});
const crm = new Crm();
const behind = { switchboard: Number(new URL(server.url).port), crm: await crm.start() };
after(async () => {
  await server.stop();
  await crm.stop();
});

for (const name of /** @type {Array<keyof typeof PROXIES>} */ (Object.keys(PROXIES))) {
  describe(`behind ${name}`, async () => {
    const { url, child } = await startFront(name, behind);
    after(async () => {
      child.signal('SIGTERM');
      await child.ended();
    });

    for (const [mode, transports] of Object.entries(TRANSPORTS)) {
      test(`a page of the CRM's own origin connects over ${mode}, and hears what is published`, async (t) => {
        const client = connect(url, transports, url);
        t.after(() => client.close());
        await client.connected();
        await client.subscribe('contact:42');
        if (transports.at(-1) === 'websocket') await client.speaksOver('websocket');

        const answer = await publish(url, { event: 'contact:deleted', data: { contactId: '42' } });

        assert.equal(answer.status, 202, await answer.text());
        await client.next('contact:deleted');
      });
    }

    test('a page of another origin does not connect', async (t) => {
      for (const transports of [TRANSPORTS['websocket only'], TRANSPORTS['polling only']]) {
        const client = connect(url, transports, 'https://evil.example');
        t.after(() => client.close());

        await client.refusal();
      }
    });

    test('everything else is the CRM\'s, with the host that the browser asked for', async () => {
      for (const path of ['/', '/inbox/42', '/socket.iox', '/metrics', '/admin', '/v1', '/readyz']) {
        const answer = await fetch(url + path);

        assert.deepEqual(await answer.json(), { crm: true, path, host: new URL(url).host });
      }
    });

    test('a body as large as producers may send passes', async () => {
      const reason = 'x'.repeat(3_000_000);

      const answer = await publish(url, { event: 'contact:deleted', data: { contactId: '43', reason } });

      assert.equal(answer.status, 202, await answer.text());
    });

    test('a client has its own address, whatever it says of it', async () => {
      const refusals = () =>
        server.logs().filter((log) => log.message === 'authentication failed' && /127\.0\.0\.2/.test(String(log.client))).length;
      const before = refusals();
      const liar = { 'X-Forwarded-For': '203.0.113.7' };
      const opened = await ask(`${url}/socket.io/?EIO=4&transport=polling`, 'GET', liar);
      const { sid } = JSON.parse(opened.slice(1));

      await ask(`${url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, 'POST', liar, '40{"token":"nonsense"}');

      await until('a refusal in the log', () => refusals() === before + 1);
      assert.ok(!server.lines().some((line) => line.includes('203.0.113')));
    });

    test('a webhook passes byte for byte, so that its signature is right', async () => {
      const [{ bytes }] = fixtures();

      const answer = await deliver(`${url}/webhooks/meta/acme`, bytes);

      assert.equal(answer.status, 200, await answer.text());
      const forged = await deliver(`${url}/webhooks/meta/acme`, bytes, { appSecret: 'another' });
      assert.equal(forged.status, 401);
    });
  });
}

/**
 * @param {string} url
 * @param {readonly string[]} transports
 * @param {string} origin
 */
function connect(url, transports, origin) {
  const token = signHs256(claims({ user: 'ana', tenant: 'acme', rooms: ['*'] }));
  return dial(url, { token, user: 'ana', tenant: 'acme', transports, extraHeaders: { Origin: origin } });
}

/**
 * A request from another address of this machine.
 *
 * @param {string} url
 * @param {string} method
 * @param {Record<string, string>} headers
 * @param {string} [body]
 * @returns {Promise<string>}
 */
function ask(url, method, headers, body) {
  return new Promise((resolve, reject) => {
    const asking = request(url, { method, headers, localAddress: '127.0.0.2' }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => (text += part));
      answer.on('end', () => resolve(text));
    });
    asking.on('error', reject).end(body);
  });
}

/**
 * @param {string} url
 * @param {object} draft
 */
function publish(url, draft) {
  return fetch(`${url}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${KEYS.acme}` },
    body: JSON.stringify(draft),
  });
}
