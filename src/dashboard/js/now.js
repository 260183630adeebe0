// What moves while a run is on: how far it is, how long it takes yet, and how to stop it.
let pace = {};
/** "about 8 s left", from what this page has seen of the run so far. */
function left(id, done) {
  const now = performance.now();
  if (pace.id !== id || done < pace.done) pace = { id, done, now };
  const [passed, moved] = [(now - pace.now) / 1000, done - pace.done];
  if (passed < 1.5 || moved < 0.02) return '';
  const rest = Math.ceil(((1 - done) * passed) / moved);
  return rest < 120 ? `, about ${rest} s left` : `, about ${Math.round(rest / 60)} min left`;
}
function drawNow({ run, running, sale }) {
  if (state.report) return;
  const own = labRun();
  const starting = own && !(run && run.id === own.id);
  $('now').hidden = !running && !(starting && !here.params.run);
  set($('stop'), 'data-stops', own && own.id);
  $('stop').hidden = !own;
  set($('stop'), 'aria-disabled', Boolean(own && own.state === 'cancelling'));
  text($('stop'), own && own.state === 'cancelling' ? 'Stopping…' : 'Stop');
  if (!running) {
    $('progress').removeAttribute('value');
    text($('now-steps'), '');
    if (starting) text($('progress-text'), `Run ${own.id} has been asked for; its first strategy comes next.`);
    return;
  }
  const { attempts, strategies } = run.parameters;
  const [l, total] = [sale && sale.live, Math.max(1, strategies.length)];
  const done = Math.min(1, (run.results.length + (l ? Math.min(1, l.answered / Math.max(1, attempts)) : 0)) / total);
  $('progress').value = done;
  text($('now-steps'), `${run.results.length} of ${total} strategies done${left(run.id, done)}`);
  text($('progress-text'), l ? `${sale.strategy}: ${num(l.answered)} of ${num(attempts)} attempts answered · ${num(l.sold_units)} units sold · ` +
    `${num(l.sold_out)} told sold out · ${num(l.contended)} contended · ${num(l.in_flight)} in flight`
    : run.current ? `Now ${run.current.strategy}` : 'Between two strategies');
}
