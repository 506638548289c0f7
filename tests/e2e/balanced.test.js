// @ts-check
/** nginx and HAProxy in front of two nodes, as examples/cluster has them: a client may be anywhere, and go on anywhere. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { BALANCERS, startBalancer } from './harness/balancer.js';
import { dial, TRANSPORTS } from './harness/client.js';
import { assertCounted, assertOnLine, count, numbered } from './harness/numbered.js';
import { Redis } from './harness/redis.js';
import { startServer } from './harness/server.js';
import { KEYS } from './harness/settings.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until } from './harness/until.js';

const redis = await Redis.start();
after(() => redis.stop());
const nodes = await Promise.all([node(), node()]);
const [here, there] = nodes;
after(() => Promise.all(nodes.map((one) => one.stop())));

function node() {
  return startServer({
    settings: {
      server: { trusted_proxies: ['127.0.0.1'] },
      journal: { kind: 'redis', path: undefined },
      redis: { url: redis.url },
    },
  });
}

test('a poll on the wrong node gets the session unknown of the protocol', async () => {
  const query = 'EIO=4&transport=polling';
  const opened = await here.get(`/socket.io/?${query}`);
  const { sid } = JSON.parse(String(opened.body).slice(1));

  const wrong = await there.get(`/socket.io/?${query}&sid=${sid}`);

  assert.equal(wrong.status, 400);
  assert.deepEqual(wrong.body, { code: 1, message: 'Session ID unknown' });
});

for (const name of /** @type {Array<keyof typeof BALANCERS>} */ (Object.keys(BALANCERS))) {
  describe(`behind ${name}`, async () => {
    const { url, child } = await startBalancer(name, nodes.map((one) => one.url));
    after(async () => {
      child.signal('SIGTERM');
      await child.ended();
    });

    for (const [mode, transports] of Object.entries(TRANSPORTS)) {
      test(`a client over ${mode} stays, and hears what any node is told`, async (t) => {
        const client = await connect(url, transports);
        t.after(() => client.close());
        const room = `${name}-${transports.join('-')}`;
        await client.subscribe(`campaign:${room}`);
        if (transports.at(-1) === 'websocket') await client.speaksOver('websocket');

        await count(here, room, 1, 10);
        await count(there, room, 11, 20);

        assertCounted(await here.received(client), room, 1, 20);
        assert.deepEqual(client.disconnects, []);
      });
    }

    test('WebSockets are spread over the nodes', async (t) => {
      const before = await sessions();

      // A node that was killed a moment ago is left alone for another one.
      await until('clients at each node', async () => {
        const client = await connect(url, ['websocket']);
        t.after(() => client.close());
        return (await sessions()).every((now, index) => now > before[index]);
      });
    });

    test('a producer may speak to it', async () => {
      const answer = await fetch(`${url}/v1/events`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${KEYS.acme}` },
        body: JSON.stringify(numbered('through', 1)),
      });

      assert.equal(answer.status, 202, await answer.text());
    });

    for (const [mode, transports] of Object.entries(TRANSPORTS)) {
      test(`a client over ${mode} whose node is killed goes on at the other one`, async (t) => {
        const client = await connect(url, transports, { reconnection: true });
        t.after(() => client.close());
        const room = `${name}-killed-${transports.join('-')}`;
        await client.subscribe(`campaign:${room}`);
        if (transports.at(-1) === 'websocket') await client.speaksOver('websocket');
        const [its, other] = nodes.toSorted((one) => (isAt(one, client) ? -1 : 1));
        await count(its, room, 1, 5);
        const before = await its.received(client);
        const { id } = client.socket;

        await its.kill();
        t.after(() => its.child?.exit === undefined || its.start());
        await count(other, room, 6, 10);
        await until('a client that is back', () => client.disconnects.length > 0 && client.socket.connected, {
          state: () => child.tail(),
        });

        assert.equal(client.socket.recovered, true);
        assert.equal(client.socket.id, id);
        const line = [...before, ...(await other.received(client))];
        assertCounted(line, room, 1, 10);
        assertOnLine(line);
        client.close();
        await its.start();
      });
    }
  });
}

/**
 * @param {string} url
 * @param {readonly string[]} transports
 * @param {{ reconnection?: boolean }} [options]
 */
async function connect(url, transports, options = {}) {
  const token = signHs256(claims({ user: 'ana', tenant: 'acme', rooms: ['*'] }));
  // The balancer's cookie is kept, as a browser does on the same origin.
  const client = dial(url, { token, user: 'ana', tenant: 'acme', transports, io: { withCredentials: true }, ...options });
  await client.connected();
  return client;
}

/** How many clients each node has. */
function sessions() {
  const of = (/** @type {import('./harness/server.js').Server} */ one) => one.metrics().then((text) => gauge(text, 'switchboard_sessions'));
  return Promise.all(nodes.map(of));
}

/**
 * @param {string} text
 * @param {string} name
 */
function gauge(text, name) {
  const line = text.split('\n').find((line) => line.startsWith(`${name} `));
  return Number(line?.split(' ')[1]);
}

/**
 * Whether a client is at a node, by the log.
 *
 * @param {import('./harness/server.js').Server} server
 * @param {import('./harness/client.js').Client} client
 */
function isAt(server, client) {
  return server.logs().some((log) => log.message === 'connected' && log.socket === client.socket.id);
}
