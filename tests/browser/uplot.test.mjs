// The vendored files are those of the npm package, byte for byte. The package is fetched by npm, which holds it
// against the integrity that the readme names; where npm cannot be had the test says so and is skipped, but never
// in CI.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../src/dashboard/vendor/', import.meta.url));
const readme = readFileSync(join(folder, 'README.md'), 'utf8');
const said = (pattern) => readme.match(pattern)[1];
const rows = [...readme.matchAll(/^\| `([^`]+)` \| `([^`]+)` \|/gm)].map(([, file, path]) => ({ file, path }));

/** The package as npm gives it, unpacked below `home`; its tarball is checked here too. */
function fetchPackage(home) {
    const spec = said(/package: `([^`]+)`/);
    const npm = ['pack', spec, '--json', '--pack-destination', home];
    const [packed] = JSON.parse(execFileSync('npm', npm, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
    const tarball = join(home, packed.filename);
    const sum = createHash('sha512').update(readFileSync(tarball)).digest('base64');
    assert.equal(`sha512-${sum}`, said(/integrity: `([^`]+)`/), 'the tarball is the one that the readme names');
    execFileSync('tar', ['xzf', tarball, '-C', home]);
    return join(home, 'package');
}

test('uPlot is what npm has, byte for byte', (t) => {
    const home = mkdtempSync(join(tmpdir(), 'uplot-'));
    t.after(() => rmSync(home, { recursive: true }));
    let unpacked;
    try {
        unpacked = fetchPackage(home);
    } catch (e) {
        if (process.env.CI || e.code === 'ERR_ASSERTION') throw e;
        return t.skip(`npm cannot be had here: ${e.message.split('\n')[0]}`);
    }
    assert.equal(rows.length, 3);
    for (const { file, path } of rows) {
        const same = readFileSync(join(folder, file)).equals(readFileSync(join(unpacked, path)));
        assert.ok(same, `${file} is ${path} of the package`);
    }
});
