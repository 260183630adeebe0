// The dashboard of sellout: the live page, and the same page as a report file with its run inlined.
// No build step, no library. Text goes in through textContent only, so a hostile name stays a name.
// Nodes are made once per strategy, run or card and then updated in place: a reader keeps focus and place.
const $ = (id) => document.getElementById(id);
const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const num = (n) => (n == null ? '–' : NUMBER.format(n).replace('-', '−'));
const plain = (n) => (n == null ? '–' : String(n)); // nothing but digits, for the tiles
const signed = (n) => (n == null ? '–' : n > 0 ? '+' + num(n) : num(n));
const ms = (us) => (us == null ? '–' : (us / 1000).toFixed(1));
const when = (t) => (t ? t.slice(0, 19).replace('T', ' ') + ' UTC' : '');
const count = (n, noun) => num(n) + ' ' + noun + (n === 1 ? '' : 's');

/** Verdict → mark, in the order of the tiles: trouble first. The mark is text, never a coloured emoji. */
const MARKS = { OVERSOLD: '✖', LOST: '✖', INVALID: '!', INCONSISTENT: '▲', STRANDED: '▲', RUNNING: '●', HELD: '✔',
  NOT_EXERCISED: '?', CONTROL: '–', WAITING: '…', NOT_RUN: '–', SKIPPED: '–' };
const RANK = Object.keys(MARKS);
const mark = (verdict) => (MARKS[verdict] || '!') + '\uFE0E';
const word = (verdict) => verdict.replace(/_/g, ' ');
const judged = (r) => r.verdict !== 'SKIPPED' && r.verdict !== 'CONTROL';
const GUARANTEES = { exact: 'sells every unit and no more, whatever crashes', never_over: 'never sells more; a crash may leave units unsold',
  conditional: 'keeps its promise under a condition that it cannot enforce', oversells: 'oversells, and is here to show how',
  control: 'sells nothing: the ceiling of the harness' };

