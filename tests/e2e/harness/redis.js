// @ts-check
/** A real Redis, on a port that the system picks. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

import { Child, temporaryDirectory } from './process.js';
import { until } from './until.js';

/** A server that can be held still and woken. */
export class Redis {
  /**
   * @param {Child} child
   * @param {number} port
   */
  constructor(child, port) {
    this.child = child;
    this.url = `redis://127.0.0.1:${port}`;
  }

  static async start() {
    const port = await freePort();
    const options = ['--port', String(port), '--bind', '127.0.0.1', '--dir', temporaryDirectory()];
    const child = new Child(['redis-server', ...options, '--save', '', '--appendonly', 'yes']);
    await until('redis to answer', () => answers(port), { state: () => child.tail() });
    return new Redis(child, port);
  }

  async stop() {
    this.child.signal('SIGCONT');
    this.child.signal('SIGKILL');
    await this.child.ended();
  }

  /** Leaves everybody without an answer, until it is woken. */
  hold() {
    this.child.signal('SIGSTOP');
  }

  wake() {
    this.child.signal('SIGCONT');
  }
}

/** @param {number} port */
async function answers(port) {
  const socket = connect(port, '127.0.0.1');
  try {
    socket.write('PING\r\n');
    const [answer] = await once(socket, 'data');
    return String(answer).startsWith('+PONG');
  } catch {
    return false;
  } finally {
    socket.destroy();
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
