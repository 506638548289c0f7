// @ts-check
/** The real server, speaking TLS. */
import { copyFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';

import { dial } from './client.js';
import { temporaryDirectory } from './process.js';
import { Server } from './server.js';
import { ADMINISTRATORS, WEBHOOK } from './settings.js';
import { claims, signHs256 } from './tokens.js';

/** A server whose certificate is in files that a test may change. */
export class TlsServer extends Server {
  /** @param {import('./certificates.js').Authority} authority whom its clients trust */
  constructor(authority) {
    const directory = temporaryDirectory();
    const [tls_cert_file, tls_key_file] = ['cert.pem', 'key.pem'].map((name) => join(directory, name));
    const webhook = { endpoint: 'acme', tenant: 'acme', app_secret: WEBHOOK.appSecret, verify_token: WEBHOOK.verifyToken };
    const server = { tls_cert_file, tls_key_file, tls_reload_interval: '100ms' };
    super({ settings: { server, producers: ADMINISTRATORS, webhooks: { meta: [webhook] } } });
    this.authority = authority;
    this.certFile = tls_cert_file;
    this.keyFile = tls_key_file;
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  /** @param {import('./certificates.js').Certificate} certificate */
  use({ certFile, keyFile }) {
    copyFileSync(certFile, this.certFile);
    copyFileSync(keyFile, this.keyFile);
  }

  /**
   * @param {string} path
   * @param {Record<string, string>} [headers]
   */
  async get(path, headers) {
    return this.ask('GET', path, { headers });
  }

  /**
   * A request over TLS, and its answer.
   *
   * @param {string} method
   * @param {string} path
   * @param {{ headers?: Record<string, string>, body?: string }} [options]
   */
  async ask(method, path, { headers = {}, body } = {}) {
    const options = { method, headers, ca: this.authority.cert, agent: false };
    return new Promise((resolve, reject) => {
      const asking = request(`https://localhost:${this.port}${path}`, options, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (part) => (text += part));
        answer.on('end', () => {
          const type = answer.headers['content-type'] ?? '';
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, type, body: text });
        });
      });
      asking.on('error', reject);
      asking.end(body);
    });
  }

  /**
   * A stock client over TLS.
   *
   * @param {readonly string[]} transports
   * @param {{ trusts?: boolean }} [options]
   */
  dialSecurely(transports, { trusts = true } = {}) {
    const token = signHs256(claims({ user: 'ana', tenant: 'acme', rooms: ['*'] }));
    const more = trusts ? { ca: this.authority.cert } : {};
    return dial(`https://localhost:${this.port}`, { token, user: 'ana', tenant: 'acme', transports, io: more });
  }
}
