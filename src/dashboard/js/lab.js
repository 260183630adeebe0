// What a page may change: stop a run, break a store on purpose, and how the page itself looks.
let token = null; // asked for once, when the service wants one; kept nowhere
/** Asks the service to do something; what it refuses comes back as an error in its own words. */
async function send(method, url, body) {
  const headers = { ...(body && { 'content-type': 'application/json' }), ...(token && { authorization: 'Bearer ' + token }) };
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) }).catch(() => null);
  if (!answer) throw new Error('The service does not answer.');
  if (answer.status === 401 && (token = prompt('The operator’s token, please:'))) return send(method, url, body);
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail || problem.title || `The service answered ${answer.status}.`);
}
/** Puts an error where it belongs and takes the reader there; without one it is cleared. */
function complain(id, error) {
  $(id).hidden = !error;
  say($(id), error ? error.message : '');
  if (error) $(id).focus();
}
async function stop(event) {
  const { stops } = event.currentTarget.dataset;
  if (event.currentTarget.getAttribute('aria-disabled')) return;
  const where = here.page === 'new' ? 'new-error' : 'now-error';
  complain(where);
  try { await send('POST', `/v1/lab/runs/${encodeURIComponent(stops)}/cancel`); } catch (e) { complain(where, e); }
}
for (const id of ['stop', 'new-stop']) $(id).addEventListener('click', stop);

// ---- Faults: the buttons show what is on, not what was pressed
const faultName = (fault) => fault.replace(/_(ms|every)$/, '').replace(/_/g, ' ');
const faultsOn = () => (state.snapshot && state.snapshot.faults) || null;
function drawLab() {
  const on = faultsOn();
  $('lab').hidden = !(lab() && on);
  for (const button of on ? document.querySelectorAll('[data-fault]') : []) {
    const { fault, argument } = button.dataset;
    set(button, 'aria-pressed', String(on[fault] != null));
    text(button.querySelector('b'), on[fault] == null ? 'off' : 'on' + (String(on[fault]) === argument ? '' : `, ${num(on[fault])}`));
  }
  const broken = Object.keys(on || {}).filter((fault) => on[fault] != null).map((fault) => `${faultName(fault)} ${num(on[fault])}`);
  text($('lab-on'), broken.join(', ') || 'nothing is broken');
}
async function breakOrMend(event) {
  complain('lab-error');
  const { fault, argument } = event.currentTarget.dataset;
  const on = { ...faultsOn() };
  on[fault] = on[fault] == null ? Number(argument) : null;
  try {
    await send('PUT', '/v1/lab/faults', on);
    if (state.snapshot) state.snapshot.faults = on;
    text($('announce'), `${faultName(fault)}: ${on[fault] == null ? 'off' : 'on'}.`);
  } catch (e) { complain('lab-error', e); }
  redraw(true);
}
for (const button of document.querySelectorAll('[data-fault]')) button.addEventListener('click', breakOrMend);
$('kill-redis').addEventListener('click', async () => {
  complain('lab-error');
  try {
    await send('POST', '/v1/lab/faults/kill-redis');
    text($('announce'), 'Redis was killed and is started again.');
  } catch (e) { complain('lab-error', e); }
});

// ---- Looks
const THEMES = { '': 'Theme: system', light: 'Theme: light', dark: 'Theme: dark' };
const paper = document.documentElement;
function theme(name) {
  set(paper, 'data-theme', name || null);
  text($('theme'), THEMES[name]);
}
const remembered = (value) => { // a browser may refuse both
  try { return value == null ? localStorage.getItem('theme') : localStorage.setItem('theme', value); } catch { return null; }
};
$('theme').addEventListener('click', () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(paper.dataset.theme || '') + 1) % names.length];
  remembered(next);
  theme(next);
});
theme(Object.hasOwn(THEMES, remembered() || '') ? remembered() || '' : '');
/** For a room: large type, nothing to fill in. The address says so and can be shared. */
function present(on) {
  set(paper, 'data-present', on && 'true');
  set($('present'), 'aria-pressed', String(on));
  if (state.report) return;
  const url = new URL(location);
  on ? url.searchParams.set('present', '1') : url.searchParams.delete('present');
  history.replaceState(null, '', url);
}
$('present').addEventListener('click', () => present(!paper.dataset.present));
if (/[?&]present=1\b/.test(location.search)) present(true);
document.addEventListener('keydown', (event) => event.key === 'Escape' && paper.dataset.present && present(false));
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const source = $(button.dataset.copy);
  navigator.clipboard.writeText(source.textContent).then(() => text($('announce'), 'Copied.'), () => {
    getSelection().selectAllChildren(source); // not allowed here: at least it is selected
    text($('announce'), 'Selected; copy it with the keyboard.');
  });
});
