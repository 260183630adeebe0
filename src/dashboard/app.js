// The dashboard of sellout: the live page, and the same page as a report file with its run inlined.
// No build step, no library. Text goes in through textContent only, so a hostile name stays a name.
// Nodes are made once per strategy, run or card and then updated in place: a reader keeps focus and place.
(() => {
  'use strict';
  const $ = (id) => document.getElementById(id);
  const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
  const num = (n) => (n == null ? '–' : NUMBER.format(n).replace('-', '−'));
  const plain = (n) => (n == null ? '–' : String(n)); // nothing but digits, for the tiles
  const signed = (n) => (n == null ? '–' : n > 0 ? '+' + num(n) : num(n));
  const ms = (us) => (us == null ? '–' : (us / 1000).toFixed(1));
  const when = (t) => (t ? t.slice(0, 19).replace('T', ' ') + ' UTC' : '');
  const count = (n, noun) => num(n) + ' ' + noun + (n === 1 ? '' : 's');

  /** Verdict → mark, in the order of the tiles: trouble first. The mark is text, never a coloured emoji. */
  const MARKS = { OVERSOLD: '✖', LOST: '✖', INVALID: '!', INCONSISTENT: '▲', STRANDED: '▲', RUNNING: '●', HELD: '✔',
    NOT_EXERCISED: '?', CONTROL: '–', WAITING: '…', NOT_RUN: '–', SKIPPED: '–' };
  const RANK = Object.keys(MARKS);
  const mark = (verdict) => (MARKS[verdict] || '!') + '\uFE0E';
  const word = (verdict) => verdict.replace(/_/g, ' ');
  const judged = (r) => r.verdict !== 'SKIPPED' && r.verdict !== 'CONTROL';
  const GUARANTEES = { exact: 'sells every unit and no more, whatever crashes', never_over: 'never sells more; a crash may leave units unsold',
    conditional: 'keeps its promise under a condition that it cannot enforce', oversells: 'oversells, and is here to show how',
    control: 'sells nothing: the ceiling of the harness' };

  // ---- DOM helpers
  function h(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) set(node, name, value);
    node.append(...children.filter(Boolean));
    return node;
  }
  const text = (node, value) => { if (node.textContent !== value) node.textContent = value; };
  function set(node, name, value) {
    if (value == null || value === false) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
  const breakable = (name) => name.split(/(?<=_)/).flatMap((part) => [part, h('wbr')]); // snake_case may wrap after a _
  /** Brings `nodes` into order under `parent`, moving only what is out of place and keeping focus. */
  function place(parent, nodes) {
    const focused = document.activeElement; // moving a node takes its focus away
    nodes.forEach((node, i) => parent.children[i] === node || parent.insertBefore(node, parent.children[i] || null));
    while (parent.children.length > nodes.length) parent.lastElementChild.remove();
    if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
  }

  // ---- What is shown
  const state = { report: false, snapshot: null, polled: null, newest: null, stored: new Map(), runs: [],
    link: 'connecting', since: null, paused: false, shown: null };
  const route = () => (/^#\/runs\/([\w.-]+)$/.exec(location.hash) || [])[1];

  /** The run to draw: the chosen one, else the live one, else the newest that is kept. */
  function view() {
    if (state.report) return { run: state.newest, running: false };
    const [snapshot, chosen] = [state.snapshot, route()];
    const live = state.link === 'polling' ? state.polled : snapshot && snapshot.run;
    if (chosen && !(live && live.id === chosen)) return { run: state.stored.get(chosen), stored: chosen, running: false };
    if (!live) return { run: state.newest, running: false };
    const running = !live.finished_at && live.exit_code == null;
    return { run: live, running, sale: running && state.link !== 'polling' ? snapshot.current : null, live: true };
  }

  /** One entry per strategy: its result, or the stand-in for one that has none yet. */
  function entriesOf({ run, running, sale }) {
    const results = new Map(run.results.map((r) => [r.strategy, r]));
    const opened = run.parameters.stock;
    return [...new Set([...run.parameters.strategies, ...results.keys()])].map((strategy) => {
      if (results.has(strategy)) return results.get(strategy);
      if (running && run.current && run.current.strategy === strategy) {
        const sold = sale && sale.strategy === strategy ? sale.live.sold_units : null;
        return { strategy, verdict: 'RUNNING', opened, sold, oversold: sold == null ? null : Math.max(0, sold - opened),
          reason: 'Provisional: the verdict is counted from the ledger when the rush is over.' };
      }
      return { strategy, verdict: running ? 'WAITING' : 'NOT_RUN', opened, sold: null, oversold: null,
        reason: running ? 'Its turn has not come yet.' : 'The run ended before its turn.' };
    });
  }
  const oversoldWords = (results) => results.slice(0, 3).map((r) => `${r.strategy} sold ${num(r.sold)} of ${num(r.opened)} units`).join(', ') +
    (results.length > 3 ? `, and ${results.length - 3} more.` : '.');

  /** The one sentence that a reader takes away, and its tone. */
  function sentence({ run, running, stored }) {
    if (!run && stored) return [run === null ? `No run ${stored} is kept here.` : `Loading run ${stored}…`, 'none'];
    if (!run) return ['No run yet: start one with ./run load', 'none'];
    const { results, current } = run;
    const names = run.parameters.strategies;
    const total = Math.max(names.length, results.length);
    const having = (verdict) => results.filter((r) => r.verdict === verdict);
    const over = having('OVERSOLD');
    if (running) {
      const at = current ? names.indexOf(current.strategy) : -1;
      const now = 'Running: ' + (current ? `${current.strategy}, ${(at < 0 ? results.length : at) + 1} of ${total}` : `${results.length} of ${total} done`);
      return over.length ? [`${now}. So far ${oversoldWords(over)}`, 'bad'] : [now, 'none'];
    }
    const cut = run.finished_at ? '' : `Incomplete run, ${results.length} of ${total} strategies. `;
    const all = results.filter(judged).length;
    const worst = RANK.find((verdict) => judged({ verdict }) && having(verdict).length);
    if (!worst) return [cut + 'No strategy was judged.', 'none'];
    const found = having(worst);
    const lead = `${cut}${found.length} of ${all} judged ${all === 1 ? 'strategy' : 'strategies'} ${word(worst)}`;
    if (over.length) return [`${lead}: ${oversoldWords(over)}`, 'bad'];
    if (worst === 'HELD' && found.length < all) return [lead + '.', 'none'];
    if (worst === 'HELD') return [cut + (all === 1 ? 'The one judged strategy HELD.' : `All ${all} judged strategies HELD.`), 'good'];
    if (worst === 'NOT_EXERCISED') return [lead + ', which proves nothing.', 'none'];
    return [`${lead}: ${found.map((r) => r.strategy).join(', ')}.`, 'bad'];
  }

  function drawVerdict(v) {
    const [words, tone] = sentence(v);
    const { run } = v;
    if ($('verdict-sentence').textContent !== words) {
      const [before, after] = words.split('./run load');
      $('verdict-sentence').replaceChildren(before, after == null ? '' : h('code', null, './run load'), after || '');
      document.title = words.slice(0, 70) + ' · sellout';
    }
    set($('verdict'), 'data-tone', tone);
    const notice = state.report ? `Report of run ${run.id}. One file, no network.` : v.stored ? `Stored run ${v.stored}. ` : '';
    const back = v.stored ? h('a', { href: '#/' }, 'Back to the newest run') : '';
    if (!$('notice').textContent.startsWith(notice || '–')) $('notice').replaceChildren(notice, back);
    $('notice').hidden = !notice;
    const results = run ? run.results : [];
    const tally = RANK.map((name) => [name, results.filter((r) => r.verdict === name).length]).filter(([, n]) => n);
    const parts = tally.map(([name, n]) => `${mark(name)}\u2060\u00A0${n}\u00A0${word(name)}  · `);
    const surprises = results.filter((r) => r.as_declared === false).map((r) => r.strategy).join(', ');
    const declared = surprises ? `SURPRISE: ${surprises} not as declared` : parts.length ? 'every verdict as declared' : '';
    if ($('verdict-counts').textContent !== parts.join('') + declared) {
      $('verdict-counts').replaceChildren(parts.join(''), surprises ? h('b', { 'data-surprise': true }, declared) : declared);
    }
    if (!run) return text($('parameters'), '');
    const { parameters: p, environment: e } = run;
    text($('parameters'), [count(p.stock, 'unit'), count(p.attempts, 'attempt'), count(p.buyers, 'buyer') + ' at once',
      p.quantity > 1 && p.quantity + ' units per order', p.per_buyer_limit && `at most ${p.per_buyer_limit} per buyer`,
      'scenario ' + p.scenario, 'seed ' + p.seed, 'PostgreSQL ' + e.postgres.replace(/^postgres(ql)?\s+/i, ''),
      e.redis && 'Redis ' + e.redis.replace(/^redis\s+/i, ''), count(e.cores, 'core'), when(run.started_at)].filter(Boolean).join(' · '));
    const where = [e.cpu, e.memory_mib && num(e.memory_mib) + ' MiB', e.os, e.build, `sellout ${e.sellout} ${e.commit}`.trim(),
      e.private_servers ? 'private throw-away servers' : 'servers that others may use too'];
    text($('machine'), `Measured on ${where.filter(Boolean).join(' · ')}.`);
  }

  // ---- Tiles
  const tiles = new Map();
  function makeTile(strategy) {
    const field = (name) => h('span', { 'data-field': name, class: name });
    const t = { mark: h('span', { class: 'mark', 'aria-hidden': 'true' }), reason: h('p', { class: 'reason' }), unit: h('span') };
    for (const name of ['verdict', 'oversold', 'sold', 'opened', 'declared']) t[name] = field(name);
    for (const name of ['within', 'over', 'limit']) t[name] = h('i', { class: name });
    const link = h('a', { href: '#card-' + strategy, 'aria-label': 'How ' + strategy + ' works' }, 'How it works');
    link.addEventListener('click', (event) => { event.preventDefault(); openCard(strategy); });
    t.node = h('article', { class: 'tile', 'data-strategy': strategy },
      h('h3', null, ...breakable(strategy)), h('p', { class: 'word' }, t.mark, t.verdict), h('p', { class: 'big' }, t.oversold, t.unit),
      h('div', { class: 'bar', 'aria-hidden': 'true' }, t.within, t.over, t.limit),
      h('p', { class: 'count' }, t.sold, ' of ', t.opened, ' sold'), t.reason,
      h('p', { class: 'foot' }, t.declared, state.report ? null : link));
    return t;
  }
  function drawTiles(entries) {
    const widest = 1.02 * Math.max(1, ...entries.map((e) => Math.max(e.sold || 0, e.opened || 0)));
    const percent = (n) => Math.max(0, (100 * n) / widest).toFixed(2) + '%';
    const ranked = [...entries].sort((a, b) => RANK.indexOf(a.verdict) - RANK.indexOf(b.verdict)); // stable: else the order of the run
    place($('tiles'), ranked.map((e) => {
      if (!tiles.has(e.strategy)) tiles.set(e.strategy, makeTile(e.strategy));
      const [t, known] = [tiles.get(e.strategy), e.verdict !== 'SKIPPED'];
      set(t.node, 'data-verdict', e.verdict);
      set(t.node, 'data-idle', /^(SKIPPED|WAITING|NOT_RUN)$/.test(e.verdict));
      set(t.node, 'data-surprise', e.as_declared === false);
      text(t.mark, mark(e.verdict));
      text(t.verdict, word(e.verdict));
      text(t.oversold, known ? (e.oversold > 0 ? '+' : '') + plain(e.oversold) : '–');
      text(t.unit, (e.oversold === 1 ? 'unit' : 'units') + ' oversold' + (e.verdict === 'RUNNING' ? ' so far' : ''));
      t.unit.hidden = !known || e.oversold == null;
      for (const name of ['sold', 'opened']) text(t[name], known ? plain(e[name]) : '–');
      t.within.style.width = percent(Math.min(e.sold || 0, e.opened));
      t.over.style.left = t.limit.style.left = percent(e.opened);
      t.over.style.width = percent((e.sold || 0) - e.opened);
      t.over.hidden = !(e.sold > e.opened);
      text(t.reason, e.reason);
      text(t.declared, e.as_declared === false ? `SURPRISE: declared ${e.declared}` : e.as_declared ? `as declared: ${e.declared}` : '');
      return t.node;
    }));
  }

  // ---- Tables
  /** A sortable table whose cells are updated in place. A column: [label, value(result), {format, bad, bar}]. */
  function makeTable(box, caption, given) {
    const columns = [['strategy', (r) => r.strategy], ...given];
    const [body, rows] = [h('tbody'), new Map()];
    let [sort, shown] = [null, []]; // sort: [column, -1 | 1]; null is the order of the run
    const heads = columns.map(([label], i) => {
      const button = h('button', { type: 'button' }, label);
      button.addEventListener('click', () => {
        const first = i ? -1 : 1; // names rise, numbers fall first, the third press restores the order of the run
        sort = !sort || sort[0] !== i ? [i, first] : sort[1] === first ? [i, -first] : null;
        heads.forEach((head, j) => set(head, 'aria-sort', sort && sort[0] === j && (sort[1] > 0 ? 'ascending' : 'descending')));
        draw(shown);
      });
      return h('th', { scope: 'col' }, button);
    });
    const described = h('caption', { class: 'quiet' }, caption + '; the buttons in the head sort it');
    box.append(h('table', null, described, h('thead', null, h('tr', null, ...heads)), body));
    const value = (r, i) => (i && r.verdict === 'SKIPPED' ? null : columns[i][1](r));
    function compare(a, b) {
      const [x, y] = [value(a, sort[0]), value(b, sort[0])];
      if (x == null || y == null) return (x == null) - (y == null); // the unknown comes last either way
      return sort[1] * (x < y ? -1 : x > y ? 1 : 0);
    }
    function makeRow(r) {
      const sign = h('span', { class: 'mark' });
      const cells = given.map(([, , { bar } = {}]) => [h('span'), bar && h('span', { class: 'spark', 'aria-hidden': 'true' })]);
      const name = h('th', { scope: 'row' }, sign, ...breakable(r.strategy));
      return { sign, cells, tr: h('tr', { 'data-strategy': r.strategy }, name, ...cells.map((parts) => h('td', null, ...parts))) };
    }
    function draw(results) {
      shown = results;
      for (const r of results) {
        if (!rows.has(r.strategy)) rows.set(r.strategy, makeRow(r));
        const { cells, sign } = rows.get(r.strategy);
        text(sign, mark(r.verdict));
        set(sign, 'title', word(r.verdict));
        given.forEach(([, , { format = num, bad = false } = {}], i) => {
          const n = value(r, i + 1);
          const [words, spark] = cells[i];
          text(words, format(n));
          words.parentNode.classList.toggle('bad', Boolean(bad && n));
          const most = Math.max(1, ...results.map((other) => value(other, i + 1) || 0));
          if (spark) spark.style.width = (n ? Math.max(2, (100 * n) / most) : 0) + '%';
        });
      }
      place(body, (sort ? [...results].sort(compare) : results).map((r) => rows.get(r.strategy).tr));
    }
    return draw;
  }
  const plainly = (key, options) => [key.replace('_', ' '), (r) => r[key], options];
  const [bad, badSigned] = [{ bad: true }, { bad: true, format: signed }];
  const latency = (outcome, part) => (r) => (r.latency_us[outcome] && r.latency_us[outcome].count ? r.latency_us[outcome][part] : null);
  const drawLedger = makeTable($('ledger'), 'What the ledger and the clients say', [
    plainly('opened'), plainly('sold'), plainly('told_yes'), plainly('left'), plainly('oversold', badSigned), plainly('lost', bad), plainly('phantom', bad),
    plainly('stranded', bad), plainly('duplicates', bad), plainly('over_limit', bad), plainly('drift', badSigned), plainly('unknown')]);
  const drawSpeed = makeTable($('speed'), 'How fast each strategy answered', [
    ['accepted/s', (r) => r.accepted_per_s], ['rejected/s', (r) => r.rejected_per_s],
    ['sold p50 ms', latency('sold', 'p50'), { format: ms }], ['sold p99 ms', latency('sold', 'p99'), { format: ms, bar: true }],
    ['sold out p50 ms', latency('sold_out', 'p50'), { format: ms }], ['sold out p99 ms', latency('sold_out', 'p99'), { format: ms, bar: true }],
    ['attempts', (r) => r.attempts], ['contended', (r) => r.answers.contended], ['peak in flight', (r) => r.peak_in_flight]]);

  // ---- Now: progress, and sold against stock
  const chart = { sale: null, points: [] };

  /** Keeps the points even while drawing is paused. Time is this page's own: no clock needs to agree. */
  function record(sale) {
    const [now, sold] = [performance.now(), sale.live.sold_units];
    if (chart.sale !== sale.id) Object.assign(chart, { sale: sale.id, name: sale.strategy, units: sale.units, start: now, points: [] });
    chart.end = (now - chart.start) / 1000;
    const last = chart.points[chart.points.length - 1];
    if (!last || (last[1] !== sold && chart.points.length < 600)) chart.points.push([chart.end, sold]);
    else last[1] = sold;
  }
  function drawChart() {
    const { points, units, name, end } = chart;
    const sold = points[points.length - 1][1];
    const width = Math.max(260, $('chart').clientWidth || 640);
    const [left, right, top, bottom, seconds] = [76, width - 8, 10, 192, Math.max(1, end)];
    const most = Math.max(units * 1.3, sold * 1.1, 1);
    const x = (t) => (left + ((right - left) * t) / seconds).toFixed(1);
    const y = (n) => (bottom - ((bottom - top) * n) / most).toFixed(1);
    const steps = points.map(([t, n], i) => (i ? `H${x(t)}V${y(n)}` : `M${x(t)} ${y(n)}`)).join('') + 'H' + x(end);
    const area = `${steps}V${bottom}H${x(points[0][0])}Z`;
    const above = `M${left} ${top}H${right}V${y(units)}H${left}Z`;
    const shapes = { 'sold-area': area, 'over-area': area, 'sold-line': steps, 'over-box': above, 'above-box': above,
      axes: `M${left} ${top}V${bottom}H${right}`, 'stock-line': `M${left} ${y(units)}H${right}` };
    for (const [id, d] of Object.entries(shapes)) set($(id), 'd', d);
    set($('chart'), 'viewBox', `0 0 ${width} 220`);
    for (const [id, atX, atY, words] of [['over-label', left + 8, top + 16, 'oversold'], ['zero-label', left - 8, bottom + 4, '0'],
      ['stock-label', left - 8, +y(units) + 4, 'stock ' + num(units)], ['start-label', left, bottom + 20, '0 s'], ['end-label', right, bottom + 20, seconds.toFixed(1) + ' s'],
      ['sold-label', Math.max(left + 84, x(end) - 4), Math.max(top + 14, y(sold) - 8), 'sold ' + num(sold)]]) {
      text($(id), words);
      set($(id), 'x', atX);
      set($(id), 'y', atY);
    }
    const passed = points.find((p) => p[1] > units);
    const words = `${name}: ${num(sold)} of ${num(units)} units sold after ${end.toFixed(1)} s` +
      (passed ? `, ${num(sold - units)} beyond the stock, which was passed at ${passed[0].toFixed(1)} s.` : '.');
    set($('chart'), 'aria-label', 'Chart. ' + words);
    text($('chart-summary'), words + ' Provisional, as this page saw it.');
    const rows = $('chart-rows');
    if (rows.dataset.sale !== chart.sale) rows.replaceChildren();
    rows.dataset.sale = chart.sale;
    for (const [t, n] of points.slice(rows.children.length)) rows.append(h('tr', null, h('td', null, t.toFixed(2)), h('td', null, num(n))));
  }
  function drawNow({ run, running, sale, live }) {
    const drawn = Boolean(live && chart.sale && (running || run.results.some((r) => r.sale_id === chart.sale)));
    for (const [id, shown] of [['now', running || drawn], ['progress-box', running], ['figure', drawn]]) $(id).hidden = !shown;
    text($('now-title'), running ? 'Now' : 'Last seen live');
    if (running) {
      const { attempts, strategies } = run.parameters;
      const l = sale && sale.live;
      $('progress').value = l ? Math.min(1, l.answered / Math.max(1, attempts)) : run.results.length / Math.max(1, strategies.length);
      text($('progress-text'), l ? `${sale.strategy}: ${num(l.answered)} of ${num(attempts)} attempts answered · ${num(l.sold_units)} units sold · ` +
        `${num(l.sold_out)} told sold out · ${num(l.contended)} contended · ${num(l.in_flight)} in flight`
        : `${run.results.length} of ${strategies.length} strategies done` + (run.current ? `, now ${run.current.strategy}` : ''));
    }
    if (drawn) drawChart();
  }

  // ---- Runs kept and strategy cards
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
  function openCard(strategy) {
    const card = $('card-' + strategy);
    if (!card) return;
    card.open = true;
    card.firstElementChild.focus();
    card.scrollIntoView();
  }
  const block = (title, label, content) => [h('h3', null, title), h('pre', { tabindex: 0, role: 'region', 'aria-label': label }, content)];
  function makeCard(c) {
    const facts = [['guarantee', `${c.guarantee}: ${GUARANTEES[c.guarantee] || ''}`], ['fails when', c.fails_when],
      ['oversells in', c.oversells_in], ['breaks', c.breaks.join(', ')], ['needs', c.needs.join(', ') || 'nothing'],
      ['round trips', `${c.round_trips.sold} when it sells, ${c.round_trips.sold_out} when it is sold out`],
      ['outside the lab', c.safe ? 'a sale may use it' : 'refused: unsafe'],
      ['available', c.available ? 'yes' : 'no: ' + (c.unavailable_reason || 'no reason given')]].filter(([, fact]) => fact);
    return h('details', { class: 'card', id: 'card-' + c.id },
      h('summary', null, h('code', null, c.id), h('span', null, c.title + (c.available ? '' : ' (not available)'))),
      h('dl', { class: 'terms' }, ...facts.flatMap(([term, fact]) => [h('dt', null, term), h('dd', null, fact)])),
      ...block('How it works', c.id + ', description', c.doc),
      ...c.statements.flatMap((s) => block(s.name, c.id + ', statement ' + s.name, s.text)),
      ...block('Rust source', c.id + ', Rust source', c.source));
  }

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
    const v = view();
    announce(v);
    drawVerdict(v);
    for (const node of document.querySelectorAll('[data-run]')) node.hidden = !v.run;
    drawNow(v);
    const id = v.run ? v.run.id : null;
    if (state.shown !== id) tiles.clear(); // another run: nothing of the old one may linger
    state.shown = id;
    if (v.run) drawTiles(entriesOf(v));
    for (const table of v.run ? [drawLedger, drawSpeed] : []) table(v.run.results);
    if (state.report) return;
    drawRuns(id);
    const viewers = state.snapshot ? state.snapshot.viewers : 0;
    text($('viewers'), `Looking costs a little. Pages listening just now: ${num(viewers)}.`);
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
  async function loadChosen() {
    const id = route();
    if (id && !(state.stored.get(id) || {}).finished_at) state.stored.set(id, await getRun(id).catch(() => null));
    redraw(true);
  }
  let carded = false;
  async function loadCards() {
    if (carded) return;
    carded = true;
    try {
      place($('cards'), (await get('/v1/strategies')).strategies.map(makeCard));
      $('cards-empty').hidden = true;
      if (location.hash.startsWith('#card-')) openCard(location.hash.slice(6));
    } catch {
      carded = false; // tried again when the service is back
      text($('cards-empty'), 'The strategies could not be loaded; this page asks again when the service answers.');
    }
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
    if (snapshot.current) record(snapshot.current);
    const { id, finished_at: finished, results } = snapshot.run || {};
    const next = id ? id + finished + results.length : '';
    if (next !== phase) loadRuns().catch(() => {});
    phase = next;
    if (back) loadCards();
    redraw();
  }

  function connect() {
    const source = new EventSource('/v1/events');
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
    return draw();
  }
  $('pause').addEventListener('click', () => {
    state.paused = !state.paused;
    set($('pause'), 'aria-pressed', String(state.paused)); // being pressed says it: the word stays
    badge();
    redraw();
  });
  window.addEventListener('resize', () => $('figure').hidden || drawChart());
  window.addEventListener('hashchange', loadChosen);
  setInterval(badge, 1000);
  connect();
  loadRuns().catch(() => {});
  loadCards();
  if (route()) loadChosen();
})();
