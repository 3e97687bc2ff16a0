// Tables, whose cells are text: some of it is the guest's.

/** Fills a table with rows of cells; the first row is its head. */
export function rows(table, all) {
  table.replaceChildren(...all.map((cells, index) => {
    const row = document.createElement("tr");
    row.append(...cells.map((content) => {
      const cell = document.createElement(index === 0 ? "th" : "td");
      if (content instanceof Node) cell.append(content);
      else cell.textContent = content.toLocaleString("en");
      return cell;
    }));
    return row;
  }));
}

/** What all of a list have of something, together. */
export function sum(list, key) {
  return list.reduce((total, one) => total + one[key], 0);
}
