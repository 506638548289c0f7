// @ts-check
/** The test's side of `fault.c`: makes the disk and the clock of one server misbehave. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { temporaryDirectory } from '../harness/process.js';

const SOURCE = join(dirname(fileURLToPath(import.meta.url)), 'fault.c');
/** Where each number stands in `struct control`. */
const FIELDS = ['writeErrno', 'syncDelayUs', 'clockOffsetS', 'tearAfter', 'faults'];
const BYTES = 8;

/** @type {string | undefined} */
let library;

/** Builds the library once for each run. */
function built() {
  if (library === undefined) {
    library = join(temporaryDirectory(), 'fault.so');
    try {
      execFileSync('cc', ['-shared', '-fPIC', '-O1', '-Wall', '-o', library, SOURCE, '-ldl'], { stdio: 'pipe' });
    } catch (error) {
      throw new Error(`torture needs a C compiler (apt-get install gcc libc6-dev): ${error}`);
    }
  }
  return library;
}

/** What goes wrong with a server that was started with `env`. */
export class Control {
  /** @param {string} directory whose files misbehave */
  constructor(directory) {
    const path = join(temporaryDirectory(), 'control');
    writeFileSync(path, Buffer.alloc(FIELDS.length * BYTES));
    this.file = openSync(path, 'r+');
    /** For the server to be started with. */
    this.env = { LD_PRELOAD: built(), FAULT_CONTROL: path, FAULT_DIRECTORY: directory };
  }

  /**
   * Every change of a file fails with this error, such as `EROFS`, until it is told otherwise.
   *
   * @param {'EROFS' | 'ENOSPC' | 'EIO' | undefined} name
   */
  writesFailWith(name) {
    this.#set('writeErrno', name === undefined ? 0 : constants.errno[name]);
  }

  /** @param {number} ms how much longer each sync takes */
  syncsTake(ms) {
    this.#set('syncDelayUs', ms * 1000);
  }

  /** @param {number} seconds how far the wall clock is off */
  clockIsOffBy(seconds) {
    this.#set('clockOffsetS', seconds);
  }

  /** @param {number} writes the process dies in the middle of this one from now on, having written half of it */
  tearsWrite(writes) {
    this.#set('tearAfter', writes);
  }

  /** How often something was made to go wrong so far. */
  faults() {
    const number = Buffer.alloc(BYTES);
    readSync(this.file, number, 0, BYTES, FIELDS.indexOf('faults') * BYTES);
    return Number(number.readBigInt64LE());
  }

  close() {
    closeSync(this.file);
  }

  /**
   * @param {string} field
   * @param {number} value
   */
  #set(field, value) {
    const number = Buffer.alloc(BYTES);
    number.writeBigInt64LE(BigInt(value));
    writeSync(this.file, number, 0, BYTES, FIELDS.indexOf(field) * BYTES);
  }
}
