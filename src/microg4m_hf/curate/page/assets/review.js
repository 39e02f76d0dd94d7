// The keys of the review page. Keys are sent one message at a time, in their order, each with the clip that it was meant
// for; what is typed into a field lives outside of the panel, which is drawn anew after every answer.
let facts = { clip: "", people: [] };
let selected = null;
let mode = "";
let waiting = [];
let busy = 0;
let clip = null;
let keysOpen = null;

const box = () => document.querySelector("#rv-mode .rv-mode");
const player = () => document.querySelector("#rv-player .mg-player");
const press = (selector) => document.querySelector(selector)?.click();
const frame = () => Number(document.querySelector("#rv-player .mg-boxes")?.dataset.frame ?? 1);

const flush = () => {
  if (!waiting.length || (busy && Date.now() - busy < 15000)) return;
  busy = Date.now();
  trigger("act", { acts: waiting.splice(0) });
  setTimeout(() => {
    if (busy && Date.now() - busy >= 14900) say("The server does not answer. What the page has shown is saved; load it again.");
  }, 15000);
};
const send = (act) => {
  waiting.push({ clip: facts.clip, ...act });
  flush();
};
const say = (text) => {
  const line = element.querySelector(".rv-notice");
  if (line) {
    line.textContent = text;
    line.classList.add("rv-problem");
  }
};

const mark = () => {
  for (const card of element.querySelectorAll(".rv-person")) {
    const isIt = Number(card.dataset.person) === selected;
    card.classList.toggle("rv-selected", isIt);
    if (isIt) card.setAttribute("aria-current", "true");
    else card.removeAttribute("aria-current");
  }
  element.querySelector(".rv-selected")?.scrollIntoView({ block: "nearest" });
  let style = document.querySelector("#rv-box-style");
  if (!style) {
    style = document.createElement("style");
    style.id = "rv-box-style";
    document.head.append(style);
  }
  style.textContent = selected === null ? "" : `.mg-box[data-person="${selected}"]{border-width:5px!important}`;
};
const choose = (by) => {
  const people = facts.people;
  if (!people.length) return;
  const place = people.indexOf(selected);
  selected = people[(place + by + people.length) % people.length];
  mark();
};

// A line or a field below the player, which takes the keys until it is closed.
const ask = (name, title, lines, field) => {
  mode = name;
  const place = box();
  place.replaceChildren();
  const head = document.createElement("p");
  head.className = "rv-ask";
  head.textContent = title;
  place.append(head);
  if (lines.length) {
    const list = document.createElement("ol");
    for (const line of lines) {
      const item = document.createElement("li");
      item.textContent = line;
      list.append(item);
    }
    place.append(list);
  }
  if (field) {
    field.setAttribute("aria-label", title);
    place.append(field);
  }
  place.hidden = false;
  field?.focus();
};
const close = () => {
  mode = "";
  const place = box();
  if (place.contains(document.activeElement)) document.activeElement.blur();
  place.replaceChildren();
  place.hidden = true;
};
const area = (text, rows) => {
  const field = document.createElement("textarea");
  field.value = text;
  field.rows = rows;
  return field;
};

const search = () => {
  const field = document.createElement("input");
  const list = document.createElement("ol");
  list.className = "rv-found";
  let found = [];
  let place = 0;
  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = facts.actions.filter(([, name]) => words.every((word) => name.toLowerCase().includes(word)));
    found.sort((a, b) => b[1].toLowerCase().startsWith(words[0] ?? "") - a[1].toLowerCase().startsWith(words[0] ?? ""));
    found = found.slice(0, 8);
    place = Math.min(place, Math.max(found.length - 1, 0));
    list.replaceChildren(...found.map(([, name], number) => {
      const item = document.createElement("li");
      item.textContent = name;
      if (number === place) item.setAttribute("aria-current", "true");
      return item;
    }));
  };
  ask("search", `Action of person ${selected}: type, ↑ ↓, Enter; Escape closes`, [], field);
  box().append(list);
  field.addEventListener("input", () => { place = 0; show(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      place = (place + (event.key === "ArrowDown" ? 1 : -1) + found.length) % Math.max(found.length, 1);
      show();
      event.preventDefault();
    }
    if (event.key === "Enter" && found[place]) {
      send({ do: "toggle", person: selected, action: found[place][0] });
      close();
      event.preventDefault();
    }
  });
  show();
};

