// Code and tables that scroll sideways can be reached and scrolled with the keyboard.
const focusable = () => {
  for (const part of document.querySelectorAll("pre > code, .md-typeset__scrollwrap")) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
};
window.addEventListener("load", focusable);
window.addEventListener("resize", focusable);
