// @ts-check
/**
 * Nothing crosses a tenant: two that use the same ids, and every way in that there is, walked by one to get at the
 * other. A way in that docs/wire.md lists and this table does not, fails; so does one that the program has and the page
 * does not (`ways_in.rs`).
 */
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { REPOSITORY } from './harness/process.js';
import { startServer } from './harness/server.js';
import { ADMINISTRATORS, KEYS, WEBHOOK } from './harness/settings.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until } from './harness/until.js';
import { fixtures } from './harness/webhook.js';
import { Wire } from './harness/wire.js';

/** The same person, account, contact, campaign and phone number in both tenants. */
const PERSON = { user: 'u', rooms: ['*'], link: ['*'] };
const JTI = 'the-same-token-id';
const IDS = ['whatsapp:1', 'contact:1', 'campaign:1', 'flow:1', 'order:1'];
const ACCOUNTS = { 200000000000001: '1', 200000000000002: '1' };
const SECRETS = { acme: WEBHOOK.appSecret, globex: randomBytes(16).toString('hex') };
const VERIFY = { acme: WEBHOOK.verifyToken, globex: randomBytes(16).toString('hex') };
const [FIXTURE] = fixtures().filter(({ name }) => name === 'message-text.json');

/** @typedef {'acme' | 'globex'} Tenant */

const server = await startServer({
  settings: {
    // One line for both: a position of one means something to the other.
    journal: { partitions: 1 },
    // Tokens from after a revocation are of the next second, which lies ahead.
    auth: { leeway: '5s' },
    producers: ADMINISTRATORS,
    catalogue: { rooms: ['order'] },
    webhooks: {
      meta: /** @type {Tenant[]} */ (['acme', 'globex']).map((tenant) => ({
        endpoint: `${tenant}-cloud`,
        tenant,
        app_secret: SECRETS[tenant],
        verify_token: VERIFY[tenant],
        accounts: ACCOUNTS,
      })),
    },
  },
});
after(() => server.stop());

/** What is in everything that a tenant says: whoever is sent it, or is answered it, has heard that tenant. */
const MARKS = { acme: `of-acme-${randomBytes(8).toString('hex')}`, globex: `of-globex-${randomBytes(8).toString('hex')}` };

/** Somebody of a tenant, in all of its rooms. */
class Resident {
  /** @param {Tenant} tenant */
  constructor(tenant) {
    this.tenant = tenant;
    this.key = KEYS[tenant];
    this.token = signHs256({ ...claims({ ...PERSON, tenant }), jti: JTI });
    /** @type {Wire} */
    this.wire = /** @type {any} */ (undefined);
    this.pid = '';
  }

  async connect() {
    this.wire = await Wire.open(server.url);
    ({ pid: this.pid } = await this.wire.join({ token: this.token }));
    await this.subscribe();
  }

  async subscribe() {
    for (const room of IDS) assert.equal((await this.wire.request('subscribe', room)).ok, true);
  }

  /** Says something in every kind of room, each with the mark of this tenant, and gives the last position. */
  async speak() {
    const { body } = await server.publish(everything(MARKS[this.tenant]), { key: this.key });
    return body.results.at(-1).position;
  }

  /** How much it has heard of a tenant. */
  hears(/** @type {Tenant} */ tenant) {
    return this.wire.received.filter((one) => JSON.stringify(one).includes(MARKS[tenant])).length;
  }
}

const acme = new Resident('acme');
const globex = new Resident('globex');
await acme.connect();
await globex.connect();
after(() => [acme, globex].forEach(({ wire }) => wire.close()));
const before = await acme.speak();
const EVERYTHING = everything('').length;

/** Something that the walker can say of `acme` or do to it, and all that it was answered. */
/** @typedef {() => Promise<unknown>} Way */

/**
 * How globex tries to get at acme through each way in. Each gives all that it was answered.
 *
 * @type {Record<string, Record<string, Way>>}
 */
