// @ts-check
/**
 * The outbox table: rows per second into the journal, and from the commit to a browser.
 *
 *     SWITCHBOARD_BIN=target/release/switchboard node bench/outbox.mjs [rows]
 *
 * It uses the end-to-end tests' harness: a Postgres of its own (without fsync, as it is not what is measured), the real
 * server with its journal on disk (with fsync), the stock client. Prints a table in Markdown.
 */
import { performance } from 'node:perf_hooks';

import { outboxDatabase, outboxServer } from '../tests/e2e/harness/outbox.js';
import { until } from '../tests/e2e/harness/until.js';

const ROWS = Number(process.argv[2] ?? 50_000);
const PACED_ROWS = 1_000;
const PACE_MS = 10;
const DEADLINE_MS = 300_000;

const now = () => performance.timeOrigin + performance.now();

/** The rows `1` to `count`, of so many tenants. @param {number} count @param {number} tenants */
const rows = (count, tenants) =>
  `insert into switchboard_outbox (tenant, event, data)
     select 't' || n % ${tenants}, 'contact:updated', jsonb_build_object(
       'contactId', (n % 1000)::text, 'updates', jsonb_build_object('name', 'Ana', 'note', repeat('x', 200)))
     from generate_series(1, ${count}) n`;

const postgres = await outboxDatabase();
const settings = { log: { level: 'info' } };

/** How many rows a second come into the journal when they are there already. @param {number} tenants @param {number} batch */
async function drained(tenants, batch) {
  await postgres.run(rows(ROWS, tenants));
  await postgres.run('analyze switchboard_outbox');
  const server = await outboxServer(postgres, { ...settings, outbox: { batch } });
  const left = () => Number(postgres.ask('select count(*) from switchboard_outbox'));
  const from = now();
  const before = left();
  await until('an empty table', () => left() === 0, { deadlineMs: DEADLINE_MS });
  const rate = before / ((now() - from) / 1_000);
  await server.stop();
  return Math.round(rate);
}

/** Milliseconds from just before each commit to the browser's handler, sorted. @param {string} poll @param {boolean} told */
async function latencies(poll, told) {
  await postgres.run(`alter table switchboard_outbox ${told ? 'enable' : 'disable'} trigger switchboard_outbox_notify`);
  const server = await outboxServer(postgres, { ...settings, outbox: { poll } });
  const client = await server.connect({ rooms: ['contact:1'] });
  await client.subscribe('contact:1');
  /** @type {number[]} */
  const taken = [];
  client.socket.on('contact:updated', ({ updates }) => taken.push(now() - updates.at));
  const session = postgres.session();
  const one = `insert into switchboard_outbox (tenant, event, data) select 'acme', 'contact:updated', jsonb_build_object(
    'contactId', '1', 'updates', jsonb_build_object('at', extract(epoch from clock_timestamp()) * 1000));\n`;
  for (let n = 0; n < PACED_ROWS; n += 1) {
    session.child.process.stdin?.write(one);
    await new Promise((resolve) => setTimeout(resolve, PACE_MS));
  }
  await until('all of them', () => taken.length === PACED_ROWS, { deadlineMs: DEADLINE_MS });
  session.close();
  await server.stop();
  return taken.sort((a, b) => a - b);
}

/** @param {number[]} sorted @param {number} share */
const quantile = (sorted, share) => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(1);

console.log(`| ${ROWS} rows that wait, 300 bytes each | rows a second |\n| --- | --- |`);
for (const [tenants, batch] of [[1, 500], [1, 1_000], [16, 500]]) {
  console.log(`| ${tenants} tenant${tenants === 1 ? '' : 's'}, batch ${batch} | ${await drained(tenants, batch)} |`);
}
console.log(`\n| ${1_000 / PACE_MS} commits a second, commit to browser | p50 ms | p99 ms |\n| --- | --- | --- |`);
for (const [name, poll, told] of /** @type {const} */ ([['LISTEN/NOTIFY', '1s', true], ['polled every 100 ms', '100ms', false]])) {
  const sorted = await latencies(poll, told);
  console.log(`| ${name} | ${quantile(sorted, 0.5)} | ${quantile(sorted, 0.99)} |`);
}
await postgres.stop();
process.exit(0);
