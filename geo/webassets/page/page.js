/* The page's own code: draws compact layers on one canvas, shows a piece's card, finds a piece by its code.
   Texts from data reach the page only as text nodes, never as markup. */
const taotu = (() => {
  "use strict";
  const UNIT = 1e7; // coordinates come as whole 1e-7 degrees, each the step from the one before
  const LABEL_ZOOM = 15, GRID_LABEL_ZOOM = 13, LABELS_AT_ONCE = 150, DOTS_AT_ONCE = 8000;
  const data = JSON.parse(document.getElementById("taotu-data").textContent);
  const groups = {};
  let map, card, lit, names, pieceNames, findingsByCode;

  function element(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  }

  function pattern(kind, color) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 8;
    const pen = tile.getContext("2d");
    pen.strokeStyle = color;
    pen.lineWidth = 1.2;
    pen.beginPath();
    for (const shift of [-8, 0, 8]) {
      pen.moveTo(shift, 8);
      pen.lineTo(shift + 8, 0);
      if (kind === "cross") { pen.moveTo(shift, 0); pen.lineTo(shift + 8, 8); }
    }
    pen.stroke();
    return tile;
  }

  const HatchCanvas = L.Canvas.extend({
    _fillStroke(pen, layer) {
      L.Canvas.prototype._fillStroke.call(this, pen, layer);
      const { hatch, hatchColor } = layer.options;
      if (!hatch) return;
      const key = hatch + hatchColor;
      this._patterns = this._patterns || {};
      this._patterns[key] = this._patterns[key] || pen.createPattern(pattern(hatch, hatchColor), "repeat");
      pen.globalAlpha = 1;
      pen.fillStyle = this._patterns[key];
      pen.fill("evenodd");
    },
  });
  const canvas = new HatchCanvas({ padding: 0.3 });

  function rings(shape, [x0, y0]) {
    return shape.map((polygon) => polygon.map((steps) => {
      const line = new Array(steps.length / 2);
      let x = x0, y = y0;
      for (let i = 0; i < steps.length; i += 2) {
        x += steps[i];
        y += steps[i + 1];
        line[i / 2] = L.latLng(y / UNIT, x / UNIT);
      }
      return line;
    }));
  }

  function value(layer, name, i) {
    const column = layer.columns[name];
    return Array.isArray(column) ? column[i] : column.values[column.index[i]];
  }

  // A layer that is off at the start costs nothing until it is first shown.
  const CompactLayer = L.FeatureGroup.extend({
    initialize(key) {
      L.FeatureGroup.prototype.initialize.call(this);
      this.key = key;
      this.layer = data.layers[key];
      this.byRow = [];
    },
    onAdd(onMap) {
      if (!map) return; // the view is not set yet: drawn by start, once
      if (!this.byRow.length) this.build();
      if (this.layer.style.minZoom) this.refresh();
      L.FeatureGroup.prototype.onAdd.call(this, onMap);
      resize();
    },
    build() {
      const { shapes, style } = this.layer;
      if (!style.minZoom) shapes.forEach((shape, i) => shape && this.draw(i));
      if (style.interactive === false) return;
      this.on("click", (event) => {
        L.DomEvent.stopPropagation(event);
        open(this.key, event.layer.row, event.latlng);
      });
      this.on("mouseover", (event) => light(event.layer, true));
      this.on("mouseout", (event) => event.layer !== lit && light(event.layer, false));
      this.bindTooltip((feature) => this.tip(feature.row), { sticky: true, opacity: 0.95 });
    },
    draw(i) {
      const { shapes, origin, style } = this.layer, shape = shapes[i];
      const look = { ...style, renderer: canvas, height: data.order.indexOf(this.key) };
      const feature = style.radius
        ? L.circleMarker([(origin[1] + shape[1]) / UNIT, (origin[0] + shape[0]) / UNIT], look)
        : L.polygon(rings(shape, origin), look);
      feature.row = i;
      feature.key = this.key;
      this.byRow[i] = feature;
      this.addLayer(feature);
    },
    // Homes are too many to be drawn at once: only those in view, and only from close by.
    refresh() {
      const { shapes, origin, style } = this.layer;
      const view = map.getBounds().pad(0.2), near = map.getZoom() >= style.minZoom, keep = new Set();
      const west = view.getWest() * UNIT - origin[0], east = view.getEast() * UNIT - origin[0];
      const south = view.getSouth() * UNIT - origin[1], north = view.getNorth() * UNIT - origin[1];
      for (let i = 0; near && i < shapes.length && keep.size < DOTS_AT_ONCE; i += 1) {
        const shape = shapes[i];
        if (shape && shape[0] >= west && shape[0] <= east && shape[1] >= south && shape[1] <= north) keep.add(i);
      }
      this.eachLayer((dot) => {
        if (keep.has(dot.row) || dot === lit) return;
        this.removeLayer(dot);
        delete this.byRow[dot.row];
      });
      for (const i of keep) if (!this.byRow[i]) this.draw(i);
    },
    tip(row) {
      const { columns, title } = this.layer;
      if (columns.households) {
        const name = columns.grid_name ? value(this.layer, "grid_name", row) : null;
        return `${text(name || value(this.layer, this.layer.key, row) || title)}　${value(this.layer, "households", row) ?? "—"} 户`;
      }
      if (columns.area_mu) return `${text(value(this.layer, this.layer.key, row))}　${figure(value(this.layer, "area_mu", row))} 亩`;
      if (columns.message) return text(value(this.layer, "title", row));
      return `${text(title)}　${text(value(this.layer, this.layer.key, row))}`;
    },
  });

  function light(feature, on) {
    const { style } = groups[feature.key].layer;
    feature.setStyle(on ? { weight: (style.weight || 1) + 2.5, color: "#111" } : { weight: style.weight, color: style.color });
  }

  const text = (raw) => element("i", {}, raw ?? "").innerHTML; // escapes markup
  const figure = (number) => (number === null || number === undefined ? "—"
    : number.toLocaleString("zh-CN", { minimumFractionDigits: 2, maximumFractionDigits: 2 }));

  // Leaflet draws in the order of adding. One pass over its list puts every layer at its height again;
  // bringing each shape to the front would cost a redraw a shape.
  function stack() {
    const list = [];
    for (let order = canvas._drawFirst; order; order = order.next) list.push(order);
    list.sort((one, other) => one.layer.options.height - other.layer.options.height);
    list.forEach((order, i) => {
      order.prev = list[i - 1] || null;
      order.next = list[i + 1] || null;
    });
    canvas._drawFirst = list[0] || null;
    canvas._drawLast = list[list.length - 1] || null;
  }

  function shown(fieldKind, raw) {
    if (raw === null || raw === undefined || raw === "") return null;
    if (fieldKind === "m2") return `${figure(raw)} m²`;
    if (fieldKind === "mu") return `${figure(raw)} 亩`;
    if (fieldKind === "m") return `${raw.toFixed(0)} m`;
    if (fieldKind === "households") return `${raw} 户`;
    if (fieldKind === "share") return `${(raw * 100).toFixed(0)} %`;
    if (fieldKind === "bool") return raw ? "是" : "否";
    return String(raw);
  }

  function content(key, row) {
    const layer = data.layers[key];
    const name = layer.search && layer.search !== "code" ? value(layer, layer.search, row) : null;
    const main = name || value(layer, layer.key, row) || layer.title;
    const sub = layer.subtitle.map((name) => value(layer, name, row)).filter(Boolean).join(" · ");
    const box = element("div", { class: "card" });
    box.style.setProperty("--tint", layer.style.color);
    box.append(element("h3", {}, main, element("small", {}, sub || layer.title)));
    if (layer.figures.length) {
      box.append(element("div", { class: "figures" }, ...layer.figures.map(([title, mu, m2]) => element("div", {},
        element("span", {}, title), element("b", {}, `${figure(value(layer, mu, row))} 亩`),
        element("span", {}, `${figure(value(layer, m2, row))} m²`)))));
    }
    const list = element("dl");
    for (const [title, name, kind] of layer.fields) {
      const said = shown(kind, value(layer, name, row));
      if (said === null) continue;
      const target = name === "patch_code" && layer.key !== "patch_code" ? locate("patches", said) : null;
      list.append(element("dt", {}, title), element("dd", {}, target
        ? element("a", { href: "#", onclick: (event) => { L.DomEvent.stop(event); select(...target, false); } }, said) // else the map closes the card
        : said));
    }
    const scroll = element("div", { class: "scroll" }, list);
    const flaws = layer.links.flatMap((name) => findingsByCode.get(value(layer, name, row)) || []);
    if (flaws.length) {
      scroll.append(element("h4", {}, `相关问题 ${flaws.length} 条`), element("ul", {}, ...flaws.slice(0, 20).map(
        ([flawKey, i]) => element("li", {}, value(data.layers[flawKey], "message", i),
          element("small", {}, value(data.layers[flawKey], "advice", i) || "")))));
      if (flaws.length > 20) scroll.append(element("small", {}, `另有 ${flaws.length - 20} 条，见问题清单`));
    }
    box.append(scroll);
    return box;
  }

  function open(key, row, place) {
    if (lit) light(lit, false);
    card.setLatLng(place).setContent(content(key, row)).openOn(map);
    lit = groups[key].byRow[row]; // the one the card speaks of stays lit while the card is open
    light(lit, true);
    const button = card.getElement().querySelector(".leaflet-popup-close-button");
    if (button) button.setAttribute("aria-label", "关闭");
    const layer = data.layers[key];
    if (layer.table === "pieces" || layer.table === "grids") remember(value(layer, layer.key, row));
  }

  // The address then names the open piece; a page shown inside a notebook has no address to change.
  function remember(code) {
    try {
      history.replaceState(null, "", `#${code}`);
    } catch (error) {
      if (error.name !== "SecurityError") throw error;
    }
  }

  function centre(key, row) {
    const { points, origin } = data.layers[key];
    const point = points[row];
    return point && L.latLng((origin[1] + point[1]) / UNIT, (origin[0] + point[0]) / UNIT);
  }

  function select(key, row, zoom = true) {
    if (groups[key] && !map.hasLayer(groups[key])) map.addLayer(groups[key]);
    const place = centre(key, row), feature = groups[key].byRow[row];
    if (!place || !feature) return false;
    if (zoom) map.fitBounds(feature.getBounds(), { maxZoom: 17, padding: [120, 160], animate: false });
    open(key, row, place);
    return true;
  }

  const plain = (code) => code.normalize("NFKC").toUpperCase().replace(/[\s\-—–−_]/g, "");

  function candidates() {
    const list = [];
    for (const key of [...data.order].reverse()) {
      const layer = data.layers[key];
      if (!layer.search) continue;
      for (let i = 0; i < layer.count; i += 1) {
        const code = value(layer, layer.key, i);
        if (!code) continue;
        const name = layer.search === "code" ? "" : value(layer, layer.search, i) || "";
        list.push({ key, row: i, code, name, plain: plain(code + name) });
      }
    }
    return list;
  }
  let all;
  function find(words) {
    all = all || candidates();
    const wanted = plain(words);
    if (!wanted) return [];
    const exact = all.filter((one) => one.plain === wanted);
    return exact.length ? exact : all.filter((one) => one.plain.includes(wanted));
  }
  function locate(table, code) {
    for (const key of data.order) {
      const layer = data.layers[key];
      if (layer.table !== table) continue;
      for (let i = 0; i < layer.count; i += 1) if (value(layer, layer.key, i) === code) return [key, i];
    }
    return null;
  }

  function startSearch() {
    const form = document.getElementById("search"), box = form.querySelector("input");
    const list = document.getElementById("found");
    let hits = [], chosen = 0;
    const close = () => list.replaceChildren();
    const take = (hit) => {
      close();
      box.value = hit.name || hit.code;
      if (hit.key === "villages") toVillage(hit.code);
      else if (!select(hit.key, hit.row)) say(`${hit.code} 没有图形，不能在图上定位`);
    };
    const say = (words) => list.replaceChildren(element("li", { class: "none" }, words));
    const refresh = () => {
      hits = find(box.value).slice(0, 12);
      chosen = 0;
      if (!box.value.trim()) return close();
      if (!hits.length) return say(data.left_out.length ? `没有找到；${data.left_out.join("、")}未放入本页` : "没有找到");
      return list.replaceChildren(...hits.map((hit, i) => element("li", { class: i === chosen ? "chosen" : "",
        onmousedown: (event) => { event.preventDefault(); take(hit); } },
        hit.name || hit.code, element("small", {}, `${data.layers[hit.key].title}　${hit.name ? hit.code : ""}`))));
    };
    box.addEventListener("input", refresh);
    box.addEventListener("blur", close);
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || !hits.length) return;
      event.preventDefault();
      chosen = (chosen + step + hits.length) % hits.length;
      [...list.children].forEach((line, i) => line.classList.toggle("chosen", i === chosen));
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!hits.length || !list.children.length) refresh();
      if (hits.length) take(hits[chosen]);
    });
  }

  function toVillage(code) {
    const layer = data.layers.villages;
    const i = layer ? [...Array(layer.count).keys()].find((row) => value(layer, "village_code", row) === code) : undefined;
    if (i === undefined || !layer.shapes[i]) return;
    map.fitBounds(L.latLngBounds(rings(layer.shapes[i], layer.origin).flat(2)), { animate: false });
    if (layer.columns.shift_note && value(layer, "shift_note", i)) open("villages", i, centre("villages", i));
  }

  function nameLabel(place, css, lines) {
    const body = element("span");
    lines.forEach((line, i) => body.append(...(i ? [element("br"), line] : [line])));
    return L.marker(place, { interactive: false, keyboard: false,
      icon: L.divIcon({ className: css, html: body, iconSize: [0, 0] }) });
  }

  // A name is set only where it covers no name set before it.
  function free(taken, at, width, height) {
    const box = [at.x - width / 2, at.y - height / 2, at.x + width / 2, at.y + height / 2];
    if (taken.some((o) => box[0] < o[2] && o[0] < box[2] && box[1] < o[3] && o[1] < box[3])) return false;
    taken.push(box);
    return true;
  }

  function label() {
    names.clearLayers();
    pieceNames.clearLayers();
    const view = map.getBounds(), taken = [];
    const villages = data.layers.villages;
    if (villages && map.hasLayer(groups.villages)) {
      for (let i = 0; i < villages.count; i += 1) {
        const place = centre("villages", i), name = value(villages, "village_name", i);
        if (!place || !name || !view.contains(place)) continue;
        if (free(taken, map.latLngToLayerPoint(place), name.length * 16, 20)) nameLabel(place, "village-name", [name]).addTo(names);
      }
    }
    if (map.getZoom() < Math.min(LABEL_ZOOM, GRID_LABEL_ZOOM)) return;
    let room = LABELS_AT_ONCE;
    for (const key of data.order) {
      const layer = data.layers[key];
      const ofGrid = layer.labelled === "grid";
      if (!layer.labelled || !map.hasLayer(groups[key]) || map.getZoom() < (ofGrid ? GRID_LABEL_ZOOM : LABEL_ZOOM)) continue;
      for (let i = 0; i < layer.count && room > 0; i += 1) {
        const place = centre(key, i);
        if (!place || !view.contains(place)) continue;
        const bounds = groups[key].byRow[i].getBounds();
        const size = map.latLngToLayerPoint(bounds.getSouthEast()).subtract(map.latLngToLayerPoint(bounds.getNorthWest()));
        if (size.x < 52 || size.y < 30 || !free(taken, map.latLngToLayerPoint(place), 64, 30)) continue;
        const lines = ofGrid
          ? [value(layer, "grid_code", i).slice(12), `${value(layer, "households", i) ?? "—"} 户`]
          : [value(layer, "piece_code", i).slice(15), `${figure(value(layer, "area_mu", i))} 亩`];
        nameLabel(place, ofGrid ? "piece-name grid-name" : "piece-name", lines).addTo(pieceNames);
        room -= 1;
      }
    }
  }

  // Seen from afar, full-sized points would cover the county.
  function resize() {
    for (const group of Object.values(groups)) {
      const { radius } = group.layer.style;
      if (radius && map.hasLayer(group)) group.eachLayer((point) => point.setRadius(pointRadius(radius)));
    }
  }
  const pointRadius = (radius) => radius * (map.getZoom() < LABEL_ZOOM ? 0.5 : 1);

  function dots() {
    const groupsOfDots = Object.values(groups).filter((group) => group.layer.style.minZoom && map.hasLayer(group));
    groupsOfDots.forEach((group) => group.refresh());
    if (groupsOfDots.length) {
      stack();
      resize();
    }
  }

  function home() {
    const legend = map.getContainer().querySelector(".leaflet-control-layers");
    const beside = map.getSize().x > 800 && legend ? legend.offsetWidth + 20 : 12;
    map.fitBounds(data.bounds, { animate: false, paddingTopLeft: [48, 16], paddingBottomRight: [beside, 36] });
  }

  function addControls() {
    L.control.zoom({ zoomInTitle: "放大", zoomOutTitle: "缩小" }).addTo(map);
    const bar = map.zoomControl || map._controlCorners.topleft.querySelector(".leaflet-control-zoom");
    const button = element("a", { class: "home", href: "#", role: "button", title: "回到全图", onclick: (event) => { event.preventDefault(); home(); } }, "全图");
    (bar.getContainer ? bar.getContainer() : bar).append(button);
    L.DomEvent.disableClickPropagation(button);
    L.control.scale({ imperial: false, maxWidth: 140 }).addTo(map);
    map.attributionControl.setPrefix(false);
    if (data.attribution) map.attributionControl.addAttribution(data.attribution);
    const spot = L.control({ position: "bottomleft" });
    spot.onAdd = () => element("div", { class: "coordinates" }, "");
    spot.addTo(map);
    map.on("mousemove", ({ latlng }) => {
      spot.getContainer().textContent = `东经 ${latlng.lng.toFixed(6)}°　北纬 ${latlng.lat.toFixed(6)}°`;
    });
  }

  function start(onMap) {
    map = onMap;
    card = L.popup({ maxWidth: 340, autoPanPaddingTopLeft: [20, 20], autoPanPaddingBottomRight: [20, 20] });
    names = L.layerGroup().addTo(map);
    pieceNames = L.layerGroup().addTo(map);
    findingsByCode = new Map();
    for (const key of data.order) {
      const layer = data.layers[key];
      if (layer.table !== "findings") continue;
      for (let i = 0; i < layer.count; i += 1) {
        const code = value(layer, "row_code", i);
        if (!code) continue;
        if (!findingsByCode.has(code)) findingsByCode.set(code, []);
        findingsByCode.get(code).push([key, i]);
      }
    }
    addControls();
    home();
    for (const group of Object.values(groups)) if (map.hasLayer(group)) group.onAdd(map);
    stack();
    map.on("layeradd layerremove", (event) => { if (event.layer instanceof CompactLayer) { stack(); label(); } });
    map.on("moveend", dots);
    map.on("moveend", label);
    map.on("popupclose", () => {
      remember("");
      if (lit) light(lit, false);
      lit = null;
    });
    map.on("zoomend", resize);
    label();
    startSearch();
    document.getElementById("fold").addEventListener("click", () => {
      document.body.classList.toggle("folded");
      map.invalidateSize({ pan: false });
    });
    document.getElementById("print").addEventListener("click", () => window.print());
    document.querySelectorAll(".villages tr[data-village]").forEach((line) => {
      const go = () => toVillage(line.dataset.village);
      line.addEventListener("click", go);
      line.addEventListener("keydown", (event) => { if (event.key === "Enter") go(); });
    });
    const asked = decodeURIComponent(window.location.hash.slice(1));
    const [hit] = asked ? find(asked) : [];
    if (hit && hit.key !== "villages") select(hit.key, hit.row);
  }

  function layer(key) {
    groups[key] = new CompactLayer(key);
    return groups[key];
  }

  return { data, groups, layer, start, find, select, open, get map() { return map; } };
})();
