// @ts-check
/**
 * Compares what was answered with what clients got: every answered event reaches every client that is entitled to it,
 * at least once, in order, as it was published, and nothing else does.
 *
 * A history that lost something goes on under another epoch. Only then may an event be missing, and only where the client
 * was told to load the room anew.
 */

/**
 * @typedef {object} Published
 * @property {string} id of the event, unique within its tenant
 * @property {string} tenant
 * @property {string} room
 * @property {string} body what its payload says, as text
 * @property {string} [position] where it was answered to be; none if it never was answered
 */

/**
 * @typedef {object} Heard
 * @property {string} id
 * @property {string} body
 * @property {string} position
 */

/**
 * @typedef {object} Listener
 * @property {string} name
 * @property {string} tenant
 * @property {Set<string>} rooms
 * @property {Heard[]} heard in the order in which it came
 * @property {number} unrecovered how often it had to ask for each room by itself: then only each room is in order
 * @property {Map<string, string>} [anew] rooms that it was told to load anew, and the position from which it hears on
 */

/** The most faults that are told of one listener. */
const FAULTS_MAX = 5;

/**
 * What is wrong; nothing at all is an empty list.
 *
 * @param {readonly Published[]} published
 * @param {readonly Listener[]} listeners
 * @returns {{ faults: string[], repeats: number, heard: number }}
 */
export function check(published, listeners) {
  const faults = placed(published);
  let repeats = 0;
  let heard = 0;
  /** @type {Map<string, Map<string, Published>>} */
  const byTenant = new Map();
  for (const one of published) {
    const ids = byTenant.get(one.tenant) ?? new Map();
    byTenant.set(one.tenant, ids.set(one.id, one));
  }
  for (const listener of listeners) {
    const found = checkListener(byTenant.get(listener.tenant) ?? new Map(), listener);
    faults.push(...found.faults.slice(0, FAULTS_MAX));
    if (found.faults.length > FAULTS_MAX) faults.push(`${listener.name}: and ${found.faults.length - FAULTS_MAX} more`);
    repeats += found.repeats;
    heard += listener.heard.length;
  }
  return { faults, repeats, heard };
}

/**
 * One position is one event of its tenant.
 *
 * @param {readonly Published[]} published
 */
function placed(published) {
  const faults = [];
  /** @type {Map<string, string>} */
  const owners = new Map();
  for (const { id, tenant, position } of published) {
    if (position === undefined) continue;
    const place = `${tenant} ${position}`;
    const owner = owners.get(place);
    if (owner !== undefined) faults.push(`${id} was answered at ${place}, and so was ${owner}`);
    owners.set(place, id);
  }
  return faults.slice(0, FAULTS_MAX);
}

/**
 * @param {Map<string, Published>} published of the listener's tenant
 * @param {Listener} listener
 */
function checkListener(published, { name, rooms, heard, unrecovered, anew = new Map() }) {
  const faults = [];
  /** @type {Map<string, string>} */
  const first = new Map();
  /** @type {Map<string, number>} */
  const lasts = new Map();
  let repeats = 0;
  for (const { id, body, position } of heard) {
    const origin = published.get(id);
    if (origin === undefined) faults.push(`${name}: ${id} was never published to its tenant`);
    else if (!rooms.has(origin.room)) faults.push(`${name}: ${id} was for ${origin.room}, where it is not`);
    else if (origin.body !== body) faults.push(`${name}: ${id} came with another payload`);
    else if (origin.position !== undefined && origin.position !== position && !isRenewed(origin.position, position, anew)) {
      faults.push(`${name}: ${id} came at ${position} and was answered at ${origin.position}`);
    }
    const before = first.get(id);
    if (before !== undefined) {
      repeats += 1;
      if (before !== position && !isRenewed(before, position, anew)) {
        faults.push(`${name}: ${id} came at ${before} and again at ${position}`);
      }
      continue;
    }
    first.set(id, position);
    const line = unrecovered > 0 ? `${epochOf(position)} ${origin?.room}` : '';
    const offset = offsetOf(position);
    const last = lasts.get(line) ?? 0;
    if (offset <= last) faults.push(`${name}: ${id} at ${position} came after ${last}`);
    lasts.set(line, Math.max(last, offset));
  }
  for (const { id, room, position } of published.values()) {
    if (position === undefined || !rooms.has(room) || first.has(id)) continue;
    if (!isExcused(position, anew.get(room))) faults.push(`${name}: ${id} at ${position} never came`);
  }
  return { faults, repeats };
}

/**
 * Whether the two places are of two histories, which only those may see who began anew.
 *
 * @param {string} before
 * @param {string} after
 * @param {Map<string, string>} anew
 */
function isRenewed(before, after, anew) {
  return anew.size > 0 && epochOf(before) !== epochOf(after);
}

/**
 * Whether a client need not have heard what is at `position`: it was told to load the room, in which it hears what is
 * behind `from`.
 *
 * @param {string} position
 * @param {string} [from]
 */
function isExcused(position, from) {
  if (from === undefined) return false;
  return epochOf(position) !== epochOf(from) || offsetOf(position) <= offsetOf(from);
}

/** @param {string} position */
function epochOf(position) {
  return position.split('-')[0];
}

/** @param {string} position */
function offsetOf(position) {
  return Number(position.split('-')[1]);
}
