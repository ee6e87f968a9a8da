// What every page does with a script: it asks for no news while nobody looks, and says so when there are none.
"use strict";

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.requestConfig.verb !== "get") return;
  const asking = event.detail.elt.querySelector("details.confirm[open]"); // would close before it is answered
  if (document.hidden || asking) event.preventDefault();
});

// A page that polls says so when the service is away, instead of showing old figures as if they were new.
for (const name of ["htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(name, () => document.body.classList.add("stale"));
}
document.addEventListener("htmx:afterSwap", () => document.body.classList.remove("stale"));
