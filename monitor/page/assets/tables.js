// Tables, whose cells are text: some of it is the guest's.

/**
 * Fills a table with rows of cells; the first row is its head. What is as it was
 * stays: a link that is being pressed, text that is chosen.
 */
export function rows(table, all) {
  while (table.rows.length > all.length) table.deleteRow(-1);
  all.forEach((contents, index) => {
    const row = table.rows[index] ??
      table.appendChild(document.createElement("tr"));
    fill(row, contents, index === 0 ? "th" : "td");
  });
}

function fill(row, contents, kind) {
  while (row.cells.length > contents.length) row.deleteCell(-1);
  contents.forEach((content, index) => {
    const cell = row.cells[index] ??
      row.appendChild(document.createElement(kind));
    const node = content instanceof Node
      ? content
      : document.createTextNode(content.toLocaleString("en"));
    if (!cell.firstChild?.isEqualNode(node)) cell.replaceChildren(node);
  });
}

/** What all of a list have of something, together. */
export function sum(list, key) {
  return list.reduce((total, one) => total + one[key], 0);
}