// Degrees clockwise by key: arrows, and the digits as they lie on a number pad.
const heads = {
  ArrowUp: 0, ArrowRight: 90, ArrowDown: 180, ArrowLeft: 270, 8: 0, 9: 45, 6: 90, 3: 135, 2: 180, 1: 225, 4: 270, 7: 315,
  5: null,
};
let asked = 1;
const goTo = (number) => {
  const range = player()?.querySelector("input[type=range]");
  if (!range) return;
  range.value = number;
  range.dispatchEvent(new Event("input", { bubbles: true }));
};
const askFrame = () => {
  const field = document.createElement("input");
  field.inputMode = "numeric";
  ask("frame", "Go to frame: Enter goes there, Escape does not", [], field);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !/^\d+$/.test(field.value.trim())) return;
    close();
    goTo(Number(field.value));
    event.preventDefault();
  });
};

const drop = (reason) => {
  close();
  send({ do: "drop", reason });
};
const dispute = () => {
  const [first] = facts.disputes;
  if (!first) return say("Reviewers agree on this clip.");
  const about = first.person === null ? first.part : `${first.part} of person ${first.person}`;
  ask("dispute", `Whose ${about} count?`, first.reviewers, null);
};

// Returns whether the key was one of the open line.
const answer = (key) => {
  const number = Number(key);
  if (key === "Escape") close();
  else if (mode === "drop" && number >= 1 && number <= facts.reasons.length) drop(facts.reasons[number - 1]);
  else if (mode === "drop" && key === "0") {
    const field = document.createElement("input");
    ask("reason", "Why is it dropped? Enter drops it, Escape does not", [], field);
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && field.value.trim()) drop(field.value.trim());
    });
  } else if (mode === "merge") {
    const others = facts.people.filter((one) => one !== selected);
    const other = others.length === 1 && key === "Enter" ? others[0] : others[number - 1];
    if (other === undefined) return;
    close();
    const into = Math.min(selected, other);  // who appears first keeps the id
    send({ do: "merge", person: Math.max(selected, other), into });
    selected = into;
  } else if (mode === "angle" && key in heads) {
    close();
    send({ do: "angle", person: selected, frame: asked, degrees: heads[key] });
  } else if (mode === "dispute" && facts.disputes[0]?.reviewers[number - 1]) {
    const { part, person, reviewers } = facts.disputes[0];
    close();
    send({ do: "adjudicate", part, person, take: reviewers[number - 1] });
  }
};

const save = () => {
  const text = box().querySelector("textarea").value;
  const act = { do: mode, text };
  close();
  send(act);
};

