// Puts a new page in the place of the old one every few seconds, and says so if none comes.
"use strict";
const every = 5000;
let fresh = Date.now();

function renew(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const next = page.getElementById("main"), main = document.getElementById("main");
  if (!next) throw new Error("this is not the status page");
  const state = document.getElementById("state"), newState = page.getElementById("state");
  state.className = newState.className;
  if (state.textContent !== newState.textContent) state.replaceChildren(...newState.childNodes);
  for (const open of main.querySelectorAll("details[open]")) {
    const same = next.querySelector("#" + CSS.escape(open.id));
    if (same) same.open = true;
  }
  const focused = main.contains(document.activeElement) && document.activeElement !== main
    ? [...main.querySelectorAll("a, summary, [tabindex]")].indexOf(document.activeElement) : -1;
  main.replaceChildren(...next.childNodes);
  if (focused >= 0) main.querySelectorAll("a, summary, [tabindex]")[focused]?.focus({ preventScroll: true });
}

async function refresh() {
  const stale = document.getElementById("stale");
  try {
    const selected = !getSelection().isCollapsed;
    if (!document.hidden && !selected) {
      const answer = await fetch("./", { cache: "no-store", signal: AbortSignal.timeout(every) });
      if (!answer.ok) throw new Error("it answers " + answer.status);
      renew(await answer.text());
      fresh = Date.now();
      stale.hidden = true;
    }
  } catch {
    const seconds = Math.round((Date.now() - fresh) / 1000);
    if (stale.hidden) stale.textContent = "The bridge does not answer. What follows is old.";
    stale.hidden = false;
    stale.title = seconds + " s";
  }
  setTimeout(refresh, every);
}

setTimeout(refresh, every);
