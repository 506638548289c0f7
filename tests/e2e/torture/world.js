// @ts-check
/** Servers, their producers and their listeners, for as long as one kind of fault is tried on them. */
import { join } from 'node:path';

import { random } from '../harness/load.js';
import { Server } from '../harness/server.js';
import { KEYS } from '../harness/settings.js';
import { until } from '../harness/until.js';

import { check } from './checker.js';
import { Control } from './control.js';
import { Ledger } from './ledger.js';
import { Audience } from './listeners.js';

/** Producers of each tenant. */
const PRODUCERS = 4;
const LISTENERS = 9;
/** How long a server may take to answer again after a fault. */
const BACK_MS = 30_000;

/**
 * The stock client stays open and silent until its heartbeat ends if the server goes while it changes from polling to a
 * WebSocket: short ones, so that this takes seconds.
 */
export const HEARTBEAT = { ping_interval: '3s', ping_timeout: '5s' };

/** What all worlds have: a load, an audience, and a comparison of the two. */
export class World {
  /** @type {Audience} */
  // @ts-ignore set by `begin`, before anybody else has it
  audience;
  /** @type {readonly Server[]} */
  servers = [];
  /** @type {Ledger} */
  // @ts-ignore set by those that extend it
  ledger;
  /** @type {string[]} what ought not to be */
  faults = [];

  /** @param {number} seed */
  constructor(seed) {
    this.next = random(seed);
  }

  /** Starts the listeners and then the load. */
  async populate() {
    this.audience = await Audience.gather(this.servers, LISTENERS, this.next);
    this.ledger.start(PRODUCERS);
  }

  /** @param {number} below a whole number from 0 on, below this */
  below(below) {
    return Math.floor(this.next() * below);
  }

  /**
   * Waits until this many more events were answered.
   *
   * @param {number} count
   */
  async answers(count) {
    const enough = this.ledger.answered + count;
    await until(`${count} answers`, () => this.ledger.answered >= enough || this.ledger.faults.length > 0, {
      deadlineMs: BACK_MS,
      state: () => ({ answered: this.ledger.answered, log: this.lines() }),
    });
  }

  /** Waits until all servers take events again. */
  async ready() {
    const isReady = (/** @type {Server} */ server) => server.get('/readyz').then(({ status }) => status === 200, () => false);
    await until('servers that are ready', async () => (await Promise.all(this.servers.map(isReady))).every(Boolean), {
      deadlineMs: BACK_MS,
      state: () => this.lines(),
    });
  }

  /** The last words of each server. */
  lines() {
    return this.servers.flatMap((server) => server.lines().slice(-20));
  }

  /**
   * Lets everything come to rest, compares, and goes on.
   *
   * @param {import('./trial.js').Leave} [leave]
   */
  async compare(leave = {}) {
    const { mayBeUnrecovered = false, mayStartOver = false } = leave;
    await this.ledger.stop();
    await this.audience.settled(this.ledger.server, KEYS, leave);
    const { listeners } = this.audience;
    const found = check(this.ledger.published, listeners);
    const faults = [...this.faults, ...this.ledger.faults, ...listeners.flatMap((one) => one.faults), ...found.faults];
    const unrecovered = sum(listeners.map((one) => one.unrecovered));
    if (unrecovered > 0 && !mayBeUnrecovered) faults.push(`${unrecovered} returns of clients were not recovered`);
    const anew = sum(listeners.map((one) => one.anew.size));
    if (anew > 0 && !mayStartOver) faults.push(`clients were told to load ${anew} rooms anew`);
    if (found.heard === 0) faults.push('nobody heard anything');
    faults.push(...(await this.inspect(leave)));
    this.ledger.start(PRODUCERS);
    return { faults, ...this.numbers(), repeats: found.repeats, heard: found.heard, unrecovered, anew };
  }

  /**
   * What else is wrong, while nothing happens.
   *
   * @param {import('./trial.js').Leave} _leave
   * @returns {Promise<string[]>}
   */
  async inspect(_leave) {
    return [];
  }

  /** How much happened. */
  numbers() {
    return {
      answered: this.ledger.answered,
      repeated: this.ledger.repeated,
      returns: sum(this.audience.listeners.map((one) => one.returns)),
    };
  }

  /** Ends everything, and looks for secrets in the log. */
  async end() {
    await this.ledger.stop();
    this.audience.close();
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}

/** One server with a journal on a disk, which may fail, and a clock, which may be wrong. */
export class Alone extends World {
  /**
   * @param {number} seed
   * @param {import('../harness/settings.js').Settings} settings
   */
  constructor(seed, settings) {
    super(seed);
    this.server = new Server({ settings: { log: { level: 'info' }, engine: HEARTBEAT, ...settings } });
    this.servers = [this.server];
    this.control = new Control(join(this.server.directory, 'data'));
    this.server.env = this.control.env;
    this.ledger = new Ledger(this.server, this.next);
  }

  /**
   * @param {number} seed
   * @param {import('../harness/settings.js').Settings} [settings]
   */
  static async begin(seed, settings = {}) {
    const world = new Alone(seed, settings);
    await world.server.start();
    await world.populate();
    return world;
  }

  numbers() {
    return { ...super.numbers(), injected: this.control.faults() };
  }

  async end() {
    await super.end();
    this.control.close();
  }
}

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, one) => total + one, 0);
}
