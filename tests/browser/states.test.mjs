// The promise: whatever state there is has words and a next step, and what only a lab may do is refused elsewhere.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOSTILE, hostile, rush, short, traced } from './kept.mjs';
import { PATIENT, SOON, Service, calm, eventually, look, says, sentence, stage, temporary, turn, words } from './support.mjs';

const here = stage({ ZOOKEEPER_HOSTS: '' }); // so that a strategy is not available for sure
const OPERATOR = 'an-operator-of-the-page-tests';

sentence('where nothing is yet the page says so, and how to begin', async (t) => {
  const page = await look(t, here.browser, here.service.url);
  await says(page, '#verdict-sentence', /^No run yet: start one with \.\/run load$/);
  assert.equal(await page.locator('[data-run]:visible').count(), 0, 'no empty tables');
  await turn(page, '#/runs', 'runs');
  await says(page, '#runs-empty', /No run is kept yet\. Start one from New run/);
  await page.click('#runs-empty a');
  await says(page, '#new-form', /Start the run/);
  await turn(page, '#/live', 'live');
  await says(page, '#live-sum', /^0 sales open/);
  await turn(page, '#/compare', 'compare');
  await says(page, '#compare-title', /There is no run/);
  await turn(page, '#/strategy/nothing', 'strategy');
  await says(page, '[data-page="strategy"]', /There is no strategy nothing/);
  await turn(page, '#/runs/nothing', 'board');
  await says(page, '#verdict-sentence', /No run nothing is kept here/);
  await says(page, '#notice', /Back to the newest run/);
  await page.click('#notice a');
  await says(page, '#verdict-sentence', /^No run yet/);
  await turn(page, '#/no-such-page', 'board');
  calm(page, here.service.url, /status of 404/);
});

sentence('what the form is refused is said in words beside it, and the reader is taken there', async (t) => {
  const page = await look(t, here.browser, here.service.url + '/#/new');
  await page.locator('#new-strategies input').first().waitFor();
  const refused = async (pattern) => {
    await page.click('#new-start');
    await says(page, '#new-error', pattern);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'new-error');
  };
  await page.click('[data-choose="none"]');
  await refused(/Choose at least one strategy/);
  await page.check('#new-strategies input[value="noop"]');
  await page.fill('#new-attempts', '10');
  await page.fill('#new-buyers', '40'); // each buyer asks once at least
  await refused(/attempts|buyers/);
  await page.locator('#new-start:not([aria-disabled])').waitFor(); // it was tried, and is over
  await here.service.away(() => refused(/does not answer/));
  await says(page, '#badge-word', /^live$/, PATIENT);
  const missing = page.locator('#new-strategies label', { has: page.locator('input[value="lock_zookeeper"]') });
  await eventually('it says what is missing', async () => {
    const told = await missing.innerText();
    return /ZOOKEEPER_HOSTS|ZooKeeper/.test(told) || told;
  });
  assert.equal(await missing.locator('input').isDisabled(), true);
  calm(page, here.service.url, /status of 4|ERR_/);
});

sentence('a strategy that cannot run is skipped, with the reason and what would enable it', async (t) => {
  const run = await here.service.load({ strategies: ['lock_zookeeper', 'noop'], buyers: 5, attempts: 20, stock: 5, seed: 7 });
  const page = await look(t, here.browser, `${here.service.url}/#/runs/${run.id}`);
  const skipped = '.tile[data-strategy="lock_zookeeper"]';
  await says(page, skipped, /SKIPPED/);
  await says(page, skipped, /ZooKeeper|ZOOKEEPER_HOSTS/);
  await says(page, '.tile[data-strategy="noop"]', /CONTROL/);
  await says(page, '#verdict-sentence', /No strategy was judged/);
  calm(page, here.service.url);
});

