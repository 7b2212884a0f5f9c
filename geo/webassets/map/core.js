/* What every part of the map uses: elements, figures in words, events. Texts from data reach the page as text
   nodes only, never as markup. All parts hang on one name, taotuMap; vendored libraries leave many names at the
   top level, so a page's own scripts are best modules or functions called at once. */
window.taotuMap = (() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const ICONS = {
    plus: "M12 5v14M5 12h14",
    minus: "M5 12h14",
    home: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
    line: "M4 20 20 4M8.5 15.5l2 2M12 12l2 2M15.5 8.5l2 2",
    area: "M5 18 8 6l11-1 1 12z",
    swipe: "M12 4v16M8 8l-4 4 4 4M16 8l4 4-4 4",
    print: "M7 9V4h10v5M7 17H4v-7h16v7h-3M7 14h10v6H7z",
    layers: "M12 4 3 9l9 5 9-5zM4 13.5l8 4.5 8-4.5",
    close: "M6 6l12 12M18 6 6 18",
    fold: "M7 10l5 5 5-5",
  };

  function element(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "look") Object.assign(node.style, value); // by script: a strict policy bars style attributes
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  function icon(name) {
    const picture = document.createElementNS(SVG, "svg");
    for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "taotu-icon", "aria-hidden": "true" })) {
      picture.setAttribute(key, value);
    }
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", ICONS[name]);
    picture.append(path);
    return picture;
  }

  function button(name, title, act, more) {
    return element("button", { type: "button", title, "aria-label": title, onclick: act, ...more }, icon(name));
  }

  const figure = (number, decimals = 2) => (Number.isFinite(number)
    ? number.toLocaleString("zh-CN", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
    : "—");

  function emit(name, detail) {
    taotuMap.container.dispatchEvent(new CustomEvent(`taotu:${name}`, { detail, bubbles: true }));
  }

  function on(name, act) {
    const heard = (event) => act(event.detail);
    taotuMap.container.addEventListener(`taotu:${name}`, heard);
    return () => taotuMap.container.removeEventListener(`taotu:${name}`, heard);
  }

  // Said aloud to who cannot see, shown for a while to who can.
  function say(words, { lasting = false } = {}) {
    const line = taotuMap.words;
    if (!line) return;
    line.textContent = words;
    line.hidden = !words;
    window.clearTimeout(line.timer);
    if (words && !lasting) line.timer = window.setTimeout(() => { line.hidden = true; }, 6000);
  }

  return { element, icon, button, figure, emit, on, say };
})();
