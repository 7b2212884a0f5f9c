/* 网格: how many households each holds, which are outside the band and why, and what changed. */
(() => {
  "use strict";
  const { $, el, fill, items, item, mu, count, share, told, tag, facts, wrong, bboxOf, remember, params, nextOf, ask } = taotu;
  const LOOKS = { IN_BAND: "good", UNDER: "wait", OVER: "bad" };
  let grids = [], villages = [];

  async function all(layer, values) {
    const rows = [];
    for (let page = await items(layer, { limit: 10000, skipGeometry: "true", ...values }); page;) {
      rows.push(...page.features.map((one) => one.properties));
      const next = nextOf(page);
      page = next ? await ask(next) : null;
    }
    return rows;
  }
  const figure = (title, value, unit, first) => el("div", { class: `figure${first ? " first" : ""}` }, el("dt", {}, title), el("dd", {}, value, el("small", {}, unit)));
  const sum = (rows, key) => rows.reduce((total, row) => total + (row[key] ?? 0), 0);
  const balance = (row) => (row.balance ? tag(LOOKS[row.balance], told.codes.grid_balance[row.balance] ?? row.balance) : tag("", told.codes.grid_kind[row.grid_kind] ?? ""));

  async function tell(code, { go = true } = {}) {
    const answer = await item("grids", code);
    const row = answer.properties, box = bboxOf(answer.geometry);
    remember({ grid: code });
    if (go && box) taotuMap.goTo({ bbox: box, layer: row.grid_kind === "MICRO" ? "micro_grids" : "grids", code, zoom: 17 });
    // Above the grid, so that its shape stays in view.
    if (go && box) taotuMap.popup({ lat: box[3], lng: (box[0] + box[2]) / 2 }, card(row));
    return row;
  }
  const card = (row) => ({
    title: row.grid_name || row.grid_code, subtitle: row.grid_name ? row.grid_code : told.codes.grid_kind[row.grid_kind],
    figures: [{ label: "户数", value: `${count(row.households)} 户` }, { label: "面积", value: `${mu(row.area_m2)} 亩` }],
    fields: [["规模", row.balance ? told.codes.grid_balance[row.balance] : "—"], ["标准", row.profile], ["原因", row.reason], ["变动", told.codes.grid_change[row.change] ?? row.change], ["来自", row.predecessors],
      ["半径", Number.isFinite(row.radius_m) ? `${count(row.radius_m)} m` : ""], ["平均距离", Number.isFinite(row.mean_distance_m) ? `${count(row.mean_distance_m)} m` : ""], ["自然边界", Number.isFinite(row.natural_share) ? share(row.natural_share) : ""], ["涉及组", row.group_codes]].filter(([, value]) => value),
  });

  const columns = [
    { key: "grid_code", title: "网格", shown: (row) => el("span", { class: "code" }, row.grid_name || row.grid_code) },
    { key: "households", title: "户数", number: true, shown: (row) => count(row.households) },
    { key: "balance", title: "规模", shown: balance },
    { key: "change", title: "变动", value: (row) => told.codes.grid_change[row.change] ?? row.change },
  ];
  const ofVillages = [
    { key: "village_name", title: "村", value: (row) => taotu.short(row.village_name) },
    { key: "grids", title: "网格", number: true, shown: (row) => count(row.grids) },
    { key: "households", title: "户数", number: true, shown: (row) => count(row.households) },
    { key: "in_band", title: "合格", number: true, shown: (row) => (row.in_band === row.grids ? tag("good", "全部") : `${count(row.in_band)} / ${count(row.grids)}`) },
  ];

  function draw() {
    const code = $("#village").value, one = villages.find((row) => row.village_code === code);
    remember({ village: code });
    const some = villages.filter((row) => !code || row.village_code === code);
    const share_ = sum(some, "grids") ? sum(some, "in_band") / sum(some, "grids") : Number.NaN;
    fill($("#figures"), figure("网格", count(sum(some, "grids")), "个", true), figure("住户", count(sum(some, "households")), "户"), figure("户数合格", share(share_), ""), figure("超限户数", count(sum(some, "misses")), "户"));
    taotuMap.filter({ village_code: code ? [code] : [] }, ["grids", "micro_grids", "households"]);
    $("#of-village").hidden = !one;
    if (one) {
      fill($("#of-village"), el("h2", {}, taotu.short(one.village_name)), facts([["规模标准", one.profile], ["合格网格", `${count(one.in_band)} / ${count(one.grids)}`], ["超限户数", `${count(one.misses)} 户（已证明至少 ${count(one.least_misses)} 户）`],
        ["与最优相差", Number.isFinite(one.gap) ? `至多 ${share(one.gap)}` : ""], ["调整户数", Number.isFinite(one.moved) ? `${count(one.moved)} 户` : ""], ["自然边界", Number.isFinite(one.natural_share) ? share(one.natural_share) : ""], ["说明", one.reason]]));
      fill($("#grids"), taotu.table(columns, grids.filter((row) => row.village_code === code && row.grid_kind !== "MICRO"), { label: "网格", empty: "这个村没有网格", pick: (row) => tell(row.grid_code).catch(wrong) }));
    } else {
      fill($("#grids"), taotu.table(ofVillages, villages, { label: "各村网格", empty: "还没有划分网格：请在“任务”里运行网格划分", pick: (row) => { $("#village").value = row.village_code; draw(); go(row.village_code); } }));
    }
  }
  function go(code) {
    const shape = taotuMap.overview?.byCode.get(code);
    if (!shape) return;
    const box = shape.getBounds();
    taotuMap.goTo({ bbox: [box.getWest(), box.getSouth(), box.getEast(), box.getNorth()], layer: "grids", code: null, zoom: 16 });
  }
  $("#village").addEventListener("change", () => { draw(); if ($("#village").value) go($("#village").value); else taotuMap.home(); });
  taotuMap.on("village", ({ code }) => { $("#village").value = code; draw(); go(code); });
  taotuMap.on("pick", (at) => {
    const hit = at.hits.find((one) => one.layer === "micro_grids") ?? at.hits.find((one) => one.layer === "grids");
    taotuMap.closePopup();
    if (!hit) return;
    taotuMap.highlight(hit.layer, hit.code);
    tell(hit.code, { go: false }).then((row) => taotuMap.popup(at, card(row))).catch(wrong);
  });

  fill($("#grids"), taotu.loading());
  (async () => {
    [grids, villages] = await Promise.all([all("grids", { properties: "grid_code,grid_name,grid_kind,village_code,households,balance,change" }), all("grid_villages", {})]);
    const select = $("#village");
    fill(select, el("option", { value: "" }, "全部村"), villages.map((row) => el("option", { value: row.village_code }, taotu.short(row.village_name) || row.village_code)));
    select.value = params.get("village") ?? "";
    if (select.selectedIndex < 0) select.value = "";
    draw();
    if (params.get("grid")) await tell(params.get("grid"));
  })().catch((error) => fill($("#grids"), taotu.failed(error)));
})();
