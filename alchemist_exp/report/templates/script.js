"use strict";
// Tables sort by a click on a heading, and the sample of rows has a search field and filters.
for (const table of document.querySelectorAll(".scroll table")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const first = heading.classList.contains("num") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = heading.getAttribute("aria-sort") === first ? other : first;
      for (const one of headings) one.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [valueOf(row.cells[column]), row]);
      rows.sort(([a], [b]) => sign * compare(a, b));
      body.append(...rows.map(([, row]) => row));
    });
  });
}

function valueOf(cell) {
  const text = cell.dataset.sort ?? cell.textContent.trim();
  const number = parseFloat(text.replace(/[$,]/g, ""));
  return cell.classList.contains("num") || cell.dataset.sort !== undefined ? (Number.isNaN(number) ? -Infinity : number) : text;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a === b ? 0 : a < b ? -1 : 1;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

for (const sample of document.querySelectorAll(".sample")) {
  const controls = sample.querySelector(".controls");
  const search = sample.querySelector("input");
  const buttons = [...sample.querySelectorAll("button")];
  const output = sample.querySelector("output");
  const rows = [...sample.querySelectorAll(".row")].map((row) => ({
    element: row, flags: row.dataset.flags.split(" "),
    text: [...row.querySelectorAll(":scope > .content, :scope > .facts")].map((part) => part.textContent).join(" ").toLowerCase(),
  }));
  const update = () => {
    const flag = buttons.find((button) => button.getAttribute("aria-pressed") === "true").dataset.flag;
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { element, flags, text } of rows) {
      const fits = (!flag || flags.includes(flag)) && words.every((word) => text.includes(word));
      element.hidden = !fits;
      shown += fits;
    }
    output.textContent = `${shown} of ${rows.length} rows are shown.`;
  };
  controls.hidden = false;
  controls.addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", update);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === button));
      update();
    });
  }
  update();
}

// A link to a program opens it.
function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
  }
}
window.addEventListener("hashchange", openTarget);
openTarget();
