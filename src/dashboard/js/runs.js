// The runs that are kept: what each found, what can be taken home of it, and two of them side by side.
const runNodes = new Map();
function makeRunRow(r) {
  const n = { pick: h('input', { type: 'checkbox', 'aria-label': 'Compare run ' + r.id }), verdicts: h('td'), state: h('td') };
  n.link = h('a', { href: linkTo('runs', r.id) }, r.id);
  n.gone = h('button', { type: 'button', 'aria-label': 'Delete run ' + r.id, 'data-delete': r.id }, 'Delete');
  n.pick.addEventListener('change', () => redraw(true));
  n.gone.addEventListener('click', () => removeRun(r.id));
  const name = h('th', { scope: 'row' }, n.link, h('time', { datetime: r.started_at }, when(r.started_at)));
  n.node = h('tr', { 'data-run-id': r.id }, h('td', null, n.pick), name,
    h('td', null, r.parameters), n.verdicts, n.state, h('td', null, h('span', { class: 'files' }, ...files(r.id))), h('td', null, n.gone));
  return n;
}
const picked = () => state.runs.filter((r) => runNodes.has(r.id) && runNodes.get(r.id).pick.checked).map((r) => r.id);
async function removeRun(id) {
  if (!confirm(`Delete run ${id} and its reports?`)) return;
  try {
    await send('DELETE', '/v1/runs/' + encodeURIComponent(id));
    state.runs = state.runs.filter((r) => r.id !== id);
    runNodes.delete(id);
    state.stored.delete(id);
    $('runs-title').focus();
    text($('announce'), `Run ${id} is deleted.`);
    loadRuns().catch(() => {});
  } catch (e) { complain('runs-error', e); }
  redraw(true);
}
pages.runs = {
  open() {
    complain('runs-error');
    loadRuns().then(() => redraw(true), (e) => complain('runs-error', e));
  },
  draw() {
    $('runs-empty').hidden = state.runs.length > 0;
    $('runs-box').hidden = !state.runs.length;
    place($('runs'), state.runs.map((r) => {
      if (!runNodes.has(r.id)) runNodes.set(r.id, makeRunRow(r));
      const n = runNodes.get(r.id);
      const going = state.snapshot && state.snapshot.run && state.snapshot.run.id === r.id && r.exit_code == null;
      text(n.verdicts, Object.entries(r.verdicts).map(([name, k]) => `${k} ${name}`).join(' · '));
      text(n.state, r.cancelled ? 'cancelled' : r.finished ? 'finished' + (r.exit_code == null ? '' : ', exit code ' + r.exit_code)
        : going ? 'under way' : 'incomplete');
      n.gone.hidden = !lab() || going;
      return n.node;
    }));
    const two = picked();
    const ready = two.length === 2;
    set($('compare'), 'href', ready && linkTo('compare', two[1], two[0])); // newest first in the list: the older one leads
    set($('compare'), 'aria-disabled', !ready);
    text($('compare'), ready ? `Compare ${two[1]} with ${two[0]}` : `Compare: choose ${two.length > 2 ? 'only ' : ''}two runs`);
  },
  title: () => 'Runs',
};
