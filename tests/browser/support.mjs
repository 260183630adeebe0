// What every test of the page starts from: a service of its own on real servers, a browser, and pages that are
// watched. Everything waits for a fact, with a limit, and is ended by its id.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const program = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target', 'debug', 'sellout');
export const [SOON, PATIENT] = [10_000, 40_000];

const executable = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** Said instead of a result where there is no browser; in CI a test without one fails. */
const skip = existsSync(executable) || process.env.CI ? false
  : `no browser at ${executable}: apt-get install chromium, or set CHROMIUM`;

/** A test of the page: a sentence, and how many seconds it may take. */
export const sentence = (name, body, seconds = 60) => test(name, { skip, timeout: seconds * 1000 }, body);

/** What the tests of one file share, begun before the first and ended after the last of them. */
export function stage(settings) {
  const shared = {};
  before(async () => {
    if (skip) return;
    shared.browser = await launch();
    shared.service = await Service.start(settings);
  }, { timeout: 90_000 });
  after(async () => {
    await shared.browser?.close();
    await shared.service?.stop();
  }, { timeout: 30_000 });
  return shared;
}

/** Polls until it is so; what was seen last is told when the limit is over. */
export async function eventually(what, probe, limit = SOON) {
  const end = Date.now() + limit;
  for (;;) {
    const seen = await probe();
    if (seen === true) return;
    if (Date.now() > end) assert.fail(`never within ${limit} ms: ${what}; last seen: ${JSON.stringify(seen)}`);
    await new Promise((done) => { setTimeout(done, 50); });
  }
}

// ---- Processes
const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** A program of ours; `said` is the first line on that stream which fits, its part in parentheses. */
export async function begin(args, environment, stream, pattern) {
  const stdio = ['ignore', stream === 'stdout' ? 'pipe' : 'ignore', stream === 'stderr' ? 'pipe' : 'inherit'];
  const child = spawn(program, args, { env: { ...process.env, ...environment }, stdio });
  children.add(child);
  const ended = new Promise((done) => { child.once('close', done); });
  ended.then(() => children.delete(child));
  const said = await new Promise((found, failed) => {
    const last = [];
    createInterface({ input: child[stream] }).on('line', (line) => {
      last.push(line);
      const match = pattern.exec(line);
      if (match) found(match[1]);
    });
    child.once('error', failed);
    ended.then(() => failed(new Error(`${program} ${args.join(' ')} ended: ${last.slice(-5).join('\n')}`)));
  });
  return { said, ended, end: (signal) => { child.kill(signal); return ended; } };
}

// ---- PostgreSQL
const run = promisify(execFile);
/** What psql prints, without its frame. */
export async function sql(url, statement) {
  const psql = process.env.SELLOUT_PG_BIN ? join(process.env.SELLOUT_PG_BIN, 'psql') : 'psql';
  const { stdout } = await run(psql, [url, '-XAtqc', statement], { timeout: SOON });
  return stdout.trim();
}
/** A database of one's own on the server of DATABASE_URL. */
export async function freshDatabase() {
  const server = process.env.DATABASE_URL;
  assert.ok(server, 'DATABASE_URL is not set: ./run test, or sellout services -- node --test tests/browser/*.test.mjs');
  const name = 'sellout_page_' + randomUUID().replaceAll('-', '');
  await sql(server, `create database ${name}`);
  const url = new URL(server);
  url.pathname = '/' + name;
  return { url: url.href, drop: () => sql(server, `drop database if exists ${name} with (force)`) };
}
export const temporary = () => mkdtempSync(join(tmpdir(), 'sellout-page-'));
/** Nothing of whoever runs the tests decides what they see. */
const SETTLED = { RUST_LOG: 'off', SELLOUT_LAB: undefined, SELLOUT_TOKEN: undefined, SELLOUT_RUNS_DIR: undefined };

/** A service as a process that can be killed, and started again where it was. */
export class Service {
  static async start({ lab = true, ...environment } = {}) {
    const service = new Service();
    Object.assign(service, { lab, runs: temporary(), database: await freshDatabase() });
    service.environment = { ...SETTLED, ...environment, DATABASE_URL: service.database.url };
    await service.startAgain('127.0.0.1:0');
    return service;
  }

  async startAgain(bind = this.url.slice('http://'.length)) {
    const args = ['serve', ...(this.lab ? ['--lab'] : []), '--bind', bind, '--runs-dir', this.runs];
    this.process = await begin(args, this.environment, 'stdout', /^listening on (http:\S+)/);
    this.url = this.process.said;
  }

  /** Killed, and back again where it was after `meanwhile`, also when that fails: others use it too. */
  async away(meanwhile) {
    await this.process.end('SIGKILL');
    try { await meanwhile(); } finally { await this.startAgain(); }
  }

  async stop() {
    await this.process.end('SIGTERM');
    await this.database.drop();
    rmSync(this.runs, { recursive: true, force: true });
  }

