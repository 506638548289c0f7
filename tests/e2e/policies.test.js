// @ts-check
/** Who may hear what, decided by the CRM: its database, or its backend. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { Crm } from './harness/crm.js';
import { Postgres, query, Sqlite } from './harness/database.js';
import { startServer } from './harness/server.js';
import { ADMINISTRATORS, KEYS } from './harness/settings.js';
import { until } from './harness/until.js';

/** Short, so that tests see ends; long enough that a busy machine does not see them too early. */
const LIMITS = { ttl: '1s', ttl_denied: '500ms', grant_ttl_max: '4s' };

/** @param {string} contactId */
const updated = (contactId) => ({ event: 'contact:updated', data: { contactId, updates: {} } });

/** @param {string} accountId */
const qr = (accountId) => ({
  event: 'whatsapp:qr:generated',
  data: { accountId, qrCode: 'data:image/png;base64,AAAA', expiresAt: new Date(Date.now() + 60_000).toISOString() },
});

/** The names of what a client heard. @param {import('./harness/client.js').Received[]} heard */
const names = (heard) => heard.map(({ event }) => event);

/**
 * A metric without labels.
 *
 * @param {import('./harness/server.js').Server} server
 * @param {string} name
 */
async function metric(server, name) {
  const line = (await server.metrics()).split('\n').find((one) => one.startsWith(`switchboard_${name} `));
  return Number(line?.split(' ')[1]);
}

