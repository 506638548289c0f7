// @ts-check
/** What one bad client, a foreign page or a restart does to everybody else: nothing. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { TRANSPORTS } from './harness/client.js';
import { startServer } from './harness/server.js';
import { KEYS } from './harness/settings.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until } from './harness/until.js';
import { openWebSocket, RawConnection, textFrame, upgradeRequest } from './harness/websocket.js';

const ALLOWED = 'https://crm.example.com';
const server = await startServer({
  settings: { server: { cors_origins: [ALLOWED] }, engine: { payload_max: '100KB' } },
});
after(() => server.stop());

const activity = {
  event: 'team:activity',
  data: { activity: { userId: 'u', userName: 'U', action: 'a', resource: 'r' } },
};

describe('garbage on a WebSocket closes that connection, and nobody else notices', () => {
  const connectPacket = () => textFrame(`40${JSON.stringify({ token: signHs256(claims({ tenant: 'acme' })) })}`);

  closes('a frame that is not masked', Buffer.from([0x81, 0x02, 0x34, 0x30]));
  closes('a reserved opcode', Buffer.from([0x83, 0x80, 1, 2, 3, 4]));
  closes('reserved bits', Buffer.from([0xf1, 0x80, 1, 2, 3, 4]));
  closes('a control frame in fragments', Buffer.from([0x09, 0x80, 1, 2, 3, 4]));
  closes('a control frame that is too long', Buffer.from([0x89, 0xfe, 0, 126, 1, 2, 3, 4]));
  closes('a continuation of nothing', Buffer.from([0x80, 0x80, 1, 2, 3, 4]));
  closes(
    'a length of eight exabytes',
    Buffer.from([0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
  );
  closes('a message beyond the limit', Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x90, 0, 1, 2, 3, 4]));
  closes('text that is not UTF-8', Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0xff]));
  closes('text that is no packet', textFrame('hello'));
  closes('an empty message', textFrame(''));
  closes('a packet of an unknown type', textFrame('49'));
  closes('an event before CONNECT', textFrame('42["ping"]'));
  closes('an event that is no JSON', Buffer.concat([connectPacket(), textFrame('42["ping"')]));
  closes('an event without a name', Buffer.concat([connectPacket(), textFrame('42[{"toString":"foo"}]')]));
  closes('a reserved event', Buffer.concat([connectPacket(), textFrame('42["disconnect","x"]')]));
  closes('more attachments than anybody sends', Buffer.concat([connectPacket(), textFrame('4599999999-["x"]')]));
  closes(
    'text where an attachment is due',
    Buffer.concat([connectPacket(), textFrame('451-["x",{"_placeholder":true,"num":0}]'), textFrame('42["ping"]')]),
  );
  closes('bytes of no meaning', randomBytes(512), { mayEnd: true });

  /**
   * @param {string} what
   * @param {Buffer} bytes
   * @param {{ mayEnd?: boolean }} [options] `mayEnd`: the sender ends its side, since chance may have made half a frame
   */
  function closes(what, bytes, { mayEnd = false } = {}) {
    test(what, async (t) => {
      const other = await server.connect({ user: 'other' });
      t.after(() => other.close());
      const bad = await openWebSocket(server.url);
      t.after(() => bad.close());

      bad.write(bytes);
      if (mayEnd) bad.socket.end();
      await bad.ends();

      await server.published(activity);
      assert.equal((await server.received(other)).length, 1);
      assert.deepEqual(other.disconnects, []);
    });
  }
});

test('bytes that are no frame, sent along with the upgrade request, close that connection', async (t) => {
  const bad = await RawConnection.open(server.url);
  t.after(() => bad.close());

  bad.write(upgradeRequest(server.url) + 'test');

  await bad.ends();
  assert.equal((await server.get('/healthz')).status, 200);
});

test('a hundred clients that break off in the middle leave nobody behind', async () => {
  const token = JSON.stringify({ token: signHs256(claims({ tenant: 'acme', user: 'breaks-off' })) });
  const sockets = await Promise.all(Array.from({ length: 100 }, () => openWebSocket(server.url)));
  for (const [index, socket] of sockets.entries()) {
    socket.write(textFrame(`40${token}`));
    if (index % 2 === 0) socket.write(Buffer.from([0x81, 0xfe, 0x01]));
  }
  await Promise.all(sockets.map((socket) => socket.says('40{"sid"')));
  assert.ok((await server.stats()).connected >= 100);

  for (const socket of sockets) socket.socket.resetAndDestroy();

  await until('nobody connected', async () => (await server.stats()).connected === 0);
});

