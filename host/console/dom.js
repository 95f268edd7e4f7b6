// The rendering piece: elements out of words. Whatever is given as a child becomes a text node unless it is an element
// that was made here, and no attribute takes code or markup, so what a receiver or a tenant wrote can only ever be read.

const SVG = "http://www.w3.org/2000/svg";
/** Attributes that are set as properties: what the user has typed lives there. */
const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "open", "indeterminate", "hidden"]);

/**
 * Makes an element.
 * @param {string} tag `div`, or `div.class.other`
 * @param {Object} [attributes] names and values; null, undefined and false leave one out, `on` has listeners by event,
 *   `ref` is called with the element
 * @param children elements, texts, numbers, lists of them; null, undefined and false are nothing
 */
export function h(tag, attributes, ...children) {
  return make(document.createElement(tag.split(".")[0]), tag, attributes, children);
}

/** As `h`, for drawings. */
export function s(tag, attributes, ...children) {
  return make(document.createElementNS(SVG, tag.split(".")[0]), tag, attributes, children);
}

function make(element, tag, attributes, children) {
  const classes = tag.split(".").slice(1);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  const isAttributes = attributes && Object.getPrototypeOf(attributes) === Object.prototype;
  if (isAttributes) set(element, attributes);
  else if (attributes !== undefined) children.unshift(attributes);
  append(element, children);
  // A select takes its value once its options are there.
  if (isAttributes && element.localName === "select" && "value" in attributes) element.value = attributes.value ?? "";
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "ref") {
      value(element);
    } else if (name === "class") {
      element.setAttribute("class", [element.getAttribute("class"), value].filter(Boolean).join(" "));
    } else if (PROPERTIES.has(name)) {
      element[name] = value;
    } else {
      refuse(name, value);
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

/** Links lead to pages of the console; nothing runs. */
function refuse(name, value) {
  // Browsers leave out tabs and line breaks, so they may not stand between two strokes either.
  const leadsAway = (name === "href" || name === "src") && !/^(#|\/(?![/\\\t\r\n]))/.test(String(value));
  if (leadsAway || /^on|^style$|^srcdoc$|^formaction$/i.test(name)) throw new Error(`no element may have ${name}=${value}`);
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Puts these in the place of all that is in an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** An element whose content is made anew by `draw(...)`; what is outside of it keeps its focus. */
export function region(tag, attributes) {
  const element = h(tag, attributes);
  return { element, draw: (...children) => fill(element, ...children) };
}

/** Calls `act` once nobody has called for a while. */
export function settle(act, pause = 200) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...args), pause);
  };
}
