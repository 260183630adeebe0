// A recorded trace, step by step: what each order did, what it held true, and where that was no longer so.
let tracing = null; // what is stepped through: { key, at, last, go, step }

/** List, diagram and state of one trace, and what moves them. `moved(n)` after each step. */
function makeStepper(run, { trace, strategy, verdict }, moved) {
  const { steps, lanes, opened } = trace;
  const last = steps.length;
  let at = 0;
  const [position, say, pane] = [h('span', { class: 'position' }), para('say'), h('div', { class: 'state' })];
  const step = (n) => { go(n); text($('announce'), `${position.textContent}. ${say.textContent}`); };
  const slider = h('input', { type: 'range', min: 1, max: last, 'aria-label': 'Step of ' + strategy });
  slider.addEventListener('input', () => step(+slider.value));
  const ways = [['|◀', 'First', () => 1], ['◀', 'Previous', () => at - 1], ['▶', 'Next', () => at + 1], ['▶|', 'Last', () => last]];
  const buttons = ways.map(([sign, name, to]) => {
    const button = h('button', { type: 'button', 'data-go': name.toLowerCase(), 'aria-label': `${name} step of ${strategy}` },
      sign);
    button.addEventListener('click', () => step(to()));
    return button;
  });
  const items = steps.map((s) => {
    const link = h('a', { href: linkTo('trace', run.id, strategy, s.n) }, stepLabel(s, trace));
    link.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey) return;
      event.preventDefault(); // the address follows the step, and Back leads out of the trace
      step(s.n);
    });
    const file = s.statement && h('code', null, s.statement);
    return h('li', { 'data-step': s.n, 'data-lane': s.lane, 'data-kind': s.kind, 'data-stale': isStale(s) },
      h('p', null, link, h('span', { class: 'time' }, `+${(s.t_us / 1000).toFixed(2)} ms`),
        file && (state.report ? file : h('a', { href: linkTo('strategy', strategy, s.statement) }, file))), para('note', s.note));
  });
  const list = scrollBox('list', 'Steps of ' + strategy, h('ol', { class: 'steps' }, ...items));
  const diagram = makeDiagram(trace, strategy, step);

  function beliefOf({ id }, now) {
    const belief = believed(now, id);
    const stale = belief && belief.stale;
    const words = belief ? num(belief.units) + ' left' + (stale ? ', ' : '') : 'nothing';
    return [id + ' believes', h('span', { 'data-believes': id, 'data-stale': stale }, words, stale && h('b', null, 'stale'))];
  }
  function drawState(now, next) {
    const beyond = now.ledger - opened;
    pane.replaceChildren(h('h3', null, 'After this step'), termList([
      ['counter', h('span', { 'data-fact': 'counter' }, now.counter == null ? 'not known' : num(now.counter))],
      ['ledger', h('span', { 'data-fact': 'ledger', 'data-beyond': beyond > 0 }, `${num(now.ledger)} of ${num(opened)} sold` +
        (beyond > 0 ? `, ✖\uFE0E ${num(beyond)} too many` : ''))], ...lanes.map((lane) => beliefOf(lane, now))]),
    para('then', next ? 'Next: ' + (next.note || stepLabel(next, trace)) : 'This is the last step.'),
    para('note', `Fought over: ${trace.counter}.`));
  }
  function go(n) {
    const to = Math.min(last, Math.max(1, Math.round(n) || 1));
    if (to === at) return;
    at = slider.value = to;
    const now = steps[at - 1];
    text(position, `step ${at} of ${last}`);
    text(say, now.note || stepLabel(now, trace));
    set(slider, 'aria-valuetext', position.textContent);
    buttons.forEach((button, i) => set(button, 'aria-disabled', at === (i < 2 ? 1 : last) && 'true'));
    items.forEach((item, i) => {
      markStep(item, i + 1, at);
      set(item.querySelector('a'), 'aria-current', i + 1 === at && 'step');
    });
    keepInView(list, items[at - 1].offsetTop, items[at - 1].offsetHeight);
    diagram.go(at);
    drawState(now, steps[at]);
    if (moved) moved(at);
  }
  const name = `${mark(verdict)} ${word(verdict)}${trace.kind === 'closest_call' ? ', its closest call' : ''}`;
  const node = h('section', { class: 'stepper', 'data-strategy': strategy, 'aria-label': 'Trace of ' + strategy },
    h('h2', null, ...breakable(strategy), ' ', h('span', { class: 'word' }, name)), para('sentence', trace.sentence),
    h('div', { class: 'stepbar', role: 'group', 'aria-label': 'Steps of ' + strategy }, ...buttons, position, slider), say,
    h('div', { class: 'panes', 'data-many': lanes.length > 2 }, diagram.node, pane, list));
  return { node, go, step, last, scale: diagram.scale, at: () => at };
}

