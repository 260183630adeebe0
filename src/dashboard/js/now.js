// What moves while a run is on: progress, and sold against stock.
// ---- Now: progress, and sold against stock
const chart = { sale: null, points: [] };

/** Keeps the points even while drawing is paused. Time is this page's own: no clock needs to agree. */
function record(sale) {
  const [now, sold] = [performance.now(), sale.live.sold_units];
  if (chart.sale !== sale.id) Object.assign(chart, { sale: sale.id, name: sale.strategy, units: sale.units, start: now, points: [] });
  chart.end = (now - chart.start) / 1000;
  const last = chart.points[chart.points.length - 1];
  if (!last || (last[1] !== sold && chart.points.length < 600)) chart.points.push([chart.end, sold]);
  else last[1] = sold;
}
function drawChart() {
  const { points, units, name, end } = chart;
  const sold = points[points.length - 1][1];
  const width = Math.max(260, $('chart').clientWidth || 640);
  const [left, right, top, bottom, seconds] = [76, width - 8, 10, 192, Math.max(1, end)];
  const most = Math.max(units * 1.3, sold * 1.1, 1);
  const x = (t) => (left + ((right - left) * t) / seconds).toFixed(1);
  const y = (n) => (bottom - ((bottom - top) * n) / most).toFixed(1);
  const steps = points.map(([t, n], i) => (i ? `H${x(t)}V${y(n)}` : `M${x(t)} ${y(n)}`)).join('') + 'H' + x(end);
  const area = `${steps}V${bottom}H${x(points[0][0])}Z`;
  const above = `M${left} ${top}H${right}V${y(units)}H${left}Z`;
  const shapes = { 'sold-area': area, 'over-area': area, 'sold-line': steps, 'over-box': above, 'above-box': above,
    axes: `M${left} ${top}V${bottom}H${right}`, 'stock-line': `M${left} ${y(units)}H${right}` };
  for (const [id, d] of Object.entries(shapes)) set($(id), 'd', d);
  set($('chart'), 'viewBox', `0 0 ${width} 220`);
  for (const [id, atX, atY, words] of [['over-label', left + 8, top + 16, 'oversold'], ['zero-label', left - 8, bottom + 4, '0'],
    ['stock-label', left - 8, +y(units) + 4, 'stock ' + num(units)], ['start-label', left, bottom + 20, '0 s'], ['end-label', right, bottom + 20, seconds.toFixed(1) + ' s'],
    ['sold-label', Math.max(left + 84, x(end) - 4), Math.max(top + 14, y(sold) - 8), 'sold ' + num(sold)]]) {
    text($(id), words);
    set($(id), 'x', atX);
    set($(id), 'y', atY);
  }
  const passed = points.find((p) => p[1] > units);
  const words = `${name}: ${num(sold)} of ${num(units)} units sold after ${end.toFixed(1)} s` +
    (passed ? `, ${num(sold - units)} beyond the stock, which was passed at ${passed[0].toFixed(1)} s.` : '.');
  set($('chart'), 'aria-label', 'Chart. ' + words);
  text($('chart-summary'), words + ' Provisional, as this page saw it.');
  const rows = $('chart-rows');
  if (rows.dataset.sale !== chart.sale) rows.replaceChildren();
  rows.dataset.sale = chart.sale;
  for (const [t, n] of points.slice(rows.children.length)) rows.append(h('tr', null, h('td', null, t.toFixed(2)), h('td', null, num(n))));
}
function drawNow({ run, running, sale, live }) {
  const drawn = Boolean(live && chart.sale && (running || run.results.some((r) => r.sale_id === chart.sale)));
  for (const [id, shown] of [['now', running || drawn], ['progress-box', running], ['figure', drawn]]) $(id).hidden = !shown;
  text($('now-title'), running ? 'Now' : 'Last seen live');
  if (running) {
    const { attempts, strategies } = run.parameters;
    const l = sale && sale.live;
    $('progress').value = l ? Math.min(1, l.answered / Math.max(1, attempts)) : run.results.length / Math.max(1, strategies.length);
    text($('progress-text'), l ? `${sale.strategy}: ${num(l.answered)} of ${num(attempts)} attempts answered · ${num(l.sold_units)} units sold · ` +
      `${num(l.sold_out)} told sold out · ${num(l.contended)} contended · ${num(l.in_flight)} in flight`
      : `${run.results.length} of ${strategies.length} strategies done` + (run.current ? `, now ${run.current.strategy}` : ''));
  }
  if (drawn) drawChart();
}
