// @ts-check
/** Tokens of every kind, good and bad, made with nothing but node:crypto. */
import { createHmac, createSign, generateKeyPairSync, randomBytes } from 'node:crypto';

import { keepSecret, keepTokenSecret } from './secrets.js';

/** What the servers of these tests share with the CRM that signs tokens. */
export const SECRET = randomBytes(32).toString('hex');
keepSecret('secret of tokens', SECRET);

/** @typedef {Record<string, unknown>} Claims */

/**
 * @typedef {object} Person
 * @property {string | number} [user]
 * @property {string} [tenant]
 * @property {string[]} [rooms] patterns of rooms
 * @property {string[]} [link] patterns of accounts that may be paired; absent: the server's default
 */

/**
 * Claims as a CRM would write them, good for an hour.
 *
 * @param {Person} person
 * @returns {Claims}
 */
export function claims({ user = 'ana', tenant, rooms, link }) {
  const now = Math.floor(Date.now() / 1000);
  return {
    userId: user,
    ...(tenant === undefined ? {} : { tenantId: tenant }),
    ...(rooms === undefined ? {} : { rooms }),
    ...(link === undefined ? {} : { link }),
    iat: now,
    exp: now + 3600,
  };
}

/**
 * @param {Claims} body
 * @param {string} [secret]
 */
export function signHs256(body, secret = SECRET) {
  const text = unsigned({ alg: 'HS256', typ: 'JWT' }, body);
  return kept(`${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`);
}

/**
 * @param {Claims} body
 * @param {import('node:crypto').KeyObject} privateKey
 */
export function signRs256(body, privateKey) {
  const text = unsigned({ alg: 'RS256', typ: 'JWT' }, body);
  return kept(`${text}.${createSign('RSA-SHA256').update(text).sign(privateKey, 'base64url')}`);
}

/**
 * A token that says that nobody signed it.
 *
 * @param {Claims} body
 * @param {string} [signature]
 */
export function signNone(body, signature = '') {
  return kept(`${unsigned({ alg: 'none', typ: 'JWT' }, body)}.${signature}`);
}

/** A fresh RSA key, its public half also as the PEM text of a settings file. */
export function rsaKey() {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  return { privateKey, pem };
}

/**
 * @param {object} header
 * @param {Claims} body
 */
function unsigned(header, body) {
  const part = (/** @type {object} */ value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part(header)}.${part(body)}`;
}

/** @param {string} token */
function kept(token) {
  keepTokenSecret(token);
  return token;
}
