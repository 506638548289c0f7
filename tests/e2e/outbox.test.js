// @ts-check
/** What the CRM writes in its own transactions is heard: each row once, in order, whatever happens in between. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { LOAD_ROOM, random } from './harness/load.js';
import { assertCounted, numbered, range } from './harness/numbered.js';
import {
  assertEachOnce,
  insert,
  loadIds,
  outboxDatabase,
  outboxServer,
  recorded,
  Writers,
} from './harness/outbox.js';
import { run, temporaryDirectory } from './harness/process.js';
import { toml } from './harness/settings.js';
import { SECRET } from './harness/tokens.js';
import { until } from './harness/until.js';

const ROUNDS = 3;
const WRITERS = 4;

/** The number of rows that wait. @param {import('./harness/database.js').Postgres} postgres */
const waiting = (postgres) =>
  Number(postgres.ask('select count(*) from switchboard_outbox where taken_at is null and error is null'));

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

describe('a table that Switchboard takes from', async () => {
  const postgres = await outboxDatabase();
  const server = await outboxServer(postgres);
  after(async () => {
    await server.stop();
    await postgres.stop();
  });

  test('rows are heard in order once they are committed, and never if they are taken back', async () => {
    const client = await server.connect({ rooms: ['campaign:c'] });
    await client.subscribe('campaign:c');
    const session = postgres.session();

    await session.run(`begin; ${insert(numbered('c', 900))}; rollback`);
    await session.run(`begin; ${range(1, 40).map((n) => insert(numbered('c', n))).join('; ')}`);
    await server.assertNothing(client, 'before the commit');
    await session.run('commit');
    for (const n of range(41, 60)) await session.run(insert(numbered('c', n)));
    await client.next('campaign:progress', ({ n }) => n === 60);

    assertCounted(await server.received(client), 'c', 1, 60);
    session.close();
    await until('an empty table', () => postgres.ask('select count(*) from switchboard_outbox') === '0');
    assert.equal(await metric(server, 'outbox_table_connected'), 1);
    assert.ok((await metric(server, 'outbox_table_taken_total')) >= 60);
  });

  test('a row that is committed later than those behind it is not lost', async () => {
    const client = await server.connect({ rooms: ['campaign:late'] });
    await client.subscribe('campaign:late');
    const late = postgres.session();
    await late.run(`begin; ${insert(numbered('late', 1))}`);
    await postgres.run(insert(numbered('late', 2)));
    await client.next('campaign:progress', ({ n }) => n === 2);

    await late.run('commit');
    await client.next('campaign:progress', ({ n }) => n === 1);

    late.close();
  });

  test('a row of a time that never comes holds up nobody', async () => {
    const client = await server.connect({ rooms: ['campaign:never'] });
    await client.subscribe('campaign:never');

    const { event, data } = numbered('never', 1);
    const values = `'acme', '${event}', '${JSON.stringify(data)}', 'infinity'`;
    await postgres.run(`insert into switchboard_outbox (tenant, event, data, created_at) values (${values})`);
    await postgres.run(insert(numbered('never', 2)));
    await client.next('campaign:progress', ({ n }) => n === 2);

    client.close();
  });

  test('rooms, ids and tenants are those of a draft', async () => {
    const acme = await server.connect({ tenant: 'acme', rooms: ['contact:1', 'contact:2', 'contact:3'] });
    const globex = await server.connect({ tenant: 'globex', rooms: ['contact:1'] });
    await acme.subscribe('contact:2', 'contact:3');
    await globex.subscribe('contact:1');
    const updated = { event: 'contact:updated', data: { contactId: '1', updates: {} } };

    await postgres.run(insert({ ...updated, id: 'row-1', rooms: ['contact:2', 'contact:3'], except: ['contact:3'] }));
    await postgres.run(insert({ ...updated, id: 'row-2', rooms: ['contact:2'] }));
    await postgres.run(insert({ ...updated, id: 'row-3', addRooms: ['contact:3'] }));
    await postgres.run(insert({ ...updated, id: 'row-4' }, 'globex'));
    await acme.next('contact:updated');
    await globex.next('contact:updated');
    await until('an empty table', () => waiting(postgres) === 0);

    assert.equal((await server.received(acme)).length, 2, 'row-2 and row-3');
    assert.equal((await server.received(globex)).length, 1);
    // As jsonb writes it down.
    const data = '{"updates": {}, "contactId": "1"}';
    const again = await server.publish(`{"id": "row-2", "event": "contact:updated", "data": ${data}, "rooms": ["contact:2"]}`);
    assert.equal(again.status, 202, 'the same id is the same event');
    const other = await server.publish({ ...updated, id: 'row-2', rooms: ['contact:3'] });
    assert.equal(other.status, 409, 'with other content it is a conflict');
    await server.assertNothing(acme);
  });

  test('a row that can be no event is marked with its fault, and holds up nobody', async () => {
    const client = await server.connect({ rooms: ['campaign:d'] });
    await client.subscribe('campaign:d');
    const faults = [
      { id: 'f-1', event: 'no:such:event', data: {} },
      { id: 'f-2', event: 'contact:deleted', data: {} },
      { id: 'f 3', event: 'contact:deleted', data: { contactId: '1' } },
      { id: 'f-4', event: 'contact:deleted', data: { contactId: '1' }, rooms: ['nowhere'] },
      { id: 'f-5', event: 'contact:deleted', data: { contactId: '1', large: 'x'.repeat(6 << 20) } },
      { id: 'f-6', event: 'contact:deleted', data: { contactId: '1' }, receipt: { timeoutMs: 1 } },
    ];
    const session = postgres.session();
    const rows = faults.map((fault, index) => `${insert(fault)}; ${insert(numbered('d', index + 1))}`);

    await session.run(`begin; ${rows.join('; ')}; commit`);
    await session.run(insert({ id: 'f-7', event: 'contact:deleted', data: { contactId: '1' } }, ''));
    await session.run(insert({ id: 'f-8', event: 'contact:deleted', data: { contactId: '1' } }, 'a b'));
    await client.next('campaign:progress', ({ n }) => n === faults.length);
    await until('eight errors', () => postgres.ask('select count(*) from switchboard_outbox where error is not null') === '8');

    assertCounted(await server.received(client), 'd', 1, faults.length);
    const errors = postgres.ask('select id, error from switchboard_outbox order by id').split('\n');
    for (const expected of [
      /^f-1\|unknown_event \(event\): /,
      /^f-2\|missing_field \(data\.contactId\): /,
      /^f 3\|invalid_field \(id\): /,
      /^f-4\|invalid_room \(rooms\[0\]\): /,
      /^f-5\|event_too_large \(data\): /,
      /^f-6\|invalid_field \(receipt\): /,
      /^f-7\|tenant_required \(tenant\): /,
      /^f-8\|invalid_tenant \(tenant\): /,
    ]) {
      assert.ok(errors.some((error) => expected.test(error)), `${expected}: ${errors.join('\n')}`);
    }
    const refused = server.logs().filter(({ message }) => message === 'refused a row of the outbox');
    assert.equal(refused.length, 8);
    assert.ok(refused.some(({ code, field }) => code === 'missing_field' && field === 'data.contactId'));
    assert.match(await server.metrics(), /switchboard_outbox_table_refused_total\{code="unknown_event"\} 1/);
    session.close();
    // Mended, it is tried again.
    await postgres.run(`update switchboard_outbox set error = null, data = '{"contactId": "1"}' where id = 'f-2'`);
    await until('a mended row', () => waiting(postgres) === 0);
    assert.equal(postgres.ask(`select count(*) from switchboard_outbox where id = 'f-2'`), '0');
    await postgres.run('delete from switchboard_outbox');
  });

  test('when nothing is told any more, rows are found by looking', async () => {
    const client = await server.connect({ rooms: ['campaign:e'] });
    await client.subscribe('campaign:e');
    await postgres.run('alter table switchboard_outbox disable trigger switchboard_outbox_notify');

    await postgres.run(insert(numbered('e', 1)));
    await client.next('campaign:progress', ({ n }) => n === 1);

    await postgres.run('alter table switchboard_outbox enable trigger switchboard_outbox_notify');
    await postgres.run(`select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%'`);
    await postgres.run(insert(numbered('e', 2)));
    await client.next('campaign:progress', ({ n }) => n === 2);
    await until('a new listener', () => postgres.ask(`select count(*) from pg_stat_activity where query like 'LISTEN%'`) === '1');
  });

  test('while the database is away the node is degraded, and says why, and then goes on', async () => {
    const client = await server.connect({ rooms: ['campaign:g'] });
    await client.subscribe('campaign:g');
    await postgres.kill();

    await until('a node that is degraded', async () => {
      const { status, body } = await server.get('/readyz');
      return status === 200 && body.status === 'degraded' && body.reason.startsWith('the outbox cannot be read: ');
    });
    assert.equal(await metric(server, 'outbox_table_connected'), 0);
    await server.published(numbered('g', 1));
    await postgres.start();
    await postgres.run(insert(numbered('g', 2)));
    await client.next('campaign:progress', ({ n }) => n === 2);

    assertCounted(await server.received(client), 'g', 1, 2);
    assert.equal((await server.get('/readyz')).body.status, 'ready');
  });
});

