// The tiles, in their families: one node per strategy, made once and updated in place.
const [tiles, groups] = [new Map(), new Map()];
function makeTile(strategy) {
  const field = (name) => h('span', { 'data-field': name, class: name });
  const t = { mark: h('span', { class: 'mark', 'aria-hidden': 'true' }), reason: h('p', { class: 'reason' }), unit: h('span') };
  for (const name of ['verdict', 'oversold', 'sold', 'opened', 'declared']) t[name] = field(name);
  for (const name of ['within', 'over', 'limit']) t[name] = h('i', { class: name });
  t.trace = h('a', { 'aria-label': 'Step by step: ' + strategy }, 'Step by step');
  const card = h('a', { href: linkTo('strategy', strategy), 'aria-label': 'How it works: ' + strategy }, 'How it works');
  t.head = h('h4', null, ...breakable(strategy));
  t.node = h('article', { class: 'tile', 'data-strategy': strategy }, t.head,
    h('p', { class: 'word' }, t.mark, t.verdict), h('p', { class: 'big' }, t.oversold, t.unit),
    h('div', { class: 'bar', 'aria-hidden': 'true' }, t.within, t.over, t.limit),
    h('p', { class: 'count' }, t.sold, ' of ', t.opened, ' sold'), t.reason,
    h('p', { class: 'foot' }, t.declared, h('span', { class: 'more' }, t.trace, state.report ? null : card)));
  return t;
}
function drawTile(e, run, percent) {
  if (!tiles.has(e.strategy)) tiles.set(e.strategy, makeTile(e.strategy));
  const [t, known] = [tiles.get(e.strategy), e.verdict !== 'SKIPPED'];
  set(t.node, 'data-verdict', e.verdict);
  set(t.node, 'data-idle', /^(SKIPPED|WAITING|NOT_RUN)$/.test(e.verdict));
  set(t.node, 'data-surprise', e.as_declared === false);
  text(t.mark, mark(e.verdict));
  text(t.verdict, word(e.verdict));
  const lost = e.verdict === 'LOST'; // the big number is what went wrong
  text(t.oversold, known ? (lost ? plain(e.lost) : (e.oversold > 0 ? '+' : '') + plain(e.oversold)) : '–');
  const { length } = t.oversold.textContent;
  t.oversold.style.setProperty('--length', Math.max(4, length)); // it fits, see app.css
  set(t.node, 'data-long', length > 5);
  const [n, what] = lost ? [e.lost, ['order lost', 'orders lost']] : [e.oversold, ['unit oversold', 'units oversold']];
  text(t.unit, what[n === 1 ? 0 : 1] + (e.verdict === 'RUNNING' ? ' so far' : ''));
  t.unit.hidden = !known || e.oversold == null;
  for (const name of ['sold', 'opened']) text(t[name], known ? plain(e[name]) : '–');
  t.within.style.width = percent(Math.min(e.sold || 0, e.opened));
  t.over.style.left = t.limit.style.left = percent(e.opened);
  t.over.style.width = percent((e.sold || 0) - e.opened);
  t.over.hidden = !(e.sold > e.opened);
  say(t.reason, e.reason);
  text(t.declared, e.as_declared === false ? `SURPRISE: declared ${e.declared}` : e.as_declared ? `as declared: ${e.declared}` : '');
  t.trace.hidden = !e.trace;
  if (e.trace) set(t.trace, 'href', linkTo('trace', run.id, e.strategy, 1));
  return t.node;
}
function drawTiles(entries, run) {
  const widest = 1.02 * Math.max(1, ...entries.map((e) => Math.max(e.sold || 0, e.opened || 0)));
  const percent = (n) => Math.max(0, (100 * n) / widest).toFixed(2) + '%';
  place($('tiles'), (run.parameters.strategies.length > 9 ? grouped(entries) : [['', entries]]).map(([family, members]) => {
    if (!groups.has(family)) {
      const g = { tally: h('span'), grid: h('div', { class: 'tiles' }) };
      g.node = h('div', { class: 'family', 'data-family': family }, h('h3', { hidden: !family }, FAMILIES[family] || '', g.tally), g.grid);
      groups.set(family, g);
    }
    const { node, tally, grid } = groups.get(family);
    text(tally, tallied(members).map(([name, n]) => `${n}\u00A0${word(name)}`).join(', '));
    place(grid, members.map((e) => drawTile(e, run, percent)));
    for (const e of members) set(tiles.get(e.strategy).head, 'aria-level', !family && 3); // no head of a family stands between
    return node;
  }));
}
