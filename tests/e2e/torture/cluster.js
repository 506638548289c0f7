// @ts-check
/** Three nodes on one Redis, each with a way to it that can be cut, and clients that any of them may serve. */
import { Proxy } from '../harness/proxy.js';
import { Redis } from '../harness/redis.js';
import { Server } from '../harness/server.js';
import { ADMINISTRATORS, KEYS } from '../harness/settings.js';
import { until } from '../harness/until.js';

import { Ledger, ROOMS } from './ledger.js';
import { HEARTBEAT, World } from './world.js';

const NODES = 3;
/** How long a node waits for Redis. */
const COMMAND_MS = 1_000;
/** What a busy machine may take beside it. */
const SLACK_MS = 4_000;
/** How long a producer waits for an answer before it asks elsewhere. */
const PATIENCE_MS = COMMAND_MS + SLACK_MS;
/** How long somebody is online whose node says nothing. */
export const LEASE_MS = 2_000;
/** How long a replica may take to have everything. */
const SYNC_MS = 30_000;
/** Nothing that Redis answered is lost when its process is killed; with `everysec` a write may wait behind a sync. */
const ALWAYS = ['--appendfsync', 'always', '--repl-diskless-sync-delay', '0', '--repl-timeout', '5'];

/**
 * @typedef {object} Shape of a cluster
 * @property {boolean} [replica] whether there is a second Redis, which has what the first one has
 * @property {number} [waits] for how many replicas an append waits
 */

/** A node, and its way to Redis. */
export class Node {
  /** How often it was held still or woken. */
  holds = 0;

  /**
   * @param {Proxy} way
   * @param {number} waits
   */
  constructor(way, waits) {
    this.way = way;
    this.server = new Server({
      settings: {
        log: { level: 'info' },
        engine: HEARTBEAT,
        journal: { kind: 'redis', path: undefined },
        redis: {
          url: way.url.replace('http:', 'redis:'),
          command_timeout: `${COMMAND_MS}ms`,
          connect_timeout: `${COMMAND_MS}ms`,
          wait_replicas: waits,
        },
        presence: { grace: '1s', lease: `${LEASE_MS}ms` },
        producers: ADMINISTRATORS,
      },
    });
  }

  /** Holds the process still, as a machine that stands or swaps does. */
  hold() {
    this.holds += 1;
    this.server.child?.signal('SIGSTOP');
  }

  wake() {
    this.holds += 1;
    this.server.child?.signal('SIGCONT');
  }

  /** Whether it says that it can append. */
  async isReady() {
    return this.server.get('/readyz').then(({ status }) => status === 200, () => false);
  }
}

/** The whole of it, which takes events at any node. */
export class Cluster extends World {
  /** @type {Node[]} */
  nodes = [];
  /** @type {Redis | undefined} */
  replica;

  /**
   * @param {number} seed
   * @param {Redis} primary
   * @param {Proxy} link from whoever is the replica to whoever is the primary
   */
  constructor(seed, primary, link) {
    super(seed);
    this.primary = primary;
    this.link = link;
    this.ledger = new Ledger(this, this.next);
  }

  /**
   * @param {number} seed
   * @param {Shape} [shape]
   */
  static async begin(seed, { replica = false, waits = 0 } = {}) {
    const primary = await Redis.start(...ALWAYS);
    const cluster = new Cluster(seed, primary, await Proxy.start(primary.url));
    if (replica) {
      cluster.replica = await Redis.start(...ALWAYS);
      await cluster.#follows(cluster.replica);
    }
    for (let index = 0; index < NODES; index += 1) {
      cluster.nodes.push(new Node(await Proxy.start(primary.url), waits));
    }
    await Promise.all(cluster.nodes.map(({ server }) => server.start()));
    cluster.servers = cluster.nodes.map(({ server }) => server);
    await cluster.populate();
    return cluster;
  }

  /**
   * Publishes at any node; one that is awake has to answer in time, whatever it answers.
   *
   * @param {import('../harness/server.js').Body} body
   * @param {{ key?: string | null }} [options]
   */
  async publish(body, options = {}) {
    const node = this.any();
    const { holds } = node;
    const signal = AbortSignal.timeout(PATIENCE_MS);
    try {
      return await node.server.publish(body, { ...options, signal });
    } catch (error) {
      const isAwake = holds === node.holds && holds % 2 === 0;
      if (signal.aborted && isAwake) this.faults.push(`a producer had no answer within ${PATIENCE_MS} ms`);
      throw error;
    }
  }