test('rows may be kept, and a table may be without notifications and of another name', async (t) => {
  const postgres = await outboxDatabase('--table', 'public.events_out', '--no-notify');
  t.after(() => postgres.stop());
  const outbox = { table: 'events_out', after: 'mark', poll: '50ms', tenant: 'acme' };
  const server = await outboxServer(postgres, { outbox });
  t.after(() => server.stop());
  const client = await server.connect({ rooms: ['campaign:c', 'campaign:named'] });
  await client.subscribe('campaign:c', 'campaign:named');
  const into = (/** @type {string} */ sql) => sql.replace('switchboard_outbox', 'events_out');

  await postgres.run(into(insert(numbered('c', 1), '')));
  await postgres.run(into(insert(numbered('c', 2), '')));
  await postgres.run(into(insert(numbered('named', 1))));
  await postgres.run(into(insert({ ...numbered('c', 3), id: 'of-another' }, 'globex')));
  await client.next('campaign:progress', ({ n }) => n === 2);
  await client.next('campaign:progress', ({ campaignId }) => campaignId === 'named');

  await until('marks', () => postgres.ask('select count(taken_at) from events_out') === '3');
  await until('an error', () => /^other_tenant/.test(postgres.ask(`select error from events_out where id = 'of-another'`)));
  assertCounted(await server.received(client), 'c', 1, 2);
});

