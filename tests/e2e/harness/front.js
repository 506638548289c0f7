// @ts-check
/** The proxies of `examples/proxy`, run as they are but for their ports, and a CRM's backend behind them. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { delimiter, join } from 'node:path';

import { Child, REPOSITORY, temporaryDirectory } from './process.js';
import { until } from './until.js';

/** Each way to start a proxy on a port of this machine. */
export const PROXIES = { nginx, caddy };

/** @typedef {{ front: number, switchboard: number, crm: number }} Ports */

/** A page for everything, that says who made it. */
export class Crm {
  constructor() {
    this.server = createServer((request, answer) => {
      answer.setHeader('content-type', 'application/json');
      answer.end(JSON.stringify({ crm: true, path: request.url, host: request.headers.host }));
    });
  }

  async start() {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return portOf(this.server);
  }

  async stop() {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}

/**
 * Starts a proxy before both, and gives where it is.
 *
 * @param {keyof typeof PROXIES} name
 * @param {Omit<Ports, 'front'>} behind
 */
export async function startFront(name, behind) {
  const front = await freePort();
  const child = PROXIES[name]({ ...behind, front }, program(name));
  const url = `http://127.0.0.1:${front}`;
  await until(
    `${name} to listen`,
    () => {
      if (child.exit !== undefined) throw new Error(`${name} ended: ${child.tail()}`);
      return fetch(url).then((answer) => answer.ok, () => false);
    },
    { state: () => child.tail() },
  );
  return { url, child };
}

/**
 * @param {Ports} ports
 * @param {string} path
 */
function nginx(ports, path) {
  const directory = temporaryDirectory();
  const example = readFileSync(join(REPOSITORY, 'examples/proxy/nginx.conf'), 'utf8');
  const inner = replaced(example, {
    'listen 80;': `listen 127.0.0.1:${ports.front};`,
    '127.0.0.1:5000': `127.0.0.1:${ports.switchboard}`,
    '127.0.0.1:3000': `127.0.0.1:${ports.crm}`,
  });
  const file = join(directory, 'nginx.conf');
  mkdirSync(join(directory, 'logs'));
  writeFileSync(file, nginxAround(inner));
  return new Child([path, '-p', directory, '-c', file, '-e', 'stderr'], { cwd: directory });
}

/**
 * The whole file of an nginx that writes nothing outside of its directory.
 *
 * @param {string} inner what is in the `http` section
 */
export function nginxAround(inner) {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${kind};`);
  return `daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {}\n` +
    `http {\naccess_log off;\n${temporary.join('\n')}\n${inner}\n}\n`;
}

/**
 * @param {Ports} ports
 * @param {string} path
 */
function caddy(ports, path) {
  const directory = temporaryDirectory();
  const example = readFileSync(join(REPOSITORY, 'examples/proxy/Caddyfile'), 'utf8');
  const inner = replaced(example, {
    '\n:80 {': `\n:${ports.front} {`,
    '127.0.0.1:5000': `127.0.0.1:${ports.switchboard}`,
    '127.0.0.1:3000': `127.0.0.1:${ports.crm}`,
  });
  const file = join(directory, 'Caddyfile');
  writeFileSync(file, `{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}\n${inner}`);
  const env = { HOME: directory, XDG_CONFIG_HOME: directory, XDG_DATA_HOME: directory };
  return new Child([path, 'run', '--config', file, '--adapter', 'caddyfile'], { cwd: directory, env });
}

/**
 * Every key has to be there: an example that says something else is not the one that is tested.
 *
 * @param {string} text
 * @param {Record<string, string>} changes
 */
function replaced(text, changes) {
  return Object.entries(changes).reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the example has no ${JSON.stringify(from)}`);
    return text.replace(from, to);
  }, text);
}

/**
 * Where a program is, also where people who are not root do not look.
 *
 * @param {string} name
 */
export function program(name) {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  const found = directories.map((directory) => join(directory, name)).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`${name} is missing: \`make prepare\` installs it`);
  return found;
}

/** A port that nobody has; neither proxy can be told to let the system pick one. */
export async function freePort() {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  const closed = once(server, 'close');
  server.close();
  await closed;
  return port;
}

/** @param {import('node:net').Server} server */
function portOf(server) {
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}
