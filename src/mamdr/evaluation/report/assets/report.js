"use strict";
// The page is whole without this script; it adds paging, filtering and sorting of the tables, and quick tooltips.
(() => {
  const MINUS = "\u2212", NONE = "n/a", NO_OWN = "none";
  const byId = (id) => document.getElementById(id);
  document.documentElement.classList.add("js");

  const element = (tag, css, text) => {
    const node = document.createElement(tag);
    if (css) node.className = css;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  const decimal = (n) => {            // n in ten-thousandths
    const digits = String(Math.abs(n)).padStart(5, "0");
    return (n < 0 ? MINUS : "") + digits.slice(0, -4) + "." + digits.slice(-4);
  };
  const signed = (n) => (n > 0 ? "+" : "") + decimal(n);

  // Order of two values, absent ones last in both directions.
  const compare = (a, b, up) => {
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "string" ? a.localeCompare(b) : a - b;
    return up ? order : -order;
  };

  // Make the headings of a table sort: `sort(heading, up)` does it, numbers start from the largest.
  const sortable = (table, sort) => {
    const heads = [...table.tHead.querySelectorAll("th")].filter((th) => th.querySelector("button"));
    for (const th of heads) {
      th.querySelector("button").addEventListener("click", () => {
        const now = th.getAttribute("aria-sort");
        const up = now ? now === "descending" : !th.classList.contains("n");
        for (const other of heads) other.removeAttribute("aria-sort");
        th.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(th, up);
      });
    }
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    sortable(table, (th, up) => {
      const value = (row) => {
        const cell = row.cells[th.cellIndex];
        if (th.cellIndex === 0) return cell.textContent;
        return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b), up)));
    });
  }

  const domains = () => {
    const source = byId("domain-data");
    if (!source) return;
    const data = JSON.parse(source.textContent);
    const names = data.names.map((name) => name.toLowerCase());
    const verdicts = data.lift.map((columns) => columns[3]);
    const table = byId("domain-table"), status = byId("domain-status");
    const filter = byId("domain-filter"), verdict = byId("domain-verdict"), size = byId("domain-size");
    const previous = byId("domain-previous"), next = byId("domain-next");
    const all = data.names.map((_, i) => i);
    let order = all, shown = all, page = 0;

    const tests = {
      all: () => true,
      gain: (i) => verdicts.some((v) => v[i] === 1),
      lose: (i) => verdicts.some((v) => v[i] === -1),
      none: (i) => data.auc.some((column) => column[i] === null),
    };
    const own = (n, unit) => (n === null ? NO_OWN : String(n / unit));
    const lift = (value, low, high, sure) => {
      if (value === null) return element("td", "n", NONE);
      const cell = element("td", sure === 1 ? "n gain" : sure === -1 ? "n lose" : "n");
      if (sure === -1) {
        const sign = element("span", "", "\u25bc");
        sign.setAttribute("aria-hidden", "true");
        cell.append(sign, element("span", "heard", " loses"), " ");
      }
      const range = low === null ? NONE : `[${signed(low)}, ${signed(high)}]`;
      cell.append(signed(value) + " ", element("span", "ci", range));
      return cell;
    };
    const row = (i) => {
      const tr = element("tr");
      const head = element("th");
      head.scope = "row";
      head.append(element("bdi", "", data.names[i]));
      tr.append(head, element("td", "n", grouped(data.samples[i])), element("td", "n", grouped(data.positives[i])));
      for (const column of data.auc) tr.append(element("td", "n", column[i] === null ? NONE : decimal(column[i])));
      for (const [value, low, high, sure] of data.lift) {
        tr.append(lift(value[i], low[i], high[i], sure[i]));
      }
      for (const column of data.share) tr.append(element("td", "n", own(column[i], 10000)));
      for (const column of data.round) tr.append(element("td", "n", own(column[i], 1)));
      return tr;
    };
    const draw = () => {
      const rows = Number(size.value), pages = Math.max(1, Math.ceil(shown.length / rows));
      page = Math.min(Math.max(page, 0), pages - 1);
      const start = page * rows, part = shown.slice(start, start + rows);
      table.tBodies[0].replaceChildren(...part.map(row));
      const place = part.length ? `${grouped(start + 1)}–${grouped(start + part.length)} of ` : "";
      const total = shown.length < all.length ? ` (all: ${grouped(all.length)})` : "";
      status.textContent = `${place}${grouped(shown.length)} domain${shown.length === 1 ? "" : "s"}${total}`;
      previous.disabled = page === 0;
      next.disabled = page === pages - 1;
    };
    const select = () => {
      const part = filter.value.trim().toLowerCase(), wanted = tests[verdict ? verdict.value : "all"];
      shown = order.filter((i) => wanted(i) && names[i].includes(part));
      page = 0;
      draw();
    };
    const column = (key) => {
      const [kind, index] = key.split(":");
      if (kind === "lift") return data.lift[index][0];
      return index === undefined ? data[kind] : data[kind][index];
    };
    sortable(table, (th, up) => {
      const values = column(th.dataset.sort);
      order = [...all].sort((a, b) => compare(values[a], values[b], up));
      select();
    });
    let waiting = 0;
    filter.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(select, 120);
    });
    if (verdict) verdict.addEventListener("change", select);
    size.addEventListener("change", () => { page = 0; draw(); });
    previous.addEventListener("click", () => { page -= 1; draw(); });
    next.addEventListener("click", () => { page += 1; draw(); });
    byId("domain-controls").hidden = false;
    draw();
  };

  const tooltips = () => {
    const tip = element("div");
    tip.id = "tip";
    tip.hidden = true;
    tip.setAttribute("aria-hidden", "true");
    document.body.append(tip);
    const texts = new WeakMap();
    document.addEventListener("pointerover", (event) => {
      const mark = event.target.closest(".mark");
      tip.hidden = !mark;
      if (!mark) return;
      const title = mark.querySelector("title");
      if (title) {                     // the browser's own slow tooltip would cover ours
        texts.set(mark, title.textContent);
        title.remove();
      }
      tip.textContent = texts.get(mark) || "";
      const box = mark.getBoundingClientRect();
      const left = Math.min(Math.max(8, box.x + box.width / 2 - tip.offsetWidth / 2), innerWidth - tip.offsetWidth - 8);
      tip.style.left = `${left}px`;
      tip.style.top = `${box.y > tip.offsetHeight + 14 ? box.y - tip.offsetHeight - 8 : box.bottom + 8}px`;
    });
  };

  domains();
  tooltips();
})();
