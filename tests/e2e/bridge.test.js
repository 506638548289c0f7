// @ts-check
/** Node's Socket.IO on the same Redis: an unchanged backend is heard here, and servers stand side by side. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { emitter, NodeServer, redisClient } from './harness/node.js';
import { BINARY, Child } from './harness/process.js';
import { Proxy } from './harness/proxy.js';
import { Redis } from './harness/redis.js';
import { startServer } from './harness/server.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until } from './harness/until.js';

/**
 * One metric, with its labels as they stand there.
 *
 * @param {import('./harness/server.js').Server} server
 * @param {string} name
 */
async function metric(server, name) {
  const line = (await server.metrics()).split('\n').find((one) => one.startsWith(`switchboard_bridge_${name} `));
  return Number(line?.split(' ')[1] ?? 0);
}

/**
 * A server that bridges, once it does.
 *
 * @param {{ url: string }} redis
 * @param {Record<string, any>[]} bridge
 * @param {number} connections
 */
async function bridged(redis, bridge, connections = bridge.length) {
  const server = await startServer({
    settings: { redis: { url: redis.url }, bridge, log: { level: 'debug' } },
  });
  await works(server, connections, bridge.length);
  return server;
}

/**
 * @param {import('./harness/server.js').Server} server
 * @param {number} connections
 * @param {number} held
 */
async function works(server, connections, held) {
  await until(
    'a bridge that works',
    async () => (await metric(server, 'connections')) === connections && (await metric(server, 'held')) === held,
    { deadlineMs: 30_000, state: () => server.lines().slice(-5) },
  );
}

/** What both sides were told, in one shape. @param {import('./harness/client.js').Received[]} received */
const ours = (received) => received.map(({ event, payload }) => [event, payload]);

