// @ts-check
/** The contract's own code and payloads, against the real program and with the stock client. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { io } from 'socket.io-client';

import { settled, TRANSPORTS } from './harness/client.js';
import { EXAMPLE_ROOMS, exampleOf, EXAMPLES } from './harness/contract.js';
import { startServer } from './harness/server.js';
import { claims, signHs256 } from './harness/tokens.js';
import { until } from './harness/until.js';

const server = await startServer();
after(() => server.stop());

/** A position as clients see it: opaque, but not empty and not anything else than text. */
const POSITION = /^[0-9a-f]{16}-[1-9][0-9]*$/;

for (const [mode, transports] of Object.entries(TRANSPORTS)) {
  describe(`over ${mode}`, () => {
    test('the connection example connects', async (t) => {
      const token = signHs256(claims({ tenant: 'acme' }));
      const said = /** @type {string[]} */ ([]);

      const socket = io(server.url, {
        auth: {
          token,
        },
        transports: [...transports],
      });
      t.after(() => socket.disconnect());
      socket.on('connect', () => {
        said.push('Connected to Socket.io server');
      });
      socket.on('connect_error', (error) => {
        said.push('Connection error:', error.message);
      });

      await until('a word from the example', () => said.length > 0);
      assert.deepEqual(said, ['Connected to Socket.io server']);
    });

    test('the React example follows messages from its subscription to its clean-up', async (t) => {
      const accessToken = signHs256(claims({ tenant: 'acme', rooms: ['whatsapp:*'] }));
      const whatsappAccountId = `account-${mode.replaceAll(' ', '-')}`;
      const hook = useSocket(server.url, accessToken, transports);
      t.after(hook.cleanUp);
      await until('a connection', () => hook.connected);
      const component = messagesComponent(hook.socket, whatsappAccountId);
      await settled(hook.socket);

      const received = exampleOf('message:received');
      received.message.id = 'message-1';
      received.message.whatsappAccountId = whatsappAccountId;
      await server.published({ event: 'message:received', data: received });
      await until('the message', () => component.messages.length > 0);
      assert.deepEqual(component.messages, [received.message]);

      const update = exampleOf('message:status:update');
      Object.assign(update, { messageId: 'message-1', status: 'Read', whatsappAccountId });
      await server.published({ event: 'message:status:update', data: update });
      await until('the status', () => component.messages[0].status !== undefined);
      assert.deepEqual(component.messages, [{ ...received.message, status: 'Read' }]);

      component.cleanUp();
      await settled(hook.socket);
      const all = /** @type {Array<{ event: string, data: any }>} */ ([]);
      hook.socket.onAny((event, data) => all.push({ event, data }));
      await server.published({ event: 'message:received', data: received });
      await server.published({ event: 'team:activity', data: exampleOf('team:activity') });
      await until('the next event', () => all.length > 0);
      assert.deepEqual(all, [{ event: 'team:activity', data: exampleOf('team:activity') }]);
      assert.equal(component.messages.length, 1);
    });

    test('every event of the contract arrives unchanged and once, although in several of the rooms', async () => {
      const client = await server.connect({ transports, rooms: ['*'], link: ['whatsapp:*'] });
      await client.speaksOver(transports.at(-1) ?? '');
      await client.subscribe(...EXAMPLE_ROOMS);

      for (const { event, data } of EXAMPLES) await server.published({ event, data });

      const got = await server.received(client);
      assert.deepEqual(
        got.map(({ event, payload }) => ({ event, data: payload })),
        EXAMPLES.map(({ event, data }) => ({ event, data })),
      );
      for (const { event, position } of got) assert.match(position, POSITION, event);
    });

    test("whoever subscribes by the contract's calls gets what its rooms hear and nothing else", async () => {
      const client = await server.connect({ transports, rooms: ['*'], link: [] });
      client.socket.emit('subscribe:campaign', 'autumn');
      client.socket.emit('subscribe:contact', 'joao');
      client.socket.emit('subscribe:flow', 'welcome');
      await client.settled();

      const campaign = (/** @type {string} */ campaignId) =>
        server.published({ event: 'campaign:paused', data: { campaignId } });
      await campaign('autumn');
      await campaign('winter');
      await server.published({
        event: 'contact:updated',
        data: { contactId: 'joao', updates: { name: 'J' } },
        rooms: ['contact:joao'],
      });
      await server.published({
        event: 'contact:updated',
        data: { contactId: 'rita', updates: { name: 'R' } },
        rooms: ['contact:rita'],
      });
      await server.published({
        event: 'flow:execution:started',
        data: { flowId: 'welcome', executionId: '1' },
        rooms: ['flow:welcome'],
      });
      await server.published({
        event: 'flow:execution:started',
        data: { flowId: 'goodbye', executionId: '2' },
        rooms: ['flow:goodbye'],
      });

      const heard = (await server.received(client)).map(
        ({ payload }) => payload.campaignId ?? payload.contactId ?? payload.flowId,
      );
      assert.deepEqual(heard, ['autumn', 'joao', 'welcome']);

      client.socket.emit('unsubscribe:campaign', 'autumn');
      client.socket.emit('unsubscribe:contact', 'joao');
      client.socket.emit('unsubscribe:flow', 'welcome');
      await client.settled();
      await campaign('autumn');
      await server.published({
        event: 'contact:updated',
        data: { contactId: 'joao', updates: {} },
        rooms: ['contact:joao'],
      });
      await server.published({
        event: 'flow:execution:started',
        data: { flowId: 'welcome', executionId: '3' },
        rooms: ['flow:welcome'],
      });
      await server.assertNothing(client);
    });

    test('ping is answered by pong with the time in milliseconds, and by its acknowledgement', async () => {
      const client = await server.connect({ transports });
      const before = Date.now();

      client.socket.emit('ping');
      const { payload } = await client.next('pong');
      const ack = await client.request('ping');

      assert.deepEqual(Object.keys(payload), ['timestamp']);
      assert.deepEqual({ ok: ack.ok, type: typeof ack.timestamp }, { ok: true, type: 'number' });
      const now = Date.now();
      for (const timestamp of [payload.timestamp, ack.timestamp]) {
        assert.ok(timestamp >= before && timestamp <= now, `${timestamp} in ${before}..${now}`);
      }
    });
  });
}

