// sellout: the same page for who listens to it or has no mouse. It is drawn anew with each click, so mended anew.
const MEND = {
  // One heading after the other: the name of the page, the groups, then what is in them.
  'h3.opblock-tag, section.models h4': (h) => h.setAttribute('aria-level', '2'),
  '.opblock-body h4, .opblock-body h5': (h) => h.setAttribute('aria-level', '3'),
  // A link to the operation within the button that opens it: the address bar has the same.
  '.opblock-summary-control a[href]': (a) => a.removeAttribute('href'),
  '.body-param textarea': (field) => field.setAttribute('aria-label', 'Request body'),
  // Many tables of answers, each its operation's.
  'table[role=region]': (table) => table.setAttribute('aria-label', table.id.replaceAll('_', ' ')),
  // What is wider than its frame can be moved with the arrow keys.
  'pre.microlight, .table-container': (wide) => wide.setAttribute('tabindex', '0'),
};
const mend = () => {
  const root = document.getElementById('swagger-ui');
  for (const [where, how] of Object.entries(MEND)) root.querySelectorAll(where).forEach(how);
};
new MutationObserver(mend).observe(document.getElementById('swagger-ui'), { childList: true, subtree: true });
