// A trace as a space-time diagram: a lane for each buyer, the store in the middle, time flows down.
const path = (name, d) => svg('path', { class: name, d });
const rect = (name, x, y, width, height, fill) => svg('rect', { class: name, x, y, width, height, fill });
const label = (name, x, y, words, anchor = 'middle') => svg('text', { class: name, x, y, 'text-anchor': anchor }, words);

const believed = (step, lane) => step.believes.find((belief) => belief.lane === lane);
const isStale = (step) => /check|write/.test(step.kind) && Boolean((believed(step, step.lane) || {}).stale);
/** A step in a few words: the same in the list and in the diagram. */
function stepLabel(step, { lanes }) {
  const [units, yes] = [(n) => (n == null ? '' : ' ' + num(n)), step.ok == null ? '' : step.ok ? ': yes' : ': no'];
  const { outcome } = lanes.find(({ id }) => id === step.lane) || { outcome: '' };
  const words = { arrive: 'arrives', enter: 'is let in', read: 'reads' + units(step.seen), check: 'checks' + yes,
    write: 'writes' + units(step.wrote), commit: 'commits', leave: 'leaves', retry: 'begins anew', reply: 'is told ' + word(outcome),
    decide: step.wrote == null ? 'decides' + yes : `decides:${units(step.wrote)} left` };
  return `${step.lane} ${words[step.kind] || step.kind}${isStale(step) ? ', stale' : ''}`;
}
/** How many lanes stand left of the store. */
const before = ({ lanes }) => Math.max(1, Math.floor(lanes.length / 2));

const [ROW, TOP, GUTTER, EDGE, COLUMN] = [46, 32, 40, 32, 116];
const DOT = 'm-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0';
const BOX = 'm-5-5h10v10h-10z';
const SHAPES = { arrive: DOT, reply: DOT, check: 'm-7 0l7-7 7 7-7 7z', enter: BOX, leave: BOX, retry: 'm-5 4l5-9 5 9z' };
const asksStore = (kind) => /read|write|commit|decide/.test(kind);

function placesOf(trace, width, scaled) {
  const { lanes, steps } = trace;
  const apart = Math.max(COLUMN, (width - GUTTER - 2 * EDGE) / lanes.length);
  const column = (i) => GUTTER + EDGE + apart * i;
  const bottom = TOP + steps.length * ROW + 8;
  const last = Math.max(1, ...steps.map((step) => step.t_us));
  return { scaled, bottom, store: column(before(trace)), right: column(lanes.length) + EDGE, room: Math.floor((apart - 14) / 6.4),
    x: Object.fromEntries(lanes.map(({ id }, i) => [id, column(i < before(trace) ? i : i + 1)])),
    y: steps.map((step, i) => TOP + 26 + (scaled ? (step.t_us / last) * (bottom - TOP - 46) : i * ROW)) };
}

/** A lane's line, where it is inside a lock, and, hatched, where it waits until it is let in or decided upon. */
function drawLane({ steps }, lane, p, hatch) {
  const own = steps.map((step, i) => [step.kind, p.y[i]]).filter((_, i) => steps[i].lane === lane);
  const [x, side, bars] = [p.x[lane], p.x[lane] < p.store ? 1 : -1, []];
  own.forEach(([kind, from], i) => {
    const [next, to] = own[i + 1] || [];
    const [, out] = own.slice(i).find(([later]) => later === 'leave') || [];
    if (kind === 'enter' && out) bars.push(rect('inside', x - 4, from, 8, out - from));
    if (!/arrive|retry/.test(kind) || !/enter|decide/.test(next)) return;
    bars.push(rect('waiting', x - 4, from, 8, Math.max(2, to - from), `url(#${hatch})`));
    if (to - from > 24) bars.push(label('waits', x + side * 10, from + 15, 'waits', side > 0 ? 'start' : 'end'));
  });
  return own.length ? [path('lifeline', `M${x} ${own[0][1]}V${own[own.length - 1][1]}`), ...bars] : [];
}

