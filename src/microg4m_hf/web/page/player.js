// The player: boxes of exactly the frame that is shown. Gradio reuses elements when the clip changes, so every
// listener sits on the outer element, where media events are caught on their way down.
let facts = null;
let clip = null;
let shown = 1;
const find = (selector) => element.querySelector(selector);
const video = () => find(".mg-stage video");
const started = new WeakSet();

// Frames are numbered from 1; frame i shows from times[i - 1] on. Half a millisecond of room for rounding.
const frameAt = (time) => {
  let frame = 1;
  while (frame < facts.times.length && facts.times[frame] <= time + 0.0005) frame += 1;
  return frame;
};

const boxAt = (person, frame) => {
  const place = person.frames.indexOf(frame);
  if (place >= 0) return person.boxes[place];
  return person.key === frame ? person.keyBox : null;
};

const show = (frame) => {
  const layer = find(".mg-boxes");
  if (!layer) return;  // the page has just removed the player
  layer.replaceChildren();
  layer.dataset.frame = shown = frame;
  for (const person of facts.people) {
    const box = boxAt(person, frame);
    if (!box) continue;
    const mark = document.createElement("div");
    const isKey = person.key === frame;
    mark.className = `mg-box mg-color-${person.color}${isKey ? " mg-key" : ""}`;
    mark.dataset.person = person.id;
    const [left, top, right, bottom] = box.map((value) => 100 * value);
    mark.style.cssText = `left:${left}%;top:${top}%;width:${right - left}%;height:${bottom - top}%`;
    const label = document.createElement("span");
    label.textContent = isKey ? `${person.id} key` : `${person.id}`;
    mark.append(label);
    layer.append(mark);
  }
  find(".mg-tools input[type=range]").value = frame;
  find(".mg-timeline")?.style.setProperty("--now", (frame - 0.5) / facts.last);
  find(".mg-frame").textContent = `frame ${frame}${facts.times.length ? ` of ${facts.last}` : ""}`;
};

const goTo = (frame) => {
  frame = Math.min(Math.max(frame, 1), facts.last);
  const player = video();
  if (!player || frame > facts.times.length) return show(frame);
  player.pause();
  const begins = facts.times[frame - 1];
  const ends = frame < facts.times.length ? facts.times[frame] : begins + 0.02;
  player.currentTime = (begins + ends) / 2;
  show(frame);
};

const follow = (player) => {
  if (started.has(player)) return;
  started.add(player);
  player.muted = true;
  if (!player.requestVideoFrameCallback) return;
  const next = (_, frame) => {
    // A frame from before a pause may be reported after it, when a key has already led to another frame.
    if (facts && !player.seeking) show(frameAt(player.paused ? player.currentTime : frame.mediaTime));
    player.requestVideoFrameCallback(next);
  };
  player.requestVideoFrameCallback(next);
};

const markInList = (place) => {
  for (const button of document.querySelectorAll("button.mg-clip")) {
    if (button.dataset.place === place) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  // The list may turn its page at the same time. On a narrow page, which is one column, nothing may jump.
  if (window.innerWidth >= 760) setTimeout(revealInList, 100);
};

// Not scrollIntoView, which would also make the Tab key continue from the selected clip.
const revealInList = () => {
  const button = document.querySelector("button.mg-clip[aria-current]");
  const list = button?.closest("#mg-found");
  if (!list) return;
  const outer = list.getBoundingClientRect();
  const inner = button.getBoundingClientRect();
  if (inner.top < outer.top) list.scrollTop -= outer.top - inner.top;
  if (inner.bottom > outer.bottom) list.scrollTop += inner.bottom - outer.bottom;
};

const open = () => {
  const holder = find(".mg-player");
  if (!holder) {
    facts = clip = null;
    return;
  }
  facts = JSON.parse(holder.dataset.facts);
  const view = find(".mg-view");
  if (view) markInList(view.dataset.place);
  const player = video();
  const isSame = clip === holder.dataset.clip;
  clip = holder.dataset.clip;
  if (isSame) return show(shown);  // only its boxes have changed
  const key = facts.people.map((person) => person.key).find(Boolean) ?? 1;
  const first = Math.min(...facts.people.flatMap((person) => person.frames), key);
  show(player ? first : key);
  if (!player) return;
  follow(player);
  if (first > 1 && first <= facts.times.length) player.currentTime = facts.times[first - 1] + 0.001;
  if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) player.play().catch(() => {});
};

element.addEventListener("click", (event) => {
  if (!facts) return;
  const button = event.target.closest("button[data-step], button[data-frame]");
  if (button) return goTo(button.dataset.frame ? Number(button.dataset.frame) : shown + Number(button.dataset.step));
  const rail = event.target.closest(".mg-rail")?.getBoundingClientRect();
  if (rail) goTo(1 + Math.floor(((event.clientX - rail.left) / rail.width) * facts.last));
});
// Go to the next key frame of anybody, or to the previous one; behind the last one comes the first.
const goToKey = (step) => {
  const keys = [...new Set(facts?.people.map((person) => person.key).filter(Boolean))].sort((a, b) => a - b);
  if (!keys.length) return;
  const later = step > 0 ? keys.find((key) => key > shown) : keys.findLast((key) => key < shown);
  goTo(later ?? keys.at(step > 0 ? 0 : -1));
};
element.addEventListener("input", (event) => {
  if (event.target.matches(".mg-tools input[type=range]")) goTo(Number(event.target.value));
});
element.addEventListener("change", (event) => {
  if (event.target.matches(".mg-toggle input")) find(".mg-boxes").hidden = !event.target.checked;
});
for (const kind of ["seeked", "timeupdate"]) {
  element.addEventListener(kind, (event) => {
    if (!facts || event.target !== video()) return;
    if (kind === "seeked" || !event.target.requestVideoFrameCallback) show(frameAt(event.target.currentTime));
  }, true);
}
watch("value", () => {
  const column = element.closest("#mg-clip");
  if (column) column.scrollTop = 0;
  open();
});
open();
