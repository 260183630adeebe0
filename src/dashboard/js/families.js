// Which strategies are shown, in what order and in which groups: one rule for tiles, curves and tables.
const FAMILIES = { naive: 'Naive, here to show how it breaks', sql: 'SQL, the database decides', locks: 'Locks, one buyer at a time',
  redis: 'Redis, the counter in memory', batching: 'Batching, many orders in one step', control: 'Control, the ceiling of the harness' };

/** The family, from the strategy's card; a report has no cards, there name and claim tell. */
function familyOf({ strategy, declared }) {
  const { guarantee = declared, lock, needs = [] } = (state.cards || []).find((c) => c.id === strategy) || {};
  if (guarantee === 'control') return 'control';
  if (guarantee === 'oversells') return 'naive';
  if (/batch|group_commit/.test(strategy)) return 'batching';
  if (lock || strategy.startsWith('lock_')) return 'locks';
  return needs.includes('redis') || strategy.startsWith('redis_') ? 'redis' : 'sql';
}
/** Trouble first, and a surprise before the trouble that was declared. */
const rank = (e) => (e.as_declared === false ? -RANK.length : 0) + RANK.indexOf(e.verdict);
const ORDERS = { trouble: (a, b) => rank(a) - rank(b), run: () => 0, name: (a, b) => (a.strategy < b.strategy ? -1 : 1),
  speed: (a, b) => (b.accepted_per_s || 0) - (a.accepted_per_s || 0) }; // sorting is stable: else the order of the run
const chosen = (what) => $('filter-' + what).value;

function arranged(entries) {
  const [words, verdict, family] = [chosen('text').trim().toLowerCase(), chosen('verdict'), chosen('family')];
  const fits = (e) => e.strategy.toLowerCase().includes(words) && (!verdict || e.verdict === verdict);
  return entries.filter((e) => fits(e) && (!family || familyOf(e) === family)).sort(ORDERS[chosen('sort')]);
}
/** [family, its entries], with trouble first unless another order was asked for. */
function grouped(entries) {
  const all = Object.keys(FAMILIES).map((family) => [family, entries.filter((e) => familyOf(e) === family)]).filter(([, of]) => of.length);
  return chosen('sort') === 'trouble' ? all.sort(([, a], [, b]) => rank(a[0]) - rank(b[0])) : all;
}
const tallied = (entries) => RANK.map((name) => [name, entries.filter((e) => e.verdict === name).length]).filter(([, n]) => n);

$('filter-verdict').append(...RANK.map((name) => h('option', { value: name }, word(name))));
$('filter-family').append(...Object.entries(FAMILIES).map(([family, title]) => h('option', { value: family }, title.split(',')[0])));
$('filter').addEventListener('input', () => redraw(true));
$('filter').addEventListener('submit', (event) => event.preventDefault());
