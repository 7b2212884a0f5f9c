/* Lengths and areas on the ellipsoid of CGCS2000, for the measuring tool: 参考, never the legal figure.
   Area: latitudes become authalic ones, which keep area; on the sphere of equal area a polygon is the sum of the
   spherical excesses under its edges, which for edges of a few kilometres are trapezoids of longitude and sine.
   Source: Snyder (1987), Map Projections: A Working Manual, USGS PP 1395, eq. 3-11 to 3-13; Karney (2013). */
(() => {
  "use strict";
  const A = 6378137, F = 1 / 298.257222101;
  const E2 = F * (2 - F), E = Math.sqrt(E2), RADIAN = Math.PI / 180;
  const authalic = (sine) => (1 - E2) * (sine / (1 - E2 * sine * sine) + Math.atanh(E * sine) / E);
  const POLE = authalic(1);
  const RADIUS2 = (A * A * POLE) / 2; // square of the authalic radius

  // Points are [longitude, latitude] in degrees; the last is joined to the first. Square metres.
  function area(points) {
    if (points.length < 3) return 0;
    const [lon0] = points[0], base = authalic(Math.sin(points[0][1] * RADIAN)) / POLE;
    let sum = 0;
    for (let i = 0; i < points.length; i += 1) {
      const from = points[i], to = points[(i + 1) % points.length];
      const low = authalic(Math.sin(from[1] * RADIAN)) / POLE - base;
      const high = authalic(Math.sin(to[1] * RADIAN)) / POLE - base;
      sum += ((to[0] - lon0) - (from[0] - lon0)) * RADIAN * (low + high);
    }
    return Math.abs(sum) * RADIUS2 / 2;
  }

  // By the two radii of curvature at the middle: under 1 mm off in a kilometre.
  function step(from, to) {
    const middle = ((from[1] + to[1]) / 2) * RADIAN, sine = Math.sin(middle), w = 1 - E2 * sine * sine;
    const north = (A * (1 - E2) / w ** 1.5) * (to[1] - from[1]) * RADIAN;
    const east = (A / Math.sqrt(w)) * Math.cos(middle) * (to[0] - from[0]) * RADIAN;
    return Math.hypot(north, east);
  }

  const length = (points) => points.slice(1).reduce((sum, point, i) => sum + step(points[i], point), 0);

  taotuMap.geodesy = { area, length };
})();
