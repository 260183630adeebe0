// The strategies: a card for each, from the registry's own words.
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

pages.strategies = {
  open() {},
  draw(_, v, root) {
    const cards = state.cards || [];
    $('cards-empty').hidden = cards.length > 0;
    if ($('cards').children.length !== cards.length) place($('cards'), cards.map(makeCard));
  },
  title: () => 'Strategies',
};
