/* The map set up from its JSON, and what a page's own scripts may ask of it. */
(() => {
  "use strict";
  const { element, button, emit, say } = taotuMap;
  const layers = new Map();
  const bases = new Map();
  const CLOSE_ZOOM = 18;
  let map, config, panel, swipe, measure, over;

  function create(id, options) {
    config = JSON.parse(document.getElementById("taotu-map-config").textContent);
    map = L.map(id, { zoomControl: false, maxZoom: 19, minZoom: 5, fadeAnimation: false, ...options });
    map.attributionControl.setPrefix(false);
    Object.assign(taotuMap, { map, config, container: map.getContainer(), layers, base: "", pictures: false, overview: null });
    home(); // a view must be set before layers come
    return map;
  }

  function home() {
    const [west, south, east, north] = config.bounds;
    map.fitBounds([[south, west], [north, east]], { animate: false, paddingTopLeft: [56, 8], paddingBottomRight: [panel ? panel.width : 0, 8] });
  }

  function start() {
    taotuMap.words = element("p", { class: "taotu-words", role: "status", hidden: true });
    map.getContainer().append(taotuMap.words);
    if (config.swipe) {
      swipe = new taotuMap.Swipe(config.swipe);
      swipe.addTo(map);
    }
    config.tiles.forEach((source, i) => {
      const layer = new taotuMap.TileLayer(source);
      layer.options.zIndex = 10 + i;
      layers.set(source.key, layer);
    });
    for (const base of config.bases) {
      bases.set(base.key, L.layerGroup(base.urls.map((url, i) => L.tileLayer(url, {
        maxNativeZoom: base.max_zoom, maxZoom: 19, zIndex: i, attribution: i ? "" : text(base.attribution), className: "taotu-pictures",
      }))));
      if (base.show) setBase(base.key);
    }
    tools();
    if (config.overview) {
      taotuMap.overview = new taotuMap.Overview(config.overview, Math.min(14, ...config.tiles.map((source) => source.min_zoom)));
    }
    panel = new taotuMap.Panel();
    panel.addTo(map, config);
    home(); // beside the card
    for (const source of config.tiles) if (source.show) show(source.key);
    if (taotuMap.overview) taotuMap.overview.addTo(map);
    L.control.scale({ imperial: false, maxWidth: 140, position: "bottomleft" }).addTo(map);
    picking();
    paper();
    map.on("moveend", () => emit("view", view()));
    closer();
    map.on("zoomend", closer);
    if (config.swipe) swipe.turn(true);
    emit("ready", view());
  }

  const text = (words) => element("i", {}, words).innerHTML; // Leaflet takes attributions as markup

  function view() {
    const box = map.getBounds();
    return { zoom: map.getZoom(), bbox: [box.getWest(), box.getSouth(), box.getEast(), box.getNorth()] };
  }

  function tools() {
    const bar = (label, ...buttons) => element("div", { class: "taotu-bar", role: "group", "aria-label": label }, ...buttons);
    const bars = [bar("缩放",
      button("plus", "放大", () => map.zoomIn()), button("minus", "缩小", () => map.zoomOut()), button("home", "显示全部范围", home))];
    if (config.measure) {
      measure = new taotuMap.Measure();
      measure.addTo(map);
      const kinds = [["line", "量长度"], ["area", "量面积（亩）"]];
      const buttons = kinds.map(([kind, title]) => button(kind, title, () => measure.start(kind), { "aria-pressed": "false" }));
      taotuMap.on("measure", ({ kind }) => buttons.forEach((item, i) => item.setAttribute("aria-pressed", String(kinds[i][0] === kind))));
      bars.push(bar("测量", ...buttons));
    }
    const more = [];
    if (swipe) {
      const turn = button("swipe", "左右比对", () => swipe.turn(!swipe.on), { "aria-pressed": "false" });
      taotuMap.on("swipe", ({ on }) => turn.setAttribute("aria-pressed", String(on)));
      more.push(turn);
    }
    if (config.printing) more.push(button("print", "打印", print));
    if (more.length) bars.push(bar("其他", ...more));
    const stand = element("nav", { class: "taotu-tools", "aria-label": "地图工具" }, ...bars);
    L.DomEvent.disableClickPropagation(stand);
    map.getContainer().append(stand);
  }

  // -- on paper: the map alone on one A4 sheet, with the same land on it as on the screen

  function sheet(on) {
    if (document.body.classList.contains("taotu-printing") === on) return;
    const free = () => [panel.width, 0]; // what the card covers is not land that was looked at
    if (on) {
      const size = map.getSize();
      map.seen = L.latLngBounds(map.containerPointToLatLng([0, size.y]), map.containerPointToLatLng([size.x - panel.width, 0]));
    }
    document.body.classList.toggle("taotu-printing", on);
    map.options.zoomSnap = on ? 0.05 : 1; // a sheet is filled; the screen stays on levels where tiles are sharp
    map.invalidateSize({ pan: false, animate: false });
    map.fitBounds(map.seen, { animate: false, paddingBottomRight: free() });
  }

  async function print() {
    sheet(true);
    const shown = [...layers.values()].filter((layer) => map.hasLayer(layer) && map.getZoom() >= layer.source.min_zoom);
    const loaded = shown.map((layer) => new Promise((done) => { if (layer.isLoading()) layer.once("load", done); else done(); }));
    await Promise.race([Promise.all(loaded), new Promise((done) => { window.setTimeout(done, 4000); })]);
    window.print();
  }

  function paper() {
    const day = new Date().toLocaleDateString("zh-CN", { year: "numeric", month: "long", day: "numeric" });
    map.getContainer().append(element("header", { class: "taotu-print-title" }, element("b", {}, config.label), element("span", {}, `打印日期：${day}`)));
    window.addEventListener("beforeprint", () => sheet(true));
    window.addEventListener("afterprint", () => sheet(false));
  }

  // Says that layers which are on wait for a closer view, and takes one there.
  function closer() {
    const waiting = [...layers.values()].filter((layer) => map.hasLayer(layer) && map.getZoom() < layer.source.min_zoom);
    if (!taotuMap.near) {
      taotuMap.near = element("button", { type: "button", class: "taotu-closer", onclick: () => map.setZoom(Number(taotuMap.near.dataset.zoom)) });
      map.getContainer().append(taotuMap.near);
      L.DomEvent.disableClickPropagation(taotuMap.near);
    }
    taotuMap.near.hidden = !waiting.length;
    if (!waiting.length) return;
    taotuMap.near.dataset.zoom = String(Math.min(...waiting.map((layer) => layer.source.min_zoom)));
    taotuMap.near.textContent = `放大查看${waiting.map((layer) => layer.source.title).join("、")}`;
  }

  function worded(name, raw) {
    if (typeof raw !== "number") return raw === undefined ? "" : String(raw);
    if (name.endsWith("_mu")) return `${taotuMap.figure(raw)} 亩`;
    if (name.endsWith("_m2")) return `${taotuMap.figure(raw * 15 / 10000)} 亩`;
    return name === "households" ? `${raw} 户` : String(raw);
  }

  // -- what lies at a place

  function hits(latlng) {
    const spot = map.latLngToContainerPoint(latlng);
    return [...layers.values()].reverse().filter((layer) => map.hasLayer(layer) && (!swipe || swipe.sees(layer.key, spot))).flatMap((layer) => (
      layer.at(latlng).map((properties) => ({
        layer: layer.key, title: layer.source.title, code: String(properties[layer.source.code] ?? ""), properties,
      }))));
  }

  function pick(latlng) {
    emit("pick", { lat: latlng.lat, lng: latlng.lng, hits: hits(latlng) });
  }

  function picking() {
    map.on("click", (event) => { if (!measure || !measure.kind) pick(event.latlng); });
    const tip = element("div", { class: "taotu-hover", hidden: true, "aria-hidden": "true" });
    map.getContainer().append(tip);
    let asked = 0;
    map.on("mousemove", (event) => {
      window.cancelAnimationFrame(asked);
      asked = window.requestAnimationFrame(() => {
        const [first] = measure && measure.kind ? [] : hits(event.latlng);
        map.getContainer().classList.toggle("taotu-over", Boolean(first));
        tip.hidden = !first;
        if (!first) return;
        const { label } = layers.get(first.layer).source, more = label && worded(label, first.properties[label]);
        tip.replaceChildren(element("b", {}, first.code), more ? `　${more}` : "");
        tip.style.transform = `translate(${event.containerPoint.x + 14}px, ${event.containerPoint.y + 14}px)`;
      });
    });
    map.on("mouseout movestart", () => { window.cancelAnimationFrame(asked); tip.hidden = true; });
    const aim = element("span", { class: "taotu-aim", "aria-hidden": "true" });
    map.getContainer().append(aim); // seen while the keyboard steers
    const steer = (keys) => () => map.getContainer().classList.toggle("taotu-keys", keys);
    document.addEventListener("keydown", steer(true), true);
    document.addEventListener("pointerdown", steer(false), true);
    map.getContainer().addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target !== map.getContainer() || (measure && measure.kind)) return;
      const { overview } = taotuMap, village = overview && overview.far() && overview.at(map.getCenter());
      if (village) overview.tell(village, map.getCenter());
      else pick(map.getCenter());
    });
  }

  // -- what a page may ask

  function layerOf(key) {
    const layer = layers.get(key);
    if (!layer) throw new Error(`no layer ${key}`);
    return layer;
  }

  const isShown = (key) => Boolean(layers.has(key) && map.hasLayer(layers.get(key)));

  function show(key, on = true) {
    const layer = layerOf(key);
    if (on) map.addLayer(layer);
    else map.removeLayer(layer);
    if (panel) panel.shown(key, on);
    closer();
    emit("layer", { layer: key, on });
  }

  function theme(key, name) {
    const layer = layerOf(key);
    layer.theme = layer.source.themes.find((item) => item.key === name) || layer.theme;
    layer.hiddenClasses = new Set(layer.theme.classes.filter((item) => !item.show).map((item) => item.key));
    layer.looks = taotuMap.style.looks(layer.theme);
    layer.repaint();
    panel.redraw(key);
  }

  function showClass(key, name, on = true) {
    const layer = layerOf(key);
    if (on) layer.hiddenClasses.delete(name);
    else layer.hiddenClasses.add(name);
    layer.repaint();
  }

  // Rows whose property is none of the values are not drawn; an empty list or null lifts the filter of a column.
  function filter(wanted, keys = [...layers.keys()]) {
    for (const key of keys) {
      const layer = layerOf(key);
      for (const [column, values] of Object.entries(wanted)) {
        if (values && values.length) layer.wanted[column] = new Set(values.map(String));
        else delete layer.wanted[column];
      }
      layer.repaint();
    }
  }

  function highlight(key, code) {
    for (const layer of layers.values()) {
      const lit = layer.key === key && code ? String(code) : null;
      if (layer.lit === lit) continue;
      layer.lit = lit;
      layer.repaint();
    }
  }

  function goTo({ bbox, layer, code, zoom = CLOSE_ZOOM }) {
    if (layer) {
      show(layer, true);
      highlight(layer, code);
    }
    const [west, south, east, north] = bbox, bounds = L.latLngBounds([[south, west], [north, east]]);
    const nearest = layer ? layerOf(layer).source.min_zoom : 0;
    const close = Math.max(Math.min(map.getBoundsZoom(bounds.pad(0.6)), zoom), nearest);
    map.setView(bounds.getCenter(), close, { animate: false });
    map.panBy([panel.width / 2, 0], { animate: false });
    return bounds.getCenter();
  }

  // A card: {title, subtitle, figures: [{label, value}], fields: [[label, value]], links: [{label, href}]};
  // values are texts, links lead inside this service only.
  function popup({ lat, lng }, card) {
    map.closePopup();
    const content = card instanceof Node ? card : body(card);
    return L.popup({ minWidth: 260, maxWidth: 340, closeButton: true, autoPanPadding: [24, 24], className: "taotu-popup" })
      .setLatLng([lat, lng]).setContent(content).openOn(map);
  }

  function body({ title, subtitle, figures = [], fields = [], links = [] }) {
    const inside = ({ href }) => new URL(href, window.location.href).origin === window.location.origin && /^[/?#]/.test(href);
    return element("article", { class: "taotu-card" },
      element("h3", {}, title, subtitle ? element("small", {}, subtitle) : null),
      figures.length ? element("div", { class: "figures" }, ...figures.map(({ label, value }) => element("p", {}, element("span", {}, label), element("b", {}, value)))) : null,
      fields.length ? element("dl", {}, ...fields.flatMap(([label, value]) => [element("dt", {}, label), element("dd", {}, String(value ?? "—"))])) : null,
      links.length ? element("p", { class: "links" }, ...links.filter(inside).map(({ label, href }) => element("a", { href }, label))) : null);
  }

  const closePopup = () => map.closePopup();

  function setBase(key) {
    for (const [name, base] of bases) {
      if (name === key) map.addLayer(base);
      else map.removeLayer(base);
    }
    taotuMap.base = bases.has(key) ? key : "";
    taotuMap.pictures = Boolean(taotuMap.base);
    for (const layer of layers.values()) layer.repaint();
    if (panel) panel.based(taotuMap.base);
    emit("base", { base: taotuMap.base });
  }

  // After an edit: the same layer by a new address, or the same again.
  function refresh(key, url) {
    layerOf(key).setUrl(url || layerOf(key)._url);
  }

  Object.assign(taotuMap, {
    create, start, view, hits, pick, isShown, show, theme, showClass, filter, highlight, goTo, popup, closePopup, setBase, refresh, home, say,
  });
  Object.defineProperties(taotuMap, { swiping: { get: () => swipe }, measuring: { get: () => measure } });
})();
