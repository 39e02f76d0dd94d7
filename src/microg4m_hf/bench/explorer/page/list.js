// The list of clips: one listener for all buttons, since the list is drawn anew on every page.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button.mg-clip");
  if (!button) return;
  trigger("pick", { place: Number(button.dataset.place) });
  // Where list and clip stand one below the other, go to what was asked for.
  const clip = document.querySelector("#mg-clip");
  if (clip && clip.getBoundingClientRect().top > window.innerHeight * 0.6) clip.scrollIntoView();
});
// The address follows the filters, too; what the page does not set, such as the theme, stays.
const followFilters = () => {
  const given = new URLSearchParams(element.querySelector("[data-address]")?.dataset.address);
  const address = new URL(location.href);
  for (const [name, value] of address.searchParams) if (name === "clip" || name.startsWith("__")) given.set(name, value);
  if (`${address.searchParams}` === `${given}`) return;
  address.search = given;
  history.replaceState(history.state, "", address);
};
watch("value", followFilters);
// Another page, or another filter, is read from its beginning.
watch("value", () => {
  for (const place of ["#mg-found", "#mg-list"]) element.closest(place).scrollTop = 0;
});