describe('an unchanged backend with the redis emitter', async () => {
  const redis = await Redis.start();
  const node = await NodeServer.start(redis.url, { namespaces: ['/', '/globex'] });
  const server = await bridged(redis, [
    { kind: 'emitter', tenant: 'acme', passthrough: true },
    { kind: 'emitter', namespace: '/globex', tenant: 'globex', validate: 'refuse' },
    // No Node server is here: garbage ends them.
    { kind: 'emitter', namespace: '/quiet', tenant: 'acme' },
  ]);
  const backend = await emitter(redis.url);
  after(async () => {
    backend.close();
    await server.stop();
    await node.stop();
    await redis.stop();
  });

  test('its events reach the stock client as they reach that of a Node server', async () => {
    const client = await server.connect({ rooms: ['contact:*', 'whatsapp:*'] });
    await client.subscribe('contact:1', 'whatsapp:7');
    const { told } = await node.connect('/', 'contact:1', 'whatsapp:7');
    const { io } = backend;
    const message = { id: 'm-1', whatsappAccountId: '7', contactId: '1', content: 'hello \u{1F44B}', type: 'Text' };

    io.emit('system:notification', { notification: { id: 'n-1', title: 'to all' }, nested: { list: [1, 1.5, -7, null, true] } });
    io.to('contact:1').emit('message:received', { message, timestamp: new Date(0), left: undefined });
    io.to('contact:1').to('whatsapp:7').emit('lead:scored', { score: 2 ** 40, why: [undefined, NaN], raw: Buffer.from('abc') });
    io.to('contact:2').emit('lead:scored', { score: 'for others' });
    io.except('contact:1').emit('lead:scored', { score: 'for all others' });
    io.to('whatsapp:7').emit('lead:scored', { score: 'the last one' });
    await client.next('lead:scored', ({ score }) => score === 'the last one');
    await until('the same at Node', () => told.at(-1)?.[1].score === 'the last one');

    const received = ours(await server.received(client));
    assert.deepEqual(received, told);
    assert.equal(received.length, 4);
    assert.equal(received[2][1].raw.toString(), 'abc');
    assert.equal(received[1][1].timestamp, '1970-01-01T00:00:00.000Z');
  });

  test('namespaces are tenants, and do not mix', async () => {
    const acme = await server.connect({ rooms: ['contact:3'] });
    const globex = await server.connect({ tenant: 'globex', rooms: ['contact:3'] });
    await acme.subscribe('contact:3');
    await globex.subscribe('contact:3');

    backend.io.to('contact:3').emit('contact:deleted', { contactId: 'acme' });
    backend.io.of('/globex').to('contact:3').emit('contact:deleted', { contactId: 'globex' });
    backend.io.of('/globex').to('team:acme').emit('contact:deleted', { contactId: 'nobody' });
    backend.io.of('/elsewhere').emit('contact:deleted', { contactId: 'nobody' });
    backend.io.of('/globex').emit('contact:deleted', { contactId: 'globex-all' });
    await acme.next('contact:deleted');
    await globex.next('contact:deleted', ({ contactId }) => contactId === 'globex-all');

    assert.deepEqual(ours(await server.received(acme)), [['contact:deleted', { contactId: 'acme' }]]);
    const ids = ours(await server.received(globex)).map(([, { contactId }]) => contactId);
    assert.deepEqual(ids, ['globex', 'globex-all']);
  });

  test('what is not as declared passes and is counted, or is dropped, as the settings say', async () => {
    const acme = await server.connect({ user: 'warned' });
    const globex = await server.connect({ user: 'refused', tenant: 'globex' });
    const reasons = ['missing_field', 'unknown_event', 'not_producible', 'arguments'];
    const counters = ['invalid_total{code="missing_field"}', ...reasons.map((one) => `dropped_total{reason="${one}"}`)];
    const before = await Promise.all(counters.map((one) => metric(server, one)));

    backend.io.emit('contact:deleted', { id: 'no contactId' });
    backend.io.emit('presence:update', { userId: '7' });
    backend.io.emit('contact:deleted', 'no object');
    backend.io.of('/globex').emit('contact:deleted', { id: 'no contactId' });
    backend.io.of('/globex').emit('lead:scored', { score: 1 });
    backend.io.of('/globex').emit('contact:deleted', { contactId: 'last' });
    await acme.next('contact:deleted');
    await globex.next('contact:deleted');

    assert.deepEqual(ours(await server.received(acme)), [['contact:deleted', { id: 'no contactId' }]]);
    assert.deepEqual(ours(await server.received(globex)), [['contact:deleted', { contactId: 'last' }]]);
    const counted = await Promise.all(counters.map((one) => metric(server, one)));
    assert.deepEqual(counted.map((one, index) => one - before[index]), counters.map(() => 1));
  });

  test('garbage is counted and dropped, and what follows is heard', async () => {
    const client = await server.connect({ user: 'calm', rooms: ['contact:4'] });
    await client.subscribe('contact:4');
    const hostile = [
      Buffer.alloc(0),
      Buffer.from('{"type":2}'),
      Buffer.from([0x93]),
      Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
      Buffer.alloc(100_000, 0x91),
      Buffer.from('93c082a474797065a464617461', 'hex'),
      Buffer.concat([Buffer.from('93a17882a47479706502a46461746192a161', 'hex'), Buffer.alloc(100_000, 0x91)]),
    ];
    const before = await Promise.all(['garbage', 'no_broadcast', 'too_deep'].map((one) => metric(server, `dropped_total{reason="${one}"}`)));

    for (const body of hostile) await backend.client.publish('socket.io#/quiet#', body);
    await backend.client.publish('socket.io#/quiet#contact:4#', Buffer.alloc(9 << 20, 0xc0));
    const quiet = backend.io.of('/quiet');
    quiet.serverSideEmit('refresh', 1);
    quiet.to('contact:4').disconnectSockets(true);
    quiet.to('contact:4').emit('contact:deleted', { contactId: '4' });
    await client.next('contact:deleted');

    assert.deepEqual(client.disconnects, []);
    const after = await Promise.all(['garbage', 'no_broadcast', 'too_deep'].map((one) => metric(server, `dropped_total{reason="${one}"}`)));
    const dropped = after.reduce((sum, one, index) => sum + one - before[index], 0);
    assert.equal(dropped, hostile.length);
    assert.equal(await metric(server, 'dropped_total{reason="too_large"}'), 1);
  });
});

