// The pages by name, and which of them the address shows. What stands behind # never reaches the service.
// A page is { open(params, root), draw(params, view, root), title(params, view) }: `open` when the address has changed,
// `draw` at each redraw while it is shown. `root` is <section data-page="…">.
const pages = {};
/** First word of the address → page and the names of what follows it. */
const PLACES = { '': ['board'], new: ['new'], runs: ['runs'], compare: ['compare', 'a', 'b'], strategies: ['strategies'],
  strategy: ['strategy', 'strategy'], trace: ['trace', 'run', 'strategy', 'step'], live: ['live'] };
const IN_REPORT = ['board', 'trace']; // a file has nobody to ask for the others
let here = { page: 'board', params: {} };

function addressOf(hash) {
  let parts = [''];
  try { parts = hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent); } catch { /* not an address of ours */ }
  const [first, ...rest] = parts;
  let [page, ...names] = Object.hasOwn(PLACES, first) ? PLACES[first] : PLACES[''];
  if (first === 'runs' && rest[0]) [page, names] = ['board', ['run']];
  if (!pages[page] || (state.report && !IN_REPORT.includes(page))) [page, names] = ['board', []];
  return { page, params: Object.fromEntries(names.map((name, i) => [name, rest[i] || null])) };
}
const linkTo = (...parts) => '#/' + parts.map(encodeURIComponent).join('/');
const rootOf = (page) => document.querySelector(`[data-page="${page}"]`);
/** Another step of the same trace is the same place: the reader's focus stays where it is. */
const placeOf = ({ page, params: { step, ...params } }) => page + JSON.stringify(params);

/** Shows the page that the address names. The first time the reader has only just come: his focus stays. */
function openPage(first) {
  if (location.hash && !location.hash.startsWith('#/') && first !== true) return; // a place within the page
  const before = placeOf(here);
  here = addressOf(location.hash);
  for (const root of document.querySelectorAll('[data-page]')) root.hidden = root.dataset.page !== here.page;
  for (const a of document.querySelectorAll('nav [data-nav]')) {
    set(a, 'aria-current', a.dataset.nav.split(' ').includes(here.page) && 'page');
  }
  pages[here.page].open(here.params, rootOf(here.page));
  draw();
  if (first === true || placeOf(here) === before) return;
  window.scrollTo(0, 0);
  $('main').focus({ preventScroll: true });
  text($('announce'), document.title);
}
