// @ts-check
/** The CRM's side of the outbox: rows that are written in its own transactions. */
import assert from 'node:assert/strict';

import { draft, LOAD_ROOM } from './load.js';
import { Postgres } from './database.js';
import { run } from './process.js';
import { startServer } from './server.js';

/** A Postgres with the table in it. @param {...string} options of `outbox init` */
export async function outboxDatabase(...options) {
  const postgres = new Postgres();
  await postgres.start();
  const { code, stderr } = await run(['outbox', 'init', '--apply', '--url', postgres.url, ...options]);
  assert.equal(code, 0, stderr);
  return postgres;
}

/**
 * A server that takes from it.
 *
 * @param {Postgres} postgres
 * @param {import('./settings.js').Settings} [settings]
 */
export async function outboxServer(postgres, { outbox = {}, ...settings } = {}) {
  const url = postgres.url;
  return startServer({
    settings: { outbox: { url, ...outbox }, log: { level: 'info' }, ...settings },
  });
}

/**
 * The statement that writes a draft.
 *
 * @param {Record<string, any>} draft
 * @param {string} [tenant]
 */
export function insert({ id, event, data, rooms, addRooms, except, receipt }, tenant = 'acme') {
  const values = {
    ...(id === undefined ? {} : { id: text(id) }),
    tenant: text(tenant),
    event: text(event),
    data: text(JSON.stringify(data)),
    ...(rooms === undefined ? {} : { rooms: list(rooms) }),
    ...(addRooms === undefined ? {} : { add_rooms: list(addRooms) }),
    ...(except === undefined ? {} : { except_rooms: list(except) }),
    ...(receipt === undefined ? {} : { receipt_timeout_ms: String(receipt.timeoutMs) }),
  };
  return `insert into switchboard_outbox (${Object.keys(values)}) values (${Object.values(values)})`;
}

/** A CRM that writes rows all the time, some of them in transactions that it takes back. */
export class Writers {
  /** How many of each writer's rows are committed, numbered from 0. @type {number[]} */
  committed = [];
  #stopped = false;

  /**
   * @param {Postgres} postgres
   * @param {{ name: string, writers: number, next: () => number }} options
   */
  constructor(postgres, { name, writers, next }) {
    this.name = name;
    this.next = next;
    this.committed = Array.from({ length: writers }, () => 0);
    this.sessions = this.committed.map(() => postgres.session());
    this.running = Promise.all(this.sessions.map((session, writer) => this.#write(session, writer)));
  }

  /** How many rows there are by now. */
  get count() {
    return this.committed.reduce((sum, one) => sum + one, 0);
  }

  async stop() {
    this.#stopped = true;
    await this.running;
    for (const session of this.sessions) session.close();
  }

  /**
   * @param {import('./database.js').Session} session
   * @param {number} writer
   */
  async #write(session, writer) {
    while (!this.#stopped) {
      const count = 1 + Math.floor(this.next() * 3);
      const from = this.committed[writer] ?? 0;
      const isTakenBack = this.next() < 0.2;
      const rows = Array.from({ length: count }, (_, n) =>
        insert(isTakenBack ? draft(`${this.name}-never`, writer, from + n) : draft(this.name, writer, from + n)),
      );
      const done = await session.run(`begin; ${rows.join('; ')}; ${isTakenBack ? 'rollback' : 'commit'}`);
      if (done && !isTakenBack) this.committed[writer] = from + count;
    }
  }
}

/**
 * Everything of the load that is in a server's journal, read from its beginning: the ids of the events, in order.
 *
 * @param {import('./server.js').Server} server
 * @param {string} after
 */
export async function recorded(server, after) {
  const client = await server.connect({ rooms: [LOAD_ROOM], user: 'reader' });
  const ids = [];
  for (let from = after; from !== undefined;) {
    const ack = await client.request('subscribe:campaign', 'load', { after: from });
    assert.equal(ack.ok, true, JSON.stringify(ack));
    ids.push(...loadIds(client.take()));
    from = ack.next;
  }
  client.close();
  return ids;
}

/** The ids of the load in what was heard. @param {import('./client.js').Received[]} received */
export function loadIds(received) {
  const ours = received.filter(({ payload }) => payload?.load !== undefined);
  return ours.map(({ payload }) => `${payload.load}/${payload.producer}/${payload.n}`);
}

/**
 * Shows that what was heard is every committed row once, each writer's in its order, and nothing else.
 *
 * @param {string[]} heard
 * @param {Writers[]} all
 */
export function assertEachOnce(heard, all) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const id of heard) {
    const [name, writer, n] = id.split('/');
    const line = `${name}/${writer}`;
    assert.equal(Number(n), counts.get(line) ?? 0, `${id}: a gap, a double, or out of order`);
    counts.set(line, Number(n) + 1);
  }
  const expected = all.flatMap(({ name, committed }) =>
    committed.map((count, writer) => /** @type {const} */ ([`${name}/${writer}`, count])),
  );
  assert.deepEqual(counts, new Map(expected.filter(([, count]) => count > 0)));
}

/** @param {string} value */
function text(value) {
  return `'${value.replaceAll("'", "''")}'`;
}

/** @param {string[]} values */
function list(values) {
  return `array[${values.map(text)}]::text[]`;
}
