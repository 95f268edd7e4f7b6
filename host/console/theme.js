// Light or dark: as the system says, unless somebody said otherwise here.

const STORED = "hookbox.theme";
const CHOICES = ["system", "light", "dark"];

export function theme() {
  const stored = localStorage.getItem(STORED);
  return CHOICES.includes(stored) ? stored : "system";
}

export function setTheme(choice) {
  if (choice === "system") localStorage.removeItem(STORED);
  else localStorage.setItem(STORED, choice);
  apply();
}

/** The one after this: for a button. */
export function nextTheme() {
  const next = CHOICES[(CHOICES.indexOf(theme()) + 1) % CHOICES.length];
  setTheme(next);
  return next;
}

function apply() {
  const choice = theme();
  if (choice === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", choice);
}

apply();
