/* Villages: coloured by a figure while the whole county is in view, outlines once tiles take over. */
(() => {
  "use strict";
  const { element, figure } = taotuMap;
  const { NONE, UNKNOWN, quantiles, shade } = taotuMap.style;
  const OUTLINE = { color: "#46535c", weight: 1.8, dashArray: "8 3 2 3", opacity: 1, fill: false };
  const FILLED = { color: "#ffffff", weight: 1.2, dashArray: null, opacity: 1, fill: true, fillOpacity: 0.9 };
  const LABEL_HEIGHT = 22, LETTER = 15;

  class Overview {
    constructor(source, near) {
      this.map = taotuMap.map;
      this.source = source;
      this.near = near; // from this zoom on tiles tell more
      this.chosen = source.figures[0];
      this.classes = [];
      this.labels = L.layerGroup();
      this.byCode = new Map();
    }

    addTo(map) {
      const pane = map.createPane("taotu-villages");
      pane.style.zIndex = 350;
      map.createPane("taotu-names").style.zIndex = 620;
      this.shapes = L.geoJSON(null, {
        pane: "taotu-villages",
        renderer: L.svg({ pane: "taotu-villages", padding: 0.3 }),
        style: (feature) => this.look(feature),
        onEachFeature: (feature, shape) => this.join(feature, shape),
      }).addTo(map);
      this.labels.addTo(map);
      map.on("zoomend", () => this.restyle());
      map.on("moveend", () => this.name());
      return this.load();
    }

    async load() {
      const features = [];
      try {
        for (let address = this.source.url; address;) {
          const answer = await window.fetch(address, { credentials: "same-origin", headers: { Accept: "application/geo+json" } });
          if (answer.status === 401) taotuMap.emit("signedout", {});
          if (!answer.ok) throw new Error(String(answer.status));
          const page = await answer.json();
          features.push(...(page.features || []).filter((feature) => feature.geometry));
          const next = (page.links || []).find((link) => link.rel === "next");
          const where = next && new URL(next.href, window.location.href);
          address = where && where.origin === window.location.origin ? where.pathname + where.search : null;
        }
      } catch (failure) {
        taotuMap.say("村界没有载入，请刷新页面重试", { lasting: true });
        return;
      }
      this.shapes.clearLayers();
      this.byCode.clear();
      this.features = features;
      this.classify();
      this.shapes.addData({ type: "FeatureCollection", features });
      this.name();
      taotuMap.emit("villages", { count: features.length });
    }

    value(feature) {
      const raw = feature.properties[this.chosen.column];
      return raw === null || raw === undefined || raw === "" ? NaN : Number(raw) * this.chosen.factor;
    }

    classify() {
      this.classes = quantiles(this.features.map((feature) => this.value(feature)));
    }

    far() {
      return this.map.getZoom() < this.near;
    }

    look(feature) {
      if (!this.far()) return OUTLINE;
      return { ...FILLED, color: "#7d8a84", fillColor: shade(this.classes, this.value(feature)) };
    }

    restyle() {
      this.map.getPane("taotu-villages").classList.toggle("taotu-outlines", !this.far());
      this.shapes.setStyle((feature) => this.look(feature));
    }

    choose(column) {
      this.chosen = this.source.figures.find((item) => item.column === column) || this.chosen;
      if (!this.features) return;
      this.classify();
      this.restyle();
      taotuMap.emit("figure", { column: this.chosen.column });
    }

    join(feature, shape) {
      const code = String(feature.properties[this.source.code] ?? ""), name = String(feature.properties[this.source.name] ?? code);
      this.byCode.set(code, shape);
      shape.bindTooltip(() => element("span", {}, element("b", {}, name), `　${this.told(feature)}`), { sticky: true, direction: "top", className: "taotu-tip" });
      shape.on("click", (event) => {
        L.DomEvent.stopPropagation(event);
        this.tell(shape, event.latlng);
      });
      // A shape that listens for focus would be a stop of the tab key, one a village.
      shape.on("add", () => shape.getElement().setAttribute("tabindex", "-1"));
      shape.on("mouseover", () => this.far() && shape.setStyle({ color: "#0b1f2a", weight: 2.6 }).bringToFront());
      shape.on("mouseout", () => shape.setStyle(this.look(feature)));
    }

    tell(shape, { lat, lng }) {
      const { properties } = shape.feature, code = String(properties[this.source.code] ?? "");
      taotuMap.emit("village", { code, name: String(properties[this.source.name] ?? code), lat, lng, properties });
    }

    at(latlng) {
      const spot = this.map.latLngToLayerPoint(latlng);
      return [...this.byCode.values()].find((shape) => shape._containsPoint(spot));
    }

    told(feature) {
      const { title, unit, decimals } = this.chosen, value = this.value(feature);
      return `${title} ${figure(value, decimals)}${Number.isFinite(value) ? ` ${unit}` : ""}`;
    }

    // Names of villages in view, those that do not run into one another, the larger first.
    name() {
      this.labels.clearLayers();
      if (!this.features) return;
      const taken = [], view = this.map.getBounds();
      const places = [...this.byCode.values()].map((shape) => ({ shape, bounds: shape.getBounds() }))
        .filter(({ bounds }) => view.intersects(bounds))
        .sort((a, b) => size(b.bounds) - size(a.bounds));
      for (const { shape, bounds } of places) {
        const words = String(shape.feature.properties[this.source.name] ?? "").replace(/村?村民委员会$/, "村"); // whole in the tooltip
        const centre = shape.getCenter ? shape.getCenter() : bounds.getCenter(), at = this.map.latLngToContainerPoint(centre);
        const half = (words.length * LETTER) / 2 + 4, box = [at.x - half, at.y - LABEL_HEIGHT / 2, at.x + half, at.y + LABEL_HEIGHT / 2];
        if (!words || taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
        taken.push(box);
        const html = element("span", {}, words);
        L.marker(centre, { pane: "taotu-names", interactive: false, keyboard: false, icon: L.divIcon({ className: "taotu-name", iconSize: [0, 0], html }) }).addTo(this.labels);
      }
    }

    legend() {
      const { unit, decimals } = this.chosen, values = this.features.map((feature) => this.value(feature));
      const rows = this.classes.map(({ from, to, count, color }) => ({
        color, count, words: from === to ? figure(from, decimals) : `${figure(from, decimals)} – ${figure(to, decimals)}`,
      }));
      const none = values.filter((value) => Number.isFinite(value) && value <= 0).length;
      const unknown = values.filter((value) => !Number.isFinite(value)).length;
      if (none) rows.unshift({ color: NONE, count: none, words: "0" });
      if (unknown) rows.push({ color: UNKNOWN, count: unknown, words: "无数据" });
      return { unit, rows };
    }
  }

  const size = (bounds) => (bounds.getEast() - bounds.getWest()) * (bounds.getNorth() - bounds.getSouth());

  taotuMap.Overview = Overview;
})();
