// Drawing, and where the data comes from: events, polling, or the run inside a report.
// ---- Drawing
const spoken = { run: null, phase: '', verdicts: new Set() };

/** Tells a screen reader what changed in the run: its phase and its verdicts, never a tick. */
function announce({ run, running, live }) {
  if (!run) spoken.run = spoken.run || 'none yet';
  if (!live) return;
  const joining = spoken.run !== run.id && !(spoken.run && running);
  if (spoken.run !== run.id) Object.assign(spoken, { run: run.id, phase: '', verdicts: new Set() });
  const words = run.results.filter((r) => !spoken.verdicts.has(r.strategy)).map((r) => `${r.strategy}: ${word(r.verdict)}.`);
  const phase = running ? (run.current ? `Running ${run.current.strategy}.` : spoken.phase) : 'Run ended. ' + sentence({ run })[0];
  if (phase !== spoken.phase) words.push(phase);
  Object.assign(spoken, { phase, verdicts: new Set(run.results.map((r) => r.strategy)) });
  if (words.length && !joining) text($('announce'), words.join(' '));
}

function draw() {
  const [v, page] = [view(), pages[here.page]];
  announce(v);
  page.draw(here.params, v, rootOf(here.page));
  document.title = page.title(here.params, v) + ' · sellout';
}
let queued = false;
function redraw(force) {
  if (queued || (state.paused && !force)) return;
  queued = true;
  requestAnimationFrame(() => { queued = false; draw(); });
}
function badge() {
  const stale = state.link !== 'lost' && state.since && Date.now() - state.since > 5000 && view().running;
  set($('badge'), 'data-state', stale ? 'stale' : state.link);
  text($('badge-word'), (stale ? state.link + ', stale' : state.link) + (state.paused ? ', paused' : ''));
  text($('badge-time'), state.since ? 'last data ' + new Date(state.since).toTimeString().slice(0, 8) : 'no data yet');
}

// ---- Data
async function get(url) {
  const response = await fetch(url, { headers: { accept: 'application/json' }, cache: 'no-store' });
  if (!response.ok) throw new Error(url + ': ' + response.status);
  return response.json();
}
const getRun = (id) => get('/v1/runs/' + encodeURIComponent(id));
async function loadRuns() {
  const { runs } = await get('/v1/runs');
  state.runs = runs;
  if (!(state.snapshot && state.snapshot.run) && runs.length) state.newest = await getRun(runs[0].id);
  redraw();
}
/** A kept run that a page asks for: `undefined` in state.stored until it came, `null` where there is none. */
async function loadRun(id, force = true) {
  if (!(state.stored.get(id) || {}).finished_at) state.stored.set(id, await getRun(id).catch(() => null));
  redraw(force);
}
async function loadCards() {
  if (!state.cards) state.cards = (await get('/v1/strategies').catch(() => ({}))).strategies; // else again when the service is back
  redraw();
}

function link(now) {
  if (now !== state.link && state.link !== 'connecting') text($('announce'), now === 'live' ? 'Connected again.' : 'Connection: ' + now + '.');
  Object.assign(state, { link: now, since: now === 'lost' ? state.since : Date.now() });
  badge();
}
let [failures, polling, phase] = [0, false, null];
function receive(snapshot) {
  const back = state.link !== 'live';
  [failures, state.snapshot] = [0, snapshot];
  link('live');
  if (snapshot.current && snapshot.run && !snapshot.run.finished_at) record(snapshot.current);
  const { id, finished_at: finished, results } = snapshot.run || {};
  const next = id ? id + finished + results.length : '';
  if (next !== phase) loadRuns().catch(() => {});
  if (next !== phase && id) loadRun(id, false);
  phase = next;
  if (back) loadCards();
  redraw();
}

let source = null;
function connect() {
  if (source && source.readyState !== EventSource.CLOSED) return;
  source = new EventSource('/v1/events');
  const failed = () => {
    failures += 1;
    if (state.link !== 'polling') link('lost');
    if (failures >= 3 && !polling) poll();
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, failures < 3 ? 2000 : 10000);
  };
  source.addEventListener('snapshot', (event) => receive(JSON.parse(event.data)));
  source.addEventListener('closed', () => { source.close(); failed(); });
  source.onerror = failed;
}

/** Without the event stream: the list and the newest run, every 2 s, until a snapshot comes again. */
async function poll() {
  polling = failures >= 3;
  if (!polling) return;
  try {
    const { runs } = await get('/v1/runs');
    const run = runs.length ? await getRun(runs[0].id) : null;
    if (failures < 3) return poll(); // the stream came back meanwhile
    Object.assign(state, { runs, polled: run });
    link('polling');
    loadCards();
    redraw();
  } catch {
    if (failures >= 3) link('lost');
  }
  setTimeout(poll, 2000);
}

// ---- Start
const inlined = $('run-data');
if (inlined) {
  state.report = true;
  document.querySelectorAll('[data-live]').forEach((node) => node.remove());
  state.newest = JSON.parse(inlined.textContent);
  window.addEventListener('hashchange', openPage);
  return openPage(true);
}
let unseen = null; // a page that nobody looks at leaves its place to another
document.addEventListener('visibilitychange', () => {
  clearTimeout(unseen);
  if (document.hidden) unseen = setTimeout(() => source.close(), 60000);
  else connect();
});
$('pause').addEventListener('click', () => {
  state.paused = !state.paused;
  set($('pause'), 'aria-pressed', String(state.paused)); // being pressed says it: the word stays
  badge();
  redraw();
});
window.addEventListener('hashchange', openPage);
setInterval(badge, 1000);
openPage(true);
connect();
loadRuns().catch(() => {});
loadCards();
