// @ts-check
/** The program under test as a child process: its lines, its end, and nothing left behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { until, within } from './until.js';

const HERE = dirname(fileURLToPath(import.meta.url));

/** The repository, for fixtures that other tests share. */
export const REPOSITORY = resolve(HERE, '../../..');

/** The program under test. */
export const BINARY = process.env.SWITCHBOARD_BIN ?? join(REPOSITORY, 'target/debug/switchboard');

/** @type {Set<Child>} */
const running = new Set();
/** @type {Set<string>} */
const directories = new Set();

process.on('exit', () => {
  for (const child of running) child.signal('SIGKILL');
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** An empty directory that is gone after the run. */
export function temporaryDirectory() {
  const directory = mkdtempSync(join(tmpdir(), 'switchboard-e2e-'));
  directories.add(directory);
  return directory;
}

/** @typedef {{ code: number | null, signal: NodeJS.Signals | null }} Exit */

/** A process and every line it wrote. */
export class Child {
  /** @type {string[]} */
  stdout = [];
  /** @type {string[]} */
  stderr = [];
  /** @type {Exit | undefined} */
  exit;

  /**
   * @param {string[]} command
   * @param {{ cwd?: string, env?: Record<string, string>, stdin?: 'ignore' | 'pipe' }} [options]
   */
  constructor([program, ...args], { cwd, env = {}, stdin = 'ignore' } = {}) {
    const { PATH = '', HOME = '' } = process.env;
    this.process = spawn(program, args, {
      cwd,
      env: { PATH, HOME, RUST_BACKTRACE: '1', ...env },
      stdio: [stdin, 'pipe', 'pipe'],
    });
    running.add(this);
    const { stdout, stderr } = this.process;
    createInterface({ input: /** @type {import('node:stream').Readable} */ (stdout) }).on('line', (line) => this.stdout.push(line));
    createInterface({ input: /** @type {import('node:stream').Readable} */ (stderr) }).on('line', (line) => this.stderr.push(line));
    this.process.on('error', (error) => {
      this.stderr.push(String(error));
      this.#end({ code: null, signal: null });
    });
    this.process.on('close', (code, signal) => this.#end({ code, signal }));
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    this.process.kill(signal);
  }

  /**
   * The end of the process.
   *
   * @param {number} [deadlineMs]
   * @returns {Promise<Exit>}
   */
  async ended(deadlineMs) {
    if (this.exit === undefined) await within(`the end of ${this.#name()}`, once(this.process, 'close'), deadlineMs);
    return /** @type {Exit} */ (this.exit);
  }

  /**
   * The first line of `stream` for which `pick` gives something, as what it gave.
   *
   * @template T
   * @param {'stdout' | 'stderr'} stream
   * @param {string} what
   * @param {(line: string) => T | undefined} pick
   * @returns {Promise<T>}
   */
  async line(stream, what, pick) {
    const found = await until(
      what,
      () => {
        for (const line of this[stream]) {
          const value = pick(line);
          if (value !== undefined) return { value };
        }
        if (this.exit !== undefined) throw new Error(`${this.#name()} ended before ${what}: ${this.tail()}`);
        return undefined;
      },
      { state: () => this.tail() },
    );
    return found.value;
  }

  /** The last words of the process, for messages. */
  tail() {
    return `exit ${JSON.stringify(this.exit)}\n${this.stderr.slice(-20).join('\n')}`;
  }

  /** @param {Exit} exit */
  #end(exit) {
    this.exit = exit;
    running.delete(this);
  }

  #name() {
    return this.process.spawnargs.join(' ');
  }
}

/**
 * Runs the program to its end.
 *
 * @param {string[]} args
 * @param {{ cwd?: string, env?: Record<string, string>, deadlineMs?: number }} [options]
 */
export async function run(args, { deadlineMs, ...options } = {}) {
  const child = new Child([BINARY, ...args], options);
  try {
    const { code } = await child.ended(deadlineMs);
    return { code, stdout: child.stdout.join('\n'), stderr: child.stderr.join('\n') };
  } finally {
    child.signal('SIGKILL');
  }
}