  /** A node drawn from the seed. */
  any() {
    return this.nodes[this.below(this.nodes.length)];
  }

  /**
   * Brings a part of the listeners of a node to others.
   *
   * @param {Node} from
   * @param {number} share of them
   */
  moveSome(from, share) {
    const others = this.nodes.filter((node) => node !== from);
    for (const proxy of this.audience.proxies) {
      if (proxy.target !== from.server.url || this.next() >= share) continue;
      proxy.moveTo(others[this.below(others.length)].server.url);
    }
  }

  /**
   * Kills the primary and makes its replica the primary, which the nodes find in its place.
   */
  async failover() {
    const [old, next] = [this.primary, this.replica];
    if (next === undefined) throw new Error('there is no replica');
    await old.stop();
    this.link.moveTo(next.url);
    await next.ask('REPLICAOF NO ONE');
    for (const { way } of this.nodes) way.moveTo(next.url);
    [this.primary, this.replica] = [next, old];
  }

  /** Brings the primary that was killed back as the replica. */
  async mend() {
    this.link.release();
    const old = this.replica;
    if (old === undefined) throw new Error('there is no replica');
    await old.restart();
    await this.#follows(old);
  }

  /**
   * What clients keep while `during` happens: their connections.
   *
   * @param {() => Promise<void>} during
   */
  async undisturbed(during) {
    const { listeners } = this.audience;
    // Some may be on their way from where they were moved away.
    await this.audience.settled(this, KEYS);
    const before = listeners.map(({ losses }) => losses);
    await during();
    for (const [index, { name, losses }] of listeners.entries()) {
      if (losses !== before[index]) this.faults.push(`${name} lost its connection`);
    }
  }

  /** @param {import('./trial.js').Leave} [leave] */
  async compare(leave) {
    await this.ready();
    return super.compare(leave);
  }

  /**
   * What was answered is in the journal, and who began anew did so in the history that is there.
   *
   * @param {import('./trial.js').Leave} leave
   */
  async inspect({ mayLose = false }) {
    const missing = mayLose ? [] : await this.#missing();
    const astray = this.audience.listeners.filter(({ anew, position }) =>
      [...anew.values()].some((from) => from.split('-')[0] !== position.split('-')[0]));
    return [...missing, ...astray.map(({ name }) => `${name} was not told of the history that it is in`)];
  }

  /** The epoch in which an answer of a tenant was given last. */
  epoch(tenant = 'acme') {
    const last = this.ledger.published.findLast((one) => one.tenant === tenant && one.position !== undefined);
    return last?.position?.split('-')[0];
  }

  async end() {
    for (const { server, way } of this.nodes) {
      server.child?.signal('SIGCONT');
      way.release();
    }
    try {
      await super.end();
    } finally {
      for (const { way } of this.nodes) way.close();
      this.link.close();
      await Promise.all([this.primary.stop(), this.replica?.stop()]);
    }
  }

  /** @param {Redis} redis */
  async #follows(redis) {
    const { port } = new URL(this.link.url);
    await redis.ask(`REPLICAOF 127.0.0.1 ${port}`);
    const isUp = async () => (await redis.ask('INFO replication')).includes('master_link_status:up');
    await until('a replica that has everything', isUp, { deadlineMs: SYNC_MS, state: () => redis.child?.tail() });
  }

  /** What was answered and is not in the journal, as any node reads it. */
  async #missing() {
    const kept = new Set();
    for (const tenant of /** @type {const} */ (['acme', 'globex'])) {
      for (const room of ROOMS) await this.#read(tenant, room, (id) => kept.add(`${tenant} ${id}`));
    }
    const answered = this.ledger.published.filter(({ position }) => position !== undefined);
    const gone = answered.filter(({ tenant, id }) => !kept.has(`${tenant} ${id}`));
    return gone.slice(0, 5).map(({ id, position }) => `${id} was answered at ${position} and is in the journal no more`);
  }

  /**
   * @param {'acme' | 'globex'} tenant
   * @param {string} room
   * @param {(id: string) => void} each
   */
  async #read(tenant, room, each) {
    for (let after = ''; ;) {
      const query = new URLSearchParams({ room, limit: '1000', ...(after === '' ? {} : { after }) });
      const { status, body } = await this.any().server.get(`/v1/events?${query}`, { authorization: `Bearer ${KEYS[tenant]}` });
      if (status !== 200) throw new Error(`${room} cannot be read: ${JSON.stringify(body)}`);
      for (const { id } of body.events) each(id);
      if (body.next === undefined) return;
      after = body.next;
    }
  }
}
