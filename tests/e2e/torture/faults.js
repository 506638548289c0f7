// @ts-check
/** What is done to one server, and all that is tried: each fault is one round, drawn from the seed. */
import { until } from '../harness/until.js';

import { damage } from './damage.js';
import { OUTAGES } from './outages.js';
import { tried } from './trial.js';
import { Alone } from './world.js';

/** How far the clock jumps. */
const HOUR_S = 3600;
/** The most answers between two rounds. */
const ANSWERS_MAX = 120;

/** How much clients miss before they are told of it: more than a page (256). */
const MISSED = 400;

/** @type {Record<string, import('./trial.js').Trial<Alone, import('../harness/settings.js').Settings>>} */
const FAILURES = {
  kill: {
    says: 'SIGKILL at any moment under load',
    rounds: 200,
    short: 4,
    async round(world) {
      await world.answers(world.below(ANSWERS_MAX));
      await world.server.kill();
      await world.server.start();
    },
  },
  tear: {
    says: 'the process dies in the middle of a write, half of which is on the disk',
    rounds: 40,
    short: 2,
    async round(world) {
      await world.answers(world.below(ANSWERS_MAX));
      world.control.tearsWrite(1 + world.below(60));
      await died(world);
      world.control.tearsWrite(0);
      await world.server.start();
    },
  },
  damage: {
    says: 'a file of the journal is cut, or a bit of it flips, while the server is down',
    rounds: 80,
    short: 3,
    async round(world) {
      await world.answers(world.below(ANSWERS_MAX));
      // With or without a log beside the file.
      if (world.next() < 0.5) await world.server.kill();
      else await world.server.terminate();
      // To a copy: what the listeners are told goes on as if nothing had happened.
      world.ledger.faults.push(...(await damage(world)));
      await world.server.start();
    },
  },
  full: {
    says: 'the disk is full for a while',
    rounds: 15,
    short: 1,
    round: (world) => failing(world, 'ENOSPC'),
  },
  readonly: {
    says: 'the disk can only be read for a while',
    rounds: 15,
    short: 1,
    round: (world) => failing(world, 'EROFS'),
  },
  io: {
    says: 'the disk fails for a while, and the process is killed before it is well again',
    rounds: 15,
    short: 1,
    async round(world) {
      await world.answers(world.below(ANSWERS_MAX));
      world.control.writesFailWith('EIO');
      await refused(world);
      await world.server.kill();
      world.control.writesFailWith(undefined);
      await world.server.start();
    },
  },
  slow: {
    says: 'each sync takes up to 300 ms',
    rounds: 20,
    short: 1,
    async round(world) {
      world.control.syncsTake(1 + world.below(300));
      await world.answers(1 + world.below(40));
      world.control.syncsTake(0);
      await world.answers(1 + world.below(ANSWERS_MAX));
    },
  },
  clock: {
    says: 'the clock jumps back and forth by up to an hour, with and without a restart',
    rounds: 30,
    short: 2,
    async round(world) {
      world.control.clockIsOffBy(world.below(2 * HOUR_S + 1) - HOUR_S);
      await world.answers(1 + world.below(ANSWERS_MAX));
      if (world.next() < 0.4) {
        await world.server.kill();
        await world.server.start();
      }
      await world.answers(1 + world.below(ANSWERS_MAX));
    },
  },
  cut: {
    says: 'connections are cut, or go silent, and are resumed',
    rounds: 250,
    short: 8,
    async round(world) {
      // Mostly when all are back, so that each of them loses something; else in the middle of coming back.
      const all = () => world.audience.listeners.every(({ socket }) => socket.connected);
      if (world.next() < 0.8) await until('clients that are back', all);
      for (const proxy of world.audience.proxies) {
        const fate = world.next();
        if (fate < 0.6) proxy.cut();
        if (fate < 0.6 || fate > 0.8) continue;
        // The server is not told that the client is gone, and must give its place to who comes back.
        for (const pair of proxy.freeze()) pair.client.destroy();
      }
      await world.answers(world.below(30));
    },
  },
  restart: {
    says: 'the server is restarted or killed while clients are being told what they missed',
    rounds: 25,
    short: 2,
    async round(world) {
      // They miss more than a page, and lose the server again when they have heard some of it.
      const { listeners, proxies } = world.audience;
      for (const proxy of proxies) proxy.down();
      await world.answers(MISSED);
      const heard = () => listeners.reduce((sum, { heard }) => sum + heard.length, 0);
      const enough = heard() + world.below(MISSED * 2);
      for (const proxy of proxies) proxy.up();
      await until('clients that hear again', () => heard() > enough, {
        state: () => listeners.map(({ name, heard, socket }) => [name, heard.length, socket.connected, socket.io._readyState]),
      });
      if (world.next() < 0.5) await world.server.kill();
      else await world.server.terminate();
      await world.server.start();
    },
  },
  pause: {
    says: 'the process stands still for a while, and goes on',
    rounds: 20,
    short: 1,
    async round(world) {
      await world.answers(world.below(ANSWERS_MAX));
      world.server.child?.signal('SIGSTOP');
      await new Promise((resolve) => setTimeout(resolve, world.below(1_500)));
      world.server.child?.signal('SIGCONT');
      await world.answers(1);
    },
  },
};

/** @type {Record<string, import('./trial.js').Fault>} */
export const FAULTS = {
  ...tried(FAILURES, Alone.begin),
  ...OUTAGES,
};

/**
 * Makes every change of a file fail until the server says so, and some time longer.
 *
 * @param {Alone} world
 * @param {'ENOSPC' | 'EROFS'} error
 */
async function failing(world, error) {
  await world.answers(world.below(ANSWERS_MAX));
  world.control.writesFailWith(error);
  await refused(world);
  world.control.writesFailWith(undefined);
  await world.ready();
  await world.answers(1);
}

/**
 * Waits until the server says that it takes nothing.
 *
 * @param {Alone} world
 */
async function refused(world) {
  await until('a server that says that it is failing', async () => (await world.server.get('/readyz')).status === 503, {
    state: () => world.server.lines().slice(-20),
  });
}

/**
 * Waits until the server has died by itself.
 *
 * @param {Alone} world
 */
async function died(world) {
  await until('the death of the server', () => world.server.child?.exit !== undefined);
  await world.server.kill();
}
