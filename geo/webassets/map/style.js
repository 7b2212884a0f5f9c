/* How rows are drawn: the first class of the theme that fits, or not at all; quantile classes of a figure. */
(() => {
  "use strict";
  const { element } = taotuMap;
  const HIDDEN = L.extend({}, L.Path.prototype.options, { stroke: false, fill: false, interactive: false });
  const RAMP = ["#edf3e0", "#cde2c0", "#a3cfa9", "#70b28f", "#42907a"]; // dark names stay readable on all of them
  const NONE = "#fafaf6", UNKNOWN = "#e3e3de";
  const ON_PICTURES = 0.45; // what lies over an orthophoto lets it through
  const patterns = new Map();

  const fits = (when, properties) => Object.entries(when).every(([name, value]) => String(properties[name]) === value);

  // The whole of what Leaflet asks of a path, made once a class and not once a row.
  function looks(theme) {
    return theme.classes.map((item) => {
      const plain = L.extend({}, L.Path.prototype.options, { fill: true, className: "" }, item.style);
      const sheer = L.extend({}, plain, { fillOpacity: plain.fillOpacity * ON_PICTURES });
      const lifted = L.extend({}, plain, { color: "#0b1f2a", weight: 3.5, opacity: 1, dashArray: null, lifted: true });
      return { key: item.key, when: item.when, plain, sheer, lifted };
    });
  }

  function pattern(kind, color) {
    const key = kind + color;
    if (!patterns.has(key)) {
      const tile = document.createElement("canvas"), pen = tile.getContext("2d");
      tile.width = tile.height = 8;
      pen.strokeStyle = color;
      pen.lineWidth = 1.2;
      pen.beginPath();
      for (const shift of [-8, 0, 8]) {
        pen.moveTo(shift, 8);
        pen.lineTo(shift + 8, 0);
        if (kind === "cross") { pen.moveTo(shift, 0); pen.lineTo(shift + 8, 8); }
      }
      pen.stroke();
      patterns.set(key, tile);
    }
    return patterns.get(key);
  }

  function swatch(style) {
    const { color, fillColor, fillOpacity = 1, hatch, hatchColor, fill, dashArray } = style;
    if (fill === false) {
      return element("span", { class: "taotu-swatch line", look: { borderColor: color, borderTopStyle: dashArray ? "dashed" : "solid" } });
    }
    if (style.radius) return element("span", { class: "taotu-swatch point", look: { borderColor: color, backgroundColor: fillColor } });
    const lines = [];
    if (hatch) lines.push(`repeating-linear-gradient(-45deg, ${hatchColor} 0 1.2px, transparent 1.2px 5px)`);
    if (hatch === "cross") lines.push(`repeating-linear-gradient(45deg, ${hatchColor} 0 1.2px, transparent 1.2px 5px)`);
    const ground = element("span", { look: { backgroundColor: fillColor, opacity: String(fillOpacity) } });
    const ink = element("span", { look: { backgroundImage: lines.join(", ") || "none" } });
    return element("span", { class: "taotu-swatch", look: { borderColor: color, borderStyle: dashArray ? "dashed" : "solid" } }, ground, ink);
  }

  // Classes that hold about as many villages each; nought is a class of its own, equal values never part.
  function quantiles(values, count = RAMP.length) {
    const sorted = values.filter((value) => Number.isFinite(value) && value > 0).sort((a, b) => a - b);
    if (!sorted.length) return [];
    const tops = [];
    for (let i = 1; i <= count; i += 1) {
      const top = sorted[Math.ceil((i * sorted.length) / count) - 1];
      if (top !== tops[tops.length - 1]) tops.push(top);
    }
    return tops.map((top, i) => {
      const inside = sorted.filter((value) => value <= top && (i === 0 || value > tops[i - 1]));
      const shade = RAMP[tops.length === 1 ? RAMP.length - 2 : Math.round((i * (RAMP.length - 1)) / (tops.length - 1))];
      return { from: inside[0], to: top, count: inside.length, color: shade };
    });
  }

  function shade(classes, value) {
    if (!Number.isFinite(value)) return UNKNOWN;
    if (value <= 0) return NONE;
    return (classes.find((item) => value <= item.to) || classes[classes.length - 1] || { color: NONE }).color;
  }

  taotuMap.style = { HIDDEN, NONE, UNKNOWN, fits, looks, pattern, swatch, quantiles, shade };
})();
