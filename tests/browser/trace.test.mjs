// The promise: the steps on the page are those that were recorded, one can go to and fro in them, and share one.
import assert from 'node:assert/strict';
import { short, traced } from './kept.mjs';
import { calm, eventually, look, picture, says, sentence, sql, stage, turn } from './support.mjs';

const here = stage();
const KEPT = '20261101-080000';
const SEEN = ['naive', 'atomic_update'];
const num = (n) => new Intl.NumberFormat('en').format(n).replace('-', '−');
const NAIVE = '.stepper[data-strategy="naive"]';

/** What the page says of the step that it is at; `null` until it is drawn. */
const shown = (page, strategy) => page.evaluate((name) => {
  const stepper = document.querySelector(`.stepper[data-strategy="${name}"]`);
  if (!stepper) return null;
  const [said, all] = [(css) => stepper.querySelector(css)?.textContent ?? null, (css) => [...stepper.querySelectorAll(css)]];
  const believes = Object.fromEntries(all('[data-believes]').map((n) => [n.dataset.believes, n.textContent]));
  return { position: said('.stepbar').match(/step \d+ of \d+/)?.[0], note: said('.say'), counter: said('[data-fact="counter"]'),
    ledger: said('[data-fact="ledger"]'), believes, now: all('li[data-now]').map((n) => n.dataset.step),
    inDiagram: all('svg [data-now]').map((n) => n.dataset.step) };
}, strategy);

const expected = (trace, n) => {
  const step = trace.steps[n - 1];
  const beyond = step.ledger - trace.opened;
  const belief = (lane) => step.believes.find((b) => b.lane === lane);
  return { position: `step ${n} of ${trace.steps.length}`, note: step.note,
    counter: step.counter == null ? 'not known' : num(step.counter),
    ledger: `${num(step.ledger)} of ${num(trace.opened)} sold` + (beyond > 0 ? `, ✖\uFE0E ${num(beyond)} too many` : ''),
    believes: Object.fromEntries(trace.lanes.map(({ id }) => [id, belief(id)
      ? `${num(belief(id).units)} left${belief(id).stale ? ', stale' : ''}` : 'nothing'])),
    now: [String(n)], inDiagram: [String(n)] };
};

async function isAt(page, trace, n, strategy = 'naive') {
  await eventually(`step ${n}`, async () => {
    const now = await shown(page, strategy);
    return now?.position === `step ${n} of ${trace.steps.length}` || now;
  });
  assert.deepEqual(await shown(page, strategy), expected(trace, n));
}
const stepIn = (page) => new URL(page.url()).hash.split('/').pop();

sentence('the steps on the page are those that were recorded in the run that was made', async (t) => {
  const run = await here.service.load({ strategies: SEEN, buyers: 100, attempts: 1000, stock: 50, seed: 7 });
  assert.equal(run.traced, true);
  const naive = run.results.find((r) => r.strategy === 'naive');
  assert.equal(naive.verdict, 'OVERSOLD', naive.reason);
  const { trace } = naive;
  assert.equal(trace.kind, 'oversold');
  assert.ok(trace.lanes.length >= 2 && trace.lanes.length <= 4, `${trace.lanes.length} orders`);
  assert.deepEqual(trace.steps.map((s) => s.n), trace.steps.map((_, i) => i + 1));
  const keys = trace.lanes.map(({ key }) => `'${key}'`).join();
  const counted = `select count(*) from orders where sale_id = '${naive.sale_id}' and key in (${keys})`;
  const theirs = await sql(here.service.database.url, counted);
  assert.ok(theirs >= 2, `the orders of the trace are in the ledger: ${theirs}`);

  const page = await look(t, here.browser, `${here.service.url}/#/trace/${run.id}/naive/1`);
  await says(page, '#trace-title', new RegExp(`^How naive sold ${num(naive.sold)} of 50 units$`));
  for (let n = 1; n <= trace.steps.length; n += 1) {
    await isAt(page, trace, n);
    assert.equal(stepIn(page), String(n), 'the address follows');
    await page.keyboard.press('ArrowRight');
  }
  const listed = await page.locator(`${NAIVE} li[data-step]`).evaluateAll((all) => all.map((li) => [Number(li.dataset.step),
    li.dataset.lane, li.dataset.kind, li.querySelector('.note').textContent, li.querySelector('code')?.textContent ?? null]));
  assert.deepEqual(listed, trace.steps.map((s) => [s.n, s.lane, s.kind, s.note, s.statement]));
  const [list, drawn] = [`li[data-step] p > a:first-child`, 'svg [data-step] text.label'];
  const labels = (css) => page.locator(`${NAIVE} ${css}`).allTextContents();
  assert.deepEqual(await labels(drawn), await labels(list), 'the diagram says what the list says');
  const last = trace.steps[trace.steps.length - 1];
  assert.ok(last.ledger > trace.opened || trace.steps.some((s) => s.believes.some((b) => b.stale)), 'it shows how');
  calm(page, here.service.url);
});