const WAYS = {
  CONNECT: {
    'with its own token and the pid of the other': () => joins({ token: globex.token, pid: acme.pid }),
    'with pid and position of the other': () => joins({ token: globex.token, pid: acme.pid, offset: before }),
    'with its own pid and a position of the other': async () => {
      globex.wire.close();
      globex.wire = await Wire.open(server.url);
      const reply = await globex.wire.join({ token: globex.token, pid: globex.pid, offset: before });
      assert.equal(reply.pid, globex.pid, 'its own line');
      return [reply, globex.wire.received];
    },
    'with a token that names the other in every claim but that of the tenant': async () => {
      const person = { ...claims({ ...PERSON, tenant: 'globex' }), tenant: 'acme', tid: 'acme', aud: 'acme' };
      return joins({ token: signHs256(person), tenant: 'acme', tenantId: 'acme' });
    },
  },
  subscribe: {
    'to the same ids, from a position of the other': () =>
      each([...IDS, 'whatsapp:1:link'], (room) => globex.wire.request('subscribe', room, { after: before })),
    'to the rooms that are named after the other': async () => {
      const answers = await each(['team:acme', 'contacts:acme'], (room) => globex.wire.request('subscribe', room));
      for (const answer of answers) assert.equal(answer.error?.code, 'forbidden', JSON.stringify(answer));
      return answers;
    },
    'as everyone': () => each(['team:*', 'contacts:*', '*', 'user:*'], (room) => globex.wire.request('subscribe', room)),
  },
  'subscribe:{kind}': {
    'to the same ids, from a position of the other': () =>
      each(IDS, (room) => globex.wire.request(`subscribe:${room.replace(/:.*/, '')}`, '1', { after: before })),
  },
  unsubscribe: {
    'from the same ids': () => each(IDS, (room) => globex.wire.request('unsubscribe', room)),
    'from the rooms that are named after the other': () =>
      each(['team:acme', 'contacts:acme'], (room) => globex.wire.request('unsubscribe', room)),
  },
  'unsubscribe:{kind}': {
    'from the same ids': () => each(IDS, (room) => globex.wire.request(`unsubscribe:${room.replace(/:.*/, '')}`, '1')),
  },
  'session:refresh': {
    'with a token of the other': async () => {
      const answer = await globex.wire.request('session:refresh', { token: acme.token });
      assert.equal(answer.error?.code, 'other_user');
      return answer;
    },
  },
  'session:replay': {
    'of all of its rooms, from a position of the other': async () => {
      const answer = await globex.wire.request('session:replay', { after: before });
      assert.equal(answer.ok, true, JSON.stringify(answer));
      return answer;
    },
    'of the same ids, from a position of the other': () =>
      globex.wire.request('session:replay', { rooms: IDS, after: before }),
    'of the rooms that are named after the other': async () => {
      const rooms = ['team:acme', 'contacts:acme'];
      const answer = await globex.wire.request('session:replay', { rooms, after: before });
      assert.equal(answer.error?.code, 'not_subscribed');
      return answer;
    },
  },
  'typing:start': {
    'to the same contact': () =>
      globex.wire.request('typing:start', { contactId: '1', whatsappAccountId: MARKS.globex }),
  },
  'typing:stop': {
    'to the same contact': () => globex.wire.request('typing:stop', { contactId: '1', whatsappAccountId: MARKS.globex }),
  },
  'presence:viewing': {
    'of the same contact': () => globex.wire.request('presence:viewing', { contactId: '1', isViewing: true }),
  },
  'presence:update': {
    'of the same user': () => globex.wire.request('presence:update', { status: 'away' }),
  },
  'presence:list': {
    'of its own team': async () => {
      const { users } = await globex.wire.request('presence:list');
      assert.deepEqual([...new Set(users.map((/** @type {any} */ one) => one.userId))], users.length > 0 ? [PERSON.user] : []);
      return users;
    },
    'of the same contact': async () => {
      await acme.wire.request('typing:start', { contactId: '1', whatsappAccountId: MARKS.acme });
      return globex.wire.request('presence:list', { contactId: '1' });
    },
  },
  ping: { 'and hears nothing but a time': () => globex.wire.request('ping') },
  '/healthz': { 'and reads nothing': () => server.get('/healthz') },
  '/readyz': { 'and reads nothing': () => server.get('/readyz') },
  '/v1/stats': {
    'and reads numbers of the node': async () => {
      const { body } = await server.get('/v1/stats', { authorization: `Bearer ${globex.key}` });
      assert.deepEqual(Object.keys(body).sort(), ['complete', 'connected', 'node', 'rooms', 'users']);
      return body;
    },
  },
  '/v1/events': {
    'to the same ids': () => server.publish(everything(MARKS.globex), { key: globex.key }),
    'in the name of the other': async () => {
      const all = everything(MARKS.globex).map((draft) => ({ ...draft, tenant: 'acme' }));
      const { status, body } = await server.publish(all, { key: globex.key });
      assert.equal(status, 422);
      for (const { error } of body.results) assert.equal(error.code, 'other_tenant');
      return body;
    },
    'to the rooms that are named after the other': async () => {
      const drafts = everything(MARKS.globex).map((draft) => ({ ...draft, rooms: ['team:acme', 'contacts:acme'] }));
      const { status, body } = await server.publish(drafts, { key: globex.key });
      assert.notEqual(status, 202);
      return body;
    },
    'and reads the same ids, from the beginning and from a position of the other': () =>
      each([...IDS, 'user:u', 'team:globex', 'contacts:globex'], async (room) => [await reads({ room }), await reads({ room, after: before })]),
    'and reads the rooms that are named after the other': () =>
      each(['team:acme', 'contacts:acme', 'team:*', 'whatsapp:1:link'], (room) => reads({ room })),
    'and reads in the name of the other': async () => {
      for (const tenant of ['acme', '*']) {
        const { code } = await reads({ room: 'contact:1', tenant });
        assert.equal(code, 'other_tenant');
      }
      return [];
    },
    'as everyone': async () => {
      const { status, body } = await server.publish({ ...everything(MARKS.globex)[0], tenant: '*' }, { key: globex.key });
      assert.equal(status, 403);
      return body;
    },
    'with the id of an event of the other': async () => {
      const draft = (/** @type {Tenant} */ tenant) => ({ ...everything(MARKS[tenant])[0], id: 'the-same-event' });
      const theirs = await server.published(draft('acme'), { key: acme.key });
      await until('the event', () => acme.wire.received.at(-1)?.position === theirs.position);
      const ours = await server.published(draft('globex'), { key: globex.key });
      assert.notEqual(ours.position, theirs.position, 'another event');
      return ours;
    },
    'about a message of the other': async () => {
      const { status, body } = await server.publish(
        { event: 'message:read', data: { messageId: MARKS.acme, readAt: '2025-11-05T10:00:00Z' } },
        { key: globex.key },
      );
      assert.deepEqual([status, body.code], [422, 'no_audience']);
      return [];
    },
  },
  '/v1/campaigns/{id}/{verb}': {
    'of the same id': async () => {
      const id = `campaign-of-both-${MARKS.globex}`;
      const start = (/** @type {string} */ key) =>
        server.post(`/v1/campaigns/${id}/start`, { totalRecipients: 2 }, { key });
      assert.equal((await start(acme.key)).status, 200);
      // Of the other nothing is known: this one begins, and counts for itself.
      const results = { results: [{ messageId: 'm', status: 'Sent' }] };
      const unknown = await server.post(`/v1/campaigns/${id}/results`, results, { key: globex.key });
      assert.equal(unknown.body.state, 'Unknown');
      assert.equal((await start(globex.key)).status, 200);
      const { body } = await server.post(`/v1/campaigns/${id}/results`, results, { key: globex.key });
      assert.equal(body.counted, 1);
      return body;
    },
    'in the name of the other': () => refused('/v1/campaigns/c/start', { totalRecipients: 1, tenant: 'acme' }),
  },
  '/v1/events/{id}/receipt': {
    'of an event of the other': async () => {
      const receipt = { timeoutMs: 1_000 };
      const { id } = await server.published({ ...everything(MARKS.acme)[0], receipt }, { key: acme.key });
      for (const query of ['', '?tenant=acme', '?tenant=*']) {
        const path = `/v1/events/${id}/receipt${query}`;
        const { status, body } = await server.get(path, { authorization: `Bearer ${globex.key}` });
        assert.ok([403, 404].includes(status), JSON.stringify(body));
      }
      return [];
    },
    'of its own event with the same id': async () => {
      const { body } = await server.get('/v1/events/the-same-event/receipt', { authorization: `Bearer ${globex.key}` });
      assert.equal(body.code, 'no_receipt');
      return body;
    },
  },
  '/v1/revocations': {
    'of the same user': async () => {
      await arrives(globex, {});
      return orders('/v1/revocations', { user: PERSON.user }, true);
    },
    'of a token with the same id': async () => {
      await arrives(globex, { iat: later(), jti: JTI });
      return orders('/v1/revocations', { token: JTI }, true);
    },
    'of a room of the same user': () => orders('/v1/revocations', { user: PERSON.user, room: 'contact:1' }),
    'in the name of the other': () => refused('/v1/revocations', { user: PERSON.user, tenant: 'acme' }),
    'of the list of contacts of the other': async () => {
      const answer = await server.post('/v1/revocations', { user: 'u', room: 'contacts:acme' }, { key: globex.key });
      assert.equal(answer.body.code, 'invalid_room');
      return answer.body;
    },
  },
  '/v1/users/{id}/disconnect': {
    'of the same user': () => orders(`/v1/users/${PERSON.user}/disconnect`, {}, true),
    'in the name of the other': () => refused(`/v1/users/${PERSON.user}/disconnect`, { tenant: 'acme' }),
  },
  '/v1/access/invalidate': {
    'of everything': () => orders('/v1/access/invalidate', {}),
    'in the name of the other': () => refused('/v1/access/invalidate', { tenant: 'acme' }),
  },
  '/v1/erasures': {
    'of a room of the same name': async () => {
      const position = await acme.speak();
      const mine = await server.post('/v1/erasures', { room: 'contact:1' }, { key: globex.key });
      assert.equal(mine.status, 200, JSON.stringify(mine.body));
      const theirs = await server.post('/v1/erasures', { room: 'contact:1' }, { key: acme.key });
      assert.ok(theirs.body.records > 0, `there was something to erase after ${position}`);
      return mine.body;
    },
    'in the name of the other': () => refused('/v1/erasures', { room: 'contact:1', tenant: 'acme' }),
  },
  '/v1/producers': {
    'and reads its own': async () => {
      const { body } = await server.get('/v1/producers', { authorization: `Bearer ${globex.key}` });
      assert.ok(body.producers.length > 0, JSON.stringify(body));
      for (const { tenant } of body.producers) assert.equal(tenant, 'globex');
      return body;
    },
    'and makes a key for the other': async () => {
      for (const tenant of ['acme', '*']) {
        const { status } = await server.post('/v1/producers', { name: 'spy', tenant }, { key: globex.key });
        assert.equal(status, 403);
      }
      return [];
    },
  },
  '/v1/producers/{id}': {
    'and revokes a key of the other': async () => {
      const all = await server.get('/v1/producers', { authorization: `Bearer ${acme.key}` });
      for (const { id } of all.body.producers) {
        const headers = { authorization: `Bearer ${globex.key}` };
        const { status } = await fetch(`${server.url}/v1/producers/${id}`, { method: 'DELETE', headers });
        assert.ok([403, 404].includes(status), `${status}`);
      }
      return [];
    },
  },
  '/webhooks/meta/{endpoint}': {
    'with messages of the same phone number': async () => {
      const answer = await server.webhook('globex-cloud', marked(MARKS.globex), { appSecret: SECRETS.globex });
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      await until('the message', () => JSON.stringify(globex.wire.received).includes(MARKS.globex));
      return answer.body;
    },
    'at the endpoint of the other': async () => {
      const answer = await server.webhook('acme-cloud', marked(MARKS.globex), { appSecret: SECRETS.globex });
      assert.equal(answer.status, 401);
      return answer.body;
    },
    'with a signature of what the other was sent': async () => {
      const signature = createHmac('sha256', SECRETS.acme).update(marked(MARKS.acme)).digest('hex');
      const headers = { 'x-hub-signature-256': `sha256=${signature}` };
      const answer = await server.webhook('globex-cloud', marked(MARKS.acme), { headers });
      assert.equal(answer.status, 401);
      return answer.body;
    },
    'with the challenge of the other': async () => {
      const query = { 'hub.mode': 'subscribe', 'hub.verify_token': VERIFY.globex, 'hub.challenge': '1' };
      const { status, body } = await server.get(`/webhooks/meta/acme-cloud?${new URLSearchParams(query)}`);
      assert.equal(status, 403);
      return body;
    },
  },
};