sentence('a run that is stopped from the page says that it was cancelled, and stays listed', async (t) => {
  const page = await look(t, here.browser, here.service.url + '/#/new');
  await page.locator('#new-strategies input').first().waitFor();
  await page.click('[data-choose="none"]');
  await page.check('#new-strategies input[value="atomic_update"]');
  await page.fill('#new-attempts', '1000000');
  await page.fill('#new-stock', '1000000');
  await page.fill('#new-buyers', '20');
  await page.click('#new-start');
  await says(page, '#progress-text', /[1-9][\d,]* of 1,000,000 attempts answered/, PATIENT);
  const { id } = await here.service.get('/v1/lab/runs/current');
  const second = await here.service.ask('POST', '/v1/lab/runs', { body: { strategies: ['noop'], buyers: 1, attempts: 1, stock: 1 } });
  assert.deepEqual([second.status, second.json.type], [409, '/problems/run-active']);
  await turn(page, '#/new', 'new');
  await says(page, '#new-busy', new RegExp(`Run ${id} is under way`));
  assert.equal(await page.locator('#new-start').getAttribute('aria-disabled'), 'true');
  await turn(page, '#/', 'board');
  await page.click('#stop');
  await here.service.rest(id);
  await says(page, '#verdict-sentence', /^Cancelled run, /, PATIENT);
  assert.equal(await page.locator('#stop').isVisible(), false);
  const run = await here.service.get('/v1/runs/' + id);
  assert.equal(run.cancelled, true);
  await turn(page, '#/runs', 'runs');
  await says(page, `[data-run-id="${id}"]`, /cancelled/);
  calm(page, here.service.url);
});

sentence('a run that was cut off stays listed as incomplete, and can be deleted from the page', async (t) => {
  const cut = short('20261101-080000', ['naive', 'atomic_update', 'row_lock'], { finished_at: null, exit_code: null });
  cut.results = cut.results.slice(0, 1);
  await here.service.keep(cut, short('20261102-080000'));
  const page = await look(t, here.browser, here.service.url + '/#/runs');
  await says(page, `[data-run-id="${cut.id}"]`, /incomplete/);
  await turn(page, '#/runs/' + cut.id, 'board');
  await says(page, '#verdict-sentence', /^Incomplete run, 1 of 3 strategies\. 1 of 1 judged strategy OVERSOLD/);
  await says(page, '.tile[data-strategy="row_lock"]', /NOT RUN[^]*ended before its turn/);
  await turn(page, '#/runs', 'runs');
  page.on('dialog', (asked) => asked.accept());
  await page.click(`[data-delete="${cut.id}"]`);
  await page.locator(`[data-run-id="${cut.id}"]`).waitFor({ state: 'detached' });
  assert.equal((await here.service.ask('GET', '/v1/runs/' + cut.id)).status, 404);
  calm(page, here.service.url);
});

sentence('two runs are compared in words, and a warning says when they may not be', async (t) => {
  const faster = short('20261103-080000');
  const environment = { ...rush.environment, cpu: 'Another' };
  const other = short('20261104-080000', ['naive', 'atomic_update'], { environment });
  other.results.find((r) => r.strategy === 'atomic_update').accepted_per_s *= 2;
  await here.service.keep(faster, other);
  const page = await look(t, here.browser, here.service.url + '/#/runs');
  for (const { id } of [faster, other]) await page.check(`[data-run-id="${id}"] input`);
  await page.click('#compare');
  await says(page, '#compare-title', /Speed: 1 faster, 0 slower, 1 about the same/);
  await says(page, '#compare-warnings', /differ in cpu: .*Another/);
  await says(page, '#compare-rows', /\+100 %, better/);
  calm(page, here.service.url);
});

sentence('a report opens from disk with board and trace, asks nobody, and complains of nothing', async (t) => {
  const folder = temporary();
  t.after(() => rmSync(folder, { recursive: true }));
  await here.service.keep(hostile('20261105-080000'), traced('20261106-080000'));
  for (const id of ['20261105-080000', '20261106-080000']) {
    const { text, headers } = await here.service.ask('GET', `/v1/runs/${id}/report.html`);
    assert.match(headers['content-disposition'] ?? '', new RegExp(`filename="[^"]*${id}[^"]*\\.html"`));
    const file = join(folder, id + '.html');
    writeFileSync(file, text);
    const page = await look(t, here.browser, 'file://' + file);
    await says(page, '#verdict-sentence', /OVERSOLD: naive sold 1,275 of 100 units/);
    await says(page, '#notice', /One file, no network/);
    assert.equal(await page.locator('#curves figure').count(), 2, 'the curves are drawn');
    assert.equal(await page.locator('#ledger tbody tr').count(), 2);
    assert.equal(await page.locator('[data-live]').count(), 0, 'nothing that needs the service');
    await page.click('#see-how');
    await says(page, '[data-page="trace"]', /step 1 of 12/);
    await page.keyboard.press('End');
    await says(page, '[data-page="trace"]', /step 12 of 12[^]*101 of 100 sold/);
    assert.equal(await page.locator('.stepper[data-strategy="naive"] svg [data-step]').count(), 12, 'the diagram is drawn');
    assert.deepEqual(page.asked, ['file://' + file], 'a report asks nobody');
    assert.deepEqual(page.complaints, []);
  }
});

