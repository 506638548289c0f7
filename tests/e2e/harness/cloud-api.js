// @ts-check
/**
 * What the contract makes of a Cloud API webhook, written down once more and apart from the server: the fields that the
 * contract names, in the order of the body.
 */
import { createHash } from 'node:crypto';

/** @typedef {{ event: string, contactId: string, account: string, fields: Record<string, any> }} Expected */

/** The contract's five types; everything else is text that can be read. */
const TYPES = /** @type {Record<string, string>} */ ({
  image: 'Image',
  sticker: 'Image',
  video: 'Video',
  audio: 'Audio',
  document: 'Document',
});

/** Events of their own in the CRM, which the contract does not have. */
const NOT_RECEIVED = ['edit', 'reaction', 'revoke', 'system'];

/** Of a status: the contract's word, the event's name, and the field of its time. */
const STATUSES = /** @type {Record<string, [string, string, string]>} */ ({
  sent: ['Sent', 'message:sent', 'sentAt'],
  delivered: ['Delivered', 'message:delivered', 'deliveredAt'],
  read: ['Read', 'message:read', 'readAt'],
  played: ['Read', 'message:read', 'readAt'],
  failed: ['Failed', 'message:failed', 'failedAt'],
});

/**
 * The events of a webhook's body for a tenant whose phone numbers are these accounts.
 *
 * @param {string} tenant
 * @param {Record<string, string>} accounts
 * @param {any} body
 * @returns {Expected[]}
 */
export function expectedEvents(tenant, accounts, body) {
  return body.entry
    .flatMap((/** @type {any} */ entry) => entry.changes)
    .filter((/** @type {any} */ change) => change.field === 'messages')
    .flatMap((/** @type {any} */ { value }) => {
      const account = accounts[value.metadata.phone_number_id];
      if (account === undefined) return [];
      return [
        ...(value.messages ?? []).flatMap((/** @type {any} */ one) => received(tenant, account, one)),
        ...(value.statuses ?? []).flatMap((/** @type {any} */ one) => status(tenant, account, one)),
      ];
    });
}

/**
 * @param {string} tenant
 * @param {string} account
 * @param {any} message
 * @returns {Expected[]}
 */
function received(tenant, account, message) {
  if (NOT_RECEIVED.includes(message.type)) return [];
  const contactId = contact(tenant, message.group_id, message.from, message.from_user_id);
  const content = message.text?.body ?? message[message.type]?.caption;
  const fields = {
    id: messageId(tenant, message.id),
    contactId,
    whatsappAccountId: account,
    direction: 'Inbound',
    type: TYPES[message.type] ?? 'Text',
    ...(content === undefined ? {} : { content }),
    mediaUrl: null,
    createdAt: time(message.timestamp),
  };
  return [{ event: 'message:received', contactId, account, fields: { message: fields } }];
}

/**
 * @param {string} tenant
 * @param {string} account
 * @param {any} one
 * @returns {Expected[]}
 */
function status(tenant, account, one) {
  const known = one.type === 'call' ? undefined : STATUSES[one.status];
  if (known === undefined) return [];
  const [word, event, at] = known;
  const isGroup = one.recipient_type === 'group';
  const contactId = contact(tenant, isGroup ? one.recipient_id : undefined, one.recipient_id, one.recipient_user_id);
  const id = messageId(tenant, one.id);
  const ids = { contactId, whatsappAccountId: account };
  const named =
    event === 'message:sent'
      ? { message: { id, ...ids, direction: 'Outbound', type: 'Text', status: word, [at]: time(one.timestamp) } }
      : { messageId: id, [at]: time(one.timestamp) };
  return [
    { event, contactId, account, fields: named },
    { event: 'message:status:update', contactId, account, fields: { messageId: id, status: word, ...ids } },
  ];
}

/**
 * @param {string} tenant
 * @param {string | undefined} group
 * @param {string | undefined} phone
 * @param {string} user
 */
function contact(tenant, group, phone, user) {
  if (group !== undefined) return derived('wac', ['contact', tenant, 'group', group]);
  if (phone !== undefined) return derived('wac', ['contact', tenant, 'phone', phone]);
  return derived('wac', ['contact', tenant, 'user', user]);
}

/**
 * @param {string} tenant
 * @param {string} sourceId
 */
function messageId(tenant, sourceId) {
  return derived('wam', ['message', tenant, sourceId]);
}

/**
 * An id that anybody can compute from what WhatsApp says, and nobody can read: a prefix, and half a SHA-256 over the
 * parts, each after its length.
 *
 * @param {string} prefix
 * @param {string[]} parts
 */
function derived(prefix, parts) {
  const hash = createHash('sha256');
  for (const part of parts) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(Buffer.byteLength(part)));
    hash.update(length).update(part);
  }
  return `${prefix}_${hash.digest('hex').slice(0, 32)}`;
}

/** @param {string} seconds */
function time(seconds) {
  return new Date(Number(seconds) * 1000).toISOString();
}
