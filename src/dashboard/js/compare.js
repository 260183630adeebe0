// Two runs beside each other: what changed, in words, and whether they may be compared at all.
const SAME = 0.05; // one run each: less than this is noise
/** [words, 'better' | 'worse' | 'same' | ''] of a figure that should be `up` (or down). */
function change(a, b, up, format) {
  if (a == null || b == null) return [`${format(a)} → ${format(b)}`, ''];
  const share = a ? (b - a) / a : b ? 1 : 0;
  const judgement = Math.abs(share) < SAME ? 'same' : share > 0 === up ? 'better' : 'worse';
  const percent = a ? `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(0)} %` : signed(b - a);
  return [`${format(a)} → ${format(b)} (${judgement === 'same' ? 'about the same' : percent + ', ' + judgement})`, judgement];
}
function verdictChange(a, b) {
  if (!a || !b) return [a ? `${word(a.verdict)} → not in this run` : `not in the first → ${word(b.verdict)}`, ''];
  const [was, is] = [a, b].map((r) => RANK.indexOf(r.verdict));
  const judgement = !judged(a) || !judged(b) ? '' : was === is ? 'same' : is > was ? 'better' : 'worse';
  return [was === is ? word(b.verdict) : `${word(a.verdict)} → ${word(b.verdict)}` + (judgement && ` (${judgement})`), judgement];
}
const row = (a, b) => {
  const [x, y] = [a || { latency_us: {} }, b || { latency_us: {} }];
  const exact = (n, m) => (n != null && n === m ? [num(n), 'same'] : change(n, m, false, num));
  const waits = ['sold', 'sold_out'].map((outcome) => latency(outcome, 'p99')).map((of) => change(of(x), of(y), false, ms));
  return [verdictChange(a, b), exact(x.oversold, y.oversold), change(x.accepted_per_s, y.accepted_per_s, true, num), ...waits];
};
/** Why the two may not be comparable: one sentence per thing that differs. */
function differences(a, b) {
  const name = (key) => key.replace(/_/g, ' ');
  const said = (v) => (v == null || v === '' ? 'none' : v === true ? 'yes' : v === false ? 'no' : Array.isArray(v) ? num(v.length) : String(v));
  const differ = (x, y, words) => [...new Set([...Object.keys(x), ...Object.keys(y)])]
    .filter((key) => String(x[key] == null ? '' : x[key]) !== String(y[key] == null ? '' : y[key]))
    .map((key) => `${words} differ in ${name(key)}: ${said(x[key])} and ${said(y[key])}.`);
  const whole = (r) => ({ completeness: r.cancelled ? 'cancelled' : r.finished_at ? 'finished' : 'incomplete', recording: Boolean(r.traced),
    load_on_the_same_machine: r.co_located == null ? 'not recorded' : r.co_located,
    what_was_broken: (r.faults || []).map(faultWords).join('; ') });
  return [...differ(a.environment, b.environment, 'Machine or versions'), ...differ(a.parameters, b.parameters, 'Parameters'),
    ...differ(whole(a), whole(b), 'The runs')];
}
let compared = []; // drawn anew only when one of the runs has come: a reader keeps his place
pages.compare = {
  open({ a, b }) { for (const id of [a, b]) loadRun(id || '?'); },
  draw({ a, b }) {
    [a, b] = [a || '?', b || '?'];
    const runs = [a, b].map((id) => state.stored.get(id));
    const now = [a, b, ...runs];
    if (now.every((one, i) => one === compared[i])) return;
    compared = now;
    const missing = [a, b].filter((id) => state.stored.get(id) === null);
    $('compare-box').hidden = !runs.every(Boolean);
    const link = (id) => h('a', { href: linkTo('runs', id) }, id);
    $('compare-runs').replaceChildren('From ', link(a), ' to ', link(b));
    if (missing.length) return text($('compare-title'), `There is no run ${missing.join(' and no run ')} here.`);
    if (!runs.every(Boolean)) return text($('compare-title'), 'Loading two runs…');
    const results = runs.map((run) => new Map(run.results.map((r) => [r.strategy, r])));
    const names = [...new Set(results.flatMap((of) => [...of.keys()]))];
    const rows = names.map((name) => row(results[0].get(name), results[1].get(name)));
    const many = (column, judgement) => rows.filter((cells) => cells[column][1] === judgement).length;
    text($('compare-title'), `Verdicts: ${many(0, 'better')} better, ${many(0, 'worse')} worse, ${many(0, 'same')} the same. ` +
      `Speed: ${many(2, 'better')} faster, ${many(2, 'worse')} slower, ${many(2, 'same')} about the same.`);
    const warnings = differences(...runs);
    const lines = warnings.length ? warnings : ['Same machine, versions and parameters.'];
    $('compare-warnings').replaceChildren(...lines.map((words) => h('li', null, words)));
    set($('compare-warnings'), 'data-differ', warnings.length > 0);
    $('compare-rows').replaceChildren(...names.map((name, i) => h('tr', { 'data-strategy': name },
      h('th', { scope: 'row' }, ...breakable(name)), ...rows[i].map(([words, judgement]) => h('td', { 'data-change': judgement }, words)))));
  },
  title: ({ a, b }) => `Compare ${a} with ${b}`,
};
