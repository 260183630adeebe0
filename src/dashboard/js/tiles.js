// The tiles and the tables: one node per strategy, made once and updated in place.
// ---- Tiles
const tiles = new Map();
function makeTile(strategy) {
  const field = (name) => h('span', { 'data-field': name, class: name });
  const t = { mark: h('span', { class: 'mark', 'aria-hidden': 'true' }), reason: h('p', { class: 'reason' }), unit: h('span') };
  for (const name of ['verdict', 'oversold', 'sold', 'opened', 'declared']) t[name] = field(name);
  for (const name of ['within', 'over', 'limit']) t[name] = h('i', { class: name });
  const link = h('a', { href: linkTo('strategy', strategy), 'aria-label': 'How ' + strategy + ' works' }, 'How it works');
  t.node = h('article', { class: 'tile', 'data-strategy': strategy },
    h('h3', null, ...breakable(strategy)), h('p', { class: 'word' }, t.mark, t.verdict), h('p', { class: 'big' }, t.oversold, t.unit),
    h('div', { class: 'bar', 'aria-hidden': 'true' }, t.within, t.over, t.limit),
    h('p', { class: 'count' }, t.sold, ' of ', t.opened, ' sold'), t.reason,
    h('p', { class: 'foot' }, t.declared, state.report ? null : link));
  return t;
}
function drawTiles(entries) {
  const widest = 1.02 * Math.max(1, ...entries.map((e) => Math.max(e.sold || 0, e.opened || 0)));
  const percent = (n) => Math.max(0, (100 * n) / widest).toFixed(2) + '%';
  const ranked = [...entries].sort((a, b) => RANK.indexOf(a.verdict) - RANK.indexOf(b.verdict)); // stable: else the order of the run
  place($('tiles'), ranked.map((e) => {
    if (!tiles.has(e.strategy)) tiles.set(e.strategy, makeTile(e.strategy));
    const [t, known] = [tiles.get(e.strategy), e.verdict !== 'SKIPPED'];
    set(t.node, 'data-verdict', e.verdict);
    set(t.node, 'data-idle', /^(SKIPPED|WAITING|NOT_RUN)$/.test(e.verdict));
    set(t.node, 'data-surprise', e.as_declared === false);
    text(t.mark, mark(e.verdict));
    text(t.verdict, word(e.verdict));
    const lost = e.verdict === 'LOST'; // the big number is what went wrong
    text(t.oversold, known ? (lost ? plain(e.lost) : (e.oversold > 0 ? '+' : '') + plain(e.oversold)) : '–');
    t.oversold.style.setProperty('--length', Math.max(4, t.oversold.textContent.length)); // it fits, see app.css
    const [n, what] = lost ? [e.lost, ['order lost', 'orders lost']] : [e.oversold, ['unit oversold', 'units oversold']];
    text(t.unit, what[n === 1 ? 0 : 1] + (e.verdict === 'RUNNING' ? ' so far' : ''));
    t.unit.hidden = !known || e.oversold == null;
    for (const name of ['sold', 'opened']) text(t[name], known ? plain(e[name]) : '–');
    t.within.style.width = percent(Math.min(e.sold || 0, e.opened));
    t.over.style.left = t.limit.style.left = percent(e.opened);
    t.over.style.width = percent((e.sold || 0) - e.opened);
    t.over.hidden = !(e.sold > e.opened);
    text(t.reason, e.reason);
    text(t.declared, e.as_declared === false ? `SURPRISE: declared ${e.declared}` : e.as_declared ? `as declared: ${e.declared}` : '');
    return t.node;
  }));
}

