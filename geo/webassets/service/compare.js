/* 比对: two states of the land under a curtain; and how far the parcels of each village lay off. */
(() => {
  "use strict";
  const { $, el, fill, items, number, told, tag, facts, dialog } = taotu;
  const CONFIDENCE = { high: "高", medium: "中", low: "低", none: "无", given: "人工指定" };

  // -- one side, the other, or both

  $("#see-left").textContent = `只看${told.left}`;
  $("#see-right").textContent = `只看${told.right}`;
  const boxes = [...document.querySelectorAll('input[name="see"]')];
  const see = (share) => { if (!taotuMap.swiping.on) taotuMap.swiping.turn(true); taotuMap.swiping.place(share); };
  for (const box of boxes) box.addEventListener("change", () => see(Number(box.value)));
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "t" || event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName) && document.activeElement.type !== "radio") return;
    const next = boxes[0].checked ? boxes[2] : boxes[0];
    next.checked = true;
    see(Number(next.value));
  });

  // -- another comparison of the same place

  const place = () => { const { lat, lng } = taotuMap.map.getCenter(); return `#${taotuMap.map.getZoom()}/${lat.toFixed(6)}/${lng.toFixed(6)}`; };
  for (const link of document.querySelectorAll("[data-mode]")) link.addEventListener("click", () => { link.hash = place(); });
  const [zoom, lat, lng] = window.location.hash.slice(1).split("/").map(Number);
  if ([zoom, lat, lng].every(Number.isFinite)) taotuMap.map.setView([lat, lng], zoom, { animate: false });

  // -- shifts

  const village = (code) => {
    const shape = taotuMap.overview?.byCode.get(code);
    if (!shape) return;
    const box = shape.getBounds();
    taotuMap.goTo({ bbox: [box.getWest(), box.getSouth(), box.getEast(), box.getNorth()], layer: "parcels", code: null, zoom: 16 });
  };
  const metres = (value) => (Number.isFinite(value) ? `${number(value, 2)} m` : "—");
  function tell(row) {
    dialog(`${taotu.short(row.village_name)}${row.batch ? `（${row.batch}）` : ""}的偏移`, facts([
      ["采用", row.accepted ? "已按偏移改正" : "未移动"], ["说明", row.reason], ["可信度", CONFIDENCE[row.confidence]], ["偏移", `${metres(row.distance_m)}，地块偏向${row.direction || "—"}`],
      ["改正", `东 ${metres(row.dx_m)}，北 ${metres(row.dy_m)}`], ["旋转", row.rotation_deg ? `${number(row.rotation_deg, 5)}°` : ""], ["中误差", metres(row.error_m)], ["残差", metres(row.rms_m)],
      ["匹配", Number.isFinite(row.matched_share) ? `${taotu.share(row.matched_share)} 的界线，${taotu.count(row.matched_count)} 块` : ""], ["地块数", taotu.count(row.parcel_count)],
    ]), el("div", { class: "acts" }, el("button", { type: "button", class: "main", onclick: (event) => { event.target.closest("dialog").close(); village(row.village_code); } }, "在地图上看")));
  }
  const columns = [
    { key: "village_name", title: "村", shown: (row) => taotu.short(row.village_name) + (row.batch ? ` ${row.batch}` : "") },
    { key: "distance_m", title: "偏移（m）", number: true, shown: (row) => (Number.isFinite(row.distance_m) ? number(row.distance_m, 2) : "—") },
    { key: "direction", title: "方向" },
    { key: "accepted", title: "采用", value: (row) => (row.accepted ? 1 : 0), shown: (row) => (row.accepted ? tag("good", "已改正") : tag("", "未移动")) },
  ];
  fill($("#shifts"), taotu.loading());
  (async () => {
    const rows = [];
    for (let page = await items("shifts", { limit: 10000, skipGeometry: "true" }); page; page = taotu.nextOf(page) && await taotu.ask(taotu.nextOf(page))) rows.push(...page.features.map((one) => one.properties));
    fill($("#shifts"), taotu.table(columns, rows, { label: "各村偏移", empty: "这次套合没有判断偏移", pick: tell }));
    const moved = rows.some((row) => row.accepted);
    if (told.chosen === "shift" && !moved) taotuMap.say("这次套合没有移动地块：改正前后是同一位置", { lasting: true });
  })().catch((error) => fill($("#shifts"), taotu.failed(error)));
})();
