// The promise: what the scoreboard shows is what the ledger has, nobody else is asked, and it comes back by itself.
import assert from 'node:assert/strict';
import { HOSTILE, copy, rush, short, traced } from './kept.mjs';
import { PATIENT, calm, eventually, look, picture, says, sentence, stage, turn, words } from './support.mjs';

const here = stage();
const tile = (strategy, field) => `.tile[data-strategy="${strategy}"] [data-field="${field}"]`;

/** Fills the form as a reader does, and presses the button; the id of the run. */
async function startFromForm(page, strategies) {
  await turn(page, '#/new', 'new');
  await page.click('[data-preset="quick"]');
  await page.click('[data-choose="none"]');
  for (const name of strategies) await page.check(`#new-strategies input[value="${name}"]`);
  await page.fill('#new-seed', '7');
  const command = await words(page, '#new-command');
  await page.click('#new-start');
  await eventually('the board is shown', async () => new URL(page.url()).hash === '#/' || page.url());
  return [(await here.service.get('/v1/lab/runs/current')).id, command];
}

sentence('a run that is started from the form ends with the numbers that the API tells and SQL counts', async (t) => {
  const page = await look(t, here.browser, here.service.url);
  await says(page, '#verdict-sentence', /^No run yet/);
  await says(page, '#badge-word', /^live$/);
  await page.evaluate(() => {
    window.seen = new Set();
    const [now, bar, line] = ['now', 'progress', 'progress-text'].map((id) => document.getElementById(id));
    const all = { subtree: true, childList: true, characterData: true, attributes: true };
    new MutationObserver(() => window.seen.add(bar.value).add(line.textContent)).observe(now, all);
  });
  const [id, command] = await startFromForm(page, ['naive', 'atomic_update']);
  for (const part of ['--strategies naive,atomic_update', '--buyers 200', '--attempts 2000', '--stock 100', '--seed 7']) {
    assert.ok(command.includes(part), `${part} is not in: ${command}`);
  }
  await says(page, '#verdict-sentence', /^1 of 2 judged strategies OVERSOLD: naive sold [\d,]+ of 100 units\.$/, PATIENT);
  await here.service.rest(id);
  const seen = await page.evaluate(() => [...window.seen]);
  assert.ok(seen.some((at) => at > 0 && at < 1), `the bar stood still: ${JSON.stringify(seen)}`);
  assert.ok(seen.some((line) => /[1-9][\d,]* of 2,000 attempts answered/.test(line)), JSON.stringify(seen));

  const run = await here.service.get('/v1/runs/' + id);
  assert.deepEqual([run.parameters.strategies, run.parameters.seed, run.exit_code], [['naive', 'atomic_update'], 7, 0]);
  for (const [result, verdict] of [[run.results[0], 'OVERSOLD'], [run.results[1], 'HELD']]) {
    const { strategy, sold, oversold, opened } = result;
    assert.deepEqual([result.verdict, opened, oversold], [verdict, 100, Math.max(0, sold - 100)]);
    assert.equal(await here.service.sold(result), sold, `SQL counts what the API tells of ${strategy}`);
    assert.equal(await words(page, tile(strategy, 'sold')), String(sold), `the tile of ${strategy}`);
    assert.equal(await words(page, tile(strategy, 'oversold')), oversold ? '+' + oversold : '0');
    assert.equal(await words(page, tile(strategy, 'verdict')), verdict);
    await page.locator(`#curves [data-strategy="${strategy}"] .sold-line`).waitFor({ state: 'attached' });
  }
  assert.equal(await words(page, '#command-again'), run.command);
  await says(page, '#traced', /recorded/);
  await says(page, '#together', /shared this machine/);
  calm(page, here.service.url);
});

