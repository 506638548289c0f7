// @ts-check
/**
 * A file of a journal is cut, or one of its bits flips. Then either somebody says so, or what is served is what was
 * published.
 */
import { cpSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { io } from 'socket.io-client';

import { run, temporaryDirectory } from '../harness/process.js';
import { Server } from '../harness/server.js';
import { KEYS } from '../harness/settings.js';
import { until } from '../harness/until.js';

import { ROOMS } from './ledger.js';

/** @typedef {import('./checker.js').Published} Published */
/** @typedef {import('./checker.js').Heard & { room: string }} Served */
/** @typedef {import('./world.js').Alone} World */

const TENANTS = /** @type {const} */ (['acme', 'globex']);
/** What `verify` says when only the end of the history is gone. */
const SHORTENED = /the newest commits are missing; the next start begins a new epoch/;
/** How many answered events are published once more. */
const REPEATED = 10;
/** How much of what `verify` says is told along with a fault. */
const SAID_MAX = 400;

/**
 * Damages a copy of the journal of a server that is not running, and holds to account what is made of it.
 *
 * @param {World} world
 * @returns {Promise<string[]>} what ought not to be
 */
export async function damage(world) {
  const data = join(temporaryDirectory(), 'data');
  cpSync(world.server.settings.journal.path, data, { recursive: true });
  const done = hurt(world, data);
  const verdict = await run(['journal', 'verify', '--data', data]);
  const faults = [];
  if (verdict.code !== 0 && (verdict.code !== 1 || `${verdict.stdout}${verdict.stderr}` === '')) {
    faults.push(`verify ended with ${verdict.code}: ${verdict.stderr}`);
  }
  const server = new Server({ settings: { ...world.server.settings, server: { port: 0 }, journal: { path: data } } });
  try {
    await server.start();
  } catch (error) {
    const said = server.lines().filter((line) => line.startsWith('error:'));
    if (server.child?.exit?.code !== 1 || said.length !== 1) faults.push(`it did not start, and said ${error}`);
    return faults.map((fault) => `${done}: ${fault}`);
  }
  try {
    faults.push(...(await held(world, server, `${verdict.stdout}\n${verdict.stderr}`, verdict.code === 0)));
  } finally {
    await server.stop();
  }
  const told = faults.map((fault) => `${done}: ${fault}`);
  return told.length === 0 ? [] : [...told, `verify said: ${verdict.stdout.slice(0, SAID_MAX)} ${verdict.stderr.slice(0, SAID_MAX)}`];
}

/**
 * Cuts a file at a random place, or flips a random bit of it.
 *
 * @param {World} world
 * @param {string} data
 */
function hurt(world, data) {
  const all = readdirSync(data).filter((name) => statSync(join(data, name)).size > 0 && name !== 'journal.reserve');
  const large = all.filter((name) => /\.db(-wal)?$/.test(name));
  const names = world.next() < 0.9 ? large : all;
  const name = names[world.below(names.length)];
  const path = join(data, name);
  const { size } = statSync(path);
  const place = world.below(size);
  if (world.next() < 0.4) {
    truncateSync(path, place);
    return `${name} of ${size} bytes cut at ${place}`;
  }
  const bit = world.below(8);
  const bytes = readFileSync(path);
  bytes[place] ^= 1 << bit;
  writeFileSync(path, bytes);
  return `${name} of ${size} bytes, bit ${bit} of byte ${place} flipped`;
}

/**
 * Compares what a server serves with what was published.
 *
 * @param {World} world
 * @param {Server} server
 * @param {string} said by `verify`
 * @param {boolean} isGood what it said
 */
async function held(world, server, said, isGood) {
  const faults = [];
  const isShortened = SHORTENED.test(said) && /(^|\n)error: 1 findings/.test(said);
  for (const tenant of TENANTS) {
    const published = world.ledger.published.filter((one) => one.tenant === tenant);
    const answered = published.filter((one) => one.position !== undefined);
    const before = epochOf(answered[0]?.position ?? '');
    /** @type {Served[]} */
    const served = [];
    let isRefused = false;
    for (const room of ROOMS) {
      const events = await read(server, tenant, room);
      if (events === undefined) isRefused = true;
      served.push(...(events ?? []));
    }
    faults.push(...altered(published, served));
    const epoch = await epochNow(server, tenant);
    if (isRefused && isGood) faults.push(`verify finds nothing, and reading of ${tenant} is refused`);
    const isRenewed = epoch !== before;
    if (isRenewed) faults.push(...(await refusesOld(server, tenant, answered)));
    if (isRefused || !(isGood || isShortened)) continue;

    const ids = new Set(served.map(({ id }) => id));
    const missing = answered.filter(({ id }) => !ids.has(id));
    if (missing.length > 0 && !isRenewed) faults.push(`${missing.length} events of ${tenant} are missing, and nobody says so`);
    const end = Math.max(0, ...served.map(({ position }) => offsetOf(position)));
    const hole = missing.find(({ position }) => offsetOf(position ?? '') <= end);
    if (hole !== undefined) faults.push(`${hole.id} at ${hole.position} is missing, and ${end} is there`);
    faults.push(...(await repeats(server, tenant, answered, ids)));
  }
  if (isGood || isShortened) faults.push(...(await returns(world, server)));
  return faults;
}

/**
 * What a room said, page by page; nothing if the server does not tell.
 *
 * @param {Server} server
 * @param {'acme' | 'globex'} tenant
 * @param {string} room
 * @returns {Promise<Served[] | undefined>}
 */
async function read(server, tenant, room) {
  /** @type {Served[]} */
  const served = [];
  for (let after = ''; ;) {
    const { status, body } = await history(server, tenant, `room=${room}&limit=1000${after}`);
    if (status !== 200) return undefined;
    for (const { id, data, position } of body.events) {
      served.push({ id, body: JSON.stringify(data.activity), position, room });
    }
    if (body.next === undefined) return served;
    after = `&after=${body.next}`;
  }
}

/**
 * What is not as it was published, and where it was.
 *
 * @param {Published[]} published
 * @param {Served[]} served
 */
function altered(published, served) {
  const faults = [];
  const origins = new Map(published.map((one) => [one.id, one]));
  let last = { room: '', offset: 0 };
  for (const { id, body, position, room } of served) {
    const origin = origins.get(id);
    const offset = offsetOf(position);
    if (origin === undefined) faults.push(`${id} was never published`);
    else if (origin.body !== body || origin.room !== room) faults.push(`${id} is not as it was published`);
    else if (origin.position !== undefined && offsetOf(origin.position) !== offset) {
      faults.push(`${id} is at ${position} and was answered at ${origin.position}`);
    }
    if (last.room === room && offset <= last.offset) faults.push(`${id} at ${position} comes after ${last.offset}`);
    last = { room, offset };
  }
  return faults;
}

/**
 * After the history was given another name, whoever knows a position of before is told.
 *
 * @param {Server} server
 * @param {'acme' | 'globex'} tenant
 * @param {Published[]} answered
 */
async function refusesOld(server, tenant, answered) {
  const position = answered.at(-1)?.position;
  if (position === undefined) return [];
  const { status, body } = await history(server, tenant, `room=${ROOMS[0]}&after=${position}`);
  if (status === 410 && body.code === 'position_other_epoch') return [];
  return [`a position of the old epoch of ${tenant} is answered with a ${status}: ${JSON.stringify(body).slice(0, 200)}`];
}

/**
 * What was answered is a duplicate when it is published again, unless it is known to be lost.
 *
 * @param {Server} server
 * @param {'acme' | 'globex'} tenant
 * @param {Published[]} answered
 * @param {Set<string>} ids of what is there
 */
async function repeats(server, tenant, answered, ids) {
  const faults = [];
  for (const { id, body, room, position } of answered.slice(-REPEATED)) {
    const draft = { id, event: 'team:activity', data: { activity: JSON.parse(body) }, rooms: [room] };
    const { status, body: answer } = await server.publish(draft, { key: KEYS[tenant] });
    const isSame = offsetOf(answer.position ?? '') === offsetOf(position ?? '');
    if (status !== 202 || (ids.has(id) && !isSame)) {
      faults.push(`${id}, which was answered at ${position}, is answered with ${status} ${JSON.stringify(answer)}`);
    }
  }
  return faults;
}

/**
 * One of the clients comes back with what it knows: it hears the rest, or that there is something that it missed.
 *
 * @param {World} world
 * @param {Server} server
 */
async function returns(world, server) {
  const { listeners } = world.audience;
  const one = listeners[world.below(listeners.length)];
  const socket = /** @type {any} */ (io(server.url, { auth: one.socket.auth, forceNew: true, autoConnect: false }));
  // What the stock client comes back with.
  const known = /** @type {any} */ (one.socket);
  if (known._pid === undefined || known._lastOffset === undefined) return [];
  [socket._pid, socket._lastOffset] = [known._pid, known._lastOffset];
  /** @type {Map<string, string>} */
  const heard = new Map();
  socket.on('team:activity', (/** @type {any} */ { activity }) => heard.set(activity.action, JSON.stringify(activity)));
  const { published } = world.ledger;
  const mine = published.filter(({ tenant, room }) => tenant === one.tenant && one.rooms.has(room));
  const rest = mine.filter(({ position }) => position !== undefined && offsetOf(position) > offsetOf(known._lastOffset));
  try {
    socket.connect();
    await until(`${one.name} at the damaged journal`, () => socket.connected);
    const isOld = epochOf(known._lastOffset) !== (await epochNow(server, one.tenant));
    if (isOld) return socket.recovered ? [`${one.name} is recovered over a loss`] : [];
    if (!socket.recovered) return [`${one.name} is not recovered, and nothing was lost`];
    await until(`the rest at ${one.name}`, () => rest.every(({ id }) => heard.has(id)), {
      state: () => rest.filter(({ id }) => !heard.has(id)).map(({ id, position }) => `${id} at ${position}`),
    });
    const bodies = new Map(mine.map(({ id, body }) => [id, body]));
    const wrong = [...heard].filter(([id, body]) => bodies.get(id) !== body);
    return wrong.map(([id]) => `${one.name}: ${id} is not as it was published`);
  } catch (error) {
    return [`${one.name} at the damaged journal: ${error}`];
  } finally {
    socket.disconnect();
  }
}

/**
 * @param {Server} server
 * @param {'acme' | 'globex'} tenant
 * @param {string} query
 */
function history(server, tenant, query) {
  return server.get(`/v1/events?${query}`, { authorization: `Bearer ${KEYS[tenant]}` });
}

/**
 * @param {Server} server
 * @param {string} tenant
 */
async function epochNow(server, tenant) {
  const of = tenant === 'acme' ? 'acme' : 'globex';
  const { body } = await history(server, of, 'room=flow:nobody');
  return epochOf(body.position ?? '');
}

/** @param {string} position */
function epochOf(position) {
  return position.split('-')[0];
}

/** @param {string} position */
function offsetOf(position) {
  return Number(position.split('-')[1]);
}