for (const [name, database] of Object.entries({ Postgres: new Postgres(), SQLite: new Sqlite() })) {
  describe(`rights by a query to ${name}`, async () => {
    await database.start();
    const sql = (/** @type {string} */ kind) => ({ policy: 'sql', query: query(kind) });
    const server = await startServer({
      settings: {
        access: {
          ...LIMITS,
          kinds: { contact: sql('contact'), whatsapp: sql('whatsapp'), link: sql('link'), order: sql('order') },
          sql: { url: database.url, timeout: '2s' },
        },
        catalogue: { rooms: ['order'] },
      },
    });
    after(async () => {
      await server.stop();
      await database.stop();
    });

    test('a row is a yes, whatever the token says, and other kinds are decided by the token', async () => {
      await database.allow('rita', 'contact', '42');
      await database.allow('rita', 'whatsapp', 'acc');
      await database.allow('rita', 'order', '7');
      const client = await server.connect({ user: 'rita', rooms: ['contact:43', 'flow:1'] });

      await client.subscribe('contact:42', 'whatsapp:acc', 'order:7', 'flow:1');
      for (const room of ['contact:43', 'contact:4', 'whatsapp:acc2', 'order:8', 'campaign:1', 'contacts:acme']) {
        const ack = await client.request('subscribe', room);
        assert.equal(ack.error?.code, 'forbidden', `${room}: ${JSON.stringify(ack)}`);
      }

      await server.published(updated('42'));
      await server.published(updated('43'));
      assert.deepEqual(names(await server.received(client)), ['contact:updated']);
    });

    test('a row is of its tenant', async () => {
      await database.allow('tess', 'contact', 'shared', 'globex');
      const [ours, theirs] = await Promise.all([
        server.connect({ user: 'tess', tenant: 'acme', rooms: ['*'] }),
        server.connect({ user: 'tess', tenant: 'globex' }),
      ]);

      const ack = await ours.request('subscribe', 'contact:shared');
      await theirs.subscribe('contact:shared');

      assert.equal(ack.error?.code, 'forbidden');
    });

    test('what clients send is never part of the query', async () => {
      await database.allow('eve', 'contact', 'only');
      const eve = await server.connect({ user: 'eve' });
      const other = await server.connect({ user: "'or/**/1=1--", rooms: ['*'] });

      for (const id of ["'or/**/1=1--", "x'/**/or/**/'1'='1", "only';drop/**/table/**/rights;--", '$1', '%', '_', '\\']) {
        const ack = await eve.request('subscribe:contact', id);
        assert.equal(ack.error?.code, 'forbidden', `${id}: ${JSON.stringify(ack)}`);
      }
      const ack = await other.request('subscribe:contact', 'only');
      assert.equal(ack.error?.code, 'forbidden');
      await eve.subscribe('contact:only');
      assert.equal((await server.get('/readyz')).body.status, 'ready');
    });

    test('who may hear every contact hears of each, and who may pair gets the codes', async () => {
      await database.allow('boss', 'contact', '*');
      await database.allow('boss', 'whatsapp', 'shop');
      await database.allow('boss', 'link', 'shop');
      await database.allow('clerk', 'whatsapp', 'shop');
      const [boss, clerk] = await Promise.all([
        server.connect({ user: 'boss' }),
        server.connect({ user: 'clerk', rooms: ['contact:*'], link: ['whatsapp:shop'] }),
      ]);
      await boss.subscribe('whatsapp:shop');
      await clerk.subscribe('whatsapp:shop');

      await server.published(updated('anybody'));
      await server.published(qr('shop'));

      assert.deepEqual(names(await server.received(boss)), ['contact:updated', 'whatsapp:qr:generated']);
      await server.assertNothing(clerk);
      const ack = await clerk.request('subscribe', 'whatsapp:shop:link');
      assert.equal(ack.error?.code, 'forbidden');
    });

    test('who loses a right leaves the room in time, is told, and may come back with it', async () => {
      await database.allow('lea', 'contact', 'lost');
      await database.allow('lea', 'contact', 'kept');
      const lea = await server.connect({ user: 'lea' });
      await lea.subscribe('contact:lost', 'contact:kept');

      await database.deny('lea', 'contact', 'lost');
      const left = await lea.next('session:left');
      lea.take();
      await server.published(updated('lost'));
      await server.published(updated('kept'));

      assert.deepEqual(left.payload, { rooms: ['contact:lost'], reason: 'withdrawn' });
      const heard = await server.received(lea);
      assert.deepEqual(heard.map(({ payload }) => payload.contactId), ['kept']);
      await database.allow('lea', 'contact', 'lost');
      await until('the end of the no', async () => (await lea.request('subscribe', 'contact:lost')).ok);
    });

    test('a right that is said to be invalid is asked for at once', async () => {
      const slow = await startServer({
        settings: {
          producers: ADMINISTRATORS,
          access: {
            ttl: '10m',
            kinds: { contact: { policy: 'sql', query: query('contact') } },
            sql: { url: database.url },
          },
        },
      });
      try {
        await database.allow('ina', 'contact', 'now');
        const ina = await slow.connect({ user: 'ina' });
        await ina.subscribe('contact:now');
        await database.deny('ina', 'contact', 'now');

        await slow.ordered('/v1/access/invalidate', { user: 'ina', kind: 'contact' });

        const left = await ina.next('session:left');
        assert.deepEqual(left.payload, { rooms: ['contact:now'], reason: 'withdrawn' });
        const ack = await ina.request('subscribe', 'contact:now');
        assert.equal(ack.error?.code, 'forbidden');
      } finally {
        await slow.stop();
      }
    });
  });
}

