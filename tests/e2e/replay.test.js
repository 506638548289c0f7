// @ts-check
/** What a room said before, to whoever asks for it with the subscription. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { TRANSPORTS } from './harness/client.js';
import { draft, LOAD_ROOM } from './harness/load.js';
import { startServer } from './harness/server.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until, within } from './harness/until.js';
import { RawConnection, textFrame, upgradeRequest } from './harness/websocket.js';

const TOTAL = 900;

const server = await startServer({ settings: { log: { level: 'info' } } });
after(() => server.stop());

const first = await server.published({ event: 'campaign:paused', data: { campaignId: 'before' } });
for (let producer = 0; producer < 3; producer += 1) {
  const drafts = Array.from({ length: TOTAL / 3 }, (_, n) => draft('history', producer, n));
  assert.equal((await server.publish(drafts)).status, 202);
}

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  test(`over ${mode}, everybody gets all of a room's history, in order and before the acknowledgement`, async () => {
    await Promise.all(
      Array.from({ length: 24 }, async (_, n) => {
        const client = await server.connect({ user: `reader-${n}`, rooms: [LOAD_ROOM], transports });

        // At once, that is in the middle of the upgrade.
        const ack = await client.request('subscribe:campaign', 'load', { after: first.position });

        const offsets = client.take().map(({ position }) => offsetOf(position.position));
        assert.equal(ack.ok, true, JSON.stringify(ack));
        assert.deepEqual(
          offsets,
          Array.from({ length: TOTAL }, (_, index) => offsetOf(first.position) + 1 + index),
        );
        client.close();
      }),
    );
  });
}

test('history starts after the position that was asked for', async () => {
  const client = await server.connect({ rooms: [LOAD_ROOM] });
  const middle = first.position.replace(/\d+$/, String(offsetOf(first.position) + TOTAL - 10));

  await client.request('subscribe:campaign', 'load', { after: middle });

  const got = client.take();
  assert.equal(got.length, 10);
  for (const { position } of got)
    assert.equal(position.replay, true, 'a replay does not move the offset of the client');
});

test('history and what is live make one line without a gap or a double', async () => {
  const client = await server.connect({ rooms: ['campaign:*'] });
  const live = (/** @type {number} */ n) => ({
    event: 'campaign:progress',
    data: { campaignId: 'both', progress: { sent: n } },
  });
  const start = await server.published(live(0));
  let published = 0;
  const publishing = (async () => {
    while (published < 300) {
      await server.published(live(published + 1));
      published += 1;
    }
  })();
  await until('some history', () => published > 100);

  await client.request('subscribe:campaign', 'both', { after: start.position });
  await publishing;

  const numbers = (await server.received(client)).map(({ payload }) => payload.progress.sent);
  assert.deepEqual(
    numbers,
    Array.from({ length: 300 }, (_, n) => n + 1),
  );
});

test('a client that has paused polling for its upgrade gets its history on the WebSocket', async (t) => {
  const polling = `${server.url}/socket.io/?EIO=4&transport=polling`;
  const open = await (await fetch(polling)).text();
  const { sid } = JSON.parse(open.slice(1));
  const session = `${polling}&sid=${sid}`;
  const post = (/** @type {string} */ body) => fetch(session, { method: 'POST', body });
  await post(`40${JSON.stringify({ token: signHs256(claims({ tenant: 'acme', rooms: [LOAD_ROOM] })) })}`);
  assert.match(await (await fetch(session)).text(), /^40\{"sid"/);
  const socket = await RawConnection.open(server.url);
  t.after(() => socket.close());
  socket.write(upgradeRequest(server.url, {}, sid));
  await socket.says('101');
  socket.write(textFrame('2probe'));
  await socket.says('3probe');

  // From here on the stock client sends no GET. It confirms once its last POST is answered.
  const options = JSON.stringify({ after: first.position });
  const posted = await within('the answer of the POST', post(`420["subscribe:campaign","load",${options}]`));
  assert.equal(posted.status, 200);
  socket.write(textFrame('5'));
  await socket.says('430[{"ok":true');

  const events = socket.received.toString('latin1').split('42["campaign:progress"').length - 1;
  assert.equal(events, TOTAL);
});

/** @param {string} position */
function offsetOf(position) {
  return Number(position.split('-')[1]);
}
