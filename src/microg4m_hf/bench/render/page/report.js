"use strict";
// Everything is readable without this script. It explains marks on hover, lets a click on a run or an action choose what
// all charts and tables show, and sorts tables.
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const form = document.querySelector(".choice");
  const chosen = { run: "", action: "" };

  const label = (kind, value) => {
    const row = all(`tr[data-${kind}]`).find((one) => one.dataset[kind] === value);
    return row ? row.querySelector("th").firstChild.textContent.trim() || row.querySelector("th").innerText : value;
  };
  const owner = (one, kind) => one.closest(`[data-${kind}]`)?.dataset[kind] ?? "";

  const show = () => {
    for (const kind of ["run", "action"]) form.elements[kind].value = chosen[kind];
    for (const one of all("svg [data-run], svg [data-action]")) {
      const fits = ["run", "action"].every((kind) => {
        const own = owner(one, kind);
        return !chosen[kind] || !own || own === chosen[kind];
      });
      one.classList.toggle("off", !fits);
      one.classList.toggle("on", fits && Boolean(chosen.run || chosen.action) && Boolean(owner(one, "run")));
    }
    for (const row of all("tr[data-run], tr[data-action]"))
      row.hidden = ["run", "action"].some((kind) => chosen[kind] && row.dataset[kind] && row.dataset[kind] !== chosen[kind]);
    for (const part of all("details[data-run]")) {
      part.hidden = Boolean(chosen.run) && part.dataset.run !== chosen.run;
      if (chosen.run && part.dataset.run === chosen.run) part.open = true;
    }
    const words = ["run", "action"].filter((kind) => chosen[kind]).map((kind) => label(kind, chosen[kind]));
    form.querySelector("[role=status]").textContent = words.length ? `Only ${words.join(", ")}` : "";
  };
  const choose = (kind, value) => {
    chosen[kind] = chosen[kind] === value ? "" : value;
    show();
  };

  for (const kind of ["run", "action"]) {
    const values = new Set(all(`tr[data-${kind}]`).map((row) => row.dataset[kind]));
    const select = form.elements[kind];
    for (const value of values) select.add(new Option(label(kind, value), value));
    select.parentElement.hidden = values.size < 2;
    select.addEventListener("change", () => {
      chosen[kind] = select.value;
      show();
    });
  }
  form.hidden = all("label", form).every((one) => one.hidden);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    chosen.run = chosen.action = "";
    show();
  });

  // The explorer links to runs, actions and clips: #run=…&action=…&clip=…
  const follow = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const example = all("[data-clip]").find((one) => one.dataset.clip === wanted.get("clip"));
    const row = ["action", "run"].flatMap((kind) =>
      all(`tr[data-${kind}]`).filter((one) => one.dataset[kind] === wanted.get(kind)))[0];
    if (!example && !row) return;
    chosen.run = chosen.action = "";
    for (const kind of ["run", "action"]) if (wanted.has(kind) && row) chosen[kind] = wanted.get(kind);
    show();
    const place = example ?? row;
    for (let part = place.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
    place.scrollIntoView({ block: "center" });
    place.tabIndex = -1;
    place.focus({ preventScroll: true });
  };
  addEventListener("hashchange", follow);
  follow();

  const tip = document.querySelector(".tip");
  for (const drawing of all("figure svg")) {
    drawing.classList.add("live");
    for (const title of all(".m > title", drawing)) {
      title.parentElement.dataset.tip = title.textContent;
      title.remove(); // else the browser shows its own hint, too
    }
    drawing.addEventListener("click", (event) => {
      const run = owner(event.target, "run"), action = owner(event.target, "action");
      if (run) choose("run", run);
      else if (action) choose("action", action);
      if (run && action && chosen.run) { chosen.action = action; show(); }
    });
  }
  document.addEventListener("pointermove", (event) => {
    const text = event.target.closest?.("[data-tip]")?.dataset.tip;
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 4))}px`;
    const below = event.clientY + 18;
    tip.style.top = `${below + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 8 : below}px`;
  });

  const number = (cell) => {
    const found = (cell?.innerText ?? "").replace("−", "-").replace(/,(?=\d{3})/g, "").match(/^\s*[<+]?-?\d*\.?\d+/);
    return found ? Number(found[0].replace(/[<+\s]/g, "")) : NaN;
  };
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table), body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const sign = down ? -1 : 1;
        const rows = [...body.rows].map((row) => [row, number(row.cells[column]), row.cells[column].innerText]);
        rows.sort(([, a, one], [, b, two]) => {
          if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
          return sign * (Number.isNaN(a) ? -one.localeCompare(two) : a - b);
        });
        body.append(...rows.map(([row]) => row));
      });
    });
  }

  // Paper has no folds.
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const part of all("details:not([open])")) opened.push(part), (part.open = true);
  });
  addEventListener("afterprint", () => {
    for (const part of opened.splice(0)) part.open = false;
  });
})();
