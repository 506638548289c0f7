// @ts-check
/** An authority of a test's own, and certificates that it signs, made by openssl. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { temporaryDirectory } from './process.js';

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** @typedef {{ certFile: string, keyFile: string, cert: string, key: string }} Certificate */

/** Whoever trusts its `certFile` trusts what it signs. */
export class Authority {
  #directory = temporaryDirectory();
  #count = 0;

  constructor() {
    this.certFile = join(this.#directory, 'ca.pem');
    this.keyFile = join(this.#directory, 'ca-key.pem');
    const subject = ['-subj', '/CN=test authority', '-days', '2'];
    openssl(['req', '-x509', ...KEY, ...subject, '-keyout', this.keyFile, '-out', this.certFile]);
    this.cert = readFileSync(this.certFile, 'utf8');
  }

  /**
   * A certificate for this machine, with its key.
   *
   * @param {string} [name] its common name, by which tests tell it from others
   * @returns {Certificate}
   */
  sign(name = 'localhost') {
    const file = (/** @type {string} */ end) => join(this.#directory, `${(this.#count += 1)}-${end}`);
    const [keyFile, requestFile, extensionsFile, certFile] = ['key.pem', 'request.pem', 'extensions', 'cert.pem'].map(file);
    openssl(['req', '-new', ...KEY, '-subj', `/CN=${name}`, '-keyout', keyFile, '-out', requestFile]);
    writeFileSync(extensionsFile, 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n');
    const by = ['-CA', this.certFile, '-CAkey', this.keyFile, '-CAcreateserial', '-days', '2', '-extfile', extensionsFile];
    openssl(['x509', '-req', '-in', requestFile, ...by, '-out', certFile]);
    return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  }
}

/** @param {string[]} args */
function openssl(args) {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