test('a polling body beyond the limit is a 413 and nobody else notices', async (t) => {
  const other = await server.connect({ transports: ['polling'] });
  t.after(() => other.close());
  const url = `${server.url}/socket.io/?EIO=4&transport=polling`;
  const open = await (await fetch(url)).text();
  const { sid, maxPayload } = JSON.parse(open.slice(1));
  assert.equal(maxPayload, 100_000);

  const { status } = await fetch(`${url}&sid=${sid}`, { method: 'POST', body: '4'.repeat(maxPayload + 1) });

  assert.equal(status, 413);
  await server.published(activity);
  assert.equal((await server.received(other)).length, 1);
});

describe('an origin that is not in the settings', () => {
  const foreign = 'https://evil.example.org';
  const polling = '/socket.io/?EIO=4&transport=polling';

  test('is refused on polling', async () => {
    const { status, headers } = await server.get(polling, { origin: foreign });

    assert.ok(status >= 400 && status < 500, `${status}`);
    assert.equal(headers.get('access-control-allow-origin'), null);
  });

  test('is refused on a WebSocket', async (t) => {
    const bad = await RawConnection.open(server.url);
    t.after(() => bad.close());

    bad.write(upgradeRequest(server.url, { Origin: foreign }));

    await bad.says('HTTP/1.1 4');
    assert.ok(!bad.received.includes('101'), bad.received.toString());
  });

  test('is refused even if it begins, ends or is spelled almost like an allowed one', async () => {
    const almost = [
      `${ALLOWED}.evil.org`,
      `http://crm.example.com`,
      `${ALLOWED}:8443`,
      'https://xcrm.example.com',
      'null',
      `${ALLOWED}/`,
      '',
    ];
    for (const origin of almost) {
      const { status, headers } = await server.get(polling, { origin });
      if (origin !== '') assert.ok(status >= 400 && status < 500, `${origin}: ${status}`);
      assert.equal(headers.get('access-control-allow-origin'), null, origin);
    }
  });

  test('is named in the log, with the setting that would allow it', async () => {
    // One of them: refusals of one kind have a line a second at most.
    const line = await until('a log line', () =>
      server.logs().find((log) => JSON.stringify(log).includes(foreign)),
    );

    assert.ok(JSON.stringify(line).includes('cors_origins'), JSON.stringify(line));
  });

  test('while an allowed one, our own host, and no origin at all are let in', async (t) => {
    const allowed = await server.get(polling, { origin: ALLOWED });
    assert.equal(allowed.status, 200);
    assert.equal(allowed.headers.get('access-control-allow-origin'), ALLOWED);
    assert.match(allowed.headers.get('vary') ?? '', /origin/i);

    assert.equal((await server.get(polling, { origin: server.url })).status, 200);
    assert.equal((await server.get(polling)).status, 200);

    for (const origin of [ALLOWED, server.url]) {
      const socket = await openWebSocket(server.url, { Origin: origin });
      t.after(() => socket.close());
    }
  });

  test('and a preflight tells a browser which is which', async () => {
    const preflight = (/** @type {string} */ origin) =>
      fetch(server.url + polling, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
      });

    const allowed = await preflight(ALLOWED);
    assert.ok(allowed.ok, `${allowed.status}`);
    assert.equal(allowed.headers.get('access-control-allow-origin'), ALLOWED);
    assert.match(allowed.headers.get('access-control-allow-headers') ?? '', /authorization/i);
    assert.equal((await preflight(foreign)).headers.get('access-control-allow-origin'), null);
  });
});

