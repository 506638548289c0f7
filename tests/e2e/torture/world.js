// @ts-check
/** One server, its producers and its listeners, for as long as one kind of fault is tried on it. */
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
const HEARTBEAT = { ping_interval: '3s', ping_timeout: '5s' };

/** Everything that a fault may lay hands on. */
export class World {
  /** @type {Audience} */
  // @ts-ignore set by `begin`, before anybody else has it
  audience;

  /**
   * @param {number} seed
   * @param {import('../harness/settings.js').Settings} settings
   */
  constructor(seed, settings) {
    this.next = random(seed);
    this.server = new Server({ settings: { log: { level: 'info' }, engine: HEARTBEAT, ...settings } });
    this.control = new Control(join(this.server.directory, 'data'));
    this.server.env = this.control.env;
    this.ledger = new Ledger(this.server, this.next);
  }

  /**
   * Starts the server, the listeners and then the load.
   *
   * @param {number} seed
   * @param {import('../harness/settings.js').Settings} [settings]
   */
  static async begin(seed, settings = {}) {
    const world = new World(seed, settings);
    await world.server.start();
    world.audience = await Audience.gather(world.server, LISTENERS, world.next);
    world.ledger.start(PRODUCERS);
    return world;
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
      state: () => ({ answered: this.ledger.answered, log: this.server.lines().slice(-20) }),
    });
  }

  /** Waits until the server takes events again. */
  async ready() {
    await until('a server that is ready', async () => (await this.server.get('/readyz')).status === 200, {
      deadlineMs: BACK_MS,
      state: () => this.server.lines().slice(-20),
    });
  }

  /**
   * Lets everything come to rest, compares, and goes on.
   *
   * @param {{ mayBeUnrecovered?: boolean }} [options] whether clients may have to ask for their rooms anew
   */
  async compare({ mayBeUnrecovered = false } = {}) {
    await this.ledger.stop();
    await this.audience.settled(this.server, KEYS);
    const { listeners } = this.audience;
    const found = check(this.ledger.published, listeners);
    const faults = [...this.ledger.faults, ...listeners.flatMap((listener) => listener.faults), ...found.faults];
    const unrecovered = sum(listeners.map((one) => one.unrecovered));
    if (unrecovered > 0 && !mayBeUnrecovered) faults.push(`${unrecovered} returns of clients were not recovered`);
    if (found.heard === 0) faults.push('nobody heard anything');
    this.ledger.start(PRODUCERS);
    return { faults, ...this.numbers(), repeats: found.repeats, heard: found.heard, unrecovered };
  }

  /** How much happened. */
  numbers() {
    return {
      answered: this.ledger.answered,
      repeated: this.ledger.repeated,
      returns: sum(this.audience.listeners.map((one) => one.returns)),
      injected: this.control.faults(),
    };
  }

  /** Ends everything, and looks for secrets in the log. */
  async end() {
    await this.ledger.stop();
    this.audience.close();
    await this.server.stop();
    this.control.close();
  }
}

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, one) => total + one, 0);
}