test('the statements are printed, can be run by psql, and again, and the settings are checked', async (t) => {
  const postgres = await outboxDatabase();
  t.after(() => postgres.stop());
  const printed = await run(['outbox', 'init']);
  assert.equal(printed.code, 0, printed.stderr);
  await postgres.run(printed.stdout);
  await postgres.run(printed.stdout);
  const cwd = temporaryDirectory();
  const config = join(cwd, 'switchboard.toml');
  const check = async (/** @type {Record<string, unknown>} */ outbox) => {
    writeFileSync(config, toml({ auth: { secret: SECRET }, outbox }));
    return run(['config', 'check', '--config', config], { cwd });
  };

  const good = await check({ url: postgres.url });
  const bad = await check({ url: 'postgres://crm:do-not-show-me@db/crm', table: 'a b', after: 'keep' });
  await check({ url: postgres.url });
  const applied = await run(['outbox', 'init', '--apply', '--config', config], { cwd });
  const refused = await run(['outbox', 'init', '--table', 'a"b']);

  assert.match(good.stdout, /outbox {5}switchboard_outbox/, good.stderr);
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /outbox\.table is "a b"/);
  assert.match(bad.stderr, /outbox\.after is "keep"/);
  assert.doesNotMatch(bad.stderr, /do-not-show-me/);
  assert.equal(applied.code, 0, applied.stderr);
  assert.equal(refused.code, 2);
});

