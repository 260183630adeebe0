// Runs that are kept by hand: the committed one of all strategies, and such as no machine would make on demand.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './support.mjs';

/** Every strategy of the exhibition, on a real machine: the newest run that is committed. */
const results = join(root, 'loadtest/results');
const newest = readdirSync(results).filter((name) => name.endsWith('-rush.json')).sort().pop();
export const rush = JSON.parse(readFileSync(join(results, newest), 'utf8'));
export const HOSTILE = '<img src=/x onerror="window.owned=1"></script><script>window.owned=2</script><!-- $& \u202e';

/** The same under another id. */
export const copy = (of, id = of.id) => ({ ...structuredClone(of), id });
/** A run of these strategies alone, under an id of its own. */
export function short(id, strategies = ['naive', 'atomic_update'], more = {}) {
  const run = copy(rush);
  run.results = run.results.filter((r) => strategies.includes(r.strategy));
  run.parameters.strategies = strategies;
  return { ...run, id, ...more };
}

/** The last unit, read by two before either wrote: [lane, kind, what this step changes or knows]. */
const LAST_UNIT = [
  ['A', 'arrive', { note: 'A arrives.' }],
  ['B', 'arrive', { note: 'B arrives.' }],
  ['A', 'read', { seen: 1, statement: 'naive.read.sql', believes: { A: 1 }, note: 'A reads 1 left. No lock is taken.' }],
  ['B', 'read', { seen: 1, statement: 'naive.read.sql', believes: { B: 1 }, note: 'B reads 1 left, too.' }],
  ['A', 'check', { ok: true, note: 'A checks: 1 is enough.' }],
  ['A', 'write', { wrote: 0, statement: 'naive.write.sql', counter: 0, believes: { A: 0 }, note: 'A writes 0.' }],
  ['A', 'commit', { statement: 'naive.write.sql', ledger: 100, note: 'A is in the ledger: 100 of 100.' }],
  ['B', 'check', { ok: true, note: 'B checks what is no longer so: 1 is enough.' }],
  ['B', 'write', { wrote: 0, statement: 'naive.write.sql', believes: { B: 0 }, note: 'B writes 0, from what it read.' }],
  ['B', 'commit', { statement: 'naive.write.sql', ledger: 101, note: 'B is in the ledger: 101 of 100.' }],
  ['A', 'reply', { note: 'A is told sold.' }],
  ['B', 'reply', { note: 'B is told sold: a unit that there is not.' }],
];
const NEAR = [
  ['A', 'arrive', { note: 'A arrives.' }],
  ['B', 'arrive', { note: 'B arrives.' }],
  ['A', 'decide', { ok: true, wrote: 0, statement: 'atomic_update.sql', counter: 0, note: 'One statement takes the last unit for A.' }],
  ['A', 'commit', { statement: 'atomic_update.sql', ledger: 100, note: 'A is in the ledger: 100 of 100.' }],
  ['B', 'decide', { ok: false, statement: 'atomic_update.sql', note: 'The statement of B waited, and finds 0 left.' }],
  ['A', 'reply', { note: 'A is told sold.' }],
  ['B', 'reply', { note: 'B is told sold out.' }],
];

function trace(kind, script, outcomes, sentence) {
  let now = { counter: 1, ledger: 99, believes: {} };
  const steps = script.map(([lane, what, { seen = null, wrote = null, ok = null, statement = null, note, ...rest }], i) => {
    now = { ...now, ...rest, believes: { ...now.believes, ...rest.believes } };
    const believes = Object.entries(now.believes).map(([of, units]) => ({ lane: of, units, stale: units !== now.counter }));
    return { n: i + 1, t_us: 430 * i, lane, kind: what, seen, wrote, ok, statement, note, ...now, believes };
  });
  const lanes = Object.entries(outcomes).map(([id, outcome]) => ({ id, buyer_id: 'buyer-' + id, key: 'key-' + id, outcome }));
  return { kind, sentence, counter: 'the stock row in PostgreSQL', opened: 100, lanes, steps, recorded: 2000, truncated: false };
}

/** Two strategies with what was recorded of them, one oversold and one near. */
export function traced(id, more = {}) {
  const run = short(id, ['naive', 'atomic_update'], { traced: true, co_located: true, command: 'sellout-load --seed 7', ...more });
  return witnessed(run);
}
/** Every strategy, with curves, and a trace of two. */
export const full = (id) => witnessed(copy(rush, id));

function witnessed(run) {
  const [naive, safe] = ['naive', 'atomic_update'].map((name) => run.results.find((r) => r.strategy === name));
  naive.trace = trace('oversold', LAST_UNIT, { A: 'sold', B: 'sold' }, 'A and B both read 1 left, and both sold it.');
  safe.trace = trace('closest_call', NEAR, { A: 'sold', B: 'sold_out' }, 'A and B wanted the last unit; one statement decided.');
  for (const r of run.results) r.series = Array.from({ length: 40 }, (_, i) => ({ ms: 20 * i, sold: Math.round((r.sold * i) / 39) }));
  return run;
}

/** Words that would be markup, wherever a run may carry any. */
export function hostile(id) {
  const run = traced(id);
  run.parameters.scenario = '0: ' + HOSTILE;
  run.results[0].reason = '1: ' + HOSTILE;
  run.environment.cpu = '2: ' + HOSTILE;
  run.command = '3: ' + HOSTILE;
  run.environment.os = '4: ' + HOSTILE;
  const { trace: told } = run.results.find((r) => r.strategy === 'naive');
  told.sentence = '5: ' + HOSTILE;
  told.counter = '6: ' + HOSTILE;
  told.steps[2].note = '7: ' + HOSTILE;
  told.steps[2].statement = '8: ' + HOSTILE;
  told.lanes[0].buyer_id = '9: ' + HOSTILE;
  return run;
}