sentence('what was oversold is the loudest on the page, in a number, a word, a sign and a pattern', async (t) => {
  await here.service.keep(traced('20261101-080000'));
  for (const [colorScheme, width] of [['light', 1280], ['dark', 360]]) {
    const page = await look(t, here.browser, here.service.url + '/#/runs/20261101-080000', { colorScheme, width });
    await says(page, '.tile', /OVERSOLD/);
    const loud = await page.evaluate(() => {
      const size = (n) => parseFloat(getComputedStyle(n).fontSize);
      const [first, number] = ['.tile', '.tile .oversold'].map((css) => document.querySelector(css));
      const louder = [...document.querySelectorAll('main *')].filter((n) => n.checkVisibility() && size(n) > size(number));
      return { times: size(number) / size(document.body), first: first.dataset.strategy, words: first.innerText,
        pattern: getComputedStyle(first, '::before').backgroundImage, mark: first.querySelector('.mark').textContent,
        louder: louder.map((n) => n.outerHTML.slice(0, 90)) };
    });
    assert.ok(loud.times >= 3, `${loud.times} times the size of the text around it`);
    assert.equal(loud.first, 'naive', 'trouble comes first');
    assert.match(loud.words, /naive[^]*OVERSOLD[^]*\+1175[^]*units oversold/);
    assert.equal(loud.mark, '✖\uFE0E');
    assert.match(loud.pattern, /repeating-linear-gradient/);
    assert.deepEqual(loud.louder, []);
    await says(page, '#verdict-sentence', /1 of 2 judged strategies OVERSOLD: naive sold 1,275 of 100 units/);
    await says(page, '#healthy', /healthy-looking 0 left, though 1,175 units too many/);
    await page.locator('#see-how', { hasText: 'See how naive did it' }).waitFor();
  }
  const large = copy(rush, '20261101-090000');
  for (const r of large.results.filter((one) => one.verdict === 'OVERSOLD')) Object.assign(r, { sold: 98_865, oversold: 98_765 });
  await here.service.keep(large);
  const page = await look(t, here.browser, here.service.url + '/#/runs/20261101-090000');
  for (const width of [360, 500, 768, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    await says(page, '.tile', /\+98765/);
    const size = await page.evaluate(() => ['.tile .oversold', 'body'].map((css) =>
      parseFloat(getComputedStyle(document.querySelector(css)).fontSize)));
    assert.ok(size[0] >= 3 * size[1], `${size[0]} px at ${width} px`);
  }
});

sentence('no page asks anybody but the service, nor anything that the policy refuses', async (t) => {
  await here.service.keep(rush, short('20261102-080000'), traced('20261101-080000'));
  const page = await look(t, here.browser, here.service.url);
  const places = { '#/': 'board', [`#/runs/${rush.id}`]: 'board', '#/new': 'new', '#/runs': 'runs', '#/strategies': 'strategies',
    '#/strategy/lock_redis_fenced': 'strategy', [`#/compare/20261102-080000/${rush.id}`]: 'compare',
    '#/trace/20261101-080000/naive/9': 'trace', '#/live': 'live' };
  for (const [hash, name] of Object.entries(places)) {
    await turn(page, hash, name);
    await eventually(`${hash} is drawn`, async () => {
      const shown = await words(page, `[data-page="${name}"]`);
      return (shown.length > 80 && !/Loading|Asking/.test(shown)) || shown;
    });
  }
  await page.locator('#curve-orders canvas').waitFor(); // the drawing library is the service's own
  await page.goto(here.service.url + '/docs');
  await eventually('the API is listed', async () => (await page.locator('body').innerText()).includes('/v1/sales'));
  calm(page, here.service.url);
  for (const path of ['/', '/app.js', '/app.css', '/docs/']) {
    const { headers } = await here.service.ask('GET', path);
    const policy = headers['content-security-policy'] ?? '';
    assert.match(policy, /default-src '(none|self)'/, `${path}: ${policy}`);
    assert.doesNotMatch(policy.replace(/style-src[^;]*/, path === '/docs/' ? '' : '$&'), /unsafe|\*|https?:/, path);
  }
}, 90);

sentence('over the wire the script is at most 60 KB, and the first load at most 80 KB', async (t) => {
  const page = await look(t, here.browser, here.service.url);
  await says(page, '#badge-word', /^live$/);
  const parts = page.asked.map((asked) => new URL(asked).pathname).filter((path) => !path.startsWith('/v1/'));
  assert.deepEqual([...new Set(parts)].sort(), ['/', '/app.css', '/app.js'], 'one page, one style, one script');
  let wire = 0;
  for (const path of parts) {
    const { bytes, headers } = await here.service.ask('GET', path, { headers: { 'accept-encoding': 'gzip' } });
    assert.equal(headers['content-encoding'], 'gzip', path);
    if (path === '/app.js') assert.ok(bytes <= 60_000, `${bytes} bytes of script`);
    wire += bytes + JSON.stringify(headers).length;
  }
  assert.ok(wire <= 80_000, `${wire} bytes`);
});

sentence('thirty and more strategies are found by name, verdict and family, and say what is not shown', async (t) => {
  await here.service.keep(rush);
  const page = await look(t, here.browser, `${here.service.url}/#/runs/${rush.id}`);
  const shown = () => page.locator('.tile').count();
  await eventually('all are drawn', async () => await shown() === rush.results.length || shown());
  const families = await page.locator('.family').evaluateAll((all) => all.map((one) => one.dataset.family));
  assert.equal(families[0], 'naive', 'the family in trouble leads');
  assert.ok(['sql', 'locks', 'redis', 'batching'].every((one) => families.includes(one)), families.join());
  await page.fill('#filter-text', 'lock_pg');
  const locks = rush.results.filter((r) => r.strategy.includes('lock_pg')).length;
  await says(page, '#filter-count', new RegExp(`^${locks} of ${rush.results.length} strategies shown$`));
  assert.deepEqual([await shown(), await page.locator('#ledger tbody tr').count()], [locks, locks], 'the tables follow');
  await page.fill('#filter-text', '');
  await page.selectOption('#filter-verdict', 'OVERSOLD');
  await eventually('only what oversold', async () => (await page.locator('.tile:not([data-verdict="OVERSOLD"])').count()) === 0);
  await page.selectOption('#filter-family', 'batching');
  await says(page, '#tiles-none', /No strategy of this run fits that/);
  calm(page, here.service.url);
});

sentence('in front of a room there are no forms, large type, and an artificial window is called so', async (t) => {
  await here.service.keep(traced('20261103-080000', { parameters: { ...traced('x').parameters, race_window_ms: 5 } }));
  const page = await look(t, here.browser, here.service.url + '/?present=1#/runs/20261103-080000');
  await says(page, '#artificial', /Artificial race window: 5 ms/);
  const size = () => page.evaluate(() => parseFloat(getComputedStyle(document.querySelector('.tile')).fontSize));
  const large = await size();
  assert.equal(await page.locator('#filter').isVisible(), false);
  await turn(page, '#/trace/20261103-080000/naive/3', 'trace');
  await says(page, '[data-page="trace"]', /Artificial: .*5 ms/);
  await turn(page, '#/new', 'new');
  assert.equal(await page.locator('form:visible').count(), 0, 'nothing to fill in');
  await turn(page, '#/runs/20261103-080000', 'board');
  await page.keyboard.press('Escape');
  await page.locator('#filter').waitFor();
  assert.ok(large > 1.2 * await size(), 'the type is larger for a room');
  assert.doesNotMatch(page.url(), /present/);
  calm(page, here.service.url);
});

sentence('a button that breaks something switches what it says', async (t) => {
  const page = await look(t, here.browser, here.service.url);
  await page.locator('#lab').waitFor();
  await page.evaluate(() => document.querySelectorAll('#lab details').forEach((one) => { one.open = true; }));
  for (const button of await page.locator('[data-fault]').all()) {
    const [fault, argument] = [await button.getAttribute('data-fault'), Number(await button.getAttribute('data-argument'))];
    for (const [on, pressed] of [[argument, 'true'], [null, 'false']]) {
      await button.click();
      await eventually(`${fault} is ${on}`, async () => {
        const faults = await here.service.get('/v1/lab/faults');
        return (faults[fault] ?? null) === on || faults;
      });
      await eventually('the button says it', async () => await button.getAttribute('aria-pressed') === pressed || button.innerText());
      assert.match(await button.innerText(), on ? /: on/ : /: off/);
    }
  }
  assert.equal(await page.locator('[data-fault]').count(), 3);
  await page.click('#kill-redis'); // these servers were named by whoever runs the tests, so they are not ours to kill
  await says(page, '#lab-error', /none of them is killed/);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'lab-error', 'the reader is taken to the refusal');
  calm(page, here.service.url, /status of 409/);
});

