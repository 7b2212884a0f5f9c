/* Measuring by hand: a line in metres, a polygon in mu. What the screen says is for reference; areas that count come
   from the tables. With the keyboard: Enter sets a point at the middle of the map, Backspace takes one back. */
(() => {
  "use strict";
  const { element, button, figure } = taotuMap;
  const M2_PER_MU = 10000 / 15;
  const INK = "#b0087a";

  const metres = (length) => (length < 1000 ? `${figure(length, 1)} 米` : `${figure(length / 1000, 3)} 公里`);

  class Measure {
    addTo(map) {
      this.map = map;
      const pane = map.createPane("taotu-measure");
      pane.style.zIndex = 610;
      pane.style.pointerEvents = "none";
      this.drawing = L.layerGroup().addTo(map);
      this.renderer = L.svg({ pane: "taotu-measure" });
      this.told = element("output", { class: "taotu-measured", "aria-live": "polite", hidden: true });
      map.getContainer().append(this.told);
      map.on("click", (event) => this.kind && this.add(event.latlng));
      map.on("dblclick", () => this.kind && this.finish());
      map.on("mousemove", (event) => this.kind && this.draw(event.latlng));
      map.getContainer().addEventListener("keydown", (event) => this.key(event));
    }

    start(kind) {
      const again = this.kind === kind;
      this.clear();
      if (again) return;
      this.kind = kind;
      this.points = [];
      this.map.doubleClickZoom.disable();
      this.map.getContainer().classList.add("taotu-measuring");
      this.map.closePopup();
      this.map.getContainer().focus({ preventScroll: true });
      this.draw(null);
      taotuMap.emit("measure", { kind });
    }

    add(latlng) {
      this.points.push(latlng);
      this.draw(null);
    }

    // The second click of a double one has set a point where one stands already.
    finish() {
      const { points } = this, last = points.length - 1;
      if (last > 0 && this.map.latLngToContainerPoint(points[last]).distanceTo(this.map.latLngToContainerPoint(points[last - 1])) < 4) points.pop();
      this.draw(null);
      this.stop();
    }

    stop() {
      if (!this.kind) return;
      this.kind = null;
      this.map.getContainer().classList.remove("taotu-measuring");
      window.setTimeout(() => this.kind || this.map.doubleClickZoom.enable(), 300); // not for this double click
      taotuMap.emit("measure", { kind: null });
    }

    clear() {
      this.stop();
      this.points = [];
      this.drawing.clearLayers();
      this.told.hidden = true;
    }

    key(event) {
      if (!this.kind && !(event.key === "Escape" && this.points && this.points.length)) return;
      if (event.target !== this.map.getContainer() && event.key !== "Escape") return;
      if (event.key === "Escape") this.clear();
      else if (event.key === "Enter") this.add(this.map.getCenter());
      else if (event.key === "Backspace") { this.points.pop(); this.draw(null); }
      else return;
      event.preventDefault();
      event.stopPropagation();
    }

    draw(pointer) {
      const points = pointer ? [...this.points, pointer] : this.points, polygon = this.shape() === "area";
      const style = { renderer: this.renderer, pane: "taotu-measure", color: INK, weight: 2.5, interactive: false };
      this.drawing.clearLayers();
      if (polygon && points.length > 2) L.polygon(points, { ...style, fillOpacity: 0.12, dashArray: pointer ? "6 5" : null }).addTo(this.drawing);
      else if (points.length > 1) L.polyline(points, { ...style, dashArray: pointer ? "6 5" : null }).addTo(this.drawing);
      for (const point of this.points) {
        L.circleMarker(point, { ...style, radius: 4, weight: 2, fillColor: "#fff", fillOpacity: 1 }).addTo(this.drawing);
      }
      this.tell(points.map(({ lng, lat }) => [lng, lat]), polygon);
    }

    shape() {
      if (this.kind) this.last = this.kind;
      return this.last;
    }

    tell(points, polygon) {
      const { area, length } = taotuMap.geodesy;
      const close = button("close", "清除测量", () => this.clear());
      if (points.length < 2) {
        this.told.replaceChildren(element("p", {}, polygon ? "依次点出边界，双击结束，Esc 取消" : "依次点出路线，双击结束，Esc 取消"), close);
      } else if (polygon) {
        const m2 = area(points), ring = length([...points, points[0]]);
        this.told.replaceChildren(
          element("p", {}, "参考面积 ", element("b", {}, `${figure(m2 / M2_PER_MU)} 亩`), element("small", {}, `${figure(m2, 1)} 平方米　周长 ${metres(ring)}`)), close);
      } else {
        this.told.replaceChildren(
          element("p", {}, "参考长度 ", element("b", {}, metres(length(points))), element("small", {}, `末段 ${metres(length(points.slice(-2)))}`)), close);
      }
      this.told.hidden = false;
    }
  }

  taotuMap.Measure = Measure;
})();
