// The promise: whoever comes with a phone, a keyboard, a screen reader, at night or on paper gets the whole page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { inflateSync } from 'node:zlib';
import { full, short, traced } from './kept.mjs';
import { PATIENT, calm, eventually, look, says, sentence, stage, tabTo, turn, words } from './support.mjs';

const here = stage();
const [KEPT, OTHER] = ['20261101-080000', '20261102-080000'];
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Every page, and what is on it when it is drawn. */
const PAGES = [['#/', 'board', '.tile'], ['#/new', 'new', '#new-strategies input'], ['#/runs', 'runs', '#runs tr'],
  [`#/compare/${OTHER}/${KEPT}`, 'compare', '#compare-rows tr'], ['#/strategies', 'strategies', '#card-filter'],
  ['#/strategy/naive', 'strategy', 'pre'], [`#/trace/${KEPT}/naive/9`, 'trace', '.stepper svg'], ['#/live', 'live', '#live-servers li'],
  ['/docs/', null, '.opblock']];

async function goTo(page, [hash, name, drawn]) {
  if (name) await turn(page, hash, name);
  else await page.goto(here.service.url + hash);
  await page.locator(drawn).first().waitFor();
  const closed = name ? [] : await page.locator('[id^="operations-orders-"] .opblock-summary-control').all();
  for (const operation of closed) await operation.click();
  await page.evaluate(() => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); }));
}
async function back(page) {
  if (!page.url().startsWith(here.service.url + '/#')) await page.goto(here.service.url + '/#/');
}

/** What axe finds; it is put in from outside the page's policy. */
async function violations(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: axe });
  const { result } = await session.send('Runtime.evaluate', { awaitPromise: true, returnByValue: true, expression: `
    axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.flatMap((v) =>
      v.nodes.map((n) => v.id + ' at ' + n.target.join(' ') + ': ' + n.failureSummary.replace(/\\s+/g, ' ').slice(0, 200))))` });
  await session.detach();
  return result.value;
}
const sideways = (page) => page.evaluate(() => {
  const over = document.documentElement.scrollWidth - innerWidth;
  const wide = [...document.querySelectorAll('main *')]
    .filter((n) => n.getBoundingClientRect().right > innerWidth + 1 && !n.closest('.scroll, pre'));
  return over > 0 ? [over, ...wide.slice(0, 4).map((n) => n.outerHTML.slice(0, 120))] : [];
});

