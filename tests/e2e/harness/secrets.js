// @ts-check
/**
 * What must never be in a log line: tokens, keys, message text, WhatsApp message ids.
 *
 * Whatever makes one of these in the tests says so here, and every server's whole log is searched for all of
 * them when it stops.
 */

/** Shorter texts could stand in a log line by chance. */
const LENGTH_MIN = 8;

/** @type {Map<string, string>} */
const secrets = new Map();

/**
 * @param {string} kind what it is, to be named instead of shown
 * @param {string} text
 */
export function keepSecret(kind, text) {
  if (text.length >= LENGTH_MIN) secrets.set(text, kind);
}

/**
 * A token gives itself away by any of its parts but the header, which is the same for everybody.
 *
 * @param {string} token
 */
export function keepTokenSecret(token) {
  const [, claims = '', signature = ''] = token.split('.');
  keepSecret('claims of a token', claims);
  keepSecret('signature of a token', signature);
}

/** Fields that hold what a message says, or a code that pairs an account. */
const MESSAGE_TEXTS = new Set(['body', 'caption', 'content', 'text', 'emoji', 'title', 'qrCode']);

/**
 * Keeps secret what the messages inside a webhook body or an event say, and the ids of them.
 *
 * @param {unknown} value
 */
export function keepMessagesSecret(value) {
  if (Array.isArray(value)) {
    value.forEach(keepMessagesSecret);
  } else if (value !== null && typeof value === 'object') {
    for (const [key, inner] of Object.entries(value)) {
      if (typeof inner !== 'string') keepMessagesSecret(inner);
      else if (inner.startsWith('wamid.')) keepSecret('WhatsApp message id', inner);
      else if (MESSAGE_TEXTS.has(key)) keepSecret(`message text in ${key}`, inner);
    }
  }
}

/**
 * The lines that hold a secret, each with the kind of it.
 *
 * @param {string[]} lines
 * @returns {string[]}
 */
export function leaks(lines) {
  const found = [];
  for (const line of lines) {
    for (const [text, kind] of secrets) {
      if (line.includes(text)) found.push(`${kind}: ${line}`);
    }
  }
  return found;
}
