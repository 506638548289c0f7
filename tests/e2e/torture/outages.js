// @ts-check
/** What is done to three nodes and their Redis: each fault is one round, drawn from the seed. */
import { until } from '../harness/until.js';

import { Cluster, LEASE_MS } from './cluster.js';
import { tried } from './trial.js';

/** The most answers between two rounds. */
const ANSWERS_MAX = 80;
/** How long Redis, or the way to it, is away at most. */
const AWAY_MS = 4_000;
/** How much a replica lacks at least when it becomes the primary. */
const LACKS = 20;

/** @type {Record<string, import('./trial.js').Trial<Cluster, import('./cluster.js').Shape>>} */
const TRIALS = {
  'redis-kill': {
    says: 'Redis is killed, and started again after a while',
    rounds: 25,
    short: 2,
    async round(cluster) {
      await cluster.answers(cluster.below(ANSWERS_MAX));
      await cluster.undisturbed(async () => {
        await cluster.primary.stop();
        await nobodyReady(cluster);
        await away(cluster);
        await cluster.primary.restart();
        await cluster.ready();
      });
    },
  },
  'redis-pause': {
    says: 'Redis stands still for a while, and goes on',
    rounds: 25,
    short: 1,
    async round(cluster) {
      await cluster.answers(cluster.below(ANSWERS_MAX));
      await cluster.undisturbed(async () => {
        cluster.primary.hold();
        await away(cluster);
        cluster.primary.wake();
        await cluster.ready();
      });
      await cluster.answers(1);
    },
  },
  partition: {
    says: 'one node is cut off from Redis, or its packets are late, and it is there again',
    rounds: 40,
    short: 2,
    async round(cluster) {
      const node = cluster.any();
      await cluster.answers(cluster.below(ANSWERS_MAX));
      await cluster.undisturbed(async () => {
        if (cluster.next() < 0.5) node.way.down();
        else node.way.hold();
        await until('a node that says that it is cut off', async () => !(await node.isReady()));
        // The others go on.
        await cluster.answers(cluster.below(ANSWERS_MAX));
      });
      // Some clients come to it, with positions that it does not know yet.
      for (const each of cluster.nodes) cluster.moveSome(each, 0.5);
      await away(cluster);
      node.way.up();
      node.way.release();
      await cluster.ready();
    },
  },
  'node-kill': {
    says: 'a node is killed, and some of its clients go on at others',
    rounds: 40,
    short: 2,
    async round(cluster) {
      const node = cluster.any();
      await cluster.answers(cluster.below(ANSWERS_MAX));
      await node.server.kill();
      cluster.moveSome(node, 0.7);
      await cluster.answers(cluster.below(ANSWERS_MAX));
      await node.server.start();
    },
  },
  'node-stop': {
    says: 'a node is stopped with its clients, as for an update',
    rounds: 20,
    short: 1,
    async round(cluster) {
      const node = cluster.any();
      await cluster.answers(cluster.below(ANSWERS_MAX));
      const stopped = node.server.terminate();
      cluster.moveSome(node, 0.7);
      await stopped;
      await node.server.start();
    },
  },
  'node-pause': {
    says: 'a node stands still past its leases while its clients go on at others, and is woken',
    rounds: 20,
    short: 1,
    async round(cluster) {
      const node = cluster.any();
      await cluster.answers(cluster.below(ANSWERS_MAX));
      node.hold();
      cluster.moveSome(node, 0.7);
      await cluster.answers(cluster.below(ANSWERS_MAX));
      await passed(LEASE_MS + cluster.below(2 * LEASE_MS));
      node.wake();
      await cluster.answers(1);
    },
  },
  move: {
    says: 'clients are cut off under load, and go on at any node',
    rounds: 60,
    short: 4,
    async round(cluster) {
      for (const node of cluster.nodes) cluster.moveSome(node, 0.5);
      await cluster.answers(cluster.below(ANSWERS_MAX));
    },
  },
  failover: {
    says: 'Redis is killed and its replica takes over, which had everything that was answered',
    rounds: 15,
    short: 1,
    options: { replica: true, waits: 1 },
    // A node may have told of what the replica had not got and nobody was answered: another history, of which clients are told.
    leave: { mayBeUnrecovered: true, mayStartOver: true },
    async round(cluster) {
      await cluster.answers(cluster.below(ANSWERS_MAX));
      await cluster.failover();
      await cluster.mend();
      await cluster.ready();
      await cluster.answers(1);
    },
  },
  'failover-loss': {
    says: 'Redis is killed and its replica takes over, which lacked some of what was answered',
    rounds: 15,
    short: 1,
    options: { replica: true },
    leave: { mayBeUnrecovered: true, mayStartOver: true, mayLose: true },
    async round(cluster) {
      await cluster.answers(cluster.below(ANSWERS_MAX));
      cluster.link.hold();
      await cluster.answers(LACKS + cluster.below(ANSWERS_MAX));
      const before = [cluster.epoch('acme'), cluster.epoch('globex')];
      await cluster.failover();
      await cluster.mend();
      await cluster.ready();
      await cluster.answers(2 * LACKS);
      const after = [cluster.epoch('acme'), cluster.epoch('globex')];
      for (const [index, epoch] of before.entries()) {
        if (epoch === after[index]) cluster.faults.push(`the history lost something, and is ${epoch} as before`);
      }
    },
  },
};

/** @type {Record<string, import('./trial.js').Fault>} */
export const OUTAGES = tried(TRIALS, Cluster.begin);

/**
 * Waits until all nodes say that they take nothing.
 *
 * @param {Cluster} cluster
 */
async function nobodyReady({ nodes }) {
  await until('nodes that say that Redis is away', async () => {
    const ready = await Promise.all(nodes.map((node) => node.isReady()));
    return !ready.some(Boolean);
  });
}

/**
 * The time for which something is away, drawn from the seed.
 *
 * @param {Cluster} cluster
 */
function away(cluster) {
  return passed(cluster.below(AWAY_MS));
}

/** @param {number} ms for which something stays as it is: there is nothing to be seen that it could end with */
function passed(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
