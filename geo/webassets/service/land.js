/* 地块: found by code or name, filtered, and told about in full at the side. */
(() => {
  "use strict";
  const { $, el, fill, ask, items, item, mu, m2, count, told, wrong, settled, remember, params, query, facts, tag, piece } = taotu;
  const KINDS = { village: "村", piece: "图块", patch: "图斑", parcel: "承包地块", grid: "网格", sheet: "图幅" };
  const LAYERS = { piece: "pieces", patch: "patches", parcel: "parcels", grid: "grids", sheet: "sheets" };
  const officer = told.role !== "viewer";

  // -- what is chosen

  const chosen = $("#chosen");
  let asked = 0;
  async function choose(make) {
    const mine = ++asked;
    fill(chosen, taotu.loading());
    try {
      const content = await make();
      if (mine === asked) fill(chosen, content);
    } catch (error) {
      if (mine === asked) fill(chosen, taotu.failed(error));
    }
  }
  const hint = () => fill(chosen, el("p", { class: "soft small" }, "在地图上点一个图块，或按编号查找。"));

  const card = (title, ...content) => el("section", { class: "card" }, el("h2", {}, title), ...content);
  function more(title, load) {
    const body = el("div", {});
    const box = el("details", { class: "card fold" }, el("summary", {}, el("h2", {}, title)), body);
    box.addEventListener("toggle", () => {
      if (!box.open || body.childNodes.length) return;
      fill(body, taotu.loading());
      load().then((content) => fill(body, content), (error) => fill(body, taotu.failed(error)));
    });
    return box;
  }

  async function showPiece(code, { go = false } = {}) {
    remember({ piece: code });
    await choose(async () => {
      const row = await piece.load(code);
      if (go && row.bbox) taotuMap.goTo({ bbox: row.bbox, layer: "pieces", code: row.piece_code });
      else taotuMap.highlight("pieces", row.piece_code);
      const pages = el("p", { class: "links" });
      piece.sheets(row).then((rows) => fill(pages, rows.length
        ? rows.map((one) => el("a", { href: `/sheets?sheet=${encodeURIComponent(one.sheet_key)}` }, `图幅 ${one.unit_name} 第 ${one.page}/${one.pages} 页`))
        : el("span", { class: "soft small" }, "还没有出图")), wrong);
      const problems = piece.problems(row), photos = piece.evidence(row);
      return [
        el("article", { class: "card stack" }, piece.head(row), piece.area(row), piece.origin(row), pages,
          officer && row.next_states?.length ? el("a", { class: "main", href: `/review?piece=${encodeURIComponent(row.piece_code)}` }, "核查这一块") : null),
        card("核查情况", piece.found(row), photos),
        problems ? card("问题", problems) : null,
        more("修改历史", () => piece.history(row.piece_code)),
      ].filter(Boolean);
    });
  }

  const OTHERS = {
    patches: (row) => ({ title: row.patch_code, subtitle: `耕地图斑 ${told.codes.patch_kind[row.patch_kind] ?? ""}`, figures: [["图斑面积", row.patch_area_m2], ["已确权", row.covered_area_m2], ["剩余", row.residual_area_m2]],
      fields: [["地类", row.land_class ? `${told.codes.DLBM[row.land_class] ?? ""}（${row.land_class}）` : ""], ["村", taotu.short(row.village_name)], ["图块数", row.piece_count], ["归类依据", row.kind_reason], ["田坎系数", row.ridge_ratio]] }),
    parcels: (row) => ({ title: row.parcel_code, subtitle: "承包地块", figures: [["实测面积", row.surveyed_area_m2]], fields: [["地块名称", row.parcel_name], ["合同面积", row.contract_area_mu ? `${taotu.number(row.contract_area_mu, 2)} 亩` : ""]] }),
    grids: (row) => ({ title: row.grid_name || row.grid_code, subtitle: `网格 ${row.grid_code}`, figures: [["面积", row.area_m2]], fields: [["户数", row.households], ["说明", row.reason]] }),
    sheets: (row) => ({ title: row.unit_name, subtitle: `图幅 ${row.sheet_number} 第 ${row.page}/${row.pages} 页`, figures: [["登记图块", row.area_m2]], fields: [["图块数", row.piece_count], ["状态", row.status]], links: [[`/sheets?sheet=${encodeURIComponent(row.sheet_key)}`, "打开图幅"]] }),
    findings: (row) => ({ title: row.title, subtitle: "问题", figures: [], fields: [["说明", row.message], ["建议", row.advice], ["对象", row.row_code]] }),
  };
  function showOther(layer, code, properties) {
    remember({ piece: null });
    choose(async () => {
      // A parcel's code may name several rows; what the tile says of it is enough.
      const row = layer === "parcels" ? properties : { ...properties, ...(await item(layer, code)).properties };
      const { title, subtitle, figures, fields, links = [] } = OTHERS[layer](row);
      return el("article", { class: "card stack" }, el("header", { class: "piece-head" }, el("h2", { class: "code" }, title), el("p", {}, tag("", subtitle))),
        figures.length ? el("dl", { class: "figures" }, figures.map(([name, value]) => el("div", { class: "figure" }, el("dt", {}, name), el("dd", {}, mu(value), el("small", {}, "亩")), el("dd", { class: "below" }, `${m2(value)} m²`)))) : null,
        facts(fields), links.map(([href, name]) => el("a", { class: "button", href }, name)));
    });
  }

  taotuMap.on("pick", (at) => {
    taotuMap.closePopup();
    const [hit] = at.hits;
    if (!hit) { taotuMap.highlight("pieces", null); return; }
    taotuMap.highlight(hit.layer, hit.code);
    if (hit.layer === "pieces") {
      const row = hit.properties, code = encodeURIComponent(hit.code);
      taotuMap.popup(at, {
        title: hit.code, subtitle: [told.codes.piece_class[row.piece_class], told.codes.state[row.state]].filter(Boolean).join(" · "),
        figures: [{ label: "面积", value: `${mu(row.area_m2)} 亩` }, { label: "平方米", value: m2(row.area_m2) }],
        links: officer ? [{ label: "核查", href: `/review?piece=${code}` }] : [],
      });
      showPiece(hit.code);
    } else showOther(hit.layer, hit.code, hit.properties);
  });
  taotuMap.on("village", ({ code }) => { $("#village").value = code; filter(); goVillage(code); });

  // -- filters

  function chips(place, list, name, start = []) {
    const boxes = Object.entries(told.codes[list]).map(([value, title]) => {
      const box = el("input", { type: "checkbox", name, value, checked: start.includes(value), onchange: filter });
      return el("label", { class: "chip" }, box, el("span", {}, title));
    });
    fill(place, boxes);
    return () => [...place.querySelectorAll("input:checked")].map((box) => box.value);
  }
  const given = (name) => params.getAll(name);
  const classes = chips($("#by-class"), "piece_class", "class", given("class"));
  const shapes = chips($("#by-shape"), "piece_shape", "shape", given("shape").length ? given("shape") : ["BLOCK"]);
  const states = chips($("#by-state"), "state", "state", given("state"));

  function wanted() {
    return { piece_class: classes(), piece_shape: shapes(), state: states(), village_code: $("#village").value };
  }
  const counted = settled(async () => {
    const asking = wanted();
    const page = await items("pieces", { ...asking, limit: 1, skipGeometry: "true", properties: "piece_code" });
    $("#matched").textContent = Number.isFinite(page.numberMatched) ? `符合 ${count(page.numberMatched)} 块` : "";
  }, 300);
  function filter() {
    const { piece_class, piece_shape, state, village_code } = wanted();
    const layer = taotuMap.layers.get("pieces");
    // The legend of the map says the same as the choice of shapes here.
    for (const theme of layer.source.themes) {
      for (const one of theme.classes) if (one.when.piece_shape) one.show = !piece_shape.length || piece_shape.includes(one.when.piece_shape);
    }
    taotuMap.theme("pieces", layer.theme.key);
    taotuMap.filter({ piece_class, state, village_code: village_code ? [village_code] : [] }, ["pieces"]);
    taotuMap.filter({ village_code: village_code ? [village_code] : [] }, ["patches"]);
    $("#save").href = `/collections/pieces/download?${query({ f: "xlsx", ...wanted() })}`;
    counted();
  }
  $("#clear").addEventListener("click", () => {
    for (const box of $("#filters").querySelectorAll("input")) box.checked = box.value === "BLOCK";
    $("#village").value = "";
    filter();
  });
  async function goVillage(code) {
    const shape = taotuMap.overview?.byCode.get(code);
    if (shape) { const box = shape.getBounds(); taotuMap.goTo({ bbox: [box.getWest(), box.getSouth(), box.getEast(), box.getNorth()], layer: "pieces", code: null, zoom: 16 }); }
  }
  $("#village").addEventListener("change", () => { filter(); remember({ village: $("#village").value }); if ($("#village").value) goVillage($("#village").value); else taotuMap.home(); });

  // -- search

  const q = $("#q"), list = $("#found");
  let results = [], at = -1, last = 0;
  function close() { list.hidden = true; q.setAttribute("aria-expanded", "false"); q.removeAttribute("aria-activedescendant"); at = -1; }
  function mark(i) {
    at = i;
    [...list.children].forEach((row, n) => row.setAttribute("aria-selected", String(n === i)));
    const row = list.children[i];
    if (row) { q.setAttribute("aria-activedescendant", row.id); row.scrollIntoView({ block: "nearest" }); }
  }
  const look = settled(async () => {
    const text = q.value.trim(), mine = ++last;
    if (!text) { close(); return; }
    try {
      const found = (await ask(`/api/v1/search?${query({ q: text, limit: 12 })}`)).results;
      if (mine !== last) return;
      results = found;
    } catch (error) { if (mine === last) wrong(error); return; }
    fill(list, results.length ? results.map((one, i) => el("li", { id: `found-${i}`, role: "option", "aria-selected": "false", onpointerdown: (event) => { event.preventDefault(); take(one); } },
      tag("", KINDS[one.kind] ?? one.kind), el("b", { class: "code" }, one.code), el("small", {}, one.title === one.code ? "" : one.title))) : el("li", { class: "none", role: "option", "aria-disabled": "true" }, "没有找到"));
    list.hidden = false;
    q.setAttribute("aria-expanded", "true");
    if (results.length) mark(0);
  }, 140);
  function take(one) {
    close();
    q.value = one.code;
    if (one.kind === "village") { $("#village").value = one.village_code; filter(); if (one.bbox) taotuMap.goTo({ bbox: one.bbox, layer: "pieces", code: null, zoom: 16 }); return; }
    if (one.bbox) taotuMap.goTo({ bbox: one.bbox, layer: LAYERS[one.kind], code: one.code });
    if (one.kind === "piece") showPiece(one.code);
    else showOther(LAYERS[one.kind], one.code, { parcel_code: one.code, parcel_name: one.title });
  }
  q.addEventListener("input", look);
  q.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { close(); return; }
    if (list.hidden || !results.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); mark((at + (event.key === "ArrowDown" ? 1 : results.length - 1)) % results.length); }
  });
  q.addEventListener("blur", () => window.setTimeout(close, 150));
  $("#find").addEventListener("submit", (event) => { event.preventDefault(); if (results.length && !list.hidden) take(results[Math.max(at, 0)]); else look(); });

  taotu.villageChoice($("#village")).then(() => { filter(); const code = $("#village").value; if (code && !params.get("piece")) seeVillage(code); }, wrong);
  // The outlines may come after the names.
  function seeVillage(code) {
    if (taotuMap.overview?.features) { goVillage(code); return; }
    const stop = taotuMap.on("villages", () => { stop(); goVillage(code); });
  }
  if (window.matchMedia("(max-width: 860px)").matches) $("#filters").open = false;
  if (params.get("piece")) showPiece(params.get("piece"), { go: true });
  else hint();
})();
