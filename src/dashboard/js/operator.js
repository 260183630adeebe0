// What an operator looks at: the sales that are open, the servers, and how it went in the last minutes.
const POINTS = 300; // one every 2 s: ten minutes
const watched = { points: [], curves: [] };
const rate = (n) => (n == null ? '–' : n.toFixed(n < 10 && n % 1 ? 1 : 0));
const clock = (at) => new Date(at).toTimeString().slice(0, 8);
/** Over all sales; `null` where not one of them is known. */
const totalOf = (sales, key) =>
  sales.reduce((sum, s) => (s[key] == null ? sum : (sum || 0) + Math.max(0, s[key])), sales.length ? null : 0);
const SALE = { sale: (s) => s.name, strategy: (s) => s.strategy, left: (s) => num(s.left), units: (s) => num(s.units),
  'sold here': (s) => num(s.sold), 'sold/s': (s) => rate(s.orders_per_s), 'in flight': (s) => num(s.in_flight),
  'on hold': (s) => num(s.held), 'hold ends within a minute': (s) => num(s.expiring), 'not yet in the ledger': (s) => num(s.backlog),
  'last audit': ({ audit: a }) => (a ? `${mark(a.verdict)} ${word(a.verdict)}, ${num(a.age_s)} s ago` : 'none yet') };

/** uPlot, asked for when it is first needed. */
let library = null;
const loadLibrary = () => (library = library || new Promise((loaded, failed) => {
  const script = h('script', { src: '/uplot.js' });
  Object.assign(script, { onload: () => loaded(window.uPlot), onerror: failed });
  document.head.append(h('link', { rel: 'stylesheet', href: '/uplot.css' }), script);
}));

/** Puts a table where another stands, cell by cell where the shape is the same: a reader keeps his place. */
function renewTable(box, table) {
  const [old, now] = [box, table].map((node) => [...node.querySelectorAll('th, td')]);
  if (old.length !== now.length) return box.replaceChildren(table);
  now.forEach((cell, i) => text(old[i], cell.textContent));
}

/** A curve with its sentence and its data; `column` is where its number stands in a point. */
function makeTimeline(id, name, column) {
  const [box, summary, rows] = [h('div', { role: 'img' }), h('figcaption'), scrollBox('short', name + ', data')];
  const data = h('details', null, h('summary', null, 'Show data'), rows);
  const size = () => ({ width: box.clientWidth, height: 180 });
  let [plot, ink] = [null, ''];
  function start(Plot) {
    if (plot) plot.destroy();
    const axis = { stroke: ink, grid: { stroke: ink, width: .2 }, ticks: { stroke: ink, width: .2 } };
    plot = new Plot({ ...size(), legend: { show: false }, cursor: { show: false }, axes: [axis, axis],
      scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
      series: [{}, { stroke: ink, width: 2, points: { show: false } }] }, [[], []], box);
  }
  function drawTimeline() {
    const { points } = watched;
    const known = points.filter((p) => p[column] != null);
    const words = !known.length ? `${name}: not known.` : `${name}: ${rate(known[known.length - 1][column])} now, ` +
      `at most ${rate(Math.max(...known.map((p) => p[column])))} since ${clock(known[0][0])}.`;
    text(summary, words);
    set(box, 'aria-label', words);
    if (data.open) renewTable(rows, plainTable(name, ['time', name], [...points].reverse().map((p) => [clock(p[0]), rate(p[column])])));
    loadLibrary().then((Plot) => {
      if (!box.clientWidth) return;
      const colour = getComputedStyle(box).color; // the theme may change while it is looked at
      if (colour !== ink) {
        ink = colour;
        start(Plot);
      }
      if (plot.width !== box.clientWidth) plot.setSize(size());
      plot.setData([points.map((p) => p[0] / 1000), points.map((p) => p[column])]);
    }, () => text(summary, words + ' The drawing could not be loaded; the data is below.'));
  }
  data.addEventListener('toggle', drawTimeline);
  return { node: h('figure', { id }, h('h2', null, name), box, summary, data), draw: drawTimeline };
}