for (const [how, { down, up }] of /** @type {const} */ ([
  ['holds still', { down: async (/** @type {Postgres} */ one) => one.freeze(true), up: async (/** @type {Postgres} */ one) => one.freeze(false) }],
  ['is killed', { down: (/** @type {Postgres} */ one) => one.kill(), up: (/** @type {Postgres} */ one) => one.start() }],
])) {
  test(`a Postgres that ${how} is refused as unavailable, what was granted stays for its time, and all comes back`, async (t) => {
    const database = new Postgres();
    await database.start();
    const server = await startServer({
      settings: {
        access: {
          ...LIMITS,
          kinds: { flow: { policy: 'sql', query: query('flow') } },
          sql: { url: database.url, timeout: '300ms' },
        },
      },
    });
    t.after(async () => {
      await database.stop();
      await server.stop();
    });
    await database.allow('ana', 'flow', '1');
    await database.allow('ana', 'flow', '2');
    const ana = await server.connect({ user: 'ana', rooms: ['campaign:1'] });
    await ana.subscribe('flow:1', 'campaign:1');
    const started = (/** @type {string} */ executionId) =>
      server.published({ event: 'flow:execution:started', data: { flowId: '1', executionId }, rooms: ['flow:1'] });

    await down(database);
    const begun = Date.now();
    const ack = await ana.request('subscribe', 'flow:2');

    assert.equal(ack.error?.code, 'unavailable', JSON.stringify(ack));
    assert.ok(ack.error.retryAfterMs > 0);
    assert.ok(Date.now() - begun < 3_000, 'an answer in time');
    await until('a node that says what it lacks', async () => {
      await ana.request('subscribe', 'flow:2');
      return (await server.get('/readyz')).body.status === 'degraded';
    });
    const ready = await server.get('/readyz');
    assert.equal(ready.status, 200);
    assert.match(ready.body.reason, /flow \(sql\)/);
    assert.equal(await metric(server, 'access_degraded'), 1);
    assert.equal(await metric(server, 'ready'), 1);
    // Beyond its time, and not yet beyond the longest.
    const refusedAt = Date.now();
    await ana.request('subscribe', 'flow:2');
    assert.ok(Date.now() - refusedAt < 200, 'nobody waits for who is known to be down');
    await started('while-down');
    assert.deepEqual(names(await server.received(ana)), ['flow:execution:started']);

    const left = await ana.next('session:left');
    assert.deepEqual(left.payload, { rooms: ['flow:1'], reason: 'unavailable' });
    ana.take();
    await started('after-the-end');
    await server.assertNothing(ana);
    assert.equal((await ana.request('subscribe', 'campaign:1')).ok, true, 'what tokens decide goes on');

    await up(database);
    await until('a node that lacks nothing', async () => (await server.get('/readyz')).body.status === 'ready', {
      deadlineMs: 30_000,
    });
    await ana.subscribe('flow:1', 'flow:2');
    const logs = server.logs().filter(({ level }) => level === 'ERROR');
    assert.ok(logs.some(({ message }) => message === 'access cannot be asked for'), JSON.stringify(logs));
  });
}

describe('a backend that answers, and has no answer', async () => {
  const crm = new Crm();
  await crm.start();
  // So long that nobody is asked about but by the test.
  const http = { url: crm.url, secret: crm.secret, timeout: '10s' };
  const server = await startServer({ settings: { access: { ttl: '10m', kinds: { contact: { policy: 'http' } }, http } } });
  after(async () => {
    await server.stop();
    await crm.stop();
  });
  const status = async () => (await server.get('/readyz')).body.status;

  test('to one room however often does not keep anybody from others', async () => {
    crm.broken.add('contact:broken');
    crm.allow('ines', 'contact:whole');
    const clients = await Promise.all(['ines', 'ivo', 'isa'].map((user) => server.connect({ user })));

    for (let round = 0; round < 4; round += 1) {
      for (const client of clients) {
        const ack = await client.request('subscribe', 'contact:broken');
        assert.equal(ack.error?.code, 'unavailable', JSON.stringify(ack));
      }
    }

    assert.equal(await status(), 'ready');
    await clients[0].subscribe('contact:whole');
    assert.equal(await metric(server, 'access_degraded'), 0);
  });

  test('to twenty rooms in a row is asked on, and is degraded until it has one', async () => {
    const client = await server.connect({ user: 'una' });
    crm.mood = 'knows nothing';

    for (let id = 1; id <= 20; id += 1) {
      assert.equal(await status(), 'ready', `after ${id - 1} rooms`);
      // The same room again is no other one.
      for (const room of [`contact:un-${id}`, 'contact:un-1']) {
        const ack = await client.request('subscribe', room);
        assert.equal(ack.error?.code, 'unavailable', JSON.stringify(ack));
      }
    }

    const { status: code, body } = await server.get('/readyz');
    assert.deepEqual([code, body.status], [200, 'degraded']);
    assert.equal(await metric(server, 'access_degraded'), 1);
    await client.request('subscribe', 'contact:un-21');
    assert.equal(crm.count('una', 'contact:un-21'), 1, 'it is asked on');
    crm.mood = 'answers';
    crm.allow('una', 'contact:known');
    await client.subscribe('contact:known');
    assert.equal(await status(), 'ready');
  });
});

