// Keeps the devices of the page "Now" up to date. Without it the page can be read all the same.
"use strict";

const devices = document.getElementById("devices");
const live = document.getElementById("live");
const said = document.getElementById("said");

// Replaces only the cards that changed, so that nobody loses the place where they read.
function show(html) {
  const fresh = document.createElement("div");
  fresh.innerHTML = html; // escaped by the receiver; the policy lets no script within it run
  const ids = (parent) => [...parent.children].map((child) => child.id).join(" ");
  const focused = document.activeElement && document.activeElement.id;
  if (ids(fresh) !== ids(devices)) {
    devices.replaceChildren(...fresh.children);
  } else {
    [...fresh.children].forEach((card, at) => {
      const old = devices.children[at];
      if (!old.isEqualNode(card)) old.replaceWith(card);
    });
  }
  if (focused && document.activeElement === document.body) {
    const again = document.getElementById(focused)
      || document.getElementById(focused.replace(/^(mute|withdraw)-/, "name-"));
    if (again) {
      if (again.tagName === "H2") again.tabIndex = -1;
      again.focus();
    }
  }
}

const source = new EventSource("/live");
source.onopen = () => { live.textContent = "Live."; live.className = "quiet"; };
source.onerror = () => {
  live.textContent = "Not live: the receiver does not answer. What is below may be old.";
  live.className = "warn";
};
source.onmessage = (message) => {
  const news = JSON.parse(message.data);
  if (news.html !== undefined) show(news.html);
  if (said.textContent !== news.said) said.textContent = news.said;
};
