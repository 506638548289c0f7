// @ts-check
/**
 * `node torture/run.js [--seed N] [--only FAULT,FAULT] [--rounds N]`: every fault for its rounds, each on servers of its own.
 * The same seed draws the same faults; what is in flight at each is up to the machine.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { FAULTS } from './faults.js';

/** After so many rounds everything comes to rest and is compared. */
const COMPARE_EVERY = 20;

/**
 * Tries one fault, and gives what it found.
 *
 * @param {string} name
 * @param {{ seed: number, rounds: number, say?: (line: string) => void }} options
 */
export async function torture(name, { seed, rounds, say = () => {} }) {
  const fault = FAULTS[name];
  const { world, round: once } = await fault.begin(seed);
  try {
    for (let round = 1; ; round += 1) {
      await once();
      if (round % COMPARE_EVERY !== 0 && round !== rounds) continue;
      const { faults, ...numbers } = await world.compare(fault.leave);
      say(`${name} ${round}/${rounds}: ${JSON.stringify(numbers)}`);
      if (faults.length > 0) return { faults: [...faults, kept(world)], round, numbers };
      if (round === rounds) return { faults, round, numbers };
    }
  } catch (error) {
    return { faults: [String(error), kept(world)], round: -1, numbers: world.numbers() };
  } finally {
    await world.end();
  }
}

/**
 * Keeps what the servers logged, and says where.
 *
 * @param {import('./world.js').World} world
 */
function kept(world) {
  const directory = mkdtempSync(join(tmpdir(), 'switchboard-torture-'));
  for (const [index, server] of world.servers.entries()) {
    writeFileSync(join(directory, `${index + 1}.log`), `${server.lines().join('\n')}\n`);
  }
  return `what the servers logged is in ${directory}`;
}

async function main() {
  const { values } = parseArgs({
    options: { seed: { type: 'string' }, only: { type: 'string' }, rounds: { type: 'string' } },
  });
  const seed = Number(values.seed ?? Date.now() % 2 ** 32);
  const names = values.only?.split(',') ?? Object.keys(FAULTS);
  const unknown = names.find((name) => !(name in FAULTS));
  if (unknown !== undefined) throw new Error(`no fault is called ${unknown}; there are ${Object.keys(FAULTS)}`);
  console.log(`seed ${seed}`);
  for (const name of names) {
    const rounds = Number(values.rounds ?? FAULTS[name].rounds);
    console.log(`${name}: ${FAULTS[name].says}, ${rounds} rounds`);
    const { faults, round } = await torture(name, { seed, rounds, say: (line) => console.log(`  ${line}`) });
    if (faults.length === 0) continue;
    console.error(`${name} failed by round ${round}:\n  ${faults.join('\n  ')}`);
    console.error(`again: node torture/run.js --seed ${seed} --only ${name} --rounds ${rounds}`);
    process.exitCode = 1;
    return;
  }
  console.log('every answered event reached everybody it was for, in order, and nothing else did');
}

if (process.argv[1] === import.meta.filename) await main();
