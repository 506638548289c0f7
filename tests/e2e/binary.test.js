// @ts-check
/** Binary values of events: attachments for clients, kept and replayed like anything else. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { TRANSPORTS } from './harness/client.js';
import { back, lost, started, through } from './harness/lost.js';
import { Proxy } from './harness/proxy.js';
import { startServer } from './harness/server.js';
import { until } from './harness/until.js';

const server = await startServer();
after(() => server.stop());

const VOICE = Buffer.from([0, 1, 2, 254, 255]);
const LONGEST = Buffer.alloc(1 << 20, 'x');

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  test(`over ${mode}, binary values arrive as bytes, live and replayed`, async () => {
    const contact = `media-${transports.join('-')}`;
    const client = await server.connect({ rooms: ['contact:*'], transports });
    const ack = await client.request('subscribe:contact', contact);
    const late = await server.connect({ rooms: ['contact:*'], transports });

    await server.published(updated(contact, { voice: binary(VOICE), all: [1, binary(LONGEST)] }));

    const live = await client.next('contact:updated');
    await late.request('subscribe:contact', contact, { after: ack.position });
    const replayed = await late.next('contact:updated');
    for (const { payload } of [live, replayed]) {
      assert.ok(VOICE.equals(payload.updates.voice));
      assert.equal(payload.updates.all[0], 1);
      assert.ok(LONGEST.equals(payload.updates.all[1]));
    }
    client.close();
    late.close();
  });
}

test('a client that was away gets binary values when it comes back', async (t) => {
  const proxy = await Proxy.start(server.url);
  t.after(() => proxy.close());
  const client = await through(proxy, { rooms: ['contact:*'], transports: ['websocket'] });
  t.after(() => client.close());
  await client.subscribe('contact:away');

  await lost(client, () => proxy.cut());
  await server.published(updated('away', { voice: binary(VOICE) }));
  const missed = await back(client);

  assert.equal(client.socket.recovered, true);
  assert.equal(missed.length, 1);
  assert.ok(VOICE.equals(missed[0].payload.updates.voice));
});

test('a client that falls behind gets every binary event whole, in order and once', async (t) => {
  const TOTAL = 300;
  const own = await started(t, { engine: { outbox_packets_max: 8 } });
  const client = await own.connect({ rooms: ['contact:*'], transports: ['websocket'] });
  await client.subscribe('contact:burst');
  // More than the kernel keeps for a client that does not read.
  const bytes = (/** @type {number} */ n) => [Buffer.alloc(100_000, n % 251), Buffer.from(String(n))];
  const fell = async () => {
    const metrics = await own.metrics();
    return Number(/^switchboard_sessions_fell_behind_total (\d+)$/m.exec(metrics)?.[1]) > 0;
  };
  const drafts = Array.from({ length: TOTAL }, (_, n) =>
    updated('burst', { n, parts: bytes(n).map((part) => binary(part)) }),
  );

  /** @type {any} */
  const transport = client.socket.io.engine.transport;
  transport.ws.pause();
  for (let from = 0; from < TOTAL; from += 5) {
    assert.equal((await own.publish(drafts.slice(from, from + 5))).status, 202);
  }
  await until('being behind', fell);
  transport.ws.resume();
  /** @type {import('./harness/client.js').Received[]} */
  const received = [];
  await client.next('contact:updated', ({ updates }) => updates.n === TOTAL - 1);
  received.push(...client.take());

  assert.deepEqual(
    received.map(({ payload }) => payload.updates.n),
    drafts.map((_, n) => n),
  );
  for (const { payload } of received) {
    const { n, parts } = payload.updates;
    assert.ok(bytes(n).every((part, index) => part.equals(parts[index])), `the parts of ${n}`);
  }
});

test('what is no binary value is refused with its path, and nothing of it is appended', async () => {
  const client = await server.connect({ rooms: ['contact:*'] });
  await client.subscribe('contact:broken');
  /** @type {Array<[any, string]>} */
  const cases = [
    [{ voice: { $binary: 'no base64' } }, 'data.updates.voice'],
    [{ voice: { $binary: 'AQID', more: 1 } }, 'data.updates.voice'],
    [{ voice: { $binary: 7 } }, 'data.updates.voice'],
    [{ all: Array(11).fill(binary(VOICE)) }, 'data.updates.all[10]'],
    [{ all: [0, binary(Buffer.alloc((1 << 20) + 1))] }, 'data.updates.all[1]'],
    [{ voice: binary(VOICE), trap: { _placeholder: true, num: 9 } }, 'data.updates.trap'],
  ];
  for (const [updates, field] of cases) {
    const { status, body } = await server.publish(updated('broken', updates));

    assert.equal(status, 422, JSON.stringify(body));
    assert.equal(body.code, 'invalid_binary');
    assert.equal(body.field, field);
  }
  await server.assertNothing(client);
  client.close();
});

/** @param {Buffer} bytes */
function binary(bytes) {
  return { $binary: bytes.toString('base64') };
}

/**
 * @param {string} contactId
 * @param {Record<string, unknown>} updates
 */
function updated(contactId, updates) {
  return { event: 'contact:updated', data: { contactId, updates } };
}
