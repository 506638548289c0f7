// @ts-check
/** A short run of everything that `make torture` does for minutes, and what its checker finds. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { check } from './torture/checker.js';
import { FAULTS } from './torture/faults.js';
import { torture } from './torture/run.js';

describe('every answered event reaches everybody it is for, in order, and nothing else does', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);
  for (const [name, { says, short }] of Object.entries(FAULTS)) {
    test(`when ${says}`, async (t) => {
      t.diagnostic(`SEED=${seed}; again: node torture/run.js --seed ${seed} --only ${name} --rounds ${short}`);

      const { faults, numbers } = await torture(name, { seed, rounds: short });

      assert.deepEqual(faults, []);
      t.diagnostic(JSON.stringify(numbers));
    });
  }
});

describe('the checker', () => {
  const ROOM = 'campaign:a';
  /** @type {import('./torture/checker.js').Published[]} */
  const published = [
    { id: '1', tenant: 'acme', room: ROOM, body: 'one', position: 'e-1' },
    { id: '2', tenant: 'acme', room: 'campaign:b', body: 'two', position: 'e-2' },
    { id: '3', tenant: 'acme', room: ROOM, body: 'three', position: 'e-3' },
    { id: '4', tenant: 'acme', room: ROOM, body: 'never answered' },
  ];
  const one = { id: '1', body: 'one', position: 'e-1' };
  const two = { id: '2', body: 'two', position: 'e-2' };
  const three = { id: '3', body: 'three', position: 'e-3' };

  found('nothing wrong with all of it', [one, three], []);
  found('nothing wrong with what comes again', [one, three, one, three], []);
  found('nothing wrong with what happened unanswered', [one, three, { id: '4', body: 'never answered', position: 'e-4' }], []);
  found('an event that is missing', [one], [/3 at e-3 never came/]);
  found('an order that is wrong', [three, one], [/1 at e-1 came after 3/]);
  found('an event of another room', [one, two, three], [/2 was for campaign:b/]);
  found('an event that nobody published', [one, three, { id: '9', body: 'x', position: 'e-9' }], [/9 was never published/]);
  found('another payload', [{ ...one, body: 'won' }, three], [/1 came with another payload/]);
  found('another position', [{ ...one, position: 'e-2' }, three], [/1 came at e-2 and was answered at e-1/]);
  found('an event of two positions', [one, three, { ...one, position: 'e-9' }], [/another|answered at e-1/, /e-1 and again at e-9/]);

  describe('where a client was told to load its room anew, in another epoch', () => {
    const told = (/** @type {import('./torture/checker.js').Heard[]} */ heard, /** @type {string} */ from) =>
      check(published, [{ name: 'l', tenant: 'acme', rooms: new Set([ROOM]), heard, unrecovered: 1, anew: new Map([[ROOM, from]]) }]);

    test('finds nothing wrong with what is missing of the old one', () => {
      assert.deepEqual(told([one], 'f-2').faults, []);
    });

    test('finds an event that is missing behind where it began anew', () => {
      assert.match(told([one], 'e-2').faults.join('\n'), /3 at e-3 never came/);
    });
  });

  test('finds two events that were answered at one position', () => {
    const twins = [published[0], { ...published[2], position: 'e-1' }];

    assert.match(check(twins, []).faults.join('\n'), /3 was answered at acme e-1, and so was 1/);
  });

  test('finds an event of another tenant', () => {
    const listener = { name: 'l', tenant: 'globex', rooms: new Set([ROOM]), heard: [one], unrecovered: 0 };

    assert.match(check(published, [listener]).faults.join('\n'), /1 was never published to its tenant/);
  });

  /**
   * @param {string} what
   * @param {import('./torture/checker.js').Heard[]} heard
   * @param {RegExp[]} faults
   */
  function found(what, heard, faults) {
    test(`finds ${what}`, () => {
      const listener = { name: 'l', tenant: 'acme', rooms: new Set([ROOM]), heard, unrecovered: 0 };

      const seen = check(published, [listener]).faults;

      assert.equal(seen.length, faults.length, seen.join('\n'));
      for (const [index, fault] of faults.entries()) assert.match(seen[index], fault);
    });
  }
});
