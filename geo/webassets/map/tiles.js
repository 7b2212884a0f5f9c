/* Layers of vector tiles: drawn sharp on any screen, restyled without fetching again, and found by a click through
   all layers that lie there (a canvas of VectorGrid would keep the click from those below it). */
(() => {
  "use strict";
  const { HIDDEN, fits, looks, pattern } = taotuMap.style;
  const NOTHING = { layers: {} };

  // VectorGrid 1.3.0 calls what Leaflet 1.8 took out; our clicks do not pass there, an element added by hand may.
  L.DomEvent.fakeStop = L.DomEvent.fakeStop || L.DomEvent.stop;

  const Sharp = L.Canvas.Tile.extend({
    initialize(coords, size, options) {
      L.Canvas.Tile.prototype.initialize.call(this, coords, size, options);
      const ratio = Math.min(Math.max(window.devicePixelRatio || 1, 1), 3);
      this._container.style.pointerEvents = "";
      this._container.width = size.x * ratio;
      this._container.height = size.y * ratio;
      this._ctx.scale(ratio, ratio);
    },
    _fillStroke(pen, shape) {
      L.Canvas.prototype._fillStroke.call(this, pen, shape);
      const { hatch, hatchColor } = shape.options;
      if (!hatch) return;
      pen.globalAlpha = 1;
      pen.fillStyle = pen.createPattern(pattern(hatch, hatchColor), "repeat");
      pen.fill("evenodd");
    },
    *shapes() {
      for (let order = this._drawFirst; order; order = order.next) yield order.layer;
    },
    repaint(look) {
      if (!this._drawFirst) return; // not there yet: it will be drawn as things are then
      const pen = this._ctx, lifted = [];
      pen.save();
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.clearRect(0, 0, this._container.width, this._container.height);
      pen.restore();
      this._drawing = true;
      for (const shape of this.shapes()) {
        shape.options = look(shape.properties);
        if (shape._point) shape._radius = shape.options.radius || 0;
        this._updateDashArray(shape);
        if (shape.options.lifted) lifted.push(shape);
        else if (shape.options !== HIDDEN) shape._updatePath();
      }
      for (const shape of lifted) { // above all others, on a white border
        const own = shape.options;
        shape.options = L.extend({}, own, { color: "#fff", weight: own.weight + 4, fill: false, hatch: null });
        shape._updatePath();
        shape.options = own;
        shape._updatePath();
      }
    },
  });

  const TileLayer = L.VectorGrid.Protobuf.extend({
    initialize(source) {
      this.source = source;
      this.key = source.key;
      this.theme = source.themes[0];
      this.hiddenClasses = new Set(this.theme.classes.filter((item) => !item.show).map((item) => item.key));
      this.wanted = {};
      this.lit = null;
      this.looks = looks(this.theme);
      const look = (properties) => this.look(properties);
      L.VectorGrid.Protobuf.prototype.initialize.call(this, source.url, {
        minZoom: source.min_zoom,
        maxZoom: source.max_zoom,
        rendererFactory: (coords, size, options) => new Sharp(coords, size, options),
        vectorTileLayerStyles: new Proxy({}, { get: () => look }), // whatever a tile calls its layer
        getFeatureId: (feature) => feature.properties[source.code],
        interactive: false,
        fetchOptions: { credentials: "same-origin" },
        keepBuffer: 1,
        updateWhenZooming: false,
      });
      this.on("tileload", ({ coords }) => {
        const tile = this.lit && this._vectorTiles[this._tileCoordsToKey(coords)];
        if (tile) tile.repaint(look);
      });
    },
    look(properties) {
      const item = this.looks.find(({ when }) => fits(when, properties));
      if (this.lit && String(properties[this.source.code]) === this.lit) return (item || this.looks[0]).lifted;
      if (!item || this.hiddenClasses.has(item.key)) return HIDDEN;
      for (const [name, values] of Object.entries(this.wanted)) {
        if (name in properties && !values.has(String(properties[name]))) return HIDDEN;
      }
      return taotuMap.pictures ? item.sheer : item.plain;
    },
    repaint() {
      for (const tile of Object.values(this._vectorTiles)) tile.repaint((properties) => this.look(properties));
    },
    // Rows at a place, the highest first.
    at(point) {
      const zoom = this._tileZoom;
      if (!this._map || zoom === undefined) return [];
      const size = this.getTileSize(), pixel = this._map.project(point, zoom), coords = pixel.unscaleBy(size).floor();
      coords.z = zoom;
      const tile = this._vectorTiles[this._tileCoordsToKey(coords)];
      if (!tile) return [];
      const spot = pixel.subtract(coords.scaleBy(size)), found = [];
      for (const shape of tile.shapes()) {
        if (shape.options.interactive === false) continue;
        if (shape._parts && !shape._parts.length) continue; // cut away to nothing
        if (!shape._pxBounds) shape.makeInteractive();
        if (shape._containsPoint(spot)) found.unshift(shape.properties);
      }
      const seen = new Set();
      return found.filter((properties) => {
        const code = properties[this.source.code];
        return !seen.has(code) && seen.add(code);
      });
    },
    // A tile that fails is empty, and the page is told; VectorGrid's own would leave a hole and a word on the console.
    _getVectorTilePromise(coords) {
      const address = L.Util.template(this._url, { x: coords.x, y: coords.y, z: coords.z, s: "" });
      return window.fetch(address, this.options.fetchOptions)
        .then((answer) => {
          if (answer.status === 401) taotuMap.emit("signedout", {});
          if (!answer.ok) throw new Error(String(answer.status));
          return answer.status === 204 ? null : answer.arrayBuffer();
        })
        .then((bytes) => (bytes && bytes.byteLength ? taotuMap.decode(bytes) : NOTHING))
        .catch(() => {
          taotuMap.say(`部分“${this.source.title}”没有载入，请稍后移动地图再试`);
          return NOTHING;
        });
    },
  });

  // The bundle leaves its reader of tiles at the top level under names of its own.
  taotuMap.decode = (bytes) => {
    const tile = new VectorTile(new Pbf(bytes));
    for (const layer of Object.values(tile.layers)) {
      layer.features = Array.from({ length: layer.length }, (_, i) => {
        const feature = layer.feature(i);
        feature.geometry = feature.loadGeometry();
        return feature;
      });
    }
    return tile;
  };

  taotuMap.TileLayer = TileLayer;
})();
