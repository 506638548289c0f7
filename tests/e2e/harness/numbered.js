// @ts-check
/** Events that count: a gap, a double or a wrong order shows in their numbers. */
import assert from 'node:assert/strict';

/** The most events of one request. */
const BATCH_MAX = 1_000;

/**
 * @param {string} campaign its room is `campaign:{campaign}`
 * @param {number} n
 * @param {Record<string, any>} [more] of the draft
 */
export function numbered(campaign, n, more = {}) {
  const { data, ...draft } = more;
  const progress = { sent: n, total: 1_000_000, percentage: 0, failed: 0 };
  return { event: 'campaign:progress', data: { campaignId: campaign, progress, n, ...data }, ...draft };
}

/**
 * Publishes the numbers `from` to `through`.
 *
 * @param {import('./server.js').Server} server
 * @param {string} campaign
 * @param {number} from
 * @param {number} [through]
 * @param {Record<string, any>} [more] of each draft
 */
export async function count(server, campaign, from, through = from, more = {}) {
  for (let next = from; next <= through; next += BATCH_MAX) {
    const last = Math.min(through, next + BATCH_MAX - 1);
    const { status, body } = await server.publish(range(next, last).map((n) => numbered(campaign, n, more)));
    assert.equal(status, 202, JSON.stringify(body).slice(0, 1000));
  }
}

/**
 * @param {number} from
 * @param {number} through
 */
export function range(from, through) {
  return Array.from({ length: through - from + 1 }, (_, index) => from + index);
}

/**
 * The numbers of a campaign that were received.
 *
 * @param {import('./client.js').Received[]} received
 * @param {string} campaign
 * @returns {number[]}
 */
export function numbers(received, campaign) {
  return received.filter(({ payload }) => payload.campaignId === campaign).map(({ payload }) => payload.n);
}

/**
 * Shows that what was received is exactly `from` to `through`, each once and in order; says where it is not.
 *
 * @param {import('./client.js').Received[]} received
 * @param {string} campaign
 * @param {number} from
 * @param {number} through
 */
export function assertCounted(received, campaign, from, through) {
  const got = numbers(received, campaign);
  const wrong = got.findIndex((n, index) => n !== from + index);
  const around = wrong < 0 ? '' : `: ... ${got.slice(Math.max(0, wrong - 2), wrong + 3)} ...`;
  assert.equal(wrong, -1, `${campaign}: a gap or a double at ${from + wrong}${around}`);
  assert.equal(got.length, through - from + 1, `${campaign}: how many came`);
}

/**
 * Shows that each event is behind the one before on the line, and gives the last position.
 *
 * @param {import('./client.js').Received[]} received
 * @returns {string}
 */
export function assertOnLine(received) {
  for (const [index, { position }] of received.entries()) {
    assert.equal(typeof position, 'string', `the last argument is ${JSON.stringify(position)}`);
    const before = received[index - 1]?.position;
    if (before !== undefined) assert.ok(offsetOf(before) < offsetOf(position), `${position} came after ${before}`);
  }
  return received.at(-1)?.position;
}

/** @param {string} position */
export function offsetOf(position) {
  return Number(position.split('-')[1]);
}