test('a subscription is acknowledged with its room, its position and a snapshot', async () => {
  const client = await server.connect({ rooms: ['*'] });
  const subscriptions = [
    ['subscribe:whatsapp', 'a-1', 'whatsapp:a-1'],
    ['subscribe:campaign', 'c-1', 'campaign:c-1'],
    ['subscribe:contact', 'k-1', 'contact:k-1'],
    ['subscribe:flow', 'f-1', 'flow:f-1'],
    ['subscribe', 'contact:k-2', 'contact:k-2'],
  ];

  for (const [event, id, room] of subscriptions) {
    const ack = await client.request(event, id);
    assert.equal(ack.ok, true, JSON.stringify(ack));
    assert.equal(ack.room, room);
    assert.match(ack.position, /^[0-9a-f]{16}-[0-9]+$/);
    assert.equal(typeof ack.snapshot, 'object');
  }
  for (const [event, id] of subscriptions) {
    const ack = await client.request(`un${event}`, id);
    assert.equal(ack.ok, true, `un${event}: ${JSON.stringify(ack)}`);
  }
});

test('a number as an id is taken as its text', async () => {
  const client = await server.connect({ rooms: ['contact:42'] });

  const ack = await client.request('subscribe:contact', 42);
  const data = { contactId: 42, updates: { name: 'Rita' }, timestamp: '2025-11-05T10:00:00Z' };
  await server.published({ event: 'contact:updated', data });

  assert.equal(ack.room, 'contact:42');
  const got = await server.received(client);
  assert.deepEqual(
    got.map(({ payload }) => payload),
    [data],
  );
});