sentence('a service that dies is said to be lost, what was known stays, and it is live again by itself', async (t) => {
  await here.service.keep(traced('20261104-080000'));
  const page = await look(t, here.browser, here.service.url);
  await says(page, '#badge-word', /^live$/);
  await page.evaluate(() => { window.never_left = true; });
  const before = await words(page, '#verdict-sentence');
  await here.service.away(async () => {
    await says(page, '#badge-word', /^(lost|polling)/);
    assert.equal(await words(page, '#verdict-sentence'), before, 'what was known stays');
  });
  await says(page, '#badge-word', /^live$/, PATIENT);
  assert.equal(await page.evaluate(() => window.never_left), true, 'without a reload');
  await here.service.keep(short('20261105-080000', ['atomic_update']));
  await says(page, '#verdict-sentence', /The one judged strategy HELD/);
  calm(page, here.service.url, /ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|ERR_NETWORK/);
});

sentence('a name that would be markup is shown as the name that it is', async (t) => {
  const sale = { name: HOSTILE, units: 3, strategy: 'atomic_update' };
  const opened = await here.service.ask('POST', '/v1/sales', { body: sale });
  assert.equal(opened.status, 201, opened.text);
  const page = await look(t, here.browser, here.service.url + '/#/live');
  await eventually('the sale is listed', async () => (await words(page, '[data-page="live"]')).includes(HOSTILE.slice(0, 40)));
  const name = encodeURIComponent(HOSTILE);
  for (const [hash, root] of [[`#/strategy/${name}`, 'strategy'], [`#/trace/${name}/${name}/1`, 'trace'],
    [`#/compare/${name}/${name}`, 'compare'], [`#/runs/${name}`, 'board']]) {
    await turn(page, hash, root);
    await eventually(`${hash} is named`, async () => (await words(page, `[data-page="${root}"]`)).includes('<img src=/x'));
  }
  assert.deepEqual(await page.evaluate(() => [window.owned ?? 0, document.images.length]), [0, 0]);
  calm(page, here.service.url, /status of 404/);
});

if (process.env.SCREENSHOTS) {
  sentence('the picture of the README shows a run of a few strategies that was made for it', async (t) => {
    const strategies = ['naive', 'unguarded_decrement', 'skip_locked_count', 'lock_released_before_commit', 'atomic_update', 'row_lock',
      'group_commit', 'redis_lua'];
    await here.service.load({ strategies, buyers: 200, attempts: 2000, stock: 100, seed: 20261124 });
    const page = await look(t, here.browser, here.service.url, { height: 1000 });
    await eventually('all are drawn', async () => await page.locator('.tile').count() === strategies.length);
    await says(page, '#badge-word', /^live$/);
    await picture(page, 'dashboard');
  });
}
