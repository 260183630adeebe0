// A new run from the page: the form, the command that asks for the same, and what the service says to it.
const NUMBERS = ['buyers', 'attempts', 'stock', 'quantity', 'per_buyer_limit', 'seed', 'race_window_ms'];
const FAULTS = ['pause_holder_ms', 'drop_reply_every', 'slow_store_ms'];
const USUAL = { buyers: 200, attempts: 2000, stock: 100, quantity: 1, scenario: 'rush' };
const PRESETS = { quick: { ...USUAL, strategies: ['naive', 'atomic_update', 'row_lock', 'redis_lua'] },
  hot: { ...USUAL, buyers: 400, attempts: 8000, stock: 10 }, crowd: { ...USUAL, buyers: 2000, attempts: 20000, stock: 1000 },
  flaky: { ...USUAL, scenario: 'retry-storm', drop_reply_every: 20, slow_store_ms: 5 } };
const field = (name) => $('new-' + name);
const boxes = () => [...$('new-strategies').querySelectorAll('input')];

/** What the form asks for, as `POST /v1/lab/runs` takes it. An empty field is left to the load test. */
function asked() {
  const number = (name) => (field(name).value === '' ? [] : [[name, Number(field(name).value)]]);
  const named = boxes().filter((box) => box.checked).map((box) => box.value);
  const all = named.length === boxes().filter((box) => !box.disabled).length;
  return { strategies: all ? ['all'] : named, scenario: field('scenario').value, ...Object.fromEntries(NUMBERS.flatMap(number)),
    faults: Object.fromEntries(FAULTS.flatMap(number)) };
}
function commandOf({ faults, ...rest }) {
  const options = Object.entries({ ...rest, ...faults }).map(([name, value]) => `--${name.replace(/_/g, '-')} ${value}`);
  return ['./run load --host ' + location.origin, ...options].join(' ');
}
function drawCommand() {
  text($('new-command'), commandOf(asked()));
  text($('new-count'), `${boxes().filter((box) => box.checked).length} of ${boxes().length} chosen`);
}
function choose(fits) {
  for (const box of boxes()) box.checked = !box.disabled && fits(box.value);
  drawCommand();
}
function preset(name) {
  for (const key of [...NUMBERS, ...FAULTS]) field(key).value = PRESETS[name][key] == null ? '' : PRESETS[name][key];
  field('scenario').value = PRESETS[name].scenario;
  choose(PRESETS[name].strategies ? (id) => PRESETS[name].strategies.includes(id) : () => true);
}
function makeChoices() {
  const cards = state.cards.map((c) => ({ ...c, strategy: c.id, verdict: 'WAITING' }));
  const choice = (c) => {
    const why = h('small', { hidden: c.available });
    say(why, c.available ? '' : c.unavailable_reason || 'not available');
    return h('label', null, h('input', { type: 'checkbox', value: c.id, disabled: !c.available }), h('span', null, ...breakable(c.id)), why);
  };
  $('new-strategies').replaceChildren(...Object.keys(FAMILIES).map((family) => h('fieldset', { 'data-family': family },
    h('legend', null, FAMILIES[family]), ...cards.filter((c) => familyOf(c) === family).map(choice))));
  preset('quick');
}
async function start(event) {
  event.preventDefault();
  complain('new-error');
  if (labRun()) return complain('new-error', new Error('A run is under way. One at a time: stop it, or wait for its end.'));
  if (!boxes().some((box) => box.checked)) return complain('new-error', new Error('Choose at least one strategy.'));
  try {
    const run = await (await send('POST', '/v1/lab/runs', asked())).json();
    text($('announce'), `Run ${run.id} has been started.`);
    location.hash = '#/';
  } catch (e) { complain('new-error', e); }
}
pages.new = {
  open() {
    complain('new-error');
    loadCards();
  },
  draw() {
    const [on, busy] = [lab(), labRun()];
    $('new-form').hidden = !on;
    $('new-off').hidden = on || !state.snapshot;
    $('new-wait').hidden = Boolean(state.snapshot);
    if (on && state.cards && !boxes().length) makeChoices();
    $('new-busy').hidden = !busy;
    if (busy) text($('new-busy-words'), `Run ${busy.id} is ${busy.state === 'cancelling' ? 'being stopped' : 'under way'}: ${busy.command}`);
    set($('new-stop'), 'data-run', busy && busy.id);
    set($('new-stop'), 'aria-disabled', Boolean(busy && busy.state === 'cancelling'));
    set($('new-start'), 'aria-disabled', Boolean(busy));
  },
  title: () => 'New run',
};
$('new-form').addEventListener('submit', start);
$('new-form').addEventListener('input', drawCommand);
for (const button of document.querySelectorAll('[data-preset]')) button.addEventListener('click', () => preset(button.dataset.preset));
for (const button of document.querySelectorAll('[data-choose]')) {
  const { choose: which } = button.dataset;
  button.addEventListener('click', () => choose((id) => which === 'all' || (which === 'safe' && state.cards.find((c) => c.id === id).safe)));
}