describe('a stream that Node emitters write', async () => {
  const redis = await Redis.start();
  const node = await NodeServer.start(redis.url, { namespaces: ['/crm', '/other'], kind: 'streams' });
  const server = await bridged(redis, [{ kind: 'streams-emitter', namespace: '/crm', tenant: 'acme' }]);
  after(async () => {
    await server.stop();
    await node.stop();
    await redis.stop();
  });

  test('its events are heard, also those that came while nobody read it, each once', async () => {
    const client = await server.connect({ rooms: ['contact:*'] });
    await client.subscribe('contact:1');
    const crm = node.io.of('/crm');
    const deleted = (/** @type {number} */ n) => ({ contactId: String(n) });

    crm.to('contact:1').emit('contact:deleted', deleted(1));
    crm.to(['contact:1', 'contact:2']).emit('contact:updated', { contactId: '1', raw: Buffer.from('abc') });
    crm.to('contact:2').emit('contact:deleted', deleted(0));
    node.io.of('/other').emit('contact:deleted', deleted(0));
    crm.socketsJoin('contact:1');
    crm.to('contact:1').emit('contact:deleted', deleted(2));
    const { position } = await client.next('contact:deleted', ({ contactId }) => contactId === '2');
    const received = await server.received(client);
    assert.deepEqual(received.map(({ event }) => event), ['contact:deleted', 'contact:updated', 'contact:deleted']);
    assert.equal(received[1].payload.raw.toString(), 'abc');
    assert.equal(await metric(server, 'ignored_total{what="join"}'), 1);

    await server.kill();
    for (const n of [3, 4, 5]) crm.to('contact:1').emit('contact:deleted', deleted(n));
    await server.start();
    await works(server, 1, 1);
    crm.to('contact:1').emit('contact:deleted', deleted(6));
    const late = await server.connect({ user: 'late', rooms: ['contact:*'] });
    await late.request('subscribe', 'contact:1', { after: position });
    await late.next('contact:deleted', ({ contactId }) => contactId === '6');

    const ids = (await server.received(late)).map(({ payload }) => payload.contactId);
    assert.deepEqual(ids, ['3', '4', '5', '6']);
  });
});

