// The list of clips: one listener for all buttons, since the list is drawn anew on every page.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button.mg-clip");
  if (!button) return;
  trigger("pick", { place: Number(button.dataset.place) });
  // Where list and clip stand one below the other, go to what was asked for.
  const clip = document.querySelector("#mg-clip");
  if (clip && clip.getBoundingClientRect().top > window.innerHeight * 0.6) clip.scrollIntoView();
});
// Another page, or another filter, is read from its beginning.
watch("value", () => {
  for (const place of ["#mg-found", "#mg-list"]) element.closest(place).scrollTop = 0;
});