// ---- DOM helpers
const h = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => filled(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) set(node, name, value);
  node.append(...children.filter(Boolean));
  return node;
}
const text = (node, value) => { if (node.textContent !== value) node.textContent = value; };
function set(node, name, value) {
  if (value == null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}
/** Words in which a command to type is set as one. */
function say(node, words) {
  if (node.textContent === words) return;
  const long = (part, i) => (i % 2 ? breakable(part) : part); // only a long name may wrap inside
  const typed = (part) => (part.startsWith('./run ') ? h('code', null, part) : part.split(/(\w{18,})/).flatMap(long));
  node.replaceChildren(...words.split(/(\.\/run \w+)/).flatMap(typed));
}
const breakable = (name) => name.split(/(?<=_)/).flatMap((part, i) => (i ? [h('wbr'), part] : part)); // snake_case may wrap after a _
/** Brings `nodes` into order under `parent`, moving only what is out of place and keeping focus. */
function place(parent, nodes) {
  const focused = document.activeElement; // moving a node takes its focus away
  nodes.forEach((node, i) => parent.children[i] === node || parent.insertBefore(node, parent.children[i] || null));
  while (parent.children.length > nodes.length) parent.lastElementChild.remove();
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

// ---- What is shown
const state = { report: false, snapshot: null, polled: null, newest: null, stored: new Map(), runs: [],
  cards: null, link: 'connecting', since: null, paused: false, shown: null };
const lab = () => Boolean(state.snapshot && state.snapshot.lab);
/** The run that was asked for from a page, while it can be stopped. */
const labRun = () => [state.snapshot && state.snapshot.lab_run].find((r) => r && /^(running|cancelling)$/.test(r.state));

/** The stream leaves curves and traces out; a strategy's come with the run itself, once it is judged. */
function dressed(run) {
  const whole = state.stored.get(run.id);
  if (!whole) return run;
  const kept = new Map(whole.results.map((r) => [r.strategy, r]));
  return { ...run, results: run.results.map((r) => kept.get(r.strategy) || r) };
}
/** The run to draw: the chosen one, else the live one, else the newest that is kept. */
function view() {
  if (state.report) return { run: state.newest, running: false };
  const [snapshot, chosen] = [state.snapshot, here.params.run];
  const live = state.link === 'polling' ? state.polled : snapshot && snapshot.run;
  if (chosen && !(live && live.id === chosen)) return { run: state.stored.get(chosen), stored: chosen, running: false };
  if (!live) return { run: state.newest, running: false };
  const running = !live.finished_at && live.exit_code == null;
  return { run: dressed(live), running, sale: running && state.link !== 'polling' ? snapshot.current : null, live: true };
}

/** One entry per strategy: its result, or the stand-in for one that has none yet. */
function entriesOf({ run, running, sale }) {
  const results = new Map(run.results.map((r) => [r.strategy, r]));
  const opened = run.parameters.stock;
  return [...new Set([...run.parameters.strategies, ...results.keys()])].map((strategy) => {
    if (results.has(strategy)) return results.get(strategy);
    if (running && run.current && run.current.strategy === strategy) {
      const sold = sale && sale.strategy === strategy ? sale.live.sold_units : null;
      return { strategy, verdict: 'RUNNING', opened, sold, oversold: sold == null ? null : Math.max(0, sold - opened),
        reason: 'Provisional: the verdict is counted from the ledger when the rush is over.' };
    }
    return { strategy, verdict: running ? 'WAITING' : 'NOT_RUN', opened, sold: null, oversold: null,
      reason: running ? 'Its turn has not come yet.' : 'The run ended before its turn.' };
  });
}
/** A surprise is named first; the others as they ran. */
const oversoldWords = (results) => [...results].sort((a, b) => a.as_declared - b.as_declared).slice(0, 3)
  .map((r, i) => (i ? `${r.strategy} ${num(r.sold)}` : `${r.strategy} sold ${num(r.sold)} of ${num(r.opened)} units`)).join(', ') +
  (results.length > 3 ? `, and ${results.length - 3} more.` : '.');

/** The one sentence that a reader takes away, and its tone. */
function sentence({ run, running, stored }) {
  if (!run && stored) return [run === null ? `No run ${stored} is kept here.` : `Loading run ${stored}…`, 'none'];
  if (!run) return ['No run yet: start one with ./run load', 'none'];
  const { results, current } = run;
  const names = run.parameters.strategies;
  const total = Math.max(names.length, results.length);
  const having = (verdict) => results.filter((r) => r.verdict === verdict);
  const over = having('OVERSOLD');
  if (running) {
    const at = current ? names.indexOf(current.strategy) : -1;
    const place = (at < 0 ? results.length : at) + 1;
    const now = 'Running: ' + (current ? `${current.strategy}, ${place} of ${total}` : `${results.length} of ${total} done`);
    return over.length ? [`${now}. So far ${oversoldWords(over)}`, 'bad'] : [now, 'none'];
  }
  const whole = run.finished_at && !run.cancelled;
  const cut = whole ? '' : `${run.cancelled ? 'Cancelled' : 'Incomplete'} run, ${results.length} of ${total} strategies. `;
  const all = results.filter(judged).length;
  const worst = RANK.find((verdict) => judged({ verdict }) && having(verdict).length);
  if (!worst) return [cut + 'No strategy was judged.', 'none'];
  const found = having(worst);
  const lead = `${cut}${found.length} of ${all} judged ${all === 1 ? 'strategy' : 'strategies'} ${word(worst)}`;
  if (over.length) return [`${lead}: ${oversoldWords(over)}`, 'bad'];
  if (worst === 'HELD' && found.length < all) return [lead + '.', 'none'];
  if (worst === 'HELD') return [cut + (all === 1 ? 'The one judged strategy HELD.' : `All ${all} judged strategies HELD.`), 'good'];
  if (worst === 'NOT_EXERCISED') return [lead + ', which proves nothing.', 'none'];
  return [`${lead}: ${found.map((r) => r.strategy).join(', ')}.`, 'bad'];
}
