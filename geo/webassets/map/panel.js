/* The card of layers and legend: what can be shown, what is, and what its colours mean. */
(() => {
  "use strict";
  const { element, icon, figure } = taotuMap;
  const { swatch } = taotuMap.style;
  const NARROW = 900;

  class Panel {
    addTo(map, config) {
      this.map = map;
      this.config = config;
      this.body = element("div", { class: "taotu-panel-body", id: "taotu-panel-body" });
      this.head = element("button", {
        type: "button", class: "taotu-panel-head", "aria-controls": "taotu-panel-body", onclick: () => this.fold(!this.folded),
      }, icon("layers"), element("span", {}, "图层与图例"), icon("fold"));
      this.card = element("section", { class: "taotu-panel", "aria-label": "图层与图例" }, this.head, this.body);
      L.DomEvent.disableClickPropagation(this.card);
      L.DomEvent.disableScrollPropagation(this.card);
      map.getContainer().append(this.card);
      this.draw();
      this.fold(map.getSize().x < NARROW);
      map.on("zoomend", () => this.near());
      for (const name of ["figure", "villages"]) taotuMap.on(name, () => this.villages());
    }

    // What the card covers of the map, in pixels.
    get width() {
      return this.folded ? 0 : this.card.offsetWidth + 24;
    }

    fold(folded) {
      this.folded = folded;
      this.card.classList.toggle("folded", folded);
      this.head.setAttribute("aria-expanded", String(!folded));
    }

    draw() {
      const { bases, tiles, overview } = this.config;
      const parts = [];
      if (bases.length) {
        parts.push(this.group("底图", [
          this.choice("base", "", "空白", !taotuMap.base, () => taotuMap.setBase("")),
          ...bases.map((base) => this.choice("base", base.key, base.title, taotuMap.base === base.key, () => taotuMap.setBase(base.key))),
        ]));
      }
      if (overview) {
        this.legend = element("div", { class: "taotu-legend" });
        parts.push(this.group("各村概览", [this.figures(overview), this.legend, element("p", { class: "taotu-note taotu-rest" }, "缩小到全县时按此着色")]));
      }
      this.rows = new Map();
      if (tiles.length) parts.push(this.group("图层", [...tiles].reverse().map((source) => this.layer(source))));
      this.body.replaceChildren(...parts);
      if (overview) this.villages();
      this.near();
    }

    group(title, content) {
      return element("fieldset", {}, element("legend", {}, title), ...content);
    }

    choice(name, value, title, checked, act) {
      const box = element("input", { type: "radio", name: `taotu-${name}`, value, checked, onchange: act });
      return element("label", { class: "taotu-row" }, box, element("span", {}, title));
    }

    figures(overview) {
      if (overview.figures.length === 1) return element("p", { class: "taotu-note" }, overview.figures[0].title);
      const select = element("select", { "aria-label": "着色指标", onchange: () => taotuMap.overview.choose(select.value) },
        ...overview.figures.map((item) => element("option", { value: item.column }, `${item.title}（${item.unit}）`)));
      return select;
    }

    villages() {
      const { overview } = taotuMap;
      if (!overview.features) {
        this.legend.replaceChildren(element("p", { class: "taotu-note" }, "正在载入村界…"));
        return;
      }
      const { unit, rows } = overview.legend();
      this.legend.replaceChildren(
        element("p", { class: "taotu-unit" }, element("span", {}, unit), element("span", {}, "村数")),
        ...rows.map(({ color, words, count }) => element("p", { class: "taotu-bin" },
          element("span", { class: "taotu-swatch plain", look: { backgroundColor: color } }), element("span", {}, words), element("span", {}, figure(count, 0)))));
    }

    layer(source) {
      const shown = taotuMap.isShown(source.key), layer = taotuMap.layers.get(source.key);
      const box = element("input", { type: "checkbox", checked: shown, onchange: () => taotuMap.show(source.key, box.checked) });
      const single = layer.theme.classes.length === 1;
      const title = element("label", { class: "taotu-row taotu-layer" }, box, single ? swatch(layer.theme.classes[0].style) : null, element("span", {}, source.title),
        element("small", { class: "taotu-far" }, "放大后显示"));
      const classes = element("div", { class: "taotu-classes", hidden: !shown });
      if (source.themes.length > 1) {
        const select = element("select", { "aria-label": `${source.title}的着色`, onchange: () => taotuMap.theme(source.key, select.value) },
          ...source.themes.map((theme) => element("option", { value: theme.key, selected: theme === layer.theme }, theme.title)));
        classes.append(select);
      }
      if (!single) {
        for (const item of layer.theme.classes) {
          const tick = element("input", { type: "checkbox", checked: !layer.hiddenClasses.has(item.key), onchange: () => taotuMap.showClass(source.key, item.key, tick.checked) });
          classes.append(element("label", { class: "taotu-row" }, tick, swatch(item.style), element("span", {}, item.title)));
        }
      }
      const row = element("div", { class: "taotu-source", "data-layer": source.key }, title, classes);
      this.rows.set(source.key, { row, box, classes });
      return row;
    }

    based(key) {
      for (const box of this.body.querySelectorAll("input[name=taotu-base]")) box.checked = box.value === key;
    }

    redraw(key) {
      const old = this.rows.get(key), source = this.config.tiles.find((item) => item.key === key);
      if (!old) return;
      const held = old.row.contains(document.activeElement) && document.activeElement.tagName;
      old.row.replaceWith(this.layer(source));
      if (held) this.rows.get(key).row.querySelector(held === "SELECT" ? "select" : "input").focus();
      this.near();
    }

    shown(key, on) {
      const row = this.rows.get(key);
      if (!row) return;
      row.box.checked = on;
      row.classes.hidden = !on || !row.classes.childElementCount;
    }

    // Layers that wait for a closer view say so.
    near() {
      const zoom = this.map.getZoom();
      if (this.legend) this.legend.parentElement.classList.toggle("taotu-resting", !taotuMap.overview.far());
      for (const [key, { row }] of this.rows || []) {
        row.classList.toggle("far", zoom < taotuMap.layers.get(key).source.min_zoom);
      }
    }
  }

  taotuMap.Panel = Panel;
})();