sentence('the arrows, Home, End and Space go through the steps, and stop at the ends', async (t) => {
  const run = traced(KEPT);
  const { trace } = run.results[0];
  await here.service.keep(run);
  const page = await look(t, here.browser, `${here.service.url}/#/trace/${KEPT}/naive/1`);
  await isAt(page, trace, 1);
  const last = trace.steps.length;
  for (const [key, n] of [['ArrowLeft', 1], ['ArrowRight', 2], ['Space', 3], ['ArrowLeft', 2], ['End', last], ['ArrowRight', last],
    ['Space', last], ['Home', 1]]) {
    await page.keyboard.press(key);
    await isAt(page, trace, n);
  }
  const top = await page.evaluate(() => scrollY);
  await page.keyboard.press('End');
  assert.equal(await page.evaluate(() => scrollY), top, 'what moves the steps stays where it is');
  await says(page, '#announce', /step 12 of 12\. B is told sold/);
  for (const [button, n] of [['first', 1], ['next', 2], ['last', last], ['previous', last - 1]]) {
    await page.click(`${NAIVE} [data-go="${button}"]`);
    await isAt(page, trace, n);
  }
  const label = async (n) => (await page.locator(`${NAIVE} [data-step="${n}"] :is(a, text.label)`).first().textContent());
  assert.deepEqual(await Promise.all([4, 8, 9, 12].map(label)), ['B reads 1', 'B checks: yes, stale', 'B writes 0', 'B is told sold']);
  await page.click(`${NAIVE} li[data-step="4"] a`);
  await isAt(page, trace, 4);
  await page.locator(`${NAIVE} svg [data-step="6"] text.label`).click();
  await isAt(page, trace, 6);
  calm(page, here.service.url);
});

sentence('the address of a step shows that step to whoever gets it, and Back leaves the trace', async (t) => {
  await here.service.keep(traced(KEPT));
  const { trace } = traced(KEPT).results[0];
  const page = await look(t, here.browser, here.service.url + '/#/runs/' + KEPT);
  await page.click('#see-how');
  await isAt(page, trace, 1);
  for (let n = 2; n <= 9; n += 1) await page.keyboard.press('ArrowRight');
  await isAt(page, trace, 9);
  const other = await look(t, here.browser, page.url());
  await isAt(other, trace, 9);
  await other.evaluate(() => { location.hash = location.hash.replace(/\d+$/, '999'); });
  await isAt(other, trace, trace.steps.length);
  await page.goBack();
  await page.locator('[data-page="board"]').waitFor();
  assert.equal(new URL(page.url()).hash, '#/runs/' + KEPT);
  calm(page, here.service.url);
});

