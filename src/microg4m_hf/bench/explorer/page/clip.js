
// The address follows the clip, so that it can be sent and opened again; n and p go to the next and the previous clip,
// k and K to the next and the previous key frame.
const follow_address = () => {
  const name = find(".mg-player")?.dataset.clip;
  const address = new URL(location.href);
  if (!name || address.searchParams.get("clip") === name) return;
  address.searchParams.set("clip", name);
  history.replaceState(history.state, "", address);
};
watch("value", follow_address);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [role=listbox]")) return;
  if (event.key.toLowerCase() === "k") return goToKey(event.key === "k" ? 1 : -1);
  const button = { n: "#mg-later", p: "#mg-earlier" }[event.key];
  if (button) document.querySelector(button)?.click();
});
