// The promise to a newcomer: from `./run demo` to his own report in one sitting, reading words.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PATIENT, begin, calm, eventually, freshDatabase, launch, look, says, sentence, temporary, words } from './support.mjs';

/** The demo as `./run demo` starts it, with fewer strategies: it stays up until it is told to end. */
async function demo(t, runs, strategies, servers) {
  const args = ['demo', '--bind', '127.0.0.1:0', '--runs-dir', runs, '--strategies', strategies, '--seed', '7'];
  const shown = await begin(args, { ...servers, RUST_LOG: 'off' }, 'stderr', /^service and dashboard: (http:\S+)/);
  t.after(() => shown.end('SIGTERM'));
  return shown.said.replace(/\/$/, '');
}

sentence('a newcomer sees what oversold and how, makes a run of his own and takes its report home', async (t) => {
  const folder = temporary();
  const browser = await launch();
  t.after(async () => {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const database = await freshDatabase();
  t.after(database.drop);
  const url = await demo(t, join(folder, 'runs'), 'naive,atomic_update,row_lock', { DATABASE_URL: database.url });
  const page = await look(t, browser, url);

  // He reads in words which strategies oversold.
  await says(page, '#verdict-sentence', /^1 of 3 judged strategies OVERSOLD: naive sold [\d,]+ of 100 units\.$/, PATIENT);
  const first = await words(page, '#verdict-sentence');
  await says(page, '.tile[data-strategy="atomic_update"]', /HELD[^]*100 of 100 sold/);

  // He steps through how naive did it, to the last step.
  await says(page, '#see-how', /See how naive did it/);
  await page.click('#see-how');
  await says(page, '#trace-title', /^How naive sold [\d,]+ of 100 units$/);
  const [, last] = /step 1 of (\d+)/.exec(await words(page, '.stepbar'));
  const read = [];
  for (let n = 1; n <= Number(last); n += 1) {
    await says(page, '.stepbar', new RegExp(`step ${n} of ${last}`));
    read.push(await words(page, '.say'), await words(page, '.state'));
    await page.keyboard.press('ArrowRight');
  }
  const story = read.join('\n');
  assert.match(story, /reads? /, 'he is told who read what');
  assert.match(story, /stale/, 'and what was no longer so when it was used');
  assert.match(story, /too many|written over|lost/, 'and what came of it');

  // He starts a run of his own.
  await page.click('nav a[href="#/new"]');
  await page.click('[data-preset="quick"]');
  await page.click('[data-choose="none"]');
  await page.check('#new-strategies input[value="naive"]');
  await page.check('#new-strategies input[value="row_lock"]');
  await page.fill('#new-stock', '50');
  await page.click('#new-start');
  await says(page, '#verdict-sentence', /^1 of 2 judged strategies OVERSOLD: naive sold [\d,]+ of 50 units\.$/, PATIENT);
  const own = await words(page, '#verdict-sentence');
  assert.notEqual(own, first);

  // He downloads the report and opens it from disk.
  const report = page.locator('#files a', { hasText: 'HTML' });
  const [download] = await Promise.all([page.waitForEvent('download'), report.click()]);
  assert.match(download.suggestedFilename(), /\d{8}-\d{6}.*\.html$/);
  const file = join(folder, download.suggestedFilename());
  await download.saveAs(file);
  calm(page, url);

  const home = await look(t, browser, 'file://' + file);
  await says(home, '#verdict-sentence', /OVERSOLD/);
  assert.equal(await words(home, '#verdict-sentence'), own);
  await home.click('#see-how');
  await says(home, '#trace-title', /^How naive sold [\d,]+ of 50 units$/);
  await home.keyboard.press('End');
  await eventually('the last step', async () => {
    const [, at, of] = /step (\d+) of (\d+)/.exec(await words(home, '.stepbar'));
    return at === of || at;
  });
  assert.deepEqual([home.asked, home.complaints], [['file://' + encodeURI(file)], []], 'a report asks nobody');
}, 150);

sentence('who kills Redis from the page in the middle of a run sees it gone and back, nothing oversold, and it is in the report', async (t) => {
  const folder = temporary();
  const browser = await launch();
  t.after(async () => {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  });
  // Its servers are its own, as in `./run demo`: only such are killed.
  const url = await demo(t, join(folder, 'runs'), 'redis_lua', { DATABASE_URL: undefined, REDIS_URL: undefined });
  const page = await look(t, browser, url);
  await says(page, '#verdict-sentence', /^The one judged strategy HELD\.$/, PATIENT);

  await page.click('nav a[href="#/new"]');
  await page.click('[data-preset="quick"]');
  await page.click('[data-choose="none"]');
  await page.check('#new-strategies input[value="redis_lua"]');
  await page.fill('#new-stock', '4000');
  await page.fill('#new-attempts', '20000');
  await page.fill('#new-slow_store_ms', '10');
  await page.click('#new-start');
  await says(page, '#now', /redis_lua/);
  await page.evaluate(() => document.querySelectorAll('#lab details').forEach((one) => { one.open = true; }));
  await page.click('#kill-redis');
  await says(page, '#announce', /^Redis was killed and is started again\.$/);
  await page.click('nav a[href="#/live"]');
  await says(page, '#live-servers', /redis[^]*down/i);
  await says(page, '#live-servers', /redis[^\n]*up/i, PATIENT);

  await page.click('nav a[href="#/"]');
  await says(page, '.tile[data-strategy="redis_lua"]', /HELD[^]*4000 of 4,?000 sold/, PATIENT);
  await says(page, '#broken', /^Broken on purpose: .*kill redis 2,000 at [\d.]+ s \(redis_lua\)/);
  const [download] = await Promise.all([page.waitForEvent('download'), page.locator('#files a', { hasText: 'Markdown' }).click()]);
  assert.match(readFileSync(await download.path(), 'utf8'), /Broken on purpose[^\n]*kill_redis/);
}, 150);
