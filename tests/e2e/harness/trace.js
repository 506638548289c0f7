// @ts-check
/**
 * Reads what `strace -f -ttt -y` wrote, and finds an answer that was given before its record was synced.
 *
 * Killing a process shows nothing about the loss of power: what it wrote stays in the page cache. The order of the
 * system calls does.
 */

/**
 * @typedef {object} Call
 * @property {string} name
 * @property {string} file what the first argument's descriptor stands for, such as `/data/journal.db-wal`
 * @property {string} text the whole line, arguments and all
 * @property {number} begun place in the trace at which the call was made
 * @property {number} ended place in the trace at which it returned
 * @property {number} result
 */

/** Calls that bring bytes in. */
export const RECEIVING = ['read', 'readv', 'recvfrom', 'recvmsg'];
/** Calls that put bytes out, on a socket. */
export const SENDING = ['write', 'writev', 'sendto', 'sendmsg'];
/** Calls that change a file. */
export const CHANGING = ['pwrite64', 'pwritev', 'write', 'writev'];
/** Calls after whose return a file survives the loss of power. */
export const SYNCING = ['fsync', 'fdatasync'];

const LINE = /^(\d+)\s+[\d.]+ (.*)$/;
const CALL = /^(\w+)\((\d+)<(.*?)>/;
const RESUMED = /^<\.\.\. (\w+) resumed>/;
const RESULT = / = (-?\d+)[^=]*$/;

/**
 * The calls of a trace on descriptors, the halves of interrupted lines put together.
 *
 * @param {string} trace
 * @returns {Call[]}
 */
export function calls(trace) {
  /** @type {Call[]} */
  const complete = [];
  /** @type {Map<string, Call>} */
  const unfinished = new Map();
  trace.split('\n').forEach((line, place) => {
    const [, thread = '', text = ''] = LINE.exec(line) ?? [];
    const open = RESUMED.test(text) ? unfinished.get(thread) : begin(text, place);
    if (open === undefined) return;
    if (open.begun !== place) open.text += text.replace(RESUMED, '');
    if (text.endsWith('<unfinished ...>')) {
      unfinished.set(thread, open);
    } else {
      unfinished.delete(thread);
      complete.push({ ...open, ended: place, result: Number(RESULT.exec(text)?.[1] ?? NaN) });
    }
  });
  return complete;
}

/**
 * @param {string} text
 * @param {number} place
 * @returns {Call | undefined}
 */
function begin(text, place) {
  const [, name, , file] = CALL.exec(text) ?? [];
  return name === undefined ? undefined : { name, file, text, begun: place, ended: place, result: NaN };
}

/**
 * Says what is wrong with how the request that holds `marker` was answered, or nothing if its record was written and
 * synced before the answer began.
 *
 * @param {string} trace
 * @param {{ marker: string, journal: string, status: number }} options `journal`: directory of the journal's files
 * @returns {string | undefined}
 */
export function unsyncedAnswer(trace, { marker, journal, status }) {
  const exchange = exchangeOf(calls(trace), { marker, status });
  if (typeof exchange === 'string') return exchange;
  const { answer, between } = exchange;
  const inJournal = between.filter((call) => call.file.startsWith(journal) && call.result >= 0);
  const record = inJournal.find((call) => CHANGING.includes(call.name) && call.text.includes(marker));
  if (record === undefined) return 'the record was not written before the answer';

  const sameFile = inJournal.filter((call) => call.file === record.file);
  const last = sameFile.findLast((call) => CHANGING.includes(call.name)) ?? record;
  const synced = sameFile.some(
    (call) => SYNCING.includes(call.name) && call.begun > last.ended && call.ended < answer.begun && call.result === 0,
  );
  return synced ? undefined : `no sync of ${record.file} between its last write and the answer`;
}

/**
 * How often a file of the journal was synced for the request that holds `marker`.
 *
 * @param {string} trace
 * @param {{ marker: string, journal: string, status: number }} options
 */
export function syncsFor(trace, { marker, journal, status }) {
  const exchange = exchangeOf(calls(trace), { marker, status });
  if (typeof exchange === 'string') throw new Error(exchange);
  return exchange.between.filter((call) => SYNCING.includes(call.name) && call.file.startsWith(journal)).length;
}

/**
 * The request that holds `marker`, its answer, and what came between them; or what is missing.
 *
 * @param {Call[]} all
 * @param {{ marker: string, status: number }} options
 */
function exchangeOf(all, { marker, status }) {
  const request = all.find((call) => RECEIVING.includes(call.name) && call.text.includes(marker));
  if (request === undefined) return 'the request was never received';
  const answer = all.find(
    (call) =>
      SENDING.includes(call.name) &&
      call.begun > request.ended &&
      call.file === request.file &&
      call.text.includes(`HTTP/1.1 ${status}`),
  );
  if (answer === undefined) return `the request was never answered with a ${status}`;

  const between = all.filter((call) => call.begun > request.ended && call.begun < answer.begun);
  return { answer, between };
}
