// @ts-check
/** How much anybody may do in a time: an inbox meets no limit, a flood is told, then closed, and may come back. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';

import { startServer } from './harness/server.js';
import { KEYS } from './harness/settings.js';
import { until } from './harness/until.js';

const OPEN = '/socket.io/?EIO=4&transport=polling';

/** A count of `/metrics`. */
async function metric(/** @type {import('./harness/server.js').Server} */ server, /** @type {string} */ series) {
  const line = (await server.metrics()).split('\n').find((one) => one.startsWith(`switchboard_${series} `));
  return Number(line?.split(' ').at(-1));
}

describe('with the limits that are there by default', async () => {
  const server = await startServer();
  after(() => server.stop());

  test('an inbox that subscribes to 500 rooms at once, in several tabs, is in all of them', async (t) => {
    const tabs = await Promise.all(Array.from({ length: 4 }, () => server.connect({ user: 'inbox', rooms: ['*'] })));
    t.after(() => tabs.forEach((tab) => tab.close()));

    const acks = await Promise.all(
      tabs.flatMap((tab) => Array.from({ length: 500 }, (_, n) => tab.request('subscribe:contact', `c${n}`))),
    );

    assert.deepEqual(
      acks.filter((ack) => ack.ok !== true),
      [],
    );
    assert.equal(await metric(server, 'rate_limited_total{limit="subscriptions"}'), 0);
    await server.published({ event: 'contact:deleted', data: { contactId: 'c499' } });
    await Promise.all(tabs.map((tab) => tab.next('contact:deleted')));
  });

  test('a flood of events costs no memory that stays', { skip: process.platform !== 'linux' }, async (t) => {
    const rss = () => {
      const status = readFileSync(`/proc/${server.child?.process.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
    };
    const flood = async (/** @type {string} */ name) => {
      for (let round = 0; round < 10; round += 1) {
        const client = await server.connect({ user: `${name}-${round}`, transports: ['websocket'] });
        for (let n = 0; n < 5_000; n += 1) client.socket.emit('ping');
        await until('the end of the flood', () => client.disconnects.length > 0);
        client.close();
      }
    };
    t.diagnostic(`before: ${rss()} MiB`);
    await flood('warm');
    const before = rss();

    await flood('again');
    await flood('once-more');

    t.diagnostic(`after one flood ${before} MiB, after three ${rss()} MiB`);
    assert.ok(rss() - before < 16, `${before} MiB, then ${rss()} MiB`);
  });
});

describe('a client that goes on and on', async () => {
  const server = await startServer({
    settings: { limits: { events: '5/s burst 10', subscriptions: '5/s burst 10', refusals: '5/s burst 20' } },
  });
  after(() => server.stop());

  test('is told when to try again, is closed if it does not listen, and comes back', async (t) => {
    const flooder = await server.connect({ user: 'flooder', reconnection: true, transports: ['websocket'] });
    const bystander = await server.connect({ user: 'bystander' });
    t.after(() => [flooder, bystander].forEach((client) => client.close()));
    /** @type {any[]} */
    const acks = [];

    for (let n = 0; n < 200; n += 1) {
      flooder.socket.emit('ping', (/** @type {any} */ ack) => acks.push(ack));
    }

    await until('the end of the connection', () => flooder.disconnects.length > 0);
    assert.notEqual(flooder.disconnects[0], 'io server disconnect', 'the stock client would not come back');
    const taken = acks.filter((ack) => ack?.ok === true);
    const refused = acks.filter((ack) => ack?.ok === false);
    assert.ok(taken.length >= 10 && taken.length < 20, `${taken.length} were taken`);
    assert.ok(refused.length >= 20 && refused.length < 40, `${refused.length} were refused`);
    for (const { error } of refused) {
      assert.equal(error.code, 'rate_limited');
      assert.ok(error.retryAfterMs > 0 && error.retryAfterMs <= 400, String(error.retryAfterMs));
    }
    assert.equal((await bystander.request('ping')).ok, true, 'another user is not touched');
    assert.equal(bystander.disconnects.length, 0);

    await flooder.connected();
    await until('a place in its bucket', async () => (await flooder.request('ping')).ok);
    const closed = server.logs().find((log) => log.message === 'closed for flooding');
    assert.deepEqual([closed?.user, closed?.limit], ['flooder', 'events']);
    assert.ok((await metric(server, 'closes_total{reason="rate_limited"}')) >= 1);
    assert.ok((await metric(server, 'rate_limited_total{limit="events"}')) >= 20);
    assert.ok((await metric(server, 'rate_limited_total{limit="refusals"}')) >= 1);
  });

  test('is refused by session:error if it asks for no ack', async (t) => {
    const client = await server.connect({ user: 'no-acks', rooms: ['contact:*'] });
    t.after(() => client.close());

    for (let n = 0; n < 12; n += 1) client.socket.emit('subscribe:contact', `c${n}`);

    const { payload } = await client.next('session:error');
    assert.equal(payload.code, 'rate_limited');
    assert.equal(payload.event, 'subscribe:contact');
    assert.ok(payload.retryAfterMs > 0);
  });

  test('takes nothing of one kind of events from another', async (t) => {
    const client = await server.connect({ user: 'kinds', rooms: ['contact:*'] });
    t.after(() => client.close());
    const refused = async (/** @type {() => Promise<any>} */ ask) => {
      const acks = await Promise.all(Array.from({ length: 11 }, ask));
      return acks.filter((ack) => ack.error?.code === 'rate_limited').length;
    };

    const events = await refused(() => client.request('ping'));
    const subscriptions = await refused(() => client.request('subscribe:contact', 'c'));

    assert.equal(events, 1);
    assert.equal(subscriptions, 1);
  });
});

describe('a user with too many connections', async () => {
  const server = await startServer({ settings: { limits: { connections_per_user_max: 2 } } });
  after(() => server.stop());

  test('is not let in, without a CONNECT_ERROR, and comes in once there is a place', async (t) => {
    const [first, second] = await Promise.all([server.connect({ user: 'u' }), server.connect({ user: 'u' })]);
    const third = server.dial({ user: 'u', reconnection: true, transports: ['websocket'] });
    const other = await server.connect({ user: 'other' });
    t.after(() => [first, second, third, other].forEach((client) => client.close()));
    const refusals = () => metric(server, 'rate_limited_total{limit="connections_per_user_max"}');
    await until('several attempts', async () => (await refusals()) >= 2);
    assert.equal(third.socket.connected, false);
    assert.ok(third.socket.active, 'the stock client goes on trying');

    first.close();

    await third.connected();
    assert.ok(server.logs().some((log) => log.message === 'connection refused' && log.user === 'u'));
  });
});

describe('an address that connects too often', async () => {
  const limits = { connections_per_address: '1/h burst 2' };
  const open = await startServer({ settings: { limits } });
  const proxied = await startServer({ settings: { limits, server: { trusted_proxies: ['127.0.0.0/8', '::1'] } } });
  after(() => Promise.all([open.stop(), proxied.stop()]));

  const status = async (/** @type {import('./harness/server.js').Server} */ server, headers = {}) =>
    (await server.get(OPEN, headers)).status;

  test('is answered 429 with Retry-After, whatever it says of itself', async () => {
    assert.equal(await status(open), 200);
    assert.equal(await status(open, { 'x-forwarded-for': '203.0.113.1' }), 200);
    const refused = await open.get(OPEN, { 'x-forwarded-for': '203.0.113.2', forwarded: 'for=203.0.113.3' });

    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers.get('retry-after')) > 0);
    assert.equal(await metric(open, 'refused_total{reason="connections_per_address"}'), 1);
  });

  test('is the one that a trusted proxy tells', async () => {
    for (const address of ['203.0.113.1', '198.51.100.9, 203.0.113.2', '2001:db8::1']) {
      const headers = { 'x-forwarded-for': address };
      assert.deepEqual([await status(proxied, headers), await status(proxied, headers)], [200, 200]);
      assert.equal(await status(proxied, headers), 429, address);
    }
    assert.equal(await status(proxied, { 'x-forwarded-for': '2001:db8::2' }), 429, 'of the same /64');
    const refused = proxied.logs().find((log) => log.message === 'session refused');
    assert.equal(refused?.client, '203.0.113.1');
  });
});

test('who guesses API keys is looked at no more for a while, and others behind the same proxy are', async () => {
  const server = await startServer({
    settings: { server: { trusted_proxies: ['127.0.0.1'] }, limits: { unknown_keys_per_address: '1/m burst 3' } },
  });
  try {
    const from = (/** @type {string} */ address, /** @type {string} */ key) =>
      fetch(`${server.url}/v1/stats`, { headers: { authorization: `Bearer ${key}`, 'x-forwarded-for': address } });
    for (let guess = 0; guess < 3; guess += 1) assert.equal((await from('203.0.113.7', `guess-${guess}`)).status, 401);

    const refused = await from('203.0.113.7', 'guess-4');
    const seconds = Number(refused.headers.get('retry-after'));

    assert.equal(refused.status, 429);
    assert.equal((await refused.json()).code, 'rate_limited');
    assert.ok(seconds > 0 && seconds <= 60, String(seconds));
    assert.equal((await from('203.0.113.7', KEYS.acme)).status, 429);
    assert.equal((await from('203.0.113.8', KEYS.acme)).status, 200);
    assert.ok((await metric(server, 'rate_limited_total{limit="unknown_keys_per_address"}')) >= 2);
  } finally {
    await server.stop();
  }
});

describe('a producer that sends too much', async () => {
  const server = await startServer({
    settings: { limits: { producer_requests: '1/m burst 3', producer_events: '1/m burst 4' } },
  });
  after(() => server.stop());
  const draft = { event: 'contact:deleted', data: { contactId: 'c' } };

  test('is answered 429 with Retry-After, and others are not', async () => {
    assert.equal((await server.publish([draft, draft, draft])).status, 202);
    const events = await server.publish([draft, draft]);
    assert.equal((await server.publish(draft)).status, 202);
    const requests = await server.publish(draft);

    for (const { status, body, type, headers } of [events, requests]) {
      assert.equal(status, 429, JSON.stringify(body));
      assert.equal(type, 'application/problem+json');
      assert.equal(body.code, 'rate_limited');
      const seconds = Number(headers.get('retry-after'));
      assert.ok(seconds > 0 && seconds <= 60, String(seconds));
    }
    assert.equal((await server.publish(draft, { key: KEYS.globex })).status, 202);
    assert.equal(await metric(server, 'rate_limited_total{limit="producer_events"}'), 1);
    assert.equal(await metric(server, 'rate_limited_total{limit="producer_requests"}'), 1);
  });
});