function buildLive(root) {
  const token = h('input', { type: 'password', autocomplete: 'off', required: true });
  const form = h('form', { id: 'live-form', hidden: true }, h('label', null, 'Operator token ', token), h('button', null, 'Use it'),
    para('note', 'It is kept in this tab only, and forgotten with it.'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    sessionStorage.setItem('sellout-token', token.value);
    token.value = '';
    askLive();
  });
  const curves = [makeTimeline('curve-orders', 'Orders sold per second', 1),
    makeTimeline('curve-backlog', 'Orders not yet in the ledger', 2)];
  const sales = scrollBox('', 'Open sales, table');
  const [say, sum, servers] = [h('p', { id: 'live-state' }), h('p', { id: 'live-sum' }), h('ul', { id: 'live-servers' })];
  const body = h('div', { id: 'live-body', hidden: true }, sum, sales, h('h2', null, 'Servers'), servers,
    h('div', { class: 'timelines' }, ...curves.map(({ node }) => node)));
  Object.assign(watched, { form, curves, sales, say, sum, servers, body });
  root.replaceChildren(h('h1', null, 'Live'), say, form, body);
}
function drawLive({ sales, servers, orders_per_s: now }) {
  const [backlog, up] = [totalOf(sales, 'backlog'), servers.filter((s) => s.up).length];
  watched.points = [...watched.points, [watched.at, now, backlog]].slice(-POINTS);
  text(watched.sum, [count(sales.length, 'sale') + ' open', num(totalOf(sales, 'left')) + ' units left',
    rate(now) + ' orders sold per second', num(totalOf(sales, 'expiring')) + ' units whose hold ends within a minute',
    num(backlog) + ' orders not yet in the ledger', `${up} of ${count(servers.length, 'server')} up`].join(' · '));
  const rows = sales.map((s) => Object.values(SALE).map((words) => words(s)));
  renewTable(watched.sales, plainTable('Open sales', Object.keys(SALE), rows));
  watched.servers.replaceChildren(...servers.map((s) => h('li', { 'data-up': String(s.up) },
    h('b', null, `${s.up ? '✔' : '✖'}\uFE0E ${s.name} ${s.up ? 'up' : 'down'}`),
    s.why && ': ' + s.why, s.version && ' · ' + s.version)));
  for (const curve of watched.curves) curve.draw();
}
async function askLive() {
  clearTimeout(watched.timer);
  if (here.page !== 'live' || document.hidden) return; // asked again when it is shown
  const token = sessionStorage.getItem('sellout-token');
  const say = (words, now) => {
    if (watched.say.dataset.state !== now) text($('announce'), words);
    text(watched.say, words);
    set(watched.say, 'data-state', now);
    set(watched.body, 'data-stale', now !== 'live');
  };
  try {
    const answer = await fetch('/v1/live', { cache: 'no-store', headers: token ? { authorization: 'Bearer ' + token } : {} });
    watched.form.hidden = !/^40[13]$/.test(answer.status);
    if (!watched.form.hidden) return say(token ? 'That token is not an operator’s. This page wants an operator token.'
      : 'Only an operator may see this. It wants an operator token.', 'refused');
    if (!answer.ok) throw new Error('the service answered ' + answer.status);
    const live = await answer.json();
    watched.at = Date.now();
    watched.body.hidden = false;
    const going = live.draining ? 'Going down: it takes no more orders. ' : '';
    say(`${going}Up ${num(live.uptime_s)} s. Last answer ${clock(watched.at)}.`, 'live');
    drawLive(live);
  } catch (error) {
    say(`Stale: ${error instanceof TypeError ? 'the service does not answer' : error.message}. ` +
      (watched.at ? `What stands here is of ${clock(watched.at)}.` : 'Nothing was seen yet.'), 'stale');
  }
  watched.timer = setTimeout(askLive, 2000);
}
pages.live = {
  open(_, root) {
    if (!watched.form) buildLive(root);
    askLive();
  },
  draw() {},
  title: () => 'Live',
};
document.addEventListener('visibilitychange', () => watched.form && askLive());
