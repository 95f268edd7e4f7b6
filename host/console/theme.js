// Light or dark: as the system says, unless somebody said otherwise here.

const STORED = "hookbox.theme";
const CHOICES = ["system", "light", "dark"];

let chosen = read();

export const theme = () => chosen;

/** What was said here; a browser that keeps nothing for pages has none. */
function read() {
  try {
    const stored = localStorage.getItem(STORED);
    return CHOICES.includes(stored) ? stored : "system";
  } catch {
    return "system";
  }
}

export function setTheme(choice) {
  chosen = choice;
  try {
    if (choice === "system") localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, choice);
  } catch {
    // It counts until the page is loaded anew.
  }
  apply();
}

/** The one after this: for a button. */
export const nextTheme = () => setTheme(CHOICES[(CHOICES.indexOf(chosen) + 1) % CHOICES.length]);

function apply() {
  if (chosen === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", chosen);
  window.dispatchEvent(new CustomEvent("theme"));
}

apply();