// ---- Tables
/** A sortable table whose cells are updated in place. A column: [label, value(result), {format, bad, bar}]. */
function makeTable(box, caption, given) {
  const columns = [['strategy', (r) => r.strategy], ...given];
  const [body, rows] = [h('tbody'), new Map()];
  let [sort, shown] = [null, []]; // sort: [column, -1 | 1]; null is the order of the run
  const heads = columns.map(([label], i) => {
    const button = h('button', { type: 'button' }, label);
    button.addEventListener('click', () => {
      const first = i ? -1 : 1; // names rise, numbers fall first, the third press restores the order of the run
      sort = !sort || sort[0] !== i ? [i, first] : sort[1] === first ? [i, -first] : null;
      heads.forEach((head, j) => set(head, 'aria-sort', sort && sort[0] === j && (sort[1] > 0 ? 'ascending' : 'descending')));
      draw(shown);
    });
    return h('th', { scope: 'col' }, button);
  });
  const described = h('caption', { class: 'quiet' }, caption + '; the buttons in the head sort it');
  box.append(h('table', null, described, h('thead', null, h('tr', null, ...heads)), body));
  const value = (r, i) => (i && r.verdict === 'SKIPPED' ? null : columns[i][1](r));
  function compare(a, b) {
    const [x, y] = [value(a, sort[0]), value(b, sort[0])];
    if (x == null || y == null) return (x == null) - (y == null); // the unknown comes last either way
    return sort[1] * (x < y ? -1 : x > y ? 1 : 0);
  }
  function makeRow(r) {
    const sign = h('span', { class: 'mark' });
    const cells = given.map(([, , { bar } = {}]) => [h('span'), bar && h('span', { class: 'spark', 'aria-hidden': 'true' })]);
    const name = h('th', { scope: 'row' }, sign, ...breakable(r.strategy));
    return { sign, cells, tr: h('tr', { 'data-strategy': r.strategy }, name, ...cells.map((parts) => h('td', null, ...parts))) };
  }
  function draw(results) {
    shown = results;
    for (const r of results) {
      if (!rows.has(r.strategy)) rows.set(r.strategy, makeRow(r));
      const { cells, sign } = rows.get(r.strategy);
      text(sign, mark(r.verdict));
      set(sign, 'title', word(r.verdict));
      given.forEach(([, , { format = num, bad = false } = {}], i) => {
        const n = value(r, i + 1);
        const [words, spark] = cells[i];
        text(words, format(n));
        words.parentNode.classList.toggle('bad', Boolean(bad && n && judged(r)));
        const most = Math.max(1, ...results.map((other) => value(other, i + 1) || 0));
        if (spark) spark.style.width = (n ? Math.max(2, (100 * n) / most) : 0) + '%';
      });
    }
    place(body, (sort ? [...results].sort(compare) : results).map((r) => rows.get(r.strategy).tr));
  }
  return draw;
}
const plainly = (key, options) => [key.replace('_', ' '), (r) => r[key], options];
const [bad, badSigned] = [{ bad: true }, { bad: true, format: signed }];
const latency = (outcome, part) => (r) => (r.latency_us[outcome] && r.latency_us[outcome].count ? r.latency_us[outcome][part] : null);
const drawLedger = makeTable($('ledger'), 'What the ledger and the clients say', [
  plainly('opened'), plainly('sold'), plainly('told_yes'), plainly('left'), plainly('oversold', badSigned), plainly('lost', bad), plainly('phantom', bad),
  plainly('stranded', bad), plainly('duplicates', bad), plainly('over_limit', bad), plainly('drift', badSigned), plainly('unknown')]);
const drawSpeed = makeTable($('speed'), 'How fast each strategy answered', [
  ['accepted/s', (r) => r.accepted_per_s], ['rejected/s', (r) => r.rejected_per_s],
  ['sold p50 ms', latency('sold', 'p50'), { format: ms }], ['sold p99 ms', latency('sold', 'p99'), { format: ms, bar: true }],
  ['sold out p50 ms', latency('sold_out', 'p50'), { format: ms }], ['sold out p99 ms', latency('sold_out', 'p99'), { format: ms, bar: true }],
  ['attempts', (r) => r.attempts], ['contended', (r) => r.answers.contended], ['peak in flight', (r) => r.peak_in_flight]]);

// ---- The page
pages.board = {
  open({ run }) { if (run) loadRun(run); },
  draw(_, v) {
    drawVerdict(v);
    for (const node of document.querySelectorAll('[data-run]')) node.hidden = !v.run;
    drawNow(v);
    const id = v.run ? v.run.id : null;
    if (state.shown !== id) tiles.clear(); // another run: nothing of the old one may linger
    state.shown = id;
    if (v.run) drawTiles(entriesOf(v));
    for (const table of v.run ? [drawLedger, drawSpeed] : []) table(v.run.results);
    if (state.report) return;
    const viewers = state.snapshot ? state.snapshot.viewers : 0;
    text($('viewers'), `Looking costs a little. Pages listening just now: ${num(viewers)}.`);
  },
  title: (_, v) => sentence(v)[0].slice(0, 70),
};
