/* 总览: sums of the county, progress by state, and a line a village. */
(() => {
  "use strict";
  const { $, el, fill, mu, count, share, table, told, wrong } = taotu;

  const figure = (title, m2, first) => el("div", { class: `figure${first ? " first" : ""}` }, el("dt", {}, title), el("dd", {}, mu(m2), el("small", {}, "亩")));
  const key = (colour, ...text) => el("li", {}, colour ? el("i", { look: { background: colour } }) : null, ...text);

  function show({ county, villages }) {
    fill($("#figures"),
      figure("剩余图块（成块）", county.block_m2, true), figure("集体耕地", county.farmland_m2),
      figure("已确权", county.covered_m2), figure("细条与碎屑", county.strip_m2 + county.sliver_m2));
    const states = Object.entries(told.codes.state).map(([state, title]) => ({ state, title, m2: county[`${state}_m2`] ?? 0, n: county[`${state}_count`] ?? 0 })).filter((one) => one.n);
    const total = states.reduce((sum, one) => sum + one.m2, 0);
    fill($("#stripes"), states.map((one) => el("i", { look: { width: `${(100 * one.m2) / (total || 1)}%`, background: told.colours.state[one.state] }, title: one.title })));
    $("#stripes").setAttribute("aria-label", states.map((one) => `${one.title} ${mu(one.m2)} 亩`).join("，"));
    fill($("#states"), states.map((one) => key(told.colours.state[one.state], `${one.title} ${count(one.n)} 块 · ${mu(one.m2)} 亩`)));
    fill($("#classes"), Object.entries(told.codes.piece_class).map(([code, title]) => key(told.colours.piece_class[code], `${title} ${mu(county[`${code.toLowerCase()}_m2`])} 亩`)));
    const lost = county.farmland_m2 - county.covered_m2 - county.block_m2 - county.strip_m2 - county.sliver_m2;
    $("#proof").textContent = Math.abs(lost) < 0.005
      ? `面积平衡：已确权 + 图块 + 细条 + 碎屑 = 集体耕地 ${mu(county.farmland_m2)} 亩，分毫不差。`
      : `面积不平衡：相差 ${taotu.m2(lost)} 平方米，请核对。`;
    const columns = [
      { key: "village_name", title: "村", value: (row) => taotu.short(row.village_name) || row.village_code },
      { key: "piece_count", title: "图块", number: true, shown: (row) => count(row.piece_count) },
      { key: "block_m2", title: "成块（亩）", number: true, shown: (row) => mu(row.block_m2) },
      { key: "done", title: "已核查", number: true, value: (row) => done(row), shown: (row) => share(done(row)) },
    ];
    fill($("#villages"), table(columns, villages, {
      label: "各村", empty: "没有村", pick: (row) => goVillage(row),
      sums: { ...county, village_name: `共 ${count(villages.length)} 村` },
    }));
  }
  const done = (row) => { const all = row.piece_count ?? 0; return all ? 1 - (row.candidate_count ?? 0) / all : Number.NaN; };

  // -- a village, from the table or from the map: its figures, and the way to its land

  function card(row) {
    const query = `?village=${encodeURIComponent(row.village_code)}`;
    return {
      title: taotu.short(row.village_name) || row.village_code, subtitle: row.village_code,
      figures: [{ label: "剩余图块", value: `${mu(row.block_m2)} 亩` }, { label: "已核查", value: share(done(row)) }],
      fields: [["集体耕地", `${mu(row.farmland_m2)} 亩`], ["已确权", `${mu(row.covered_m2)} 亩`], ["细条碎屑", `${mu(row.strip_m2 + row.sliver_m2)} 亩`], ["图块数", `${count(row.piece_count)} 块`]],
      links: [{ label: "看地块", href: `/map${query}` }, told.role === "viewer" ? null : { label: "去核查", href: `/review${query}` }].filter(Boolean),
    };
  }
  function goVillage(row) {
    const shape = taotuMap.overview?.byCode.get(row.village_code);
    if (shape) taotuMap.popup(shape.getBounds().getCenter(), card(row));
  }
  taotuMap.on("village", ({ code, lat, lng }) => {
    taotu.county().then(({ villages }) => {
      const row = villages.find((one) => one.village_code === code);
      if (row) taotuMap.popup({ lat, lng }, card(row));
    }, wrong);
  });

  taotu.county().then(show).catch((error) => { fill($("#figures"), taotu.failed(error)); wrong(error); });
})();
