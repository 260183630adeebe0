// The board of one run: its verdict in words first, then everything that the words rest on.
/** Where to go next, and in which words: to the trace of the worst strategy that has one, else to a first run. */
function onward({ run, stored }) {
  if (!run) return lab() && !stored ? [linkTo('new'), 'Start one from here →'] : [];
  const to = (r) => linkTo('trace', run.id, r.strategy, 1);
  const traced = run.results.filter((r) => r.trace);
  const [worst] = traced.filter((r) => r.verdict === 'OVERSOLD').sort((a, b) => b.oversold - a.oversold);
  if (worst) return [to(worst), `See how ${worst.strategy} did it →`];
  return traced.length ? [to(traced[0]), `See the closest call of ${traced[0].strategy} →`] : [];
}
function drawVerdict(v) {
  const [[words, tone], { run }] = [sentence(v), v];
  say($('verdict-sentence'), words);
  set($('verdict'), 'data-tone', tone);
  const [address, see] = onward(v);
  $('see-how').hidden = !address;
  set($('see-how'), 'href', address);
  text($('see-how'), see || '');
  const failed = state.snapshot && state.snapshot.lab_run;
  const notice = state.report ? `Report of run ${run.id}. One file, no network.` : v.stored ? `Stored run ${v.stored}. `
    : failed && failed.state === 'failed' ? `Run ${failed.id} failed: ${failed.error} ` : '';
  const back = v.stored ? h('a', { href: '#/' }, 'Back to the newest run') : '';
  if (!$('notice').textContent.startsWith(notice || '–')) $('notice').replaceChildren(notice, back);
  $('notice').hidden = !notice;
  const results = run ? run.results : [];
  const parts = tallied(results).map(([name, n]) => `${mark(name)}\u2060\u00A0${n}\u00A0${word(name)}  · `);
  const surprises = results.filter((r) => r.as_declared === false).map((r) => r.strategy).join(', ');
  const declared = surprises ? `SURPRISE: ${surprises} not as declared` : parts.length ? 'every verdict as declared' : '';
  if ($('verdict-counts').textContent !== parts.join('') + declared) {
    $('verdict-counts').replaceChildren(parts.join(''), surprises ? h('b', { 'data-surprise': true }, declared) : declared);
  }
  text($('parameters'), run ? parametersOf(run) : '');
  const artificial = run && run.parameters.race_window_ms;
  $('artificial').hidden = !artificial;
  text($('artificial'), `Artificial race window: ${num(artificial)} ms were put between read and write. Without it fewer buyers meet.`);
}
function parametersOf({ parameters: p, environment: e, started_at: started }) {
  return [count(p.stock, 'unit'), count(p.attempts, 'attempt'), count(p.buyers, 'buyer') + ' at once',
    p.quantity > 1 && p.quantity + ' units per order', p.per_buyer_limit && `at most ${p.per_buyer_limit} per buyer`,
    'scenario ' + p.scenario, 'seed ' + p.seed, 'PostgreSQL ' + e.postgres.replace(/^postgres(ql)?\s+/i, ''),
    e.redis && 'Redis ' + e.redis.replace(/^redis\s+/i, ''), e.redlock, e.zookeeper, e.etcd, count(e.cores, 'core'), when(started)]
    .filter(Boolean).join(' · ');
}
function drawCaveats(run) {
  const { environment: e, co_located: together, faults = [] } = run;
  const where = [e.cpu, e.memory_mib && num(e.memory_mib) + ' MiB', e.os, e.build, `sellout ${e.sellout} ${e.commit}`.trim(),
    e.private_servers ? 'private throw-away servers' : 'servers that others may use too'];
  const lines = { machine: `Measured on ${where.filter(Boolean).join(' · ')}.`,
    together: together === false ? 'Service and load generator ran on different machines.' : together
      ? 'Service and load generator shared this machine and competed for its cores.'
      : 'Whether service and load generator shared a machine was not recorded; on one, they compete for its cores.',
    traced: run.traced ? 'The steps of orders were recorded while it ran, which costs time.' : '',
    looked: run.viewers_max ? `${count(run.viewers_max, 'page')} looked on while it ran.` : '',
    broken: faults.length ? 'Broken on purpose: ' + faults.map(faultWords).join('; ') + '.' : '' };
  for (const [id, words] of Object.entries(lines)) {
    text($(id), words);
    $(id).hidden = !words;
  }
}
const faultWords = (f) => `${f.fault.replace(/_/g, ' ')} ${f.argument == null ? 'off' : num(f.argument)} at ${seconds(f.at_ms)}` +
  (f.strategy ? ` (${f.strategy})` : '');

/** Where each report of a run is. What is in the page already needs no network, so a report has none of these. */
const FILES = { HTML: '/report.html', JSON: '', Markdown: '/report.md', CSV: '/report.csv', Series: '/series.csv', zip: '/run.zip' };
const files = (id) => Object.entries(FILES).map(([name, end]) =>
  h('a', { href: `/v1/runs/${encodeURIComponent(id)}${end}`, download: '', 'aria-label': `${name} of run ${id}` }, name));

pages.board = {
  open({ run }) { if (run && !state.report) loadRun(run); },
  draw(_, v) {
    const { run } = v;
    drawVerdict(v);
    drawNow(v);
    if (!state.report) drawLab();
    for (const node of document.querySelectorAll('[data-run]')) node.hidden = !run;
    const id = run ? run.id : null;
    if (state.shown !== id) {
      for (const nodes of [tiles, curves]) nodes.clear(); // another run: nothing of the old one may linger
      if (run && !state.report) $('files').replaceChildren(...files(id));
    }
    state.shown = id;
    if (!run) return;
    const entries = entriesOf(v);
    const shown = arranged(entries);
    text($('filter-count'), shown.length < entries.length ? `${shown.length} of ${entries.length} strategies shown` : '');
    $('tiles-none').hidden = shown.length > 0;
    drawTiles(shown, run);
    drawCurves(shown, run);
    const rows = run.results.filter((r) => shown.includes(r)); // the tables have an order of their own
    drawLedger(rows);
    drawHealthy(run.results);
    drawSpeed(rows, run.results);
    drawCaveats(run);
    $('again').hidden = !run.command;
    text($('command-again'), run.command || '');
    const viewers = state.snapshot ? state.snapshot.viewers : 0;
    if (!state.report) text($('viewers'), `Looking costs a little. Pages listening just now: ${num(viewers)}.`);
  },
  title: (_, v) => (/^.{0,70}(?!\S)/.exec(sentence(v)[0]) || ['Scoreboard'])[0],
};