test('a table that is not there, or may not be written, is said and waited for', async (t) => {
  const postgres = await outboxDatabase();
  t.after(() => postgres.stop());
  await postgres.run('alter table switchboard_outbox rename to elsewhere');
  const server = await outboxServer(postgres);
  t.after(() => server.stop());
  const client = await server.connect({ rooms: ['campaign:c'] });
  await client.subscribe('campaign:c');
  const reason = async () => (await server.get('/readyz')).body.reason ?? '';

  await until('a reason', async () => /switchboard_outbox" does not exist/.test(await reason()));
  await postgres.run('alter table elsewhere rename to switchboard_outbox');
  await until('a ready node', async () => (await reason()) === '');
  // What is in the journal and cannot be deleted is not appended again, and nothing behind it is taken.
  await postgres.run(
    `create function refuse() returns trigger language plpgsql as $$ begin raise 'not now'; end $$;
     create trigger refuse before delete on switchboard_outbox for each row execute function refuse()`,
  );
  await postgres.run(insert(numbered('c', 1)));
  await until('a reason', async () => /not now/.test(await reason()));
  await postgres.run(insert(numbered('c', 2)));
  await postgres.run('drop trigger refuse on switchboard_outbox');
  await client.next('campaign:progress', ({ n }) => n === 2);

  assertCounted(await server.received(client), 'c', 1, 2);
  assert.equal(await metric(server, 'outbox_table_duplicates_total'), 0);
});

test('while the journal takes nothing rows wait, and none is marked', async (t) => {
  const directory = temporaryDirectory();
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', directory]).status !== 0) {
    t.skip('mounting a small file system needs to be root');
    return;
  }
  t.after(() => execFileSync('umount', ['--lazy', directory]));
  const ballast = join(directory, 'ballast');
  writeFileSync(ballast, Buffer.alloc(60 << 20));
  const postgres = await outboxDatabase();
  t.after(() => postgres.stop());
  const server = await outboxServer(postgres, { journal: { path: join(directory, 'data') } });
  t.after(() => server.stop());
  const client = await server.connect({ rooms: ['campaign:c'] });
  await client.subscribe('campaign:c');
  const filler = 'x'.repeat(60_000);
  const rows = range(1, 200).map((n) => insert(numbered('c', n, { data: { filler } })));
  const session = postgres.session();

  await session.run(`begin; ${rows.join('; ')}; commit`);
  await until('a node that cannot append', async () => (await server.get('/readyz')).body.status === 'failing');
  assert.ok(waiting(postgres) > 0);
  rmSync(ballast);
  await until('an empty table', () => postgres.ask('select count(*) from switchboard_outbox') === '0', { deadlineMs: 30_000 });

  await client.next('campaign:progress', ({ n }) => n === 200);
  assertCounted(await server.received(client), 'c', 1, 200);
  session.close();
});

test('after SIGKILLs of the server and of the database each committed row was heard once, in order', async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);
  t.diagnostic(`SEED=${seed}`);
  const next = random(seed);
  const postgres = await outboxDatabase();
  t.after(() => postgres.stop());
  const server = await outboxServer(postgres, { outbox: { batch: 7 } });
  t.after(() => server.stop());
  const first = await server.published({ event: 'campaign:paused', data: { campaignId: 'before' } });
  const all = [];

  for (let round = 0; round < ROUNDS; round += 1) {
    const writers = new Writers(postgres, { name: `round-${round}`, writers: WRITERS, next });
    all.push(writers);
    const enough = 20 + Math.floor(next() * 200);
    await until(`${enough} rows`, () => writers.count >= enough);
    await server.kill();
    const more = writers.count + Math.floor(next() * 40);
    await until(`${more} rows`, () => writers.count >= more);
    await server.start();
    await writers.stop();
    if (round === 1) {
      await postgres.kill();
      await postgres.start();
    }
    await until('an empty table', () => waiting(postgres) === 0, { deadlineMs: 30_000 });

    assertEachOnce(await recorded(server, first.position), all);
    assert.equal(postgres.ask('select count(*) from switchboard_outbox'), '0', 'none is marked');
  }
  t.diagnostic(`${all.reduce((sum, writers) => sum + writers.count, 0)} rows in ${ROUNDS} rounds`);
});