/** Who stands nearest and is safe: the same lock with a fence, or the plain way of the same family. */
const SAFER = { naive: 'atomic_update', unguarded_decrement: 'atomic_update', lock_released_before_commit: 'lock_pg_advisory_fenced',
  pg_advisory_same_statement: 'lock_pg_advisory', skip_locked_count: 'skip_locked', fence_on_write_only: 'lock_pg_table_fenced',
  redis_lua_ack_early: 'redis_lua' };
function nearestSafe({ strategy, declared }, others) {
  const parts = strategy.split('_');
  const shared = (r) => r.strategy.split('_').filter((part, i) => part === parts[i]).length;
  const nearness = (r) => shared(r) + (r.declared === 'exact') / 2 + (r.strategy === 'atomic_update') / 4 +
    (r.strategy === SAFER[strategy]) * 9;
  const held = /exact|control/.test(declared) ? [] : others.filter((r) => r.verdict === 'HELD');
  return held.sort((a, b) => nearness(b) - nearness(a)).map((r) => r.strategy)[0] || '';
}

/** Why there is nothing to step through. */
function whyNoTrace({ run, running, stored }, strategy) {
  if (!run) return run === null ? `No run ${stored} is kept here.` : 'Loading the run…';
  const result = run.results.find((r) => r.strategy === strategy);
  if (!result && !run.parameters.strategies.includes(strategy)) return `Run ${run.id} did not try ${strategy}.`;
  if (!result) return running ? 'The trace comes with the result, when its turn is over.' : 'The run ended before its turn.';
  if (result.verdict === 'SKIPPED') return `It was skipped: ${result.reason}`;
  if (!run.traced) return 'The steps of its orders were not recorded: recording was off, or an older version kept this run.';
  if (result.verdict === 'CONTROL') return 'It sells nothing, so no two orders could meet.';
  return 'Steps were recorded, and no two of its orders met.';
}

// ---- To take along
const withFile = (s, trace) => stepLabel(s, trace) + (s.statement ? ` (${s.statement})` : '');
function traceAsMarkdown({ trace, strategy }) {
  const cell = (words) => String(words == null ? '' : words).replace(/[|\\`<]/g, '\\$&');
  const row = (n, each, ...rest) => `| ${[n, ...trace.lanes.map(each), ...rest].map(cell).join(' | ')} |`;
  const rows = trace.steps.map((s) => row(s.n, ({ id }) => (id === s.lane ? withFile(s, trace) : ''), s.counter, s.ledger));
  return [`**${strategy}**: ${trace.sentence}`, '', row('step', ({ id }) => 'buyer ' + id, 'counter', 'sold'),
    row('--:', () => '---', '--:', '--:'), ...rows, ''].join('\n');
}
function traceAsMermaid({ trace }) {
  const who = trace.lanes.map(({ id }) => `  participant ${id} as buyer ${id}`);
  who.splice(before(trace), 0, '  participant store');
  return ['sequenceDiagram', ...who, ...trace.steps.map((s) => {
    const way = s.kind === 'read' ? `store-->>${s.lane}` : asksStore(s.kind) ? `${s.lane}->>store` : 'Note over ' + s.lane;
    return `  ${way}: ${s.n}. ${withFile(s, trace)}`.replace(/[#;]/g, (c) => `#${c.charCodeAt(0)};`);
  }), ''].join('\n');
}
const takeAlong = (result) => h('details', null, h('summary', null, 'Take it along'),
  ...[['Markdown', traceAsMarkdown], ['Mermaid', traceAsMermaid]].flatMap(([name, make]) => [
    h('button', { type: 'button', 'data-copy': 'trace-' + name }, 'Copy as ' + name),
    h('pre', { id: 'trace-' + name, tabindex: 0, role: 'region', 'aria-label': 'The trace as ' + name }, make(result))]));