describe('beside Node servers', async () => {
  const redis = await Redis.start();
  const nodes = await Promise.all([1, 2].map(() => NodeServer.start(redis.url, { namespaces: ['/crm'] })));
  // Our way to Redis can be lost while Node's is there.
  const proxy = await Proxy.start(redis.url);
  const way = { url: proxy.url.replace('http:', 'redis:') };
  const server = await bridged(way, [{ kind: 'adapter', namespace: '/crm', tenant: 'acme' }], 2);
  const spy = await redisClient(redis.url);
  let broadcasts = 0;
  await spy.pSubscribe('socket.io#/crm#*', () => (broadcasts += 1));
  const asking = await redisClient(redis.url);
  after(async () => {
    await spy.disconnect();
    await asking.disconnect();
    await server.stop();
    proxy.close();
    for (const node of nodes) await node.stop();
    await redis.stop();
  });
  const deleted = (/** @type {string} */ contactId) => ({ contactId, timestamp: '2026-01-01T00:00:00.000Z' });

  test('both sides hear both sides, each event once', async () => {
    const client = await server.connect({ rooms: ['contact:*'] });
    await client.subscribe('contact:1');
    const theirs = await Promise.all(nodes.map((node) => node.connect('/crm', 'contact:1')));
    const left = await nodes[0].connect('/crm', 'contact:1', 'user:out');
    broadcasts = 0;

    nodes[0].io.of('/crm').to('contact:1').emit('contact:deleted', deleted('of-node'));
    await client.next('contact:deleted', ({ contactId }) => contactId === 'of-node');
    await server.published({ event: 'contact:deleted', data: deleted('of-us'), rooms: ['contact:1'], except: ['user:out'] });
    await server.published({ event: 'contact:deleted', data: deleted('of-us-two-rooms'), rooms: ['contact:1', 'contact:9'] });
    nodes[1].io.of('/crm').to('contact:1').except('user:ana').emit('contact:deleted', deleted('not-for-ana'));
    const backend = await emitter(redis.url);
    backend.io.of('/crm').to('contact:1').emit('contact:deleted', deleted('last'));
    await client.next('contact:deleted', ({ contactId }) => contactId === 'last');
    for (const { told } of theirs) await until('five at Node', () => told.length === 5, { state: () => told });
    backend.close();

    const all = ['of-node', 'of-us', 'of-us-two-rooms', 'not-for-ana', 'last'];
    for (const { told } of theirs) assert.deepEqual(told.map(([, { contactId }]) => contactId).sort(), [...all].sort());
    assert.deepEqual(left.told.map(([, { contactId }]) => contactId).sort(), all.filter((one) => one !== 'of-us').sort());
    const heard = (await server.received(client)).map(({ payload }) => payload.contactId);
    assert.deepEqual(heard, all.filter((one) => one !== 'not-for-ana'));
    // The fence that `received` published went out as well.
    await until('all broadcasts', () => broadcasts >= all.length + 1);
    assert.equal(broadcasts, all.length + 1, 'nothing goes round');
  });

  test('nobody waits for us, and what is not for Node stays here', async () => {
    const [subscribers] = Object.values(await asking.pubSubNumSub('socket.io-request#/crm#'));
    assert.equal(subscribers, nodes.length);
    assert.ok((await nodes[0].io.of('/crm').fetchSockets()).length >= 3);
    const { told } = await nodes[0].connect('/crm', 'whatsapp:7', 'whatsapp:7:link', 'team:acme');

    await server.published({ event: 'whatsapp:qr:generated', data: { accountId: '7', qrCode: 'secret' } });
    await server.published({ event: 'system:notification', data: { notification: { id: 'n-1', type: 'info', title: 'for all', message: 'hello' } } });
    await until('what is for the team', () => told.length > 0);

    assert.deepEqual(told.map(([event]) => event), ['system:notification']);
    assert.ok((await metric(server, 'untold_total{reason="secret"}')) >= 1);
  });

  test('compare counts what both sides tell, and says what one does not', async () => {
    const node = nodes[0];
    const told = async (/** @type {() => Promise<unknown>} */ tell) => {
      const token = signHs256(claims({ user: 'comparer', tenant: 'acme', rooms: ['contact:8'] }));
      const options = ['--namespace', '/crm', '--auth', JSON.stringify({ token }), '--subscribe', 'contact:8'];
      const child = new Child([BINARY, 'compare', node.url, server.url, ...options, '--seconds', '2']);
      await child.line('stderr', 'that it counts', (line) => line.startsWith('comparing') || undefined);
      await tell();
      const { code } = await child.ended();
      return { code, stdout: child.stdout.join('\n'), stderr: child.stderr.join('\n') };
    };

    const alike = await told(async () => node.io.of('/crm').to('contact:8').emit('contact:deleted', deleted('8')));
    assert.equal(alike.code, 0, alike.stderr);
    assert.match(alike.stdout, /contact:8 +contact:deleted +1 +1 +0/);
    const different = await told(async () => node.io.of('/crm').local.to('contact:8').emit('contact:deleted', deleted('9')));
    assert.equal(different.code, 1);
    assert.match(different.stdout, /contact:8 +contact:deleted +1 +0 +1/);
    assert.match(different.stderr, /1 events were told on one side only/);
  });

  test('what was published while Redis was out of reach is told afterwards', async () => {
    const client = await server.connect({ user: 'steady', rooms: ['contact:*'] });
    await client.subscribe('contact:5');
    const { told } = await nodes[1].connect('/crm', 'contact:5');

    proxy.down();
    await cutOff();
    const ready = await server.get('/readyz');
    assert.equal(ready.status, 200);
    assert.match(JSON.stringify(ready.body), /bridge is cut off/);
    await server.published({ event: 'contact:deleted', data: deleted('meanwhile'), rooms: ['contact:5'] });
    proxy.up();
    await works(server, 2, 1);

    await until('what was published meanwhile', () => told.some(([, { contactId }]) => contactId === 'meanwhile'));
    nodes[0].io.of('/crm').to('contact:5').emit('contact:deleted', deleted('again'));
    await client.next('contact:deleted', ({ contactId }) => contactId === 'again');
    assert.ok((await metric(server, 'gaps_total')) >= 1);
  });

  test('Redis restarts, and both ways go on', async () => {
    const client = await server.connect({ user: 'steady', rooms: ['contact:*'] });
    await client.subscribe('contact:6');
    const { told } = await nodes[1].connect('/crm', 'contact:6');

    await redis.stop();
    await cutOff();
    await redis.restart();
    await works(server, 2, 1);

    // Node comes back in its own time, and what is told before that it does not hear.
    const heard = () => client.take().some(({ payload }) => payload.contactId === 'of-node');
    await until('what Node tells', async () => {
      nodes[0].io.of('/crm').to('contact:6').emit('contact:deleted', deleted('of-node'));
      return heard();
    }, { deadlineMs: 30_000 });
    await until('what we tell', async () => {
      await server.published({ event: 'contact:deleted', data: deleted('of-us'), rooms: ['contact:6'] });
      return told.some(([, { contactId }]) => contactId === 'of-us');
    }, { deadlineMs: 30_000 });
  });

  async function cutOff() {
    await until('a bridge that is cut off', async () => (await metric(server, 'connected')) === 0);
  }
});
