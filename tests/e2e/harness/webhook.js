// @ts-check
/** Meta's side of a webhook: fixtures, signatures, deliveries. */
import { createHmac } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { REPOSITORY } from './process.js';
import { WEBHOOK } from './settings.js';

const FIXTURES = join(REPOSITORY, 'crates/ingest/tests/fixtures/meta');

/** The project's bodies of Cloud API webhooks: file name and bytes. */
export function fixtures() {
  return readdirSync(FIXTURES)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => ({ name, bytes: readFileSync(join(FIXTURES, name)) }));
}

/**
 * What goes into `X-Hub-Signature-256`.
 *
 * @param {Buffer | string} bytes
 * @param {string} [appSecret]
 */
export function signature(bytes, appSecret = WEBHOOK.appSecret) {
  return `sha256=${createHmac('sha256', appSecret).update(bytes).digest('hex')}`;
}

/** @typedef {{ appSecret?: string, headers?: Record<string, string | undefined> }} DeliverOptions */

/**
 * @param {string} url
 * @param {import('./server.js').Body} body
 * @param {DeliverOptions} [options]
 */
export async function deliver(url, body, { appSecret, headers = {} } = {}) {
  const bytes = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const all = {
    'content-type': 'application/json',
    'x-hub-signature-256': signature(bytes, appSecret),
    ...headers,
  };
  const sent = Object.entries(all).filter(([, value]) => value !== undefined);
  return fetch(url, {
    method: 'POST',
    headers: /** @type {Record<string, string>} */ (Object.fromEntries(sent)),
    body: bodyInit(bytes),
  });
}

/**
 * Bytes as `fetch` takes them: its types leave Node's own `Buffer` out.
 *
 * @param {string | Buffer} bytes
 */
export function bodyInit(bytes) {
  return typeof bytes === 'string' ? bytes : new Uint8Array(bytes);
}