// ---- The page
function buildTrace(root, run, result, n) {
  const { trace, strategy, sold, opened } = result;
  const others = run.results.filter((r) => r.trace && r.strategy !== strategy);
  const [steppers, scale] = [h('div', { class: 'steppers' }), h('input', { type: 'checkbox', id: 'to-scale' })];
  let other = null;
  const main = makeStepper(run, result, (at) => {
    const address = linkTo('trace', run.id, strategy, at);
    if (location.hash !== address) history.replaceState(null, '', address);
    if (other) other.go(at);
  });
  const choice = h('select', { id: 'beside' }, h('option', { value: '' }, 'nothing'),
    ...others.map((r) => h('option', { value: r.strategy }, `${r.strategy} (${word(r.verdict)})`)));
  choice.value = nearestSafe(result, others);
  const beside = () => {
    const chosen = others.find((r) => r.strategy === choice.value);
    other = chosen && makeStepper(run, chosen);
    place(steppers, [main, other].filter(Boolean).map(({ node }) => node));
    set(steppers, 'data-two', Boolean(other));
    if (other) other.go(main.at());
    rescale();
  };
  const rescale = () => [main, other].forEach((one) => one && one.scale(scale.checked));
  choice.addEventListener('change', beside);
  scale.addEventListener('change', rescale);
  const [over, held] = [trace.kind === 'oversold', run.parameters.race_window_ms];
  const title = over ? `How ${strategy} sold ${num(sold)} of ${num(opened)} units` : `How near ${strategy} came to overselling`;
  root.replaceChildren(...[h('h1', { id: 'trace-title' }, title),
    para('parameters', 'Recorded in run ', h('a', { href: state.report ? '#/' : linkTo('runs', run.id) }, run.id),
      `: the steps of ${count(trace.recorded, 'order')}${trace.truncated ? ', and there were more' : ''}${state.report ? '' : ' · '}`,
      !state.report && h('a', { href: linkTo('strategy', strategy) }, 'the card of ' + strategy)),
    held && para('artificial', `Artificial: the lab held each order for ${num(held)} ms between its read and its write.`),
    !over && para('notice', 'Nothing was oversold here: this is its closest call. Evidence, not proof.'),
    h('div', { class: 'filter' }, h('label', null, scale, ' time to scale'), h('label', null, 'beside it ', choice)),
    steppers, takeAlong(result), h('details', null, h('summary', null, 'Who is who'), termList(trace.lanes.map((lane) =>
      [lane.id, `buyer ${lane.buyer_id}, key ${lane.key}, told ${word(lane.outcome) || 'nothing yet'}`]))),
    para('note', 'Keys: ← → step by step, Space onward, Home and End to the ends.')].filter(Boolean));
  main.go(n);
  beside();
  return main;
}
function refuseTrace(root, v, strategy) {
  tracing = null;
  const why = whyNoTrace(v, strategy);
  if (root.dataset.why === why) return;
  root.dataset.why = why;
  root.replaceChildren(h('h1', { id: 'trace-title' }, `No trace of ${strategy || 'that'}`), h('p', { id: 'trace-missing' }, why),
    v.run && !v.running && !state.report ? h('p', null, 'In the lab, ', h('a', { href: '#/new' }, 'a new run'), ' records them.') : '',
    h('p', null, h('a', { href: v.run && !state.report ? linkTo('runs', v.run.id) : '#/' }, 'To the board')));
}
pages.trace = {
  open({ run, strategy, step }, root) {
    if (tracing && tracing.key === run + '/' + strategy) return tracing.go(+step);
    tracing = null;
    delete root.dataset.why;
    if (!state.report && run) loadRun(run);
  },
  draw({ run, strategy, step }, v, root) {
    const result = v.run && v.run.results.find((r) => r.strategy === strategy);
    if (!result || !result.trace) return refuseTrace(root, v, strategy);
    const key = run + '/' + strategy;
    if (!tracing || tracing.key !== key) tracing = { ...buildTrace(root, v.run, result, +step), key };
  },
  title: ({ strategy }) => strategy + ', step by step',
};
document.addEventListener('keydown', (event) => {
  const { target, key } = event;
  if (here.page !== 'trace' || !tracing || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (target.closest('input, select, textarea') || (key === ' ' && target.closest('button, a, summary'))) return;
  if (key.startsWith('Arrow') && target.scrollWidth > target.clientWidth && target.matches('.scroll')) return; // it scrolls by them
  const at = tracing.at();
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ' ': at + 1, Home: 1, End: tracing.last }[key];
  if (to == null) return;
  event.preventDefault();
  tracing.step(to);
});