test('health, readiness and counts are there to be asked for', async () => {
  const health = await server.get('/healthz');
  const ready = await server.get('/readyz');
  assert.deepEqual([health.status, health.body.trim()], [200, 'ok']);
  assert.deepEqual([ready.status, ready.body.status], [200, 'ready']);

  assert.equal((await server.get('/v1/stats')).status, 401);
  const before = await server.stats();
  const tabs = [await server.connect({ user: 'counted', rooms: ['*'] }), await server.connect({ user: 'counted' })];
  await tabs[0].subscribe('contact:counted');
  const { connected, rooms, users, node } = await server.stats();

  assert.deepEqual(
    { connected: connected - before.connected, users: users - before.users, node: typeof node },
    { connected: 2, users: 1, node: 'string' },
  );
  assert.ok(rooms > before.rooms, `${rooms} rooms`);
  for (const tab of tabs) tab.close();
});

test('who answers heartbeats stays, who does not is closed, and who never says CONNECT too', async (t) => {
  const quick = await startServer({
    settings: { engine: { ping_interval: '200ms', ping_timeout: '300ms', connect_timeout: '500ms' } },
  });
  t.after(() => quick.stop());
  const started = Date.now();
  const clients = await Promise.all(Object.values(TRANSPORTS).map((transports) => quick.connect({ transports })));

  const [mute, silent] = [await openWebSocket(quick.url), await openWebSocket(quick.url)];
  mute.write(textFrame(`40${JSON.stringify({ token: signHs256(claims({ tenant: 'acme' })) })}`));
  // It answers pings, but says nothing else.
  const pongs = setInterval(() => silent.write(textFrame('3')), 100);
  await Promise.all([mute.ends(), silent.ends()]);
  clearInterval(pongs);
  assert.ok(mute.received.includes('2'), 'it was asked');

  await until('several heartbeats of everybody', () => Date.now() > started + 2_000);
  for (const client of clients) {
    assert.deepEqual(client.disconnects, []);
    assert.equal((await client.request('ping')).ok, true);
  }
});

test('SIGTERM answers what is in flight, and clients come back by themselves after the restart', async (t) => {
  const own = await startServer();
  t.after(() => own.stop());
  const clients = await Promise.all(
    Object.values(TRANSPORTS).map((transports) => own.connect({ transports, reconnection: true, rooms: ['*'] })),
  );
  const draft = JSON.stringify({ id: 'in-flight', event: 'campaign:paused', data: { campaignId: 'c' } });
  const publishing = await RawConnection.open(own.url);
  publishing.write(
    `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.acme}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${draft.length}\r\nExpect: 100-continue\r\n\r\n`,
  );
  await publishing.says('100 Continue');

  const ending = own.terminate();
  await until('clients that notice', () => clients.every(({ disconnects }) => disconnects.length > 0));
  publishing.write(draft);
  await publishing.says('HTTP/1.1 202');
  await ending;

  for (const { disconnects } of clients) assert.deepEqual(disconnects, ['transport close']);
  await own.start();
  await Promise.all(clients.map((client) => until('a reconnection', () => client.socket.connected)));
  const again = await own.published(JSON.parse(draft));
  assert.ok(publishing.received.includes(again.position), 'what was answered is in the journal');
  for (const client of clients) {
    await own.published({ ...activity, rooms: [`user:${client.user}`] });
  }
  for (const client of clients) assert.equal((await own.received(client)).length >= 1, true);
});

test('SIGTERM under load loses nothing that was answered', async (t) => {
  const own = await startServer({ settings: { log: { level: 'info' } } });
  t.after(() => own.stop());
  /** @type {Map<string, string>} */
  const answered = new Map();
  let stopped = false;
  const producers = Array.from({ length: 8 }, async (_, producer) => {
    for (let n = 0; !stopped; n += 1) {
      const id = `${producer}-${n}`;
      const answer = await own
        .publish({ id, event: 'campaign:paused', data: { campaignId: 'c' } })
        .catch(() => undefined);
      if (answer === undefined) return;
      assert.ok([202, 503].includes(answer.status), `${answer.status}`);
      if (answer.status === 202) answered.set(id, answer.body.position);
    }
  });
  await until('some answers', () => answered.size > 200);

  await own.terminate();
  stopped = true;
  await Promise.all(producers);
  await own.start();

  for (const [id, position] of answered) {
    const again = await own.published({ id, event: 'campaign:paused', data: { campaignId: 'c' } });
    assert.equal(again.position, position, id);
  }
});