describe('two servers with journals of their own', async () => {
  const postgres = await outboxDatabase();
  after(() => postgres.stop());

  /**
   * Two servers, a client at each, and everything that both heard.
   *
   * @param {import('node:test').TestContext} t
   * @param {string} lease
   */
  async function pair(t, lease) {
    const outbox = { lease };
    const servers = [await outboxServer(postgres, { outbox }), await outboxServer(postgres, { outbox })];
    for (const server of servers) t.after(() => server.stop());
    /** @type {import('./harness/client.js').Client[]} */
    const clients = [];
    for (const server of servers) {
      const client = await server.connect({ rooms: [LOAD_ROOM] });
      await client.subscribe(LOAD_ROOM);
      clients.push(client);
    }
    /** @type {string[][]} */
    const heard = servers.map(() => []);
    const listen = () => clients.forEach((client, index) => heard[index]?.push(...loadIds(client.take())));
    return { servers, heard, listen };
  }

  test('a tenant is taken by one of them, and by the other one after its end', async (t) => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);
    const { servers, heard, listen } = await pair(t, '10m');
    const writers = new Writers(postgres, { name: 'takeover', writers: WRITERS, next: random(seed) });
    await until('a holder', () => (listen(), heard.some((ids) => ids.length > 50)));
    const [holder, other] = heard[0]?.length ? [0, 1] : [1, 0];
    assert.equal(heard[other]?.length, 0, 'only one of them takes');

    await servers[holder]?.terminate();
    await until('a new holder, long before the lease ends', () => (listen(), (heard[other]?.length ?? 0) > 50));
    await writers.stop();
    await until('an empty table', () => waiting(postgres) === 0);
    await until('the last of them', () => (listen(), heard.flat().length >= writers.count));

    assertEachOnce([...(heard[holder] ?? []), ...(heard[other] ?? [])], [writers]);
    await servers[holder]?.start();
  });

  test('one that was held still wakes, and does no harm', async (t) => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);
    const { servers, heard, listen } = await pair(t, '2s');
    const writers = new Writers(postgres, { name: 'asleep', writers: WRITERS, next: random(seed) });
    await until('a holder', () => (listen(), heard.some((ids) => ids.length > 50)));
    const [holder, other] = heard[0]?.length ? [0, 1] : [1, 0];

    servers[holder]?.child?.signal('SIGSTOP');
    await until('a new holder', () => (listen(), (heard[other]?.length ?? 0) > 50));
    servers[holder]?.child?.signal('SIGCONT');
    const more = writers.count + 100;
    await until('more rows', () => (listen(), writers.count > more));
    await writers.stop();
    await until('an empty table', () => waiting(postgres) === 0);
    await until('the last of them', () => (listen(), new Set(heard.flat()).size >= writers.count));

    // What the first one had appended when it was held still and could not delete is in both journals, once in each.
    const late = heard[other]?.filter((id) => heard[holder]?.includes(id)) ?? [];
    t.diagnostic(`${late.length} rows in both journals`);
    assert.ok(late.length <= 500, 'a batch at most');
    for (const ids of heard) assert.equal(new Set(ids).size, ids.length, 'a double');
    const once = [...(heard[holder] ?? []), ...(heard[other] ?? []).filter((id) => !late.includes(id))];
    assertEachOnce(once, [writers]);
  });
});

test('a server that comes back after a SIGKILL goes on at once with what it had', async (t) => {
  const postgres = await outboxDatabase();
  t.after(() => postgres.stop());
  const server = await outboxServer(postgres, { outbox: { lease: '10m' } });
  t.after(() => server.stop());
  await postgres.run(insert(numbered('c', 1)));
  await until('an empty table', () => waiting(postgres) === 0);

  await server.kill();
  await postgres.run(insert(numbered('c', 2)));
  await server.start();

  await until('an empty table', () => waiting(postgres) === 0);
  assert.equal(postgres.ask('select count(*) from switchboard_outbox_leases'), '1');
});