  /** Status, headers and body as they are, whatever a browser would not let a page send. */
  ask(method, path, { body, headers = {} } = {}) {
    const sent = body === undefined ? undefined : JSON.stringify(body);
    const typed = { ...(sent && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent) }), ...headers };
    return new Promise((answered, failed) => {
      const asked = request(this.url + path, { method, headers: typed, timeout: SOON, agent: false }, (response) => {
        const parts = [];
        response.on('data', (part) => parts.push(part));
        response.on('end', () => {
          const bytes = Buffer.concat(parts);
          const text = bytes.toString();
          let json = null;
          try { json = JSON.parse(text); } catch { /* a page, or nothing */ }
          answered({ status: response.statusCode, headers: response.headers, bytes: bytes.length, text, json });
        });
        response.on('error', failed);
      });
      asked.on('timeout', () => asked.destroy(new Error(`${method} ${path}: no answer`)));
      asked.on('error', failed);
      asked.end(sent);
    });
  }

  async get(path) {
    const answer = await this.ask('GET', path);
    assert.equal(answer.status, 200, `GET ${path}: ${answer.text}`);
    return answer.json ?? answer.text;
  }

  /** Keeps runs as the load test does; the last of them is the newest. */
  async keep(...runs) {
    for (const kept of runs) {
      const { status, text } = await this.ask('PUT', '/v1/runs/' + kept.id, { body: kept });
      assert.equal(status, 204, text);
    }
  }

  /** A real run, asked for as the form asks for it, until it is over. */
  async load(asked) {
    const { status, json, text } = await this.ask('POST', '/v1/lab/runs', { body: asked });
    assert.equal(status, 202, text);
    await this.rest(json.id);
    return this.get('/v1/runs/' + json.id);
  }

  /** Waits until the run that was asked for is over, and has not failed. */
  async rest(id, limit = PATIENT) {
    await eventually(`run ${id} ends`, async () => {
      const now = await this.get('/v1/lab/runs/current');
      return (now.id === id && now.state === 'ended') || now;
    }, limit);
  }

  sold(result) {
    return sql(this.database.url, `select coalesce(sum(quantity), 0) from orders where sale_id = '${result.sale_id}'`).then(Number);
  }
}

// ---- The browser
export function launch() {
  const root = process.getuid?.() === 0; // root has no sandbox to go into
  return chromium.launch({ executablePath: executable, timeout: PATIENT, args: [...(root ? ['--no-sandbox'] : []),
    '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] });
}

/** Every document says what its policy refused, from its first byte on. */
const WITNESS = `addEventListener('securitypolicyviolation', (e) =>
  console.error('policy: ' + e.violatedDirective + ' refused ' + (e.blockedURI || 'something inline')));`;

/** A page that is watched: `page.asked` are the addresses it asked for, `page.complaints` what it complained of. */
export async function look(t, browser, address, { width = 1280, height = 860, ...how } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: 'light', ...how });
  t.after(() => context.close());
  context.setDefaultTimeout(SOON);
  await context.addInitScript(WITNESS);
  const page = await context.newPage();
  Object.assign(page, { asked: [], complaints: [] });
  page.on('request', (asked) => asked.url().startsWith('data:') || page.asked.push(asked.url()));
  page.on('console', (line) => line.type() === 'error' && page.complaints.push(`${line.text()} (${line.location().url})`));
  page.on('pageerror', (error) => page.complaints.push(error.stack));
  await page.goto(address);
  return page;
}

/** It complained of nothing, and asked nobody but the service. `but`: what this test brought about itself. */
export function calm(page, url, but = /^$/) {
  assert.deepEqual(page.complaints.filter((line) => !but.test(line)), [], 'it complains');
  assert.deepEqual(page.asked.filter((asked) => !asked.startsWith(url + '/')), [], 'it asks elsewhere');
}

/** The place of that name says so, where a reader sees it. */
export async function says(page, selector, pattern, limit = SOON) {
  const node = page.locator(selector).first();
  await eventually(`${selector} says ${pattern}`, async () => {
    if (!await node.isVisible()) return 'not visible';
    const words = await node.innerText();
    return pattern.test(words) || words;
  }, limit);
}
export const words = (page, selector) => page.locator(selector).first().innerText();

/** The page behind an address is there. */
export async function turn(page, hash, name) {
  await page.evaluate((to) => { location.hash = to; }, hash);
  await page.locator(`[data-page="${name}"]`).waitFor();
}

/** Tab by Tab to what fits, as who has no mouse goes there; where he is must be seen at every stop. */
export async function tabTo(page, selector, limit = 150) {
  for (let stops = 0; stops < limit; stops += 1) {
    await page.keyboard.press('Tab');
    const [there, ring, name] = await page.evaluate((wanted) => {
      const at = document.activeElement;
      const { outlineStyle: style, outlineWidth: width } = getComputedStyle(at);
      return [at.matches(wanted), at === document.body || (style !== 'none' && parseFloat(width) >= 1), at.outerHTML.slice(0, 120)];
    }, selector);
    assert.ok(ring, `who tabs to it does not see that he is there: ${name}`);
    if (there) return;
  }
  assert.fail(`no Tab leads to ${selector}`);
}

/** A picture for the README, when it is asked for: SCREENSHOTS=docs ./run test. */
export async function picture(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  mkdirSync(resolve(root, folder), { recursive: true });
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: resolve(root, folder, `${name}-${colorScheme}.png`), animations: 'disabled' });
  }
  await page.emulateMedia({ colorScheme: 'light' });
}
