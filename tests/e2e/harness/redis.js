// @ts-check
/** A real Redis, on a port that the system picks. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

import { Child, temporaryDirectory } from './process.js';
import { until } from './until.js';

/** A server that can be held still and woken, killed and started again with what it has written. */
export class Redis {
  #directory = temporaryDirectory();

  /**
   * @param {number} port
   * @param {string[]} options of `redis-server`, beside those that all have
   */
  constructor(port, options) {
    this.port = port;
    this.options = options;
    this.url = `redis://127.0.0.1:${port}`;
    /** @type {Child | undefined} */
    this.child = undefined;
  }

  /** @param {...string} options of `redis-server`: with `--appendfsync always` nothing that it answered is lost when it is killed */
  static async start(...options) {
    const redis = new Redis(await freePort(), options);
    await redis.restart();
    return redis;
  }

  /** Starts it, again with what it has written. */
  async restart() {
    const own = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#directory];
    const child = new Child(['redis-server', ...own, '--save', '', '--appendonly', 'yes', ...this.options]);
    this.child = child;
    await until('redis to answer', () => this.ask('PING').then((answer) => answer.startsWith('+PONG'), () => false), {
      state: () => child.tail(),
    });
  }

  /** Ends it as a crash of the process would. */
  async stop() {
    this.wake();
    this.child?.signal('SIGKILL');
    await this.child?.ended();
  }

  /** Leaves everybody without an answer, until it is woken. */
  hold() {
    this.child?.signal('SIGSTOP');
  }

  wake() {
    this.child?.signal('SIGCONT');
  }

  /**
   * Tells it something, and gives the beginning of the answer.
   *
   * @param {string} command
   */
  async ask(command) {
    const socket = connect(this.port, '127.0.0.1');
    try {
      socket.write(`${command}\r\n`);
      const [answer] = await once(socket, 'data');
      return String(answer);
    } finally {
      socket.destroy();
    }
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const closed = once(server, 'close');
  server.close();
  await closed;
  return port;
}
