// The tables: rows are made once per strategy and updated in place; the heads sort.
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
/** The yardstick of speed: overselling quickly is none. */
let fastest = null;
const ratio = (n) => (n == null ? '–' : n.toFixed(2));
const drawSpeedTable = makeTable($('speed'), 'How fast each strategy answered', [
  ['accepted/s', (r) => r.accepted_per_s, { bar: true }],
  ['relative', (r) => (r.verdict === 'HELD' && r.accepted_per_s ? fastest / r.accepted_per_s : null), { format: ratio }],
  ['rejected/s', (r) => r.rejected_per_s],
  ['sold p50 ms', latency('sold', 'p50'), { format: ms }], ['sold p99 ms', latency('sold', 'p99'), { format: ms, bar: true }],
  ['sold out p50 ms', latency('sold_out', 'p50'), { format: ms }], ['sold out p99 ms', latency('sold_out', 'p99'), { format: ms, bar: true }],
  ['attempts', (r) => r.attempts], ['contended', (r) => r.answers.contended], ['peak in flight', (r) => r.peak_in_flight]]);
function drawSpeed(shown, all) {
  const best = all.filter((r) => r.verdict === 'HELD').sort(ORDERS.speed)[0];
  fastest = best ? best.accepted_per_s : null;
  text($('fastest'), best ? `Relative: how many times slower than ${best.strategy}, the fastest that HELD.`
    : 'Relative: no strategy HELD, so there is no yardstick.');
  drawSpeedTable(shown);
}
/** The sentence that a dashboard of counters would never say. */
function drawHealthy(results) {
  const [r] = results.filter((one) => one.verdict === 'OVERSOLD' && one.left >= 0).sort((a, b) => b.oversold - a.oversold);
  text($('healthy'), r ? `The counter of ${r.strategy} ends at a healthy-looking ${num(r.left)} left, though ` +
    `${count(r.oversold, 'unit')} too many were sold. ` : '');
}