sentence('beside what oversold the same moment is shown on a strategy that is safe', async (t) => {
  await here.service.keep(traced(KEPT));
  const safe = traced(KEPT).results[1].trace;
  const page = await look(t, here.browser, `${here.service.url}/#/trace/${KEPT}/naive/3`);
  assert.equal(await page.locator('#beside').inputValue(), 'atomic_update');
  await isAt(page, safe, 3, 'atomic_update');
  await says(page, '.stepper[data-strategy="atomic_update"] h2', /HELD, its closest call/);
  await page.keyboard.press('ArrowRight');
  await isAt(page, safe, 4, 'atomic_update');
  await page.selectOption('#beside', '');
  assert.equal(await page.locator('.stepper').count(), 1);
  await turn(page, `#/trace/${KEPT}/atomic_update/1`, 'trace');
  await says(page, '#trace-title', /^How near atomic_update came to overselling$/);
  await says(page, '[data-page="trace"]', /Evidence, not proof/);
  calm(page, here.service.url);
});

sentence('where nothing was recorded the page says why, and where to go from there', async (t) => {
  const cut = short('20261102-080000', ['naive', 'atomic_update', 'row_lock'], { traced: true });
  cut.results = cut.results.slice(0, 2);
  Object.assign(cut.results[0], { verdict: 'SKIPPED', reason: 'PostgreSQL is not there: set DATABASE_URL.' });
  await here.service.keep(short('20261103-080000'), cut);
  const page = await look(t, here.browser, here.service.url);
  const reasons = [['20261103-080000', 'naive', /were not recorded/],
    [cut.id, 'naive', /skipped: PostgreSQL is not there/],
    [cut.id, 'row_lock', /ended before its turn/], [cut.id, 'redis_lua', /did not try redis_lua/],
    ['gone', 'naive', /No run gone is kept/]];
  for (const [run, strategy, why] of reasons) {
    await turn(page, `#/trace/${run}/${strategy}/1`, 'trace');
    await says(page, '#trace-missing', why);
    await page.locator('[data-page="trace"] a', { hasText: 'To the board' }).waitFor();
  }
  calm(page, here.service.url, /status of 404/);
});

sentence('a trace is taken along as Markdown and as a Mermaid diagram', async (t) => {
  await here.service.keep(traced(KEPT));
  const permissions = ['clipboard-read', 'clipboard-write'];
  const page = await look(t, here.browser, `${here.service.url}/#/trace/${KEPT}/naive/1`, { permissions });
  const button = (name) => page.locator('[data-page="trace"] button', { hasText: 'Copy as ' + name });
  await button('Markdown').waitFor({ state: 'attached' });
  await page.evaluate(() => document.querySelectorAll('[data-page="trace"] details').forEach((one) => { one.open = true; }));
  const copied = async (name, pattern) => {
    await button(name).click();
    await eventually(name + ' is copied', async () => {
      const text = await page.evaluate(() => navigator.clipboard.readText());
      return pattern.test(text) || text;
    });
  };
  const table = /^\*\*naive\*\*: A and B both read 1 left[^]*\| step \| buyer A \| buyer B \|[^]*A reads 1 \(naive\.read\.sql\)/;
  await copied('Markdown', table);
  await copied('Mermaid', /^sequenceDiagram\n {2}participant A as buyer A\n {2}participant store\n {2}participant B/);
  calm(page, here.service.url);
});

if (process.env.SCREENSHOTS) {
  sentence('the picture of the README shows how naive oversold in a run that was made for it', async (t) => {
    const make = () => here.service.load({ strategies: SEEN, buyers: 200, attempts: 2000, stock: 100, seed: 7 });
    let run = await make();
    for (let tries = 1; run.results[0].trace.lanes.length > 2 && tries < 8; tries += 1) run = await make(); // two are told soonest
    const { trace } = run.results[0];
    const late = trace.steps.filter((s) => s.believes.some((b) => b.stale)).pop()?.n ?? trace.steps.length;
    const page = await look(t, here.browser, `${here.service.url}/#/trace/${run.id}/naive/${late}`, { height: 860 });
    await isAt(page, trace, late);
    await picture(page, 'trace');
  });
}
