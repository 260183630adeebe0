// Sold against stock: one small curve per strategy, all on the same axes. What was sold beyond the stock is hatched.
const seen = new Map(); // sale → points as this page saw them, where the run has none yet
const curves = new Map();
const WIDE = { left: 4, right: 216, top: 12, bottom: 92 };

/** Keeps what is seen, even while drawing is paused. Time is this page's own: no clock needs to agree. */
function record({ id, live }) {
  const now = performance.now();
  if (!seen.has(id)) seen.set(id, { start: now, points: [] });
  const { start, points } = seen.get(id);
  points.push({ ms: Math.round(now - start), sold: live.sold_units });
  if (points.length > 240) seen.get(id).points = points.filter((_, i) => i % 2 || i === points.length - 1); // half as fine
  if (seen.size > 60) seen.delete(seen.keys().next().value);
}
function pointsOf(e, run) {
  if (e.series && e.series.length) return e.series;
  const sale = e.verdict === 'RUNNING' ? run.current.sale_id : e.sale_id;
  return seen.has(sale) ? seen.get(sale).points : [];
}
function inWords(e, points) {
  const [{ ms: end, sold }, passed] = [points[points.length - 1], points.find((p) => p.sold > e.opened)];
  return `Sold ${num(sold)} of ${num(e.opened)} units in ${seconds(end)}` +
    (passed ? `, ${num(sold - e.opened)} of them beyond the stock, which was passed at ${seconds(passed.ms)}.` : '.');
}
const seconds = (t) => (t / 1000).toFixed(t < 10000 ? 2 : 1) + ' s';

function makeCurve(strategy) {
  const c = { sign: h('span', { class: 'mark' }), words: h('span'), rows: h('tbody'), points: [] };
  for (const name of ['sold-area', 'over-area', 'axes', 'stock-line', 'sold-line']) c[name] = svg('path', { class: name });
  for (const name of ['stock', 'last']) c[name] = svg('text', { class: name, 'text-anchor': 'end', x: WIDE.right });
  c.svg = svg('svg', { viewBox: '0 0 220 108', role: 'img' }, c['sold-area'], c['over-area'], c.axes, c['stock-line'], c['sold-line'],
    c.stock, c.last);
  const data = h('details', null, h('summary', { 'aria-label': 'Show data of ' + strategy }, 'Show data'));
  data.addEventListener('toggle', () => { // 44 tables would be thousands of rows: each is made when it is asked for
    if (data.children.length === 1) {
      data.append(h('div', { class: 'scroll short', role: 'region', tabindex: 0, 'aria-label': strategy + ', units sold over time' },
        h('table', null, h('thead', null, h('tr', null, ...['ms', 'units sold'].map((name) => h('th', { scope: 'col' }, name)))), c.rows)));
    }
    c.rows.replaceChildren(...c.points.map((p) => h('tr', null, h('td', null, num(p.ms)), h('td', null, num(p.sold)))));
  });
  const title = h('figcaption', null, c.sign, h('b', null, ...breakable(strategy)), c.words);
  c.node = h('figure', { 'data-strategy': strategy }, title, c.svg, data);
  return c;
}
function drawCurve(e, points, most, last) {
  if (!curves.has(e.strategy)) curves.set(e.strategy, makeCurve(e.strategy));
  const [c, { left, right, top, bottom }] = [curves.get(e.strategy), WIDE];
  const drawn = [points.length, points[points.length - 1].sold, most, last, e.verdict].join();
  if (c.drawn === drawn) return c.node;
  c.drawn = drawn;
  const x = (t) => (left + ((right - left) * t) / last).toFixed(1);
  const y = (n) => (bottom - ((bottom - top) * n) / most).toFixed(1);
  const steps = (of) => points.map((p) => `H${x(p.ms)}V${y(of(p.sold))}`).join('');
  const closed = (from, of) => `M${left} ${y(from)}${steps(of)}V${y(from)}Z`;
  set(c['sold-area'], 'd', closed(0, (n) => Math.min(n, e.opened)));
  set(c['over-area'], 'd', closed(e.opened, (n) => Math.max(n, e.opened)));
  set(c['sold-line'], 'd', `M${left} ${bottom}${steps((n) => n)}`);
  set(c['stock-line'], 'd', `M${left} ${y(e.opened)}H${right}`);
  set(c.axes, 'd', `M${left} ${top}V${bottom}H${right}`);
  set(c.stock, 'y', +y(e.opened) - 4);
  set(c.last, 'y', bottom + 13);
  text(c.stock, 'stock ' + num(e.opened));
  text(c.last, seconds(last));
  const words = inWords(e, points);
  set(c.svg, 'aria-label', `${e.strategy}. ${words}`);
  text(c.words, words);
  text(c.sign, mark(e.verdict));
  set(c.node, 'data-verdict', e.verdict);
  c.points = points;
  return c.node;
}
function drawCurves(entries, run) {
  const drawn = entries.map((e) => [e, pointsOf(e, run)]).filter(([, points]) => points.length);
  const all = drawn.flatMap(([e, points]) => [{ ms: 1, sold: 1.25 * e.opened }, ...points]);
  const [most, last] = ['sold', 'ms'].map((key) => all.reduce((max, p) => Math.max(max, p[key]), 1));
  place($('curves'), drawn.map(([e, points]) => drawCurve(e, points, 1.05 * most, last)));
  $('curves-note').hidden = !drawn.length;
  $('curves-none').hidden = drawn.length > 0;
}
