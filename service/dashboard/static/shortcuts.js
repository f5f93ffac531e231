// Keyboard shortcuts of all pages: Ctrl-K goes to a page or searches jobs, `/` searches, `c` creates a job. Not while typing.
import { pathOf } from "./addresses.js";

const dialog = document.getElementById("go-to");
const text = document.getElementById("go-to-text");
const links = [...document.querySelectorAll('nav[aria-label="Pages"] a')];
const isTyping = () => document.activeElement?.matches("input, textarea, select, [contenteditable]");
const mayCreate = "mayCreate" in document.body.dataset;

function openDialog() {
  document.getElementById("go-to-pages").replaceChildren(...links.map((link) => Object.assign(document.createElement("option"), { value: link.textContent })));
  text.value = "";
  dialog.showModal();
  text.focus();
}

dialog.querySelector("form").addEventListener("submit", (event) => {
  const wanted = text.value.trim().toLowerCase();
  const page = links.find((link) => link.textContent.toLowerCase() === wanted);
  event.preventDefault();
  dialog.close();
  if (page) location.assign(page.href);
  else if (wanted) location.assign(pathOf(`/jobs?${new URLSearchParams({ q: text.value.trim() })}`));
});

function search() {
  const field = document.querySelector('main input[type="search"]');
  if (field) field.focus();
  else location.assign(pathOf("/jobs"));
}

document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    openDialog();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping() || document.querySelector("dialog[open]")) return;
  if (event.key !== "/" && !(event.key === "c" && mayCreate)) return;
  event.preventDefault();
  if (event.key === "/") search();
  else location.assign(pathOf("/jobs/new"));
});

// one menu at a time, closed by Escape or a click elsewhere
const menus = () => document.querySelectorAll("details.folded[open], details.account[open], details.more[open]");
document.addEventListener("click", (event) => event.target.closest("dialog") || menus().forEach((menu) => menu.contains(event.target) || (menu.open = false)));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of menus()) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
