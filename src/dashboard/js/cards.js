// The strategies: a list, a card for each from the registry's own words, and what the locks were seen to do.
const HAZARDS = { stale_read: 'two buyers act on the same stale read, and more is sold than there was',
  lost_update: 'one of two updates is lost: the counter looks healthy, and hides the oversell',
  negative_counter: 'the counter goes below zero', lease_expiry: 'a holder outlives its lease, and another one enters',
  second_process: 'a second process does not know the lock of the first',
  session_lost: 'the session that holds the lock ends, and its holder goes on',
  lock_left: 'a holder that dies leaves the lock behind for ever',
  crash_between_stores: 'a crash between two stores leaves units that nobody sells',
  store_loss: 'the store may forget what it acknowledged', early_ack: 'it says yes before the ledger has the order' };
const NAMES = { postgres: 'PostgreSQL', redis: 'Redis', redlock: 'independent Redis servers', zookeeper: 'ZooKeeper' };
const spaced = (name) => name.replace(/_/g, ' ');
const needsOf = (c) => c.needs.map((need) => NAMES[need] || need).join(', ') || 'nothing';
const guaranteeOf = ({ guarantee }) => {
  const words = GUARANTEES[guarantee] || '';
  return words.startsWith(guarantee) ? words : `${spaced(guarantee)}: ${words}`;
};
const titleOf = (c) => c.title.replace(/`/g, '');
/** The lock's file, where that is what the card shows; without its head, which stands on the card in words. */
const sourceOf = ({ id, lock, source }) =>
  [(lock && id.startsWith(lock.id) ? lock.id : id) + '.rs', source.replace(/^(?:\/\/!.*\n)+\s*/, '')];
const absence = (c) => (c.available ? '' : ' Not available here: ' + (c.unavailable_reason || 'no reason given'));

/** The head of a source file: headings, paragraphs, code, addresses. */
function prose(doc) {
  const inline = (words) => (words[0] === '`' ? h('code', null, words.slice(1, -1))
    : words.startsWith('<http') ? h('a', { href: words.slice(1, -1), rel: 'noreferrer' }, words.slice(1, -1)) : words);
  return doc.split(/\n\s*\n/).slice(1).flatMap((part) => {
    const [, head, words] = /^(?:# (.*)\n?)?([^]*)$/.exec(part);
    const parts = words.split(/\[?(`[^`]+`)\]?|(<https?:[^>]+>)/).filter(Boolean);
    return [head && h('h3', null, head), words && h('p', null, ...parts.map(inline))];
  });
}

// ---- The list
function requirementTable(cards) {
  const locks = cards.filter((c, i) => c.lock && cards.findIndex(({ lock }) => lock && lock.id === c.lock.id) === i);
  const tests = new Map(locks.flatMap((c) => c.lock.requirements.map((r) => [r.requirement, r.test])));
  const cell = ({ lock }, name) => {
    const { value } = lock.requirements.find((r) => r.requirement === name) || { value: 'does not apply' };
    return `${{ yes: '✔\uFE0E', no: '✖\uFE0E' }[value] || '·'} ${value}`;
  };
  return scrollBox('wide', 'What each lock was observed to do, table', plainTable('What each lock was observed to do',
    ['requirement', ...locks.map((c) => h('a', { href: linkTo('strategy', c.id) }, ...breakable(c.lock.id)))],
    [...tests].map(([name, test]) => [[spaced(name), h('small', null, test)], ...locks.map((c) => cell(c, name))])));
}
function buildCards(cards, box) {
  const filter = h('input', { id: 'card-filter', type: 'search', autocomplete: 'off' });
  const found = h('span', { role: 'status', id: 'card-count' });
  const items = cards.map((c) => [[c.id, c.title, needsOf(c), c.guarantee, c.fails_when].join(' ').toLowerCase(),
    familyOf({ strategy: c.id }), h('li', { 'data-strategy': c.id }, h('a', { href: linkTo('strategy', c.id) }, ...breakable(c.id)),
      h('span', null, titleOf(c)), para('note', guaranteeOf(c) + absence(c)))]);
  const of = (family) => items.filter((item) => item[1] === family).map(([, , node]) => node);
  const groups = Object.keys(FAMILIES).filter((family) => of(family).length).map((family) => {
    const node = headed(FAMILIES[family].split(',')[0], h('ul', { class: 'card-list' }, ...of(family)));
    set(node, 'data-family', family);
    return node;
  });
  filter.addEventListener('input', () => {
    const wanted = filter.value.toLowerCase().split(/\s+/);
    for (const [words, , node] of items) node.hidden = !wanted.every((part) => words.includes(part));
    for (const group of groups) group.hidden = !group.querySelector('li:not([hidden])');
    text(found, `${items.filter(([, , node]) => !node.hidden).length} of ${items.length} shown`);
  });
  box.replaceWith(h('p', { class: 'filter', id: 'cards' }, h('label', null, 'Only those with ', filter), found), ...groups,
    headed('The locks', para('note', 'What each lock was observed to do on the real server; under each requirement stands its test.'),
      requirementTable(cards)));
}
pages.strategies = {
  open() {},
  draw() {
    if (!state.cards || $('card-filter')) return;
    $('cards-empty').hidden = true;
    buildCards(state.cards, $('cards'));
  },
  title: () => 'Strategies',
};

// ---- One card
const KEPT = 5; // of the newest runs, where its last results are looked for
let [card, sought] = [{}, null]; // what is built for which strategy; the file that the address asks for

function buildCard(c, root) {
  const { lock, round_trips: trips } = c;
  const [results, picture] = [h('div', { id: 'card-results' }), h('div', { id: 'card-picture' })];
  root.replaceChildren(h('h1', null, ...breakable(c.id)), para('under', titleOf(c)),
    headed('Facts', termList([['guarantee', guaranteeOf(c)], ['fails when', c.fails_when],
      ['oversells in', c.oversells_in || 'nothing known'],
      ['hazards', ...(c.breaks.length ? c.breaks.map((name) => para('', `${spaced(name)}: ${HAZARDS[name] || ''}`)) : ['none known'])],
      ['needs', needsOf(c) + '.' + absence(c)],
      ['declared cost', `${count(trips.sold, 'round trip')} when it sells, ${trips.sold_out} when sold out`],
      lock && ['its lock', `${lock.id}, ${lock.fenced ? 'fenced' : 'without a fence'}; waits by ${lock.waits_by}; ` +
        `${count(lock.trips.acquire, 'trip')} to enter, ${lock.trips.release} to leave`],
      ['can it', [c.holds ? 'hold units' : 'not hold units', c.carts ? 'sell in carts' : 'not sell in carts'].join(', ')],
      ['outside the lab', c.safe ? 'a sale may use it' : 'refused: unsafe']].filter(Boolean))),
    headed('Measured', results), headed('Step by step', picture), headed('In words', ...prose(c.doc)),
    headed('What runs', ...c.statements.flatMap((s) => codeBlock(s.name, s.text, c.id)), ...codeBlock(...sourceOf(c), c.id)),
    lock ? headed('The lock', scrollBox('', `Requirements of ${lock.id}, table`, plainTable(`What ${lock.id} was observed to do`,
      ['requirement', 'observed', 'test'], lock.requirements.map((r) => [spaced(r.requirement), r.value, r.test])))) : '');
  card = { id: c.id, results, picture };
}
/** Its last results, newest first, and the newest trace as a picture; only when they changed. */
function drawMeasured(c) {
  const runs = state.runs.slice(0, KEPT).map(({ id }) => state.stored.get(id)).filter(Boolean);
  const last = runs.map((run) => [run.id, run.results.find((r) => r.strategy === c.id)]).filter(([, r]) => r && r.verdict !== 'SKIPPED');
  const drawn = last.map(([id]) => id).join();
  if (card.drawn === drawn) return;
  card.drawn = drawn;
  const heads = ['run', 'verdict', 'sold', 'sold p50 ms', 'sold p99 ms', 'CPU µs per order', 'trace'];
  card.results.replaceChildren(last.length ? scrollBox('', `Last results of ${c.id}, table`, plainTable(`Last results of ${c.id}`, heads,
    last.map(([id, r]) => [h('a', { href: linkTo('runs', id) }, id), `${mark(r.verdict)} ${word(r.verdict)}`,
      `${num(r.sold)} of ${num(r.opened)}`, ms(latency('sold', 'p50')(r)), ms(latency('sold', 'p99')(r)), num(r.service_cpu_us_per_attempt),
      r.trace ? h('a', { href: linkTo('trace', id, c.id), 'aria-label': 'Step through run ' + id }, 'step through') : 'none'])))
    : para('note', 'No result in the newest runs that are kept.'));
  const [id, seen] = last.find(([, r]) => r.trace) || [];
  card.picture.replaceChildren(...(seen ? [para('note', `${seen.trace.sentence} Run ${id}.`), makeDiagram(seen.trace, c.id).node]
    : [para('note', `No trace is kept; a run in the lab records one. Declared: an order that sells goes ` +
      `${count(c.round_trips.sold, 'time')} to ${needsOf(c)} and back.`)]));
}
pages.strategy = {
  async open({ strategy }) {
    sought = decodeURIComponent(location.hash.split('/')[3] || '');
    if (!state.runs.length) await loadRuns().catch(() => {});
    for (const { id } of state.runs.slice(0, KEPT)) if (here.params.strategy === strategy && !state.stored.get(id)) await loadRun(id);
  },
  draw({ strategy }, v, root) {
    const c = (state.cards || []).find(({ id }) => id === strategy);
    if (!c) {
      card = {};
      const words = state.cards ? `There is no strategy ${strategy}.` : 'Loading the strategies…';
      if (root.textContent !== words) root.replaceChildren(h('h1', null, words));
      return;
    }
    if (card.id !== strategy) buildCard(c, root);
    drawMeasured(c);
    const file = sought && $('file-' + sought);
    sought = null;
    if (file) requestAnimationFrame(() => { file.scrollIntoView(); file.focus(); });
  },
  title: ({ strategy }) => strategy,
};
