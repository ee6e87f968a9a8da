// On every page: polling stops while the page is hidden, and outdated figures are marked.
"use strict";

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.requestConfig.verb !== "get") return;
  const confirming = event.detail.elt.querySelector("details.confirm[open]"); // a swap would close it
  if (document.hidden || confirming) event.preventDefault();
});

// A page whose polling fails looks stale, instead of showing old figures as new.
for (const name of ["htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(name, () => document.body.classList.add("stale"));
}
document.addEventListener("htmx:afterSwap", () => document.body.classList.remove("stale"));
