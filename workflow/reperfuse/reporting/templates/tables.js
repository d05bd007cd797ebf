"use strict";
for (const table of document.querySelectorAll("table.data")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const all = [...body.rows], size = Number(table.dataset.page) || 100;
  let rows = all, at = 0;
  const bar = document.createElement("div");
  bar.className = "controls";
  const search = document.createElement("input");
  search.type = "search"; search.placeholder = "filter"; search.setAttribute("aria-label", "filter rows");
  const state = document.createElement("select"), column = heads.findIndex(h => "filter" in h.dataset);
  state.setAttribute("aria-label", "filter by " + (column < 0 ? "" : heads[column].textContent));
  const text = (row, i) => row.cells[i].dataset.v ?? row.cells[i].textContent.trim();
  if (column >= 0) {
    state.add(new Option("all", ""));
    [...new Set(all.map(r => text(r, column)))].sort().forEach(v => state.add(new Option(v, v)));
    bar.append(state);
  }
  const back = document.createElement("button"), next = document.createElement("button"), where = document.createElement("span");
  back.textContent = "previous"; next.textContent = "next"; where.setAttribute("aria-live", "polite");
  bar.append(search, back, next, where);
  table.parentElement.before(bar);
  const show = () => {
    at = Math.max(0, Math.min(at, Math.floor((rows.length - 1) / size) * size));
    body.replaceChildren(...rows.slice(at, at + size));
    where.textContent = rows.length ? `${at + 1} to ${Math.min(at + size, rows.length)} of ${rows.length}` : "none";
    back.disabled = at === 0; next.disabled = at + size >= rows.length;
    back.hidden = next.hidden = rows.length <= size && at === 0;
  };
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows = all.filter(r => (!state.value || text(r, column) === state.value)
      && words.every(w => r.textContent.toLowerCase().includes(w)));
    at = 0; show();
  };
  search.oninput = state.onchange = filter;
  back.onclick = () => { at -= size; show(); };
  next.onclick = () => { at += size; show(); };
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.textContent = head.textContent; head.replaceChildren(button);
    button.onclick = () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(h => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const number = s => (s === "" || s === "–" ? NaN : Number(s.replace(/\u202f/g, "").replace("\u2212", "-")));
      all.sort((a, b) => {
        const x = text(a, i), y = text(b, i), m = number(x), n = number(y);
        if (!Number.isNaN(m) && !Number.isNaN(n)) return sign * (m - n);
        return Number.isNaN(m) && Number.isNaN(n) ? sign * x.localeCompare(y, "en", { numeric: true }) : Number.isNaN(m) ? 1 : -1;
      });
      filter();
    };
  });
  show();
}
