// @ts-check
/** Node's own Socket.IO: servers beside ours, and the emitters that backends have. */
import { createServer } from 'node:http';
import { once } from 'node:events';

import { createAdapter } from '@socket.io/redis-adapter';
import { createAdapter as createStreamsAdapter } from '@socket.io/redis-streams-adapter';
import { Emitter } from '@socket.io/redis-emitter';
import { createClient } from 'redis';
import { Server } from 'socket.io';
import { io as connect } from 'socket.io-client';

import { until } from './until.js';

/** A connection to Redis that makes itself again. @param {string} url */
export async function redisClient(url) {
  const client = createClient({ url, socket: { reconnectStrategy: 50 } });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** @typedef {Awaited<ReturnType<typeof redisClient>>} RedisClient */

/** A backend that emits as the documentation of the emitter has it. @param {string} url */
export async function emitter(url) {
  const client = await redisClient(url);
  return { client, io: new Emitter(client), close: () => client.disconnect() };
}

/** A Node server of the CRM: its clients ask for the rooms that they want. */
export class NodeServer {
  /**
   * @param {Server} io
   * @param {RedisClient[]} clients
   * @param {number} port
   */
  constructor(io, clients, port) {
    this.io = io;
    this.clients = clients;
    this.url = `http://127.0.0.1:${port}`;
    /** @type {import('socket.io-client').Socket[]} */
    this.sockets = [];
  }

  /**
   * @param {string} url of Redis
   * @param {{ namespaces?: string[], kind?: 'classic' | 'streams' }} [options]
   */
  static async start(url, { namespaces = ['/'], kind = 'classic' } = {}) {
    const clients = await Promise.all([redisClient(url), redisClient(url)]);
    const adapter = kind === 'classic' ? createAdapter(clients[0], clients[1]) : createStreamsAdapter(clients[0]);
    const http = createServer();
    const io = new Server(http, { adapter });
    for (const namespace of namespaces) {
      io.of(namespace).on('connection', (socket) => {
        socket.on('join', async (room, ack) => {
          await socket.join(room);
          ack();
        });
        socket.on('subscribe:contact', (id) => socket.join(`contact:${id}`));
      });
    }
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    const { port } = /** @type {import('node:net').AddressInfo} */ (http.address());
    return new NodeServer(io, clients, port);
  }

  /**
   * A stock client in these rooms, and all that it is told: names and arguments.
   *
   * @param {string} namespace
   * @param {...string} rooms
   */
  async connect(namespace, ...rooms) {
    const socket = connect(this.url + namespace, { transports: ['websocket'], forceNew: true });
    this.sockets.push(socket);
    /** @type {any[][]} */
    const told = [];
    socket.onAny((...all) => told.push(all));
    await until('a connection to Node', () => socket.connected);
    for (const room of rooms) await socket.timeout(5_000).emitWithAck('join', room);
    return { socket, told };
  }

  async stop() {
    for (const socket of this.sockets) socket.disconnect();
    await this.io.close();
    // What the adapter still says to Redis is answered first.
    await Promise.allSettled(this.clients.map((client) => client.quit()));
  }
}