describe('rights by a question to the backend', async () => {
  const crm = new Crm();
  await crm.start();
  const server = await startServer({
    settings: {
      access: { ...LIMITS, policy: 'http', http: { url: crm.url, secret: crm.secret, timeout: '300ms' } },
      catalogue: { rooms: ['order'] },
    },
  });
  after(async () => {
    await server.stop();
    await crm.stop();
  });

  test('a question says who, whose and what, signed; own rooms are asked about by nobody', async () => {
    crm.allow('hugo', 'whatsapp:acc');
    crm.allow('hugo', 'order:7');
    const hugo = await server.connect({ user: 'hugo', rooms: ['*'] });

    await hugo.subscribe('whatsapp:acc', 'order:7');
    const ack = await hugo.request('subscribe', 'contact:1');
    await server.published(qr('acc'));
    await server.published({ event: 'team:activity', data: { activity: { userId: '1', userName: 'n', action: 'a', resource: 'r' } } });

    assert.equal(ack.error?.code, 'forbidden');
    // Pairing follows the account, unless the token or the settings say otherwise.
    assert.deepEqual(names(await server.received(hugo)), ['whatsapp:qr:generated', 'team:activity']);
    const ours = { user: 'hugo', tenant: 'acme' };
    const [list, ...asked] = crm.asked.filter(({ user }) => user === 'hugo');
    assert.deepEqual(list, { ...ours, room: 'contacts:acme', kind: 'contacts', id: '*' });
    const rooms = asked.filter(({ kind }) => kind !== 'contacts');
    assert.deepEqual(rooms.slice(0, 3), [
      { ...ours, room: 'whatsapp:acc', kind: 'whatsapp', id: 'acc' },
      { ...ours, room: 'order:7', kind: 'order', id: '7' },
      { ...ours, room: 'contact:1', kind: 'contact', id: '1' },
    ]);
    assert.equal(crm.forged, 0);
  });

  test('who may hear every contact is asked about once, on connecting', async () => {
    crm.allow('lista', 'contacts:acme', { ttlMs: 60_000 });
    const lista = await server.connect({ user: 'lista' });

    await server.published(updated('somebody'));

    assert.deepEqual(names(await server.received(lista)), ['contact:updated']);
    assert.equal(crm.count('lista', 'contacts:acme'), 1);
  });

  test('what many ask at once is asked once, and a no is remembered for its time', async () => {
    crm.allow('many', 'contact:1', { ttlMs: 60_000 });
    const clients = await Promise.all(Array.from({ length: 10 }, () => server.connect({ user: 'many' })));

    await Promise.all(clients.map((client) => client.subscribe('contact:1')));
    const acks = await Promise.all(clients.map((client) => client.request('subscribe', 'contact:2')));

    assert.equal(crm.count('many', 'contact:1'), 1);
    assert.ok(acks.every((ack) => ack.error?.code === 'forbidden'));
    const noes = crm.count('many', 'contact:2');
    assert.ok(noes >= 1 && noes < 5, `${noes} questions`);
    crm.allow('many', 'contact:2');
    await until('the end of the no', async () => (await clients[0].request('subscribe', 'contact:2')).ok);
  });

  test('a yes lasts as long as it says, and is asked for again while somebody is in the room', async () => {
    crm.allow('tom', 'contact:short', { ttlMs: 300 });
    const tom = await server.connect({ user: 'tom' });
    await tom.subscribe('contact:short');

    await until('further questions', () => crm.count('tom', 'contact:short') >= 3);
    assert.equal((await tom.request('subscribe', 'contact:short')).ok, true);
    crm.deny('tom', 'contact:short');

    const left = await tom.next('session:left');
    assert.deepEqual(left.payload, { rooms: ['contact:short'], reason: 'withdrawn' });
  });

  test('whoever left a room, or is gone, is asked about no more', async () => {
    crm.allow('nina', 'contact:gone', { ttlMs: 200 });
    crm.allow('nina', 'contact:left', { ttlMs: 200 });
    const nina = await server.connect({ user: 'nina' });
    await nina.subscribe('contact:gone', 'contact:left');

    await nina.request('unsubscribe', 'contact:left');
    const before = crm.count('nina', 'contact:left');
    await until('some questions', () => crm.count('nina', 'contact:gone') >= 4);
    assert.ok(crm.count('nina', 'contact:left') <= before + 1);
    const leases = await metric(server, 'access_leases');
    nina.close();
    await until('nothing to ask', async () => (await metric(server, 'access_leases')) < leases);
  });

  for (const mood of /** @type {const} */ (['hangs', 'fails'])) {
    test(`a backend that ${mood} is unavailable, is soon asked no more, and is found again`, async () => {
      crm.allow(mood, 'contact:1');
      const client = await server.connect({ user: mood });
      crm.mood = mood;

      const acks = [];
      for (let id = 1; id <= 8; id += 1) acks.push(await client.request('subscribe', `contact:${id}`));

      assert.ok(acks.every((ack) => ack.error?.code === 'unavailable' && ack.error.retryAfterMs > 0));
      assert.ok(crm.asked.filter(({ user }) => user === mood).length < 8, 'not asked in vain');
      assert.equal((await server.get('/readyz')).body.status, 'degraded');
      crm.mood = 'answers';
      await until('an answer', async () => (await client.request('subscribe', 'contact:1')).ok);
      assert.equal((await server.get('/readyz')).body.status, 'ready');
    });
  }

  test('coming back while nobody can be asked is not a no: the client waits, and misses nothing', async () => {
    crm.allow('back', 'contact:b', { ttlMs: 500 });
    const back = await server.connect({ user: 'back', reconnection: true });
    await back.subscribe('contact:b');
    await server.published(updated('b'));
    await back.next('contact:updated');
    back.take();

    await crm.stop();
    await until('the end of what was answered', async () => {
      const ack = await back.request('subscribe', 'contact:b');
      return ack.error?.code === 'unavailable';
    });
    back.socket.io.engine.close();
    await until('a disconnect', () => back.disconnects.length > 0);
    await server.published(updated('b'));
    await until('attempts', () => server.logs().some(({ message }) => message === "a client's rooms could not be decided"));
    assert.equal(back.socket.connected, false);

    await crm.start();
    await back.next('contact:updated');
    assert.equal(back.socket.recovered, true);
    back.close();
  });

  test('coming back with less rights is a no: the room is left', async () => {
    crm.allow('less', 'contact:l', { ttlMs: 200 });
    const less = await server.connect({ user: 'less', reconnection: true });
    await less.subscribe('contact:l');
    await server.published(updated('l'));
    await less.next('contact:updated');

    crm.deny('less', 'contact:l');
    await less.next('session:left');
    less.take();
    less.socket.io.engine.close();
    await until('a disconnect', () => less.disconnects.length > 0);
    await server.published(updated('l'), { key: KEYS.acme });
    await less.connected();

    await server.assertNothing(less);
    less.close();
  });
});