for (const colorScheme of ['light', 'dark']) {
  sentence(`axe finds nothing on any page, on a phone and on a desk, when it is ${colorScheme}`, async (t) => {
    await here.service.keep(short(OTHER), traced(KEPT));
    const page = await look(t, here.browser, here.service.url, { colorScheme });
    const found = [];
    for (const width of [360, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      for (const one of PAGES) {
        await back(page);
        await goTo(page, one);
        found.push(...(await violations(page)).map((what) => `${width} px ${one[0]}: ${what}`));
      }
    }
    assert.equal(found.length, 0, found.slice(0, 20).join('\n'));
    calm(page, here.service.url);
  }, 180);
}

sentence('no page with every strategy scrolls sideways on a phone', async (t) => {
  const every = full('20261104-080000');
  await here.service.keep(short(OTHER), traced(KEPT), every);
  const page = await look(t, here.browser, here.service.url, { width: 360, height: 740 });
  for (const one of [...PAGES, [`#/compare/${KEPT}/${every.id}`, 'compare', '#compare-rows tr'], ['#/', 'board', '#curves svg'],
    ['#/strategy/lock_redis_fenced', 'strategy', 'pre']]) {
    await back(page);
    await goTo(page, one);
    await page.evaluate(() => document.querySelectorAll('main details').forEach((d) => { d.open = true; }));
    assert.deepEqual(await sideways(page), [], one[0]);
  }
  await back(page);
  await turn(page, '#/', 'board');
  assert.equal(await page.locator('.tile').count(), every.results.length);
  assert.deepEqual((await violations(page)).slice(0, 5), [], 'all of them at once');
  const cut = await page.locator('.oversold').evaluateAll((all) =>
    all.filter((n) => n.scrollWidth > n.clientWidth).map((n) => n.textContent));
  assert.deepEqual(cut, [], 'numbers that are cut off');
  calm(page, here.service.url);
}, 120);

sentence('a run is started, a trace stepped, a table sorted and a report fetched by keyboard alone', async (t) => {
  const page = await look(t, here.browser, here.service.url);
  const press = (key) => page.keyboard.press(key);
  await says(page, '#badge-word', /^live$/);
  await press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip', 'the first stop leads past the head');
  await tabTo(page, 'nav a[href="#/new"]');
  await press('Enter');
  await page.locator('#new-strategies input').first().waitFor();
  await tabTo(page, '[data-choose="none"]');
  await press('Enter');
  for (const name of ['naive', 'atomic_update']) {
    await tabTo(page, `#new-strategies input[value="${name}"]`);
    await press('Space');
  }
  await tabTo(page, '#new-start');
  await press('Enter');
  await eventually('the board is shown', async () => new URL(page.url()).hash === '#/' || words(page, '#new-error'));
  await says(page, '#verdict-sentence', /^1 of 2 judged strategies OVERSOLD/, PATIENT);
  const { id } = await here.service.get('/v1/lab/runs/current');
  await here.service.rest(id);
  await tabTo(page, '#see-how');
  await press('Enter');
  await says(page, '[data-page="trace"]', /step 1 of/);
  await press('ArrowRight');
  await says(page, '[data-page="trace"]', /step 2 of/);
  await tabTo(page, '[data-go="next"]');
  await press('Enter');
  await says(page, '[data-page="trace"]', /step 3 of/);
  await turn(page, '#/runs/' + id, 'board');
  const sold = await page.locator('#ledger thead button').evaluateAll((all) => all.findIndex((b) => b.textContent === 'sold'));
  await tabTo(page, `#ledger thead th:nth-child(${sold + 1}) button`);
  const first = () => page.locator('#ledger tbody tr').first().getAttribute('data-strategy');
  for (const [sort, top] of [['descending', 'naive'], ['ascending', 'atomic_update']]) {
    await press('Enter');
    assert.equal(await page.locator('#ledger thead th').nth(sold).getAttribute('aria-sort'), sort);
    assert.equal(await first(), top);
  }
  await tabTo(page, '#files a[href$="/report.csv"]');
  const [download] = await Promise.all([page.waitForEvent('download'), press('Enter')]);
  assert.match(download.suggestedFilename(), new RegExp(`${id}.*\\.csv$`));
  assert.match(readFileSync(await download.path(), 'utf8'), /naive[^]*OVERSOLD/);
  calm(page, here.service.url);
}, 120);

sentence('nothing moves for who asked for rest, and what runs breathes for everybody else', async (t) => {
  const opened = await here.service.ask('POST', '/v1/sales', { body: { name: 'under way', units: 1, strategy: 'naive' } });
  const going = short('20261103-080000', ['naive', 'atomic_update'], { finished_at: null, exit_code: null, results: [],
    current: { strategy: 'naive', sale_id: opened.json.id } });
  await here.service.keep(going);
  const page = await look(t, here.browser, here.service.url, { reducedMotion: 'reduce' });
  await says(page, '.tile[data-verdict="RUNNING"]', /RUNNING/);
  const moving = () => page.evaluate(() => document.getAnimations().length);
  assert.equal(await moving(), 0);
  await page.emulateMedia({ reducedMotion: 'no-preference' });
  await eventually('it breathes', async () => await moving() > 0);
  await here.service.keep(short('20261103-080000'));
  await eventually('it is over', async () => await moving() === 0);
});

sentence('with colours of one’s own every verdict keeps its word, its sign and its edge', async (t) => {
  await here.service.keep(traced(KEPT));
  const page = await look(t, here.browser, here.service.url, { forcedColors: 'active' });
  await says(page, '.tile[data-strategy="naive"]', /OVERSOLD[^]*\+1175/);
  const tiles = await page.locator('.tile').evaluateAll((all) => all.map((tile) => [tile.querySelector('.mark').textContent,
    tile.querySelector('[data-field="verdict"]').innerText, getComputedStyle(tile).borderTopWidth]));
  assert.deepEqual(tiles, [['✖\uFE0E', 'OVERSOLD', '6px'], ['✔\uFE0E', 'HELD', '2px']]);
  const strokes = await page.locator('#curves .sold-line').evaluateAll((all) => all.map((line) => getComputedStyle(line).stroke));
  assert.ok(strokes.length === 2 && strokes.every((stroke) => /rgb/.test(stroke)), strokes.join());
  await turn(page, `#/trace/${KEPT}/naive/8`, 'trace');
  await says(page, '[data-believes="B"]', /stale/);
  assert.deepEqual(await violations(page), []);
});

sentence('on paper there is the whole of it and nothing to press', async (t) => {
  await here.service.keep(traced(KEPT));
  const page = await look(t, here.browser, `${here.service.url}/#/runs/${KEPT}`);
  await says(page, '.tile', /OVERSOLD/);
  await page.emulateMedia({ media: 'print' });
  const seen = (css) => page.locator(css).first().isVisible();
  for (const shown of ['#verdict-sentence', '.tile[data-strategy="naive"] .oversold', '.tile[data-strategy="atomic_update"] .word',
    '#ledger tbody tr', '#curves svg', '.caveats']) assert.ok(await seen(shown), shown);
  for (const control of ['nav', '.link', '#filter', '#lab']) assert.equal(await seen(control), false, control);
  assert.ok(await written(page) > 100, 'the paper is nearly blank');
  await page.emulateMedia({ media: null });
  await turn(page, `#/trace/${KEPT}/naive/9`, 'trace');
  await says(page, '[data-page="trace"]', /step 9 of 12/);
  assert.ok(await written(page) > 40, 'the trace is not on the paper');
});

/** How many pieces of text are drawn on the paper: what shows text stands packed in the streams of a PDF. */
async function written(page) {
  const paper = await page.pdf({ format: 'A4', printBackground: true });
  let pieces = 0;
  for (let at = paper.indexOf('stream'); at >= 0; at = paper.indexOf('stream', at + 6)) {
    const start = at + 6 + (paper[at + 6] === 13 ? 2 : 1);
    try {
      const drawn = inflateSync(paper.subarray(start, paper.indexOf('endstream', start))).toString('latin1');
      pieces += (drawn.match(/\bT[jJ]\b/g) ?? []).length;
    } catch { /* a font or a picture */ }
  }
  return pieces;
}
