// @ts-check
/** Settings files: the ones that most tests start from, and how a file is written. */
import { createHash, randomBytes } from 'node:crypto';

import { keepSecret } from './secrets.js';
import { SECRET } from './tokens.js';

/** @typedef {Record<string, any>} Settings */

/** An API key, fresh for every run. */
function apiKey() {
  const key = `key_${randomBytes(24).toString('hex')}`;
  keepSecret('API key', key);
  return key;
}

/** One API key for each tenant of the tests, and one for all of them. */
export const KEYS = /** @type {const} */ ({
  acme: apiKey(),
  globex: apiKey(),
  '*': apiKey(),
});

/** @param {string} text */
export function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}

/**
 * The producers of those keys, for these things.
 *
 * @param {string[]} [scopes]
 */
export function producers(scopes = ['publish', 'read']) {
  return Object.entries(KEYS).map(([tenant, key]) => ({
    name: tenant === '*' ? 'platform' : `${tenant}-backend`,
    key_sha256: sha256(key),
    tenant,
    scopes,
  }));
}

/** Producers that may do everything. */
export const ADMINISTRATORS = producers(['publish', 'read', 'admin']);

/** What Meta and the server share, for each endpoint. */
export const WEBHOOK = {
  appSecret: randomBytes(16).toString('hex'),
  verifyToken: randomBytes(16).toString('hex'),
};
keepSecret('secret of a webhook', WEBHOOK.appSecret);
keepSecret('verify token of a webhook', WEBHOOK.verifyToken);

/**
 * Two tenants with a backend each, and a backend that may speak to all of them.
 *
 * @param {string} dataDir
 * @returns {Settings}
 */
export function defaultSettings(dataDir) {
  return {
    server: { host: '127.0.0.1', port: 0, drain_timeout: '5s' },
    admin: { port: 0 },
    auth: { algorithm: 'HS256', secret: SECRET },
    journal: { kind: 'disk', path: dataDir },
    producers: producers(),
    log: { format: 'json', level: 'debug' },
  };
}

/**
 * `over` laid upon `base`, table by table; `undefined` takes a key out.
 *
 * @param {Settings} base
 * @param {Settings} over
 * @returns {Settings}
 */
export function merged(base, over) {
  const result = { ...base };
  for (const [key, value] of Object.entries(over)) {
    if (value === undefined) delete result[key];
    else result[key] = isTable(value) && isTable(base[key]) ? merged(base[key], value) : value;
  }
  return result;
}

/**
 * Settings as the text of a TOML file: a table for each section, arrays of tables where there are arrays.
 *
 * @param {Settings} settings
 */
export function toml(settings) {
  return Object.entries(settings)
    .map(([section, value]) => table(section, value))
    .join('\n');
}

/**
 * @param {string} path
 * @param {any} value
 * @returns {string}
 */
function table(path, value) {
  if (isTables(value)) {
    return value.map((/** @type {any} */ one) => `[[${path}]]\n${pairs(one)}`).join('\n');
  }
  const [inner, plain] = split(value);
  const nested = Object.entries(inner).map(([key, tables]) => table(`${path}.${key}`, tables));
  return [`[${path}]\n${pairs(plain)}`, ...nested].join('\n');
}

/**
 * What becomes arrays of tables, and what stands in the table itself.
 *
 * @param {Settings} value
 */
function split(value) {
  const entries = Object.entries(value);
  return [
    Object.fromEntries(entries.filter(([, one]) => isTables(one))),
    Object.fromEntries(entries.filter(([, one]) => !isTables(one))),
  ];
}

/** @param {Settings} values */
function pairs(values) {
  return Object.entries(values)
    .map(([key, value]) => `${JSON.stringify(key)} = ${inline(value)}\n`)
    .join('');
}

/**
 * @param {any} value
 * @returns {string}
 */
function inline(value) {
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`;
  if (!isTable(value)) return JSON.stringify(value);
  const inner = Object.entries(value).map(([key, one]) => `${JSON.stringify(key)} = ${inline(one)}`);
  return `{ ${inner.join(', ')} }`;
}

/** @param {unknown} value */
function isTable(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** @param {unknown} value */
function isTables(value) {
  return Array.isArray(value) && value.length > 0 && value.every(isTable);
}