function drawStep(trace, i, p, crowded) {
  const [step, { opened }] = [trace.steps[i], trace];
  const { kind, statement, ledger } = step;
  const [x, y, asks] = [p.x[step.lane], p.y[i], asksStore(kind)];
  const side = x < p.store ? 1 : -1;
  const beside = (name, dy, words) => label(name, x + side * 10, y + dy, words, side > 0 ? 'start' : 'end');
  const value = asks && step.counter != null && num(step.counter);
  const half = value ? 6 + value.length * 4 : 3;
  const head = (at, way) => `M${at} ${y}l${-7 * way} -4v8z`;
  const far = p.store - side * half;
  const file = statement && statement.replace(/^\w+\.(?=\w+\.\w+$)/, ''); // whose it is, the card says
  return svg('g', { 'data-step': step.n, 'data-kind': kind, 'data-lane': step.lane, 'data-stale': isStale(step), 'data-crowded': crowded,
    'data-no': step.ok === false },
  rect('band', 0, y - 26, p.right, ROW),
  label('number', 6, y + 4, p.scaled ? (step.t_us / 1000).toFixed(2) : step.n, 'start'),
  asks && path('arrow', `M${x} ${y}H${far}`),
  asks && path('head', (kind === 'read' ? '' : head(far, side)) + (/read|decide/.test(kind) ? head(x + side * 2, -side) : '')),
  SHAPES[kind] && path('shape', `M${x} ${y}${SHAPES[kind]}`),
  value && rect('value', p.store - half, y - 10, 2 * half, 20), value && label('', p.store, y + 4.5, value),
  beside('label', -12, stepLabel(step, trace)),
  file && beside('statement', 15, file.length > p.room ? file.slice(0, p.room - 1) + '…' : file),
  kind === 'commit' && label(ledger > opened ? 'beyond' : 'sold', p.store, y + 24,
    `${ledger > opened ? '✖\uFE0E ' : ''}${num(ledger)} of ${num(opened)} sold`));
}

let hatches = 0;
function drawTrace(trace, p) {
  const hatch = 'waits-' + (hatches += 1);
  let labelled = -ROW;
  const steps = trace.steps.map((_, i) => {
    const crowded = p.scaled && p.y[i] - labelled < 30;
    if (!crowded) labelled = p.y[i];
    return drawStep(trace, i, p, crowded);
  });
  const lines = { id: hatch, width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' };
  const size = { width: p.right * p.zoom, height: p.bottom * p.zoom, viewBox: `0 0 ${p.right} ${p.bottom}` };
  return svg('svg', { role: 'img', 'aria-label': trace.sentence, ...size }, svg('pattern', lines, path('wait-hatch', 'M0 0V6')),
    label('number', 6, 18, p.scaled ? 'ms' : 'step', 'start'), label('title', p.store, 18, 'store'),
    path('store-line', `M${p.store} ${TOP - 6}V${p.bottom}`),
    ...trace.lanes.flatMap(({ id }) => [label('title', p.x[id], 18, 'buyer ' + id), ...drawLane(trace, id, p, hatch)]), ...steps);
}

/** The diagram in its own box, as wide as the box is. `pick(n)`: somebody pointed at a step. */
function makeDiagram(trace, name, pick) {
  const box = scrollBox('diagram', 'Space-time diagram of ' + name);
  let [at, scaled, p] = [Infinity, false, {}]; // until it is stepped through all of it is said
  function go(n) {
    at = n;
    for (const node of box.querySelectorAll('[data-step]')) markStep(node, +node.dataset.step, at);
    keepInView(box, (p.y[at - 1] - ROW) * p.zoom, 2 * ROW * p.zoom);
  }
  function again() {
    const zoom = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16; // in front of a room type is larger
    p = { ...placesOf(trace, (box.clientWidth || 420) / zoom, scaled), width: box.clientWidth, zoom };
    box.replaceChildren(drawTrace(trace, p));
    go(at);
  }
  again();
  new ResizeObserver(() => box.clientWidth && box.clientWidth !== p.width && again()).observe(box);
  box.addEventListener('click', ({ target }) => {
    const step = pick && target.closest('[data-step]');
    if (step) pick(+step.dataset.step);
  });
  return { node: box, go, scale(on) { scaled = on; again(); } };
}
function markStep(node, n, at) {
  set(node, 'data-now', n === at);
  set(node, 'data-later', n > at);
}
/** Scrolls the box, never the page: what moves the steps stays where it is. */
function keepInView(box, top, height) {
  if (top < box.scrollTop || top + height > box.scrollTop + box.clientHeight) box.scrollTop = top - box.clientHeight / 3;
}
