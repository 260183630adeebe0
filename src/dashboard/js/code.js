// Colours for the statements and sources on the cards, and pieces that the pages after it share.
const KEYWORDS = new Set(`select insert update delete from into values set where and or not null is in exists with as returning on
  conflict do nothing join left lateral group order by limit for share skip locked case when then else end distinct union all true
  false having local function return if elseif while repeat until break nil async await const crate dyn enum fn impl let loop match
  mod move mut pub ref self Self static struct trait type unsafe use`.split(/\s+/));
const NUMBER_OR_WORD = String.raw`|(\$\d+|\b\d[\w.]*)|([A-Za-z_]\w*)`;
const TOKENS = { // by the ending of the file's name: comment, string, number, word
  sql: String.raw`(--.*)|('(?:''|[^'])*')`,
  lua: String.raw`(--\[\[[^]*?\]\]|--.*)|("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\[\[[^]*?\]\])`,
  rs: String.raw`(\/\/.*|\/\*[^]*?\*\/)|(r#"[^]*?"#|"(?:\\[^]|[^"\\])*"|'(?:\\.[^']*|[^'\\])')`, // a lifetime has no second quote
};

/** The nodes of a file's text: text and spans, never markup. */
function highlight(file, source) {
  const [nodes, pattern] = [[], TOKENS[file.slice(file.lastIndexOf('.') + 1)]];
  let done = 0;
  for (const token of pattern ? source.matchAll(new RegExp(pattern + NUMBER_OR_WORD, 'g')) : []) {
    const [words, comment, string, number] = token;
    const kind = comment ? 'comment' : string ? 'string' : number ? 'number' : KEYWORDS.has(words) && 'keyword';
    if (!kind) continue;
    nodes.push(source.slice(done, token.index), h('span', { class: 'code-' + kind }, words));
    done = token.index + words.length;
  }
  return [...nodes, source.slice(done)];
}
/** A file under its name; who follows a link to it lands on the name. */
const codeBlock = (file, source, label) => [h('h3', { id: 'file-' + file, tabindex: -1 }, file),
  h('pre', { tabindex: 0, role: 'region', 'aria-label': `${label}, ${file}` }, ...highlight(file, source))];

const para = (name, ...words) => h('p', { class: name }, ...words);
const scrollBox = (name, label, ...nodes) =>
  h('div', { class: name + ' scroll', tabindex: 0, role: 'region', 'aria-label': label }, ...nodes);
const termList = (pairs) =>
  h('dl', { class: 'terms' }, ...pairs.flatMap(([term, ...facts]) => [h('dt', null, term), h('dd', null, ...facts)]));
const headed = (title, ...nodes) => h('section', null, h('h2', null, title), h('div', null, ...nodes));
/** A table of rows; the first cell of each is its head. */
const plainTable = (caption, heads, rows) => h('table', null, h('caption', { class: 'quiet' }, caption),
  h('thead', null, h('tr', null, ...heads.map((head) => h('th', { scope: 'col' }, head)))),
  h('tbody', null, ...rows.map(([first, ...cells]) => h('tr', null, h('th', { scope: 'row' }, ...[first].flat()),
    ...cells.map((cell) => h('td', null, ...[cell].flat()))))));