test('every way in that there is, is walked here', () => {
  const page = readFileSync(join(REPOSITORY, 'docs/wire.md'), 'utf8');
  const section = page.slice(page.indexOf('Ways in\n\n'));
  const listed = [...section.matchAll(/^\| `([^`]+)`/gm)].map(([, way]) => way);

  assert.ok(listed.length > 10, 'the list was found');
  assert.deepEqual(listed.sort(), Object.keys(WAYS).sort());
});

for (const [way, tries] of Object.entries(WAYS)) {
  describe(`through ${way}`, () => {
    for (const [what, walk] of Object.entries(tries)) {
      test(`${what}, nobody gets at another tenant`, async () => {
        const heard = { acme: acme.hears('acme'), globex: globex.hears('globex') };

        const answered = await walk();

        assert.ok(!JSON.stringify(answered ?? null).includes(MARKS.acme), JSON.stringify(answered));
        await back(globex);
        const [, last] = [await acme.speak(), await globex.speak()];
        // One line: what lies before the last event of the other has been handed out too.
        await until('everything of their own', () => globex.wire.received.at(-1)?.position === last, {
          state: () => globex.wire.received.at(-1),
        });
        await until('everything of the other', () => acme.hears('acme') >= heard.acme + EVERYTHING, {
          state: () => [acme.wire.isClosed, acme.hears('acme'), heard],
        });
        assert.equal(globex.hears('acme'), 0, 'the walker heard nothing of the other');
        assert.equal(acme.hears('globex'), 0, 'and the other nothing of the walker');
        assert.equal(acme.wire.isClosed, false, 'who is where it was');
        const notices = acme.wire.received.filter(({ event }) => event.startsWith('session:'));
        assert.deepEqual(notices, [], 'and was told nothing');
      });
    }
  });
}

test('a token of the other is still good after all that', async () => {
  const again = await Wire.open(server.url);
  const reply = await again.join({ token: acme.token });

  assert.equal(reply.data, undefined, JSON.stringify(reply));
  again.close();
});

/**
 * An event for every kind of room, and for messages and their statuses, each with a mark.
 *
 * @param {string} mark
 */
function everything(mark) {
  const notification = { type: 'info', title: mark, message: 'm' };
  const message = { id: mark || 'm', contactId: '1', whatsappAccountId: '1', type: 'Text', content: mark };
  return [
    { event: 'whatsapp:qr:generated', data: { accountId: '1', qrCode: mark } },
    { event: 'whatsapp:ready', data: { accountId: '1', mark } },
    { event: 'message:received', data: { message: { ...message, direction: 'Inbound' } } },
    { event: 'message:delivered', data: { messageId: mark || 'm', deliveredAt: '2025-11-05T10:00:00Z' } },
    { event: 'campaign:paused', data: { campaignId: '1', mark } },
    { event: 'contact:deleted', data: { contactId: '1', mark } },
    { event: 'flow:execution:started', data: { flowId: '1', executionId: '1', mark } },
    { event: 'campaign:resumed', data: { campaignId: '1', mark }, rooms: ['order:1'] },
    { event: 'campaign:started', data: { campaignId: '1', mark }, rooms: ['user:u'] },
    { event: 'system:notification', data: { notification } },
  ];
}

/**
 * A body as Meta sends it, with a mark as its text.
 *
 * @param {string} mark
 */
function marked(mark) {
  const body = JSON.parse(FIXTURE.bytes.toString());
  const [message] = body.entry[0].changes[0].value.messages;
  message.text.body = mark;
  message.id = `wamid.${randomBytes(16).toString('base64')}`;
  return JSON.stringify(body);
}

/**
 * Connects once more, asks for everything, and gives all that it was sent.
 *
 * @param {Record<string, unknown>} auth
 */
async function joins(auth) {
  const one = await Wire.open(server.url);
  const reply = await one.join(auth);
  assert.notEqual(reply.pid, acme.pid);
  const acks = await each(IDS, (room) => one.request('subscribe', room));
  await acme.speak();
  await one.request('ping');
  one.close();
  return [reply, acks, one.received];
}

/**
 * Reads what a room said, and gives the answer.
 *
 * @param {Record<string, string>} query
 */
async function reads(query) {
  const headers = { authorization: `Bearer ${globex.key}` };
  const { body } = await server.get(`/v1/events?${new URLSearchParams(query)}`, headers);
  return body;
}

/**
 * An order of globex that is taken, and whether its own connections end by it.
 *
 * @param {string} path
 * @param {Record<string, unknown>} body
 * @param {boolean} [ends]
 */
async function orders(path, body, ends = false) {
  await server.ordered(path, body, { key: globex.key });
  if (ends) await until('the end of its own', () => globex.wire.isClosed);
  return globex.wire.received.filter(({ event }) => event.startsWith('session:'));
}

/**
 * An order in the name of acme that is refused.
 *
 * @param {string} path
 * @param {Record<string, unknown>} body
 */
async function refused(path, body) {
  const answer = await server.post(path, body, { key: globex.key });
  assert.deepEqual([answer.status, answer.body.code], [403, 'other_tenant']);
  return answer.body;
}

/**
 * Has somebody in all of its rooms, whatever it did to itself.
 *
 * @param {Resident} resident
 */
async function back(resident) {
  const fresh = { iat: later(), jti: randomBytes(8).toString('hex') };
  if (resident.wire.isClosed) return arrives(resident, fresh);
  const token = signHs256({ ...claims({ ...PERSON, tenant: resident.tenant }), ...fresh });
  assert.equal((await resident.wire.request('session:refresh', { token })).ok, true);
  await resident.subscribe();
}

/**
 * Connects somebody anew, with these claims.
 *
 * @param {Resident} resident
 * @param {import('./harness/tokens.js').Claims} more
 */
async function arrives(resident, more) {
  resident.wire.close();
  resident.token = signHs256({ ...claims({ ...PERSON, tenant: resident.tenant }), ...more });
  await resident.connect();
}

/** A time of issue after everything that is revoked now. */
function later() {
  return Math.ceil(Date.now() / 1_000) + 2;
}

/**
 * @template T, U
 * @param {T[]} all
 * @param {(one: T) => Promise<U>} ask
 * @returns {Promise<U[]>}
 */
async function each(all, ask) {
  const answers = [];
  for (const one of all) answers.push(await ask(one));
  return answers;
}
