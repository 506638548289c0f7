// @ts-check
/** The CRM's database: a Postgres of a test, or a SQLite file, with a table of who may hear what. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, chmodSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';

import { Child, temporaryDirectory } from './process.js';
import { until } from './until.js';

const SCHEMA = 'create table rights (user_id text, tenant text, kind text, id text);';

/** A query of the table for one kind of room. @param {string} kind */
export function query(kind) {
  return `select 1 from rights where user_id = $1 and tenant = $2 and kind = '${kind}' and id = $3`;
}

/** What both databases have alike. */
class Database {
  /**
   * @param {string} user
   * @param {string} kind
   * @param {string} id
   * @param {string} [tenant]
   */
  async allow(user, kind, id, tenant = 'acme') {
    await this.run(`insert into rights values ('${user}', '${tenant}', '${kind}', '${id}')`);
  }

  /**
   * @param {string} user
   * @param {string} kind
   * @param {string} id
   */
  async deny(user, kind, id) {
    await this.run(`delete from rights where user_id = '${user}' and kind = '${kind}' and id = '${id}'`);
  }

  /** @param {string} sql */
  async run(sql) {
    throw new Error(`nobody runs ${sql}`);
  }
}

/** A Postgres cluster in a directory of its own, which can be frozen, killed and started again. */
export class Postgres extends Database {
  directory = temporaryDirectory();
  port = 0;
  /** @type {import('node:child_process').ChildProcess | undefined} */
  child;

  get url() {
    return `postgres://crm@127.0.0.1:${this.port}/postgres`;
  }

  async start() {
    const data = join(this.directory, 'data');
    if (this.port === 0) {
      chmodSync(this.directory, 0o777);
      this.port = await freePort();
      const [program, ...args] = unprivileged('initdb');
      execFileSync(program, [...args, '--no-sync', '--auth=trust', '--username=crm', '--pgdata', data]);
      appendFileSync(join(data, 'postgresql.conf'), 'fsync = off\n');
    }
    const [program, ...args] = unprivileged('postgres');
    const log = openSync(join(this.directory, 'log'), 'a');
    this.child = spawn(
      program,
      [...args, '-D', data, '-k', this.directory, '-h', '127.0.0.1', '-p', String(this.port)],
      { stdio: ['ignore', log, log] },
    );
    process.once('exit', this.#end);
    await until('a Postgres that answers', () => {
      try {
        return this.#psql('select 1') !== undefined;
      } catch {
        assert.equal(this.child?.exitCode, null, readFileSync(join(this.directory, 'log'), 'utf8'));
        return false;
      }
    }, { deadlineMs: 60_000 });
    if (this.#psql("select to_regclass('rights')").trim() === '') await this.run(SCHEMA);
  }

  /** Ends it as a crash would. */
  async kill() {
    const ended = once(/** @type {import('node:child_process').ChildProcess} */ (this.child), 'close');
    this.#end();
    await ended;
    process.off('exit', this.#end);
  }

  /** Makes it and all its processes hold still, or go on. @param {boolean} isFrozen */
  freeze(isFrozen) {
    for (const pid of this.#processes()) signal(pid, isFrozen ? 'SIGSTOP' : 'SIGCONT');
  }

  async stop() {
    if (this.child?.exitCode === null) {
      this.freeze(false);
      await this.kill();
    }
  }

  /** @param {string} sql */
  async run(sql) {
    this.#psql(sql);
  }

  /** What a statement answers, as text. @param {string} sql */
  ask(sql) {
    return this.#psql(sql).trim();
  }

  /** A connection that stays, for transactions. */
  session() {
    return new Session(['-h', this.directory, '-p', String(this.port)]);
  }

  #end = () => {
    for (const pid of this.#processes().slice(0, 1)) signal(pid, 'SIGQUIT');
  };

  /** @param {string} sql */
  #psql(sql) {
    const options = ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-U', 'crm', '-h', this.directory];
    const args = [...options, '-p', String(this.port), '-d', 'postgres', '-c', sql];
    return execFileSync(join(PROGRAMS(), 'psql'), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** The server and its children. */
  #processes() {
    const file = join(this.directory, 'data/postmaster.pid');
    if (!existsSync(file)) return [];
    const pid = readFileSync(file, 'utf8').split('\n')[0];
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    return [pid, ...children].map(Number).filter((one) => one > 0);
  }
}

/** A connection of a CRM: one statement after the other. */
export class Session {
  #count = 0;

  /** @param {string[]} where */
  constructor(where) {
    this.child = new Child([join(PROGRAMS(), 'psql'), '-X', '-q', '-A', '-t', '-U', 'crm', '-d', 'postgres', ...where], {
      stdin: 'pipe',
    });
  }

  /** Runs statements, and tells whether the last one was done. @param {string} sql */
  async run(sql) {
    const mark = `done-${(this.#count += 1)}`;
    this.child.process.stdin?.write(`${sql};\n\\echo ${mark} :ERROR\n`);
    const end = await this.child.line('stdout', mark, (line) => (line.startsWith(`${mark} `) ? line : undefined));
    this.child.stdout.splice(0);
    return end.endsWith('false');
  }

  close() {
    this.child.signal('SIGKILL');
  }
}

/** A file. */
export class Sqlite extends Database {
  path = join(temporaryDirectory(), 'crm.db');

  get url() {
    return `sqlite:${this.path}`;
  }

  async start() {
    await this.run(`pragma journal_mode = wal; ${SCHEMA}`);
  }

  async stop() {}

  /** @param {string} sql */
  async run(sql) {
    try {
      execFileSync('sqlite3', ['-bail', this.path, `.timeout 5000`, sql], { stdio: ['ignore', 'ignore', 'pipe'] });
    } catch (error) {
      if (/** @type {any} */ (error).code !== 'ENOENT') throw error;
      throw new Error('no sqlite3 here: apt-get install sqlite3, or `make prepare`');
    }
  }
}

/** The programs of the newest Postgres that is installed; Debian keeps them out of the path. */
function PROGRAMS() {
  const all = '/usr/lib/postgresql';
  const versions = existsSync(all) ? readdirSync(all).map(Number).sort((a, b) => b - a) : [];
  const found = versions.map((version) => `${all}/${version}/bin`).find((path) => existsSync(`${path}/postgres`));
  if (found === undefined) throw new Error('no postgres here: apt-get install postgresql, or `make prepare`');
  return found;
}

/** Postgres does not run as root, and its end comes with that of whoever started it. @param {string} program */
function unprivileged(program) {
  const path = join(PROGRAMS(), program);
  if (process.getuid?.() !== 0) return [path];
  return ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups', '--pdeathsig=QUIT', path];
}

/**
 * @param {number} pid
 * @param {NodeJS.Signals} name
 */
function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // One that has just ended.
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}