sentence('hostile words stay words, on the page and in the report', async (t) => {
  const folder = temporary();
  t.after(() => rmSync(folder, { recursive: true }));
  const id = '20261107-080000';
  await here.service.keep(hostile(id));
  writeFileSync(join(folder, 'report.html'), await here.service.get(`/v1/runs/${id}/report.html`));
  for (const base of [here.service.url + '/', 'file://' + join(folder, 'report.html')]) {
    const page = await look(t, here.browser, base + '#/runs/' + id);
    await says(page, '.tile', /OVERSOLD/);
    const board = await page.locator('[data-page="board"]').textContent();
    for (const n of [0, 1, 2, 3, 4]) assert.ok(board.includes(`${n}: ${HOSTILE}`), `${n} is not on the board of ${base}`);
    await page.evaluate((to) => { location.hash = to; }, `#/trace/${id}/naive/3`);
    await says(page, '[data-page="trace"]', /step 3 of 12/);
    const told = await page.locator('[data-page="trace"]').textContent();
    for (const n of [5, 6, 7, 8, 9]) assert.ok(told.includes(`${n}: ${HOSTILE}`), `${n} is not in the trace of ${base}`);
    assert.deepEqual(await page.evaluate(() => [window.owned ?? 0, document.images.length]), [0, 0], base);
    assert.deepEqual(page.complaints, [], base);
  }
});

sentence('without the lab there is no form, and whatever only a lab may do is refused', async (t) => {
  const service = await Service.start({ lab: false, SELLOUT_TOKEN: OPERATOR });
  t.after(() => service.stop());
  const page = await look(t, here.browser, service.url);
  await says(page, '#badge-word', /^live$/);
  for (const [hash, name] of [['#/', 'board'], ['#/new', 'new'], ['#/runs', 'runs']]) {
    await turn(page, hash, name);
    assert.equal(await page.locator('#lab:visible, #new-form:visible, #stop:visible, [data-delete]:visible').count(), 0, hash);
  }
  await turn(page, '#/new', 'new');
  await says(page, '#new-off', /without its lab[^]*\.\/run demo/);
  const asks = [['POST', '/v1/lab/runs', { strategies: ['naive'] }], ['POST', '/v1/lab/runs/x/cancel'], ['PUT', '/v1/lab/faults', {}],
    ['POST', '/v1/lab/faults/kill-redis'], ['PUT', '/v1/runs/x', traced('x')], ['DELETE', '/v1/runs/x']];
  for (const [method, path, body] of asks) {
    const { status, json, text } = await service.ask(method, path, { body });
    assert.deepEqual([status, json?.type], [404, '/problems/lab-only'], `${method} ${path}: ${text}`);
  }
  assert.equal((await service.ask('POST', '/v1/sales', { body: { name: 'x', units: 1, strategy: 'atomic_update' } })).status, 401);

  await turn(page, '#/live', 'live');
  await says(page, '#live-state', /Only an operator may see this/);
  await page.fill('#live-form input', 'not-the-token-of-anybody');
  await page.click('#live-form button');
  await says(page, '#live-state', /That token is not an operator’s/);
  await page.fill('#live-form input', OPERATOR);
  await page.click('#live-form button');
  await says(page, '#live-sum', /0 sales open/);
  await says(page, '#live-servers', /PostgreSQL[^]*up/i);
  calm(page, service.url, /status of 40[13]/);
}, 90);

sentence('a page of another site changes nothing, and no other name leads here', async () => {
  const { service } = here;
  const own = new URL(service.url).host;
  const asks = [['POST', '/v1/lab/runs', { strategies: ['noop'] }], ['PUT', '/v1/lab/faults', { slow_store_ms: 5 }],
    ['POST', '/v1/sales', { name: 'x', units: 1, strategy: 'naive' }], ['PUT', '/v1/runs/20261108-080000', short('20261108-080000')]];
  for (const headers of [{ origin: 'https://shop.example' }, { origin: 'null' }, { host: 'rebound.example' },
    { host: 'rebound.example', origin: 'http://rebound.example' }]) {
    for (const [method, path, body] of asks) {
      const { status, json, text } = await service.ask(method, path, { body, headers });
      assert.deepEqual([status, json?.type], [403, '/problems/forbidden'], `${JSON.stringify(headers)} ${method} ${path}: ${text}`);
    }
  }
  assert.deepEqual(Object.values(await service.get('/v1/lab/faults')).filter((on) => on != null), []);
  const same = await service.ask('PUT', '/v1/lab/faults', { body: {}, headers: { origin: `http://${own}` } });
  assert.equal(same.status, 200, same.text);
}, SOON / 1000);
