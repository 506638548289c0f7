// @ts-check
/** The balancers of `examples/cluster`, run as they are but for their addresses. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { freePort, nginxAround, program } from './front.js';
import { Child, REPOSITORY, temporaryDirectory } from './process.js';
import { until } from './until.js';

/** Each way to start a balancer on a port of this machine, in front of so many nodes. */
export const BALANCERS = { nginx, haproxy };

/**
 * Starts a balancer, and gives where it is.
 *
 * @param {keyof typeof BALANCERS} name
 * @param {string[]} nodes URLs
 */
export async function startBalancer(name, nodes) {
  const port = await freePort();
  const hosts = nodes.map((url) => new URL(url).host);
  const child = BALANCERS[name](port, hosts);
  const url = `http://127.0.0.1:${port}`;
  const leads = () => fetch(`${url}/socket.io/?EIO=4&transport=polling`).then(({ status }) => status === 200, () => false);
  await until(`${name} to lead to nodes`, () => {
    if (child.exit !== undefined) throw new Error(`${name} ended: ${child.tail()}`);
    return leads();
  }, { state: () => child.tail() });
  return { url, child };
}

/**
 * @param {number} port
 * @param {string[]} hosts
 */
function nginx(port, hosts) {
  const directory = temporaryDirectory();
  const inner = example('nginx.conf', hosts).replace('listen 80;', `listen 127.0.0.1:${port};`);
  const file = join(directory, 'nginx.conf');
  mkdirSync(join(directory, 'logs'));
  writeFileSync(file, nginxAround(inner));
  return new Child([program('nginx'), '-p', directory, '-c', file, '-e', 'stderr'], { cwd: directory });
}

/**
 * @param {number} port
 * @param {string[]} hosts
 */
function haproxy(port, hosts) {
  const directory = temporaryDirectory();
  const file = join(directory, 'haproxy.cfg');
  writeFileSync(file, example('haproxy.cfg', hosts).replace('bind :80\n', `bind 127.0.0.1:${port}\n`));
  return new Child([program('haproxy'), '-db', '-f', file], { cwd: directory });
}

/**
 * An example with these nodes instead of its three.
 *
 * @param {string} name
 * @param {string[]} hosts
 */
function example(name, hosts) {
  const text = readFileSync(join(REPOSITORY, 'examples/cluster', name), 'utf8');
  return text
    .split('\n')
    .flatMap((line) => {
      const number = /10\.0\.0\.(\d):5000/.exec(line)?.[1];
      if (number === undefined) return [line];
      const host = hosts[Number(number) - 1];
      return host === undefined ? [] : [line.replace(/10\.0\.0\.\d:5000/, host)];
    })
    .join('\n');
}
