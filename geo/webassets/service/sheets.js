/* 图幅: the pages of the newest set, by village and unit; each to be seen on the map, opened and saved. */
(() => {
  "use strict";
  const { $, el, fill, ask, items, item, told, tag, count, mu, number, bytes, facts, loading, failed, doing, wrong, bboxOf, remember, params, nextOf, settled, villageChoice, when } = taotu;
  const KINDS = { map: "", overview: "索引", empty: "无图块" };
  const FORMATS = { "application/pdf": "PDF", "image/png": "PNG", "application/zip": "Shapefile", "image/vnd.dxf": "DXF", "application/dxf": "DXF", "text/csv": "CSV" };
  const PAGE = 1000;
  const COLUMNS = "sheet_key,sheet_number,sheet_kind,unit_code,unit_name,page,pages,scale,paper,piece_count,home_count,area_m2,status,message";
  const village = $("#village");
  const place = $("#list");
  let rows = [];
  let next = null;
  let byVillage = true;
  let chosen = "";

  const named = (row) => (row.unit_name || row.unit_code || row.sheet_number).replace(/村?村民委员会/, "村");
  const heading = (row) => (row.pages > 1 ? `第 ${count(row.page)} 页，共 ${count(row.pages)} 页` : "一页");

  // -- the list

  function line(row) {
    return el("li", {}, el("button", { type: "button", "aria-pressed": String(row.sheet_key === chosen), data: { key: row.sheet_key }, onclick: () => choose(row.sheet_key).catch(wrong) },
      el("span", {}, el("b", {}, row.pages > 1 ? `第 ${count(row.page)} 页` : "一页"), KINDS[row.sheet_kind] ? [" ", tag("", KINDS[row.sheet_kind])] : null, el("br"),
        el("small", { class: "code" }, `${row.sheet_number} · ${row.paper} · 1:${row.scale}`)),
      el("span", { class: "number" }, row.sheet_kind === "map" ? [`${count(row.home_count)} 块`, el("br"), el("small", {}, `${mu(row.area_m2)} 亩`)] : null)));
  }

  function show() {
    const words = $("#q").value.trim().toLowerCase();
    const some = words ? rows.filter((row) => [row.sheet_number, row.unit_name, row.unit_code, row.sheet_key].some((text) => String(text ?? "").toLowerCase().includes(words))) : rows;
    $("#further").hidden = next === null;
    if (!some.length) {
      fill(place, el("div", { class: "card none" }, rows.length ? el("p", {}, "没有符合的图幅") : [el("p", {}, el("b", {}, "还没有图幅")), el("p", {}, "出图之后，每一页都列在这里。"), told.role === "viewer" ? null : el("a", { class: "button", href: "/tasks?process=sheets" }, "去出图")]));
      return;
    }
    const units = Map.groupBy ? Map.groupBy(some, (row) => row.unit_code) : some.reduce((all, row) => all.set(row.unit_code, [...(all.get(row.unit_code) ?? []), row]), new Map());
    fill(place, [...units.values()].map((pages) => {
      const home = pages.reduce((sum, row) => sum + (row.home_count ?? 0), 0);
      const area = pages.reduce((sum, row) => sum + Math.round((row.area_m2 ?? 0) * 100), 0) / 100;
      return el("details", { class: "card fold unit", open: units.size === 1 || Boolean(words) || pages.some((row) => row.sheet_key === chosen) },
        el("summary", {}, el("span", {}, el("h2", {}, named(pages[0])), el("small", { class: "soft" }, `${count(pages.length)} 页 · ${count(home)} 块 · ${mu(area)} 亩`))),
        el("ul", { class: "pages" }, pages.map(line)));
    }));
  }

  async function load(more) {
    const page = more ? await ask(next) : await items("sheets", {
      limit: PAGE, skipGeometry: "true", properties: COLUMNS, sortby: "unit_code,page",
      filter: byVillage && village.value ? `unit_code LIKE '${village.value}%'` : "",
    });
    const found = page.features.map((one) => one.properties);
    rows = more ? [...rows, ...found] : found;
    next = nextOf(page);
    show();
  }
  function again() {
    fill(place, loading());
    return load(false).catch((error) => fill(place, failed(error, again)));
  }

  // -- one page

  // Pages of several units lie over each other: with one chosen, its unit's alone are drawn.
  const frames = (row) => taotuMap.filter({ sheet_kind: ["map", ...(row && row.sheet_kind !== "map" ? [row.sheet_kind] : [])], unit_code: row && byVillage ? [row.unit_code] : null }, ["sheets"]);

  async function choose(key, { go = true } = {}) {
    const [answer, files] = await Promise.all([item("sheets", key), ask(`/api/v1/sheets/${encodeURIComponent(key)}`)]);
    const row = answer.properties;
    chosen = key;
    remember({ sheet: key });
    const box = bboxOf(answer.geometry);
    frames(row);
    if (go && box) taotuMap.goTo({ bbox: box, layer: "sheets", code: key, zoom: 17 });
    else taotuMap.highlight("sheets", key);
    for (const one of place.querySelectorAll("button[data-key]")) one.setAttribute("aria-pressed", String(one.dataset.key === key));
    place.querySelector(`button[data-key="${CSS.escape(key)}"]`)?.closest("details")?.setAttribute("open", "");
    fill($("#chosen"), card(row, files));
    $("#chosen h2").focus({ preventScroll: true });
    $("#chosen").scrollIntoView({ block: "nearest" });
  }

  function card(row, { job, files }) {
    const kind = (file) => FORMATS[file.type] ?? file.name.split(".").at(-1).toUpperCase();
    return el("section", { class: "card" },
      el("div", { class: "head" }, el("h2", { tabindex: "-1" }, named(row)), KINDS[row.sheet_kind] ? tag("", KINDS[row.sheet_kind]) : null,
        el("div", { class: "acts" }, el("button", { type: "button", class: "quiet", onclick: () => { chosen = ""; remember({ sheet: "" }); taotuMap.highlight("sheets", null); frames(null); fill($("#chosen")); show(); } }, "收起"))),
      facts([["图号", row.sheet_number], ["页次", heading(row)], ["比例尺", `1:${number(row.scale, 0).replaceAll(",", "")}，${row.paper}`],
        ["图块", row.sheet_kind === "map" ? `本页登记 ${count(row.home_count)} 块，${mu(row.area_m2)} 亩；图上共 ${count(row.piece_count)} 块` : ""], ["说明", row.message]]),
      files.length
        ? el("ul", { class: "handouts" }, files.map((file) => el("li", {}, el("span", {}, file.name.split("/").at(-1), el("small", { class: "soft" }, ` ${kind(file)} ${bytes(file.bytes)}`)),
          file.type === "application/pdf" || file.type === "image/png" ? el("a", { class: "button", href: file.href, target: "_blank", rel: "noopener", "aria-label": `打开 ${file.name}` }, "打开") : null,
          el("a", { class: "button", href: `${file.href}?download=1`, download: true, "aria-label": `下载 ${file.name}` }, "下载"))))
        : el("p", { class: "soft" }, "图件文件已清理，或不是由本服务生成。", told.role === "viewer" ? null : el("a", { href: "/tasks?process=sheets" }, "重新出图")),
      job && byVillage ? el("div", { class: "acts" }, el("a", { class: "button", href: `/jobs/${job}/archive?village=${row.unit_code.slice(0, 12)}`, download: true }, "下载本村全部图件（zip）")) : null);
  }

  // -- the set

  async function set() {
    const { jobs } = await ask("/jobs?process=sheets&status=successful&limit=1");
    fill($("#set"), jobs.length ? el("span", { class: "soft small" }, `最近一次出图 ${when(jobs[0].finished)}`) : el("span", { class: "soft small" }, "本服务还没有出过图"),
      jobs.length ? el("a", { class: "button", href: `/jobs/${jobs[0].jobID}/archive`, download: true }, "下载全部（zip）") : null,
      told.role === "viewer" ? null : el("a", { class: "button", href: "/tasks?process=sheets" }, "重新出图"));
  }

  $("#filters").addEventListener("submit", (event) => event.preventDefault());
  $("#q").addEventListener("input", settled(show));
  $("#further").addEventListener("click", doing(() => load(true)));
  village.addEventListener("change", () => { remember({ village: village.value }); goVillage(village.value); again(); });
  function goVillage(code) {
    const shape = taotuMap.overview?.byCode?.get(code);
    if (!shape) { taotuMap.home?.(); return; }
    const box = shape.getBounds();
    taotuMap.goTo({ bbox: [box.getWest(), box.getSouth(), box.getEast(), box.getNorth()], zoom: 16 });
  }
  taotuMap.on("village", ({ code }) => { if (byVillage && [...village.options].some((one) => one.value === code)) { village.value = code; village.dispatchEvent(new Event("change")); } });
  taotuMap.on("pick", ({ hits }) => {
    const hit = hits.find((one) => one.layer === "sheets" && one.properties?.sheet_kind === "map") ?? hits.find((one) => one.layer === "sheets");
    taotuMap.closePopup?.();
    if (hit) choose(hit.code, { go: false }).then(() => place.querySelector('[aria-pressed="true"]')?.scrollIntoView({ block: "nearest" })).catch(wrong);
  });

  fill(place, loading());
  frames(null);
  (async () => {
    const first = await items("sheets", { limit: 1, skipGeometry: "true", properties: COLUMNS });
    byVillage = first.features.length > 0 && /^\d{12,14}$/.test(first.features[0].properties.unit_code ?? "");
    $("#of-village").hidden = !byVillage;
    if (byVillage) {
      const villages = await villageChoice(village);
      const asked = params.get("sheet");
      if (asked && /^\d{12}/.test(asked)) village.value = asked.slice(0, 12);
      if (!village.value && villages.length > 1) village.value = villages[0].village_code;
    }
    await load(false);
    if (params.get("sheet")) await choose(params.get("sheet"));
  })().catch((error) => fill(place, failed(error, again)));
  set().catch(wrong);
})();