test('whoever connects is in the rooms of the user and of the team without asking', async () => {
  const ana = await server.connect({ user: 'ana' });
  const rui = await server.connect({ user: 'rui' });
  const note = (/** @type {string} */ title) => ({
    notification: { type: 'info', title, message: 'm' },
    timestamp: '2025-11-05T10:00:00Z',
  });

  await server.published({ event: 'system:notification', data: note('ana'), rooms: ['user:ana'] });
  await server.published({ event: 'system:notification', data: note('rui'), rooms: ['user:rui'] });
  await server.published({ event: 'system:notification', data: note('all') });

  const titles = async (/** @type {import('./harness/client.js').Client} */ client) =>
    (await server.received(client)).map(({ payload }) => payload.notification.title);
  assert.deepEqual(await titles(ana), ['ana', 'all']);
  assert.deepEqual(await titles(rui), ['rui', 'all']);
});

test('two tabs of one user both get what the user gets', async () => {
  const tabs = [await server.connect({ user: 'eva' }), await server.connect({ user: 'eva' })];

  await server.published({ event: 'team:activity', data: exampleOf('team:activity') });

  for (const tab of tabs) {
    const { payload } = await tab.next('team:activity');
    assert.deepEqual(payload, exampleOf('team:activity'));
  }
});

test('a value that the contract does not know yet passes byte for byte', async () => {
  const client = await server.connect({ rooms: ['whatsapp:*'] });
  await client.subscribe('whatsapp:future');
  const data = {
    accountId: 'future',
    status: 'Connected|Connecting|Disconnected|Failed|Reconnecting',
    message: null,
    gateway: { battery: 0.1, plan: ['a', { b: null }], 'odd key': '\u00e9\u{1f600}' },
    timestamp: '2025-11-05T10:00:00Z',
  };

  await server.published({ event: 'whatsapp:connection:status', data });

  assert.deepEqual(
    (await server.received(client)).map(({ payload }) => payload),
    [data],
  );
});

test('a missing timestamp is filled in, in UTC with milliseconds', async () => {
  const client = await server.connect({ rooms: ['campaign:*'] });
  await client.subscribe('campaign:c-7');

  await server.published({ event: 'campaign:paused', data: { campaignId: 'c-7' } });

  const [{ payload }] = await server.received(client);
  assert.equal(payload.campaignId, 'c-7');
  assert.match(payload.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(Math.abs(Date.parse(payload.timestamp) - Date.now()) < 10_000);
});

/**
 * The hook of the contract's React example: its calls in their order, state as plain fields.
 *
 * @param {string} url
 * @param {string} token
 * @param {readonly string[]} transports
 */
function useSocket(url, token, transports) {
  const socketInstance = io(url, {
    auth: { token },
    transports: [...transports],
  });
  const state = { socket: socketInstance, connected: false, cleanUp: () => {} };

  socketInstance.on('connect', () => {
    state.connected = true;
  });

  socketInstance.on('disconnect', () => {
    state.connected = false;
  });

  socketInstance.on('connect_error', (error) => {
    throw error;
  });

  state.cleanUp = () => {
    socketInstance.disconnect();
  };
  return state;
}

/**
 * The component of the contract's React example.
 *
 * @param {import('socket.io-client').Socket} socket
 * @param {string} whatsappAccountId
 */
function messagesComponent(socket, whatsappAccountId) {
  const state = { messages: /** @type {any[]} */ ([]), cleanUp: () => {} };

  // Subscribe to message events
  socket.on('message:received', (data) => {
    state.messages = [...state.messages, data.message];
  });

  socket.on('message:status:update', (data) => {
    state.messages = state.messages.map((msg) => (msg.id === data.messageId ? { ...msg, status: data.status } : msg));
  });

  // Subscribe to WhatsApp account
  socket.emit('subscribe:whatsapp', whatsappAccountId);

  state.cleanUp = () => {
    socket.off('message:received');
    socket.off('message:status:update');
    socket.emit('unsubscribe:whatsapp', whatsappAccountId);
  };
  return state;
}