const withPerson = (act) => {
  if (selected === null) return say("Nobody is in this clip.");
  act();
};
const keys = {
  " ": () => {
    const video = document.querySelector("#rv-player video");
    if (video) video.paused ? video.play() : video.pause();
  },
  ArrowLeft: () => press('#rv-player [data-step="-1"]'),
  ArrowRight: () => press('#rv-player [data-step="1"]'),
  ArrowUp: () => choose(-1),
  ArrowDown: () => choose(1),
  a: () => withPerson(search),
  k: () => send({ do: "keep" }),
  d: () => ask("drop", "Why is the clip dropped? 0 for another reason, Escape keeps it open", facts.reasons, null),
  m: () => withPerson(() => {
    const others = facts.people.filter((one) => one !== selected);
    if (!others.length) return say("There is no other person to merge with.");
    const title = `Person ${selected} is the same as${others.length === 1 ? " (Enter)" : ""}:`;
    ask("merge", title, others.map((one) => `person ${one}`), null);
  }),
  s: () => withPerson(() => send({ do: "split", person: selected, frame: frame() })),
  x: () => withPerson(() => send({ do: "delete", person: selected })),
  e: () => withPerson(() => send({ do: "exclude", person: selected, reason: "" })),
  o: () => withPerson(() => {
    asked = frame();
    ask("angle", `Where does the head of person ${selected} point, from frame ${asked} on? An arrow, or 7 8 9, 4 6, 1 2 3 as on a number pad; 5: nobody can tell; Escape closes`, [], null);
  }),
  g: askFrame,
  c: () => ask("caption", "Caption: Ctrl+Enter saves, Escape does not", [], area(facts.caption, 6)),
  q: () => ask("questions", "A question, its answer on the next line, an empty line: Ctrl+Enter saves, Escape does not", [],
    area(facts.questions, 18)),
  y: () => send({ do: "accept" }),
  u: () => send({ do: "undo" }),
  U: () => send({ do: "redo" }),
  j: dispute,
  n: () => send({ do: "next" }),
  "[": () => send({ do: "step", by: -1 }),
  "]": () => send({ do: "step", by: 1 }),
  v: () => send({ do: "list" }),
  b: () => press("#rv-player .mg-toggle input"),
  "?": () => {
    const help = element.querySelector(".rv-keys");
    keysOpen = help.open = !help.open;
    if (help.open) help.scrollIntoView({ block: "nearest" });
  },
};
// Without a clip there is nothing to judge.
const always = ["u", "U", "n", "v", "[", "]", "?"];

const onKey = (event) => {
  const isField = event.target.matches?.("textarea, input:not([type=range]):not([type=checkbox])");
  if (isField) {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && box().querySelector("textarea")) save();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || !facts.reviewer) return;
  if (event.key === "Tab" || event.key === "Enter" && event.target.closest?.("button, summary") && !mode) return;
  if (mode) {
    event.preventDefault();
    return answer(event.key);
  }
  const quick = /^\d$/.test(event.key) && facts.clip ? facts.quick[(Number(event.key) + 9) % 10] : undefined;
  const act = facts.clip || always.includes(event.key) ? keys[event.key] : undefined;
  if (quick === undefined && !act) return;
  event.preventDefault();
  if (quick !== undefined) withPerson(() => send({ do: "toggle", person: selected, action: quick }));
  else act();
};
if (window.reviewKeys) document.removeEventListener("keydown", window.reviewKeys, true);
window.reviewKeys = onKey;
document.addEventListener("keydown", onKey, true);

element.addEventListener("click", (event) => {
  if (event.target.closest(".rv-keys summary")) keysOpen = !element.querySelector(".rv-keys").open;
  const card = event.target.closest(".rv-person");
  if (card) {
    selected = Number(card.dataset.person);
    mark();
  }
  const first = event.target.closest("button[data-frame]");
  if (first) goTo(first.dataset.frame);
});
element.addEventListener("submit", (event) => {
  event.preventDefault();
  const field = event.target.querySelector("input");
  if (field) send({ do: "name", name: field.value });
});

const read = () => {
  const panel = element.querySelector(".rv-panel");
  if (!panel) return;
  facts = { disputes: [], ...JSON.parse(panel.dataset.facts) };
  if (facts.clip !== clip) {
    clip = facts.clip;
    if (mode) close();
    selected = null;
  }
  if (!facts.people.includes(selected)) selected = facts.people[0] ?? null;
  keysOpen ??= facts.reviewer ? Boolean(facts.isNew) : null;  // a new reviewer sees the keys
  const help = element.querySelector(".rv-keys");
  if (help && keysOpen !== null) help.open = keysOpen;
  mark();
  if (!facts.reviewer) element.querySelector("#rv-name")?.focus();
};
watch("value", () => {
  busy = 0;
  read();
  flush();
});
read();
