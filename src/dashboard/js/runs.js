// The runs that are kept, and what can be taken home of each.
const runNodes = new Map();
function drawRuns(shown) {
  $('runs-empty').hidden = state.runs.length > 0;
  place($('runs'), state.runs.map((r) => {
    if (!runNodes.has(r.id)) {
      const url = '/v1/runs/' + encodeURIComponent(r.id);
      const link = h('a', { href: '#/runs/' + encodeURIComponent(r.id) }, r.id);
      const verdicts = h('span', { class: 'verdicts' });
      const files = h('span', { class: 'files' }, h('a', { href: url, 'aria-label': 'JSON of run ' + r.id }, 'JSON'),
        h('a', { href: url + '/report.html', download: `sellout-${r.id}.html`, 'aria-label': 'HTML report of run ' + r.id }, 'HTML report'));
      const node = h('li', null, h('span', null, link, h('time', { datetime: r.started_at }, when(r.started_at))),
        h('span', null, r.parameters, verdicts), files);
      runNodes.set(r.id, { node, link, verdicts });
    }
    const { node, link, verdicts } = runNodes.get(r.id);
    const words = Object.entries(r.verdicts).map(([name, n]) => `${n} ${word(name)}`);
    const going = state.snapshot && state.snapshot.run && state.snapshot.run.id === r.id;
    words.push(r.finished ? 'finished' + (r.exit_code == null ? '' : ', exit code ' + r.exit_code) : going ? 'under way' : 'incomplete');
    text(verdicts, words.join(' · '));
    set(node, 'data-shown', shown === r.id);
    set(link, 'aria-current', shown === r.id && 'true');
    return node;
  }));
}

pages.runs = {
  open() { loadRuns().catch(() => {}); },
  draw(_, v) { drawRuns(v.run && v.run.id); },
  title: () => 'Runs',
};
