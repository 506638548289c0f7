// @ts-check
/** The examples of the engine, driven as their first lines say, by the stock client. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { io } from 'socket.io-client';

import { Child, REPOSITORY } from './harness/process.js';
import { until, within } from './harness/until.js';

const EXAMPLES = ['acks', 'binary', 'chat', 'namespaces'];

/** How long building them may take where nothing is built yet. */
const BUILD_DEADLINE_MS = 600_000;

before(
  async () => {
    const examples = EXAMPLES.flatMap((name) => ['--example', name]);
    const cargo = new Child(['cargo', 'build', '--quiet', '-p', 'switchboard-engine', ...examples], { cwd: REPOSITORY });
    const { code } = await cargo.ended(BUILD_DEADLINE_MS);
    assert.equal(code, 0, cargo.tail());
  },
  { timeout: BUILD_DEADLINE_MS },
);

test('chat: who is in a room hears what is said there, in every transport', async (t) => {
  const url = await started(t, 'chat');
  const ana = await connected(t, url, { transports: ['websocket'] });
  const ben = await connected(t, url, { transports: ['polling'] });
  const eve = await connected(t, url);

  assert.equal(await ana.emitWithAck('join', 'lobby', 'Ana'), 1);
  assert.equal(await ben.emitWithAck('join', 'lobby', 'Ben'), 2);
  assert.equal(await eve.emitWithAck('join', 'attic', 'Eve'), 1);
  const heard = [ana, ben, eve].map(heardBy);
  assert.equal(await ana.emitWithAck('say', 'lobby', 'hello, "Ben"'), 2);
  assert.equal(await eve.emitWithAck('say', 'lobby', 'let me in'), 0, 'only a member may speak');
  assert.equal(await ben.emitWithAck('typing', 'lobby'), 2);
  await until('what Ben is doing', () => heard[0].length === 2);
  assert.equal(await ben.emitWithAck('leave', 'lobby'), 1);
  assert.equal(await ana.emitWithAck('say', 'lobby', 'bye'), 1);
  assert.equal(await ana.emitWithAck('join', 42), null, 'arguments that cannot be read');
  ana.close();
  // The end of a connection empties its rooms.
  await until('an empty lobby', async () => (await ben.emitWithAck('join', 'lobby', 'Ben')) === 1);

  const hello = ['said', 'lobby', 'Ana', 'hello, "Ben"'];
  assert.deepEqual(heard[0], [hello, ['typing', 'lobby', 'Ben'], ['said', 'lobby', 'Ana', 'bye']]);
  assert.deepEqual(heard[1], [hello]);
  assert.deepEqual(heard[2], []);
});

test('acks: answers go both ways, and one that does not come is not waited for', async (t) => {
  const url = await started(t, 'acks');
  const socket = await connected(t, url);
  /** @type {((answer: unknown) => void)[]} */
  const questions = [];
  socket.on('question', (text, answer) => {
    if (text === 'silence') questions.push(answer);
    else answer(`you asked ${text}`);
  });

  assert.equal(await socket.emitWithAck('sum', 1, 2, 39), 42);
  assert.equal(typeof (await socket.emitWithAck('sum', 'one')).error, 'string');
  assert.deepEqual(await socket.emitWithAck('ask me', 'why'), { answer: '"you asked why"' });
  const silent = socket.emitWithAck('ask me', 'silence');
  // While one is not answered, others are.
  assert.deepEqual(await socket.emitWithAck('ask me', 'how'), { answer: '"you asked how"' });
  assert.deepEqual(await silent, { error: 'no answer in time' });
  for (const answer of questions) answer('too late');

  assert.equal(await socket.emitWithAck('sum', 1), 1);
});

test('binary: a file comes back as it was sent, in every transport', async (t) => {
  const url = await started(t, 'binary');
  for (const transports of [['websocket'], ['polling'], undefined]) {
    const socket = await connected(t, url, { transports });
    const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256);
    const name = `file for ${transports}`;

    const receipt = await socket.emitWithAck('upload', name, bytes);
    const back = await socket.emitWithAck('download', name);

    assert.deepEqual(receipt, { name, len: 70_000, kept: true });
    assert.deepEqual(Buffer.from(back), Buffer.from(bytes));
    assert.equal(await socket.emitWithAck('download', 'nothing'), null);
  }
});

test('namespaces: each decides by itself who may join and what they may do', async (t) => {
  const url = await started(t, 'namespaces');
  const visitor = await connected(t, url);
  const heard = heardBy(visitor);
  const auth = { password: 'open sesame' };
  // One connection, two sockets.
  const admin = visitor.io.socket('/admin', { auth });
  t.after(() => admin.close());
  admin.connect();
  await until('the admin', () => admin.connected);

  for (const [path, wrong, message] of [
    ['/admin', { password: 'sesame' }, 'wrong password'],
    ['/admin', {}, 'wrong password'],
    ['/cellar', auth, 'Invalid namespace'],
  ]) {
    const refused = io(url + path, { auth: /** @type {{}} */ (wrong), forceNew: true });
    t.after(() => refused.close());
    /** @type {Error} */
    const error = await within('a refusal', new Promise((resolve) => refused.once('connect_error', resolve)));
    assert.equal(error.message, message);
  }
  visitor.emit('notice', 'from nobody');
  assert.equal(await admin.emitWithAck('notice', 'closing'), 1);
  assert.equal(await admin.emitWithAck('dismiss', 'nobody'), false);
  const left = new Promise((resolve) => visitor.once('disconnect', resolve));
  assert.equal(await admin.emitWithAck('dismiss', visitor.id), true);

  assert.equal(await within('the end of the visit', left), 'io server disconnect');
  assert.equal(await admin.emitWithAck('notice', 'closed'), 0);
  assert.deepEqual(heard, [['notice', 'closing']]);
});

/**
 * Starts an example on any free port; gives its address.
 *
 * @param {import('node:test').TestContext} t
 * @param {string} name
 */
async function started(t, name) {
  const child = new Child([`target/debug/examples/${name}`, '0'], { cwd: REPOSITORY });
  t.after(() => child.signal('SIGKILL'));
  return child.line('stderr', 'its address', (line) => /^listening on (http:\S+)$/.exec(line)?.[1]);
}

/**
 * A stock client that is connected.
 *
 * @param {import('node:test').TestContext} t
 * @param {string} url
 * @param {Partial<import('socket.io-client').ManagerOptions & import('socket.io-client').SocketOptions>} [options]
 */
async function connected(t, url, options = {}) {
  const { transports = ['polling', 'websocket'], ...rest } = options;
  const socket = io(url, { transports, forceNew: true, ackTimeout: 10_000, ...rest });
  t.after(() => socket.close());
  await until('a connection', () => socket.connected);
  return socket;
}

/**
 * The events that a client gets from now on, with their arguments.
 *
 * @param {import('socket.io-client').Socket} socket
 */
function heardBy(socket) {
  /** @type {unknown[][]} */
  const heard = [];
  socket.onAny((...event) => heard.push(event));
  return heard;
}
