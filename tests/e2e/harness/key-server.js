// @ts-check
/** A key server: real HTTP, counting, which rotates keys, redirects, hangs and goes away. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

import { keepTokenSecret } from './secrets.js';

/** @typedef {import('node:http').ServerResponse} Answer */

const ALGORITHMS = /** @type {const} */ ({
  RS256: { type: 'rsa', options: { modulusLength: 2048 }, hash: 'sha256' },
  ES256: { type: 'ec', options: { namedCurve: 'P-256' }, hash: 'sha256' },
  ES384: { type: 'ec', options: { namedCurve: 'P-384' }, hash: 'sha384' },
  EdDSA: { type: 'ed25519', options: {}, hash: null },
});

/** A key with a name, which signs tokens. */
export class Signer {
  /**
   * @param {string} kid
   * @param {keyof typeof ALGORITHMS} [algorithm]
   */
  constructor(kid, algorithm = 'ES256') {
    const { type, options } = ALGORITHMS[algorithm];
    const generate = /** @type {(type: string, options: object) => import('node:crypto').KeyPairKeyObjectResult} */ (
      /** @type {unknown} */ (generateKeyPairSync)
    );
    const { privateKey, publicKey } = generate(type, options);
    this.kid = kid;
    this.algorithm = algorithm;
    this.privateKey = privateKey;
    /** @type {Record<string, unknown>} */
    this.jwk = { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: algorithm };
  }

  /**
   * @param {object} claims
   * @param {object} [header] laid upon the one that fits
   */
  sign(claims, header = {}) {
    const part = (/** @type {object} */ value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ alg: this.algorithm, kid: this.kid, typ: 'JWT', ...header })}.${part(claims)}`;
    const key = { key: this.privateKey, dsaEncoding: /** @type {const} */ ('ieee-p1363') };
    const token = `${text}.${sign(ALGORITHMS[this.algorithm].hash, Buffer.from(text), key).toString('base64url')}`;
    keepTokenSecret(token);
    return token;
  }
}

/** Serves a set of keys, and does whatever else it is told. */
export class KeyServer {
  /** How often it was asked. */
  asked = 0;
  /** @type {Array<Record<string, unknown>>} */
  keys = [];
  /** @type {(answer: Answer) => void} */
  answer = this.#keys;

  /** @param {{ key: string, cert: string }} [tls] */
  constructor(tls) {
    const serve = (/** @type {unknown} */ _, /** @type {Answer} */ answer) => {
      this.asked += 1;
      this.answer(answer);
    };
    this.server = tls === undefined ? createServer(serve) : createTlsServer(tls, serve);
    this.scheme = tls === undefined ? 'http' : 'https';
    this.port = 0;
  }

  get url() {
    return `${this.scheme}://localhost:${this.port}/keys`;
  }

  /** Starts it; later on the same port again. */
  async start() {
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = /** @type {import('node:net').AddressInfo} */ (this.server.address()).port;
  }

  /** @param {...Signer} signers */
  publish(...signers) {
    this.keys = signers.map(({ jwk }) => jwk);
    this.answer = this.#keys;
  }

  /** @param {string} location */
  redirect(location) {
    this.answer = (answer) => answer.writeHead(302, { location }).end();
  }

  /** Answers nothing from now on. */
  hang() {
    this.answer = () => {};
  }

  /** @param {number} status */
  fail(status) {
    this.answer = (answer) => answer.writeHead(status).end();
  }

  async stop() {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  /** @param {Answer} answer */
  #keys(answer) {
    answer.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: this.keys }));
  }
}
