// @ts-check
/** A Socket.IO client that does only what it is told: it can stop reading, and send what the stock one would not. */
import { once } from 'node:events';
import { connect } from 'node:net';

import { until, within } from './until.js';
import { textFrame, upgradeRequest } from './websocket.js';

/** @typedef {import('./client.js').Received} Received */

/** One connection over a bare WebSocket. */
export class Wire {
  /** @type {Received[]} events, but no `session:sync` and no `presence:update` */
  received = [];
  /** @type {Received[]} */
  syncs = [];
  /** @type {any[]} what came in answer to CONNECT: `{sid, pid}`, or the error */
  replies = [];
  /** How many events had come before the first reply. */
  missed = 0;
  isClosed = false;
  /** @type {Buffer} */
  #input = Buffer.alloc(0);
  #isUpgraded = false;
  #requests = 0;
  /** @type {Map<number, any>} */
  #acks = new Map();

  /** @param {import('node:net').Socket} socket */
  constructor(socket) {
    this.socket = socket;
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', () => {});
    socket.on('close', () => (this.isClosed = true));
  }

  /** @param {string} url */
  static async open(url) {
    const { hostname, port } = new URL(url);
    const socket = connect({ port: Number(port), host: hostname, noDelay: true });
    const wire = new Wire(socket);
    await within('a TCP connection', once(socket, 'connect'));
    socket.write(upgradeRequest(url));
    await until('an upgrade', () => wire.#isUpgraded);
    return wire;
  }

  /** @param {string} packet an Engine.IO packet */
  send(packet) {
    this.socket.write(textFrame(packet));
  }

  /**
   * Joins the main namespace and gives the server's answer.
   *
   * @param {Record<string, unknown>} auth
   */
  async join(auth) {
    const before = this.replies.length;
    this.send(`40${JSON.stringify(auth)}`);
    await until('an answer to CONNECT', () => this.replies.length > before || this.isClosed);
    return this.replies[before];
  }

  /**
   * Emits and gives the acknowledgement.
   *
   * @param {string} event
   * @param {...unknown} args
   */
  async request(event, ...args) {
    const id = this.emit(event, ...args);
    await until(`the ack of ${event}`, () => this.isAcked(id) || this.isClosed);
    return this.#acks.get(id);
  }

  /**
   * Emits, and gives the number of the acknowledgement.
   *
   * @param {string} event
   * @param {...unknown} args
   */
  emit(event, ...args) {
    const id = this.#requests++;
    this.send(`42${id}${JSON.stringify([event, ...args])}`);
    return id;
  }

  /** @param {number} id */
  isAcked(id) {
    return this.#acks.has(id);
  }

  /** Reads nothing more: what the server sends stays in the kernel, until that is full. */
  pause() {
    this.socket.pause();
  }

  resume() {
    this.socket.resume();
  }

  close() {
    this.socket.destroy();
  }

  /** @param {Buffer} chunk */
  #read(chunk) {
    /** @type {Buffer} */
    let input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    if (!this.#isUpgraded) {
      const end = input.indexOf('\r\n\r\n');
      if (end >= 0) input = input.subarray(end + 4);
      this.#isUpgraded = end >= 0;
    }
    while (this.#isUpgraded) {
      const frame = decode(input);
      if (frame === undefined) break;
      input = input.subarray(frame.end);
      if (frame.opcode === 1) this.#take(frame.payload.toString());
    }
    this.#input = input;
  }

  /** @param {string} packet */
  #take(packet) {
    const [, type, id, json] = /^(2|40|42|43|44)(\d*)(.*)$/s.exec(packet) ?? [];
    if (type === '2') this.send('3');
    else if (type === '43') this.#acks.set(Number(id), JSON.parse(json)[0]);
    else if (type === '42') {
      const [event, payload, position] = JSON.parse(json);
      if (event === 'presence:update') return;
      (event === 'session:sync' ? this.syncs : this.received).push({ event, payload, position });
    } else if (type !== undefined) {
      if (this.replies.length === 0) this.missed = this.received.length;
      this.replies.push(JSON.parse(json));
    }
  }
}

/**
 * The first frame of what a server sent, if it is whole.
 *
 * @param {Buffer} input
 */
function decode(input) {
  if (input.length < 2) return undefined;
  const short = input[1] & 0x7f;
  const start = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (input.length < start) return undefined;
  const length = short === 126 ? input.readUInt16BE(2) : short === 127 ? Number(input.readBigUInt64BE(2)) : short;
  const end = start + length;
  if (input.length < end) return undefined;
  return { opcode: input[0] & 0x0f, payload: input.subarray(start, end), end };
}
