// @ts-check
/** A WebSocket by hand, for what no well-behaved client would send. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';

import { until, within } from './until.js';

/** A TCP connection whose bytes are the test's business. */
export class RawConnection {
  received = Buffer.alloc(0);
  closed = false;

  /** @param {import('node:net').Socket} socket */
  constructor(socket) {
    this.socket = socket;
    socket.on('data', (chunk) => (this.received = Buffer.concat([this.received, chunk])));
    socket.on('error', () => {});
    socket.on('close', () => (this.closed = true));
  }

  /** @param {string} url */
  static async open(url) {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    const connection = new RawConnection(socket);
    await within('a TCP connection', once(socket, 'connect'));
    return connection;
  }

  /** @param {string | Buffer} bytes */
  write(bytes) {
    this.socket.write(bytes);
  }

  /** @param {string} text */
  async says(text) {
    await until(`bytes with ${text}`, () => this.received.includes(text), {
      state: () => this.received.toString('latin1'),
    });
  }

  /** Waits until the other side has closed. */
  async ends() {
    await until('the end of the connection', () => this.closed, { state: () => this.received.toString('latin1') });
  }

  close() {
    this.socket.destroy();
  }
}

/**
 * A WebSocket on which the server has said its handshake.
 *
 * @param {string} url
 * @param {Record<string, string>} [headers]
 */
export async function openWebSocket(url, headers = {}) {
  const connection = await RawConnection.open(url);
  connection.write(upgradeRequest(url, headers));
  await connection.says('"pingInterval"');
  return connection;
}

/**
 * @param {string} url
 * @param {Record<string, string>} [headers]
 * @param {string} [sid] the polling session that is to be taken over
 */
export function upgradeRequest(url, headers = {}, sid) {
  const all = {
    Host: new URL(url).host,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const session = sid === undefined ? '' : `&sid=${sid}`;
  return `GET /socket.io/?EIO=4&transport=websocket${session} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/**
 * A client's text frame, masked as it must be; shorter than 64 KiB.
 *
 * @param {string} text
 */
export function textFrame(text) {
  const payload = Buffer.from(text);
  const header = Buffer.alloc(4);
  header[0] = 0x81;
  if (payload.length < 126) {
    header[1] = 0x80 | payload.length;
  } else {
    header[1] = 0x80 | 126;
    header.writeUInt16BE(payload.length, 2);
  }
  const mask = randomBytes(4);
  const masked = payload.map((byte, index) => byte ^ mask[index % 4]);
  return Buffer.concat([header.subarray(0, payload.length < 126 ? 2 : 4), mask, masked]);
}
