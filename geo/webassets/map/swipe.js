/* A curtain between two groups of layers. Each group has a pane of its own, which is cut at the curtain; what both
   groups have stays on the common pane. Any number of tile layers a side. */
(() => {
  "use strict";
  const { element, icon } = taotuMap;
  const STEP = 0.02;

  class Swipe {
    constructor(source) {
      this.source = source;
      this.share = 0.5;
      this.on = false;
    }

    addTo(map) {
      this.map = map;
      for (const side of ["left", "right"]) map.createPane(`taotu-${side}`).style.zIndex = 210;
      const handle = element("span", { class: "taotu-grip" }, icon("swipe"));
      this.curtain = element("div", {
        class: "taotu-curtain", role: "slider", tabindex: "0", hidden: true, "aria-label": "比对分界线，左右方向键移动",
        "aria-orientation": "horizontal", "aria-valuemin": "0", "aria-valuemax": "100",
      }, handle);
      this.curtain.append(...["left", "right"].map((side) => element("span", { class: `taotu-side ${side}` }, this.source[`${side}_title`])));
      map.getContainer().append(this.curtain);
      L.DomEvent.disableClickPropagation(this.curtain);
      this.curtain.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        event.stopPropagation();
        this.curtain.focus({ preventScroll: true });
        this.curtain.setPointerCapture(event.pointerId);
      });
      this.curtain.addEventListener("pointermove", (event) => {
        if (!this.curtain.hasPointerCapture(event.pointerId)) return;
        const box = map.getContainer().getBoundingClientRect();
        this.place((event.clientX - box.left) / box.width);
      });
      this.curtain.addEventListener("keydown", (event) => {
        const to = { ArrowLeft: this.share - STEP, ArrowRight: this.share + STEP, Home: 0, End: 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        event.stopPropagation();
        this.place(to);
      });
      map.on("move zoom viewreset resize", () => this.cut());
    }

    side(key) {
      const left = this.source.left.includes(key), right = this.source.right.includes(key);
      return left === right ? null : left ? "left" : "right";
    }

    // Whether a layer is to be seen at a place on the screen.
    sees(key, { x }) {
      const side = this.on && this.side(key);
      return !side || (side === "left") === (x < this.map.getSize().x * this.share);
    }

    pane(key) {
      const side = this.on && this.side(key);
      return side ? `taotu-${side}` : "tilePane";
    }

    turn(on) {
      this.on = on;
      this.curtain.hidden = !on;
      for (const key of [...this.source.left, ...this.source.right]) if (on) taotuMap.show(key, true);
      for (const layer of taotuMap.layers.values()) {
        const pane = this.pane(layer.key);
        if (layer.options.pane === pane) continue;
        const shown = this.map.hasLayer(layer);
        if (shown) this.map.removeLayer(layer);
        layer.options.pane = pane;
        if (shown) this.map.addLayer(layer);
      }
      this.place(this.share);
      taotuMap.emit("swipe", { on });
    }

    place(share) {
      this.share = Math.min(Math.max(share, 0), 1);
      this.curtain.style.left = `${this.share * 100}%`;
      this.curtain.setAttribute("aria-valuenow", String(Math.round(this.share * 100)));
      this.cut();
    }

    // Panes have no size of their own, so they are cut in the coordinates of the map's layers.
    cut() {
      const corner = this.map.containerPointToLayerPoint([0, 0]), size = this.map.getSize(), at = corner.x + size.x * this.share;
      const far = corner.add(size);
      const clip = (from, to) => (this.on ? `rect(${corner.y}px, ${to}px, ${far.y}px, ${from}px)` : "");
      this.map.getPane("taotu-left").style.clip = clip(corner.x, at);
      this.map.getPane("taotu-right").style.clip = clip(at, far.x);
    }
  }

  taotuMap.Swipe = Swipe;
})();
