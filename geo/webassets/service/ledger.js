/* 台账: areas that add up, from the county to the group, and the same as files. */
(() => {
  "use strict";
  const { $, el, fill, ask, table, told, count, m2, mu, loading, failed, params, remember, short, when, bytes } = taotu;
  const LEVELS = [["county", "县"], ["township", "乡镇"], ["village", "村"], ["group", "组"]];
  const DIGITS = { county: 6, township: 9, village: 12, group: 14 };
  const PARTS = ["covered_m2", "block_m2", "strip_m2", "sliver_m2"];
  const FIGURES = ["farmland_m2", ...PARTS, "state_m2", "share_based_m2", "net_block_m2"];
  const kept = new Map();
  const villages = new Map(); // names of groups alone say little
  let unit = params.get("unit") === "m2" ? "m2" : "mu";
  let level = LEVELS.some(([name]) => name === params.get("level")) ? params.get("level") : "";
  let within = /^\d{6,12}$/.test(params.get("within") ?? "") ? params.get("within") : "";

  const rowsOf = (name) => {
    if (!kept.has(name)) kept.set(name, ask(`/api/v1/balance/${name}`).then((page) => page.rows).catch((error) => { kept.delete(name); throw error; }));
    return kept.get(name);
  };
  // Sums are made of whole hundredths of a square metre, so that they are exact.
  const cents = (value) => Math.round((value ?? 0) * 100);
  const lost = (row) => (cents(row.farmland_m2) - PARTS.reduce((sum, name) => sum + cents(row[name]), 0)) / 100;
  const summed = (rows) => Object.fromEntries(FIGURES.map((name) => [name, rows.reduce((sum, row) => sum + cents(row[name]), 0) / 100]));
  const area = (value) => (unit === "mu" ? mu(value) : m2(value));
  function titleOf(row) {
    if (row.name && row.level !== "group") return short(row.name);
    if (row.level === "township") return `乡镇 ${row.code}`;
    if (row.level === "group") return (within.length < DIGITS.village ? `${villages.get(row.code.slice(0, 12)) ?? ""} ` : "") + groupOf(row);
    return row.code;
  }
  const groupOf = (row) => row.name || (row.code.endsWith("00") ? "村级（不在组内）" : `第 ${Number(row.code.slice(12))} 组`);

  const column = (name, title) => ({ key: name, title, number: true, shown: (row) => area(row[name]) });
  function columns() {
    const words = unit === "mu" ? "亩" : "m²";
    return [
      { key: "name", title: LEVELS.find(([name]) => name === level)[1], value: (row) => row.code ?? "", shown: (row) => (row.code ? el("span", {}, el("b", {}, titleOf(row)), titleOf(row) === row.code ? null : el("small", { class: "soft code" }, ` ${row.code}`)) : row.title) },
      column("farmland_m2", `集体耕地（${words}）`), column("covered_m2", "已确权"), column("block_m2", "图块"), column("strip_m2", "细条"), column("sliver_m2", "碎屑"),
      { key: "lost", title: "相差", number: true, value: lost, shown: (row) => (lost(row) === 0 ? "0" : area(lost(row))) },
      column("net_block_m2", "图块净面积"), column("state_m2", "另：国有耕地"), column("share_based_m2", "另：确股村耕地"),
    ];
  }

  async function show() {
    fill($("#rows"), loading());
    fill($("#proof"));
    try {
      level ||= "village";
      const rows = (await rowsOf(level)).filter((row) => row.code.startsWith(within));
      if (level === "group") for (const row of await rowsOf("village")) villages.set(row.code, short(row.name) || row.code);
      const place = LEVELS.findIndex(([name]) => name === level);
      const deeper = LEVELS[place + 1]?.[0];
      const sums = { ...summed(rows), title: `合计 ${count(rows.length)} ${level === "group" ? "行" : level === "village" ? "村" : level === "township" ? "乡镇" : "县"}` };
      fill($("#rows"), table(columns(), rows, {
        label: "面积平衡", empty: "没有面积平衡记录：请先运行套合比对", sums: rows.length > 1 ? sums : null,
        pick: deeper ? (row) => go(deeper, row.code) : (row) => go("group", row.code.slice(0, 12)),
      }));
      const whole = await upper(place);
      prove(rows, sums, whole);
      await crumbs();
      $("#paper-of").textContent = `${whole ? titleOf(whole) : ""}　单位：${unit === "mu" ? "亩" : "平方米"}`;
      fill($("#levels"), LEVELS.map(([name, title]) => el("button", { type: "button", "aria-pressed": String(name === level), disabled: within.length >= DIGITS[name] && name !== level, onclick: () => go(name, within.length < DIGITS[name] ? within : "") }, title)));
      files();
    } catch (error) {
      fill($("#rows"), failed(error, show));
    }
  }

  /** The row that the shown ones are parts of. */
  async function upper(place) {
    if (within) {
      const name = Object.keys(DIGITS).find((one) => DIGITS[one] === within.length);
      return name ? (await rowsOf(name)).find((row) => row.code === within) ?? null : null;
    }
    return place > 0 ? (await rowsOf("county"))[0] ?? null : null;
  }

  function prove(rows, sums, whole) {
    if (!rows.length) return;
    const bad = rows.filter((row) => lost(row) !== 0);
    const apart = whole ? FIGURES.filter((name) => cents(sums[name]) !== cents(whole[name])) : [];
    const good = !bad.length && !apart.length;
    fill($("#proof"), el("div", { class: `proof${good ? "" : " bad"}`, role: good ? null : "alert" }, good
      ? el("p", {}, el("b", {}, "面积平衡。"), `${count(rows.length)} 行每行分毫不差（0.01 平方米）${whole ? `，各行之和等于${titleOf(whole)}的数` : ""}。${unit === "mu" ? "折亩后四舍五入，尾数可差 0.01 亩。" : ""}`)
      : el("p", {}, el("b", {}, "面积不平衡。"), [bad.length ? `${count(bad.length)} 行各部分之和不等于集体耕地` : "", apart.length ? `${apart.map((name) => told.titles[name] ?? name).join("、")}各行之和不等于上级` : ""].filter(Boolean).join("；"), "。请重新运行套合比对，并报告开发单位。")));
  }

  async function crumbs() {
    const steps = [];
    for (const [name, digits] of Object.entries(DIGITS)) {
      if (within.length < digits) break;
      const row = (await rowsOf(name)).find((one) => one.code === within.slice(0, digits));
      if (row) steps.push({ row, name });
    }
    const top = el("li", {}, within ? el("button", { type: "button", class: "quiet", onclick: () => go("village", "") }, "全部") : el("b", {}, "全部"));
    fill($("#crumbs"), top, steps.map(({ row, name }, at) => el("li", {}, at === steps.length - 1 ? el("b", { "aria-current": "true" }, titleOf(row))
      : el("button", { type: "button", class: "quiet", onclick: () => go(LEVELS[LEVELS.findIndex(([one]) => one === name) + 1][0], row.code) }, titleOf(row)))));
  }

  function go(to, code) {
    level = to;
    within = code;
    remember({ level, within });
    show().then(() => $("#rows .table")?.focus({ preventScroll: true }));
  }

  // -- files

  let workbooks;
  async function latest() {
    const { jobs } = await ask("/jobs?process=ledger&status=successful&limit=1");
    return jobs.length ? ask(`/jobs/${jobs[0].jobID}/results`).then((results) => ({ ...results, at: jobs[0].finished })) : null;
  }
  async function files() {
    const village = within.length === 12 ? `&village_code=${within}` : within ? `&filter=${encodeURIComponent(`village_code LIKE '${within}%'`)}` : "";
    const of = within ? "（所选范围）" : "";
    const line = (words, note, ...links) => el("li", {}, el("span", {}, el("b", {}, words), note ? el("small", { class: "soft" }, ` ${note}`) : null), ...links);
    const link = (href, words) => el("a", { class: "button", href, download: true }, words);
    const rows = [
      line(`图块清单${of}`, "编号、分类、面积、状态，一行一块", link(`/collections/pieces/download?f=xlsx${village}`, "Excel"), link(`/collections/pieces/download?f=csv${village}`, "CSV")),
      line("面积平衡表", "县、乡镇、村、组全部四级", link("/collections/balance/download?f=xlsx", "Excel"), link("/collections/balance/download?f=csv", "CSV")),
    ];
    fill($("#files"), rows);
    if (told.role === "viewer") return;
    try {
      workbooks ??= latest();
      const made = await workbooks;
      const shown = (made?.files ?? []).filter((one) => !within || !one.village || one.village.startsWith(within.slice(0, 12)));
      const again = el("a", { class: "button", href: "/tasks?process=ledger" }, made ? "重新生成" : "去生成");
      if (!made?.files.length) { fill($("#files"), rows, line("分村台账（Excel）", "还没有生成", again)); return; }
      fill($("#files"), rows,
        line("分村台账（Excel）", `${when(made.at)} 生成，${count(made.files.length)} 个文件`, link(`/jobs/${made.jobID}/archive`, "全部（zip）"), again),
        shown.slice(0, 60).map((one) => line(one.name.split("/").at(-1), bytes(one.bytes), link(`${one.href}?download=1`, "下载"))));
    } catch { workbooks = undefined; }
  }

  for (const button of document.querySelectorAll("[data-unit]")) {
    const press = () => { for (const one of document.querySelectorAll("[data-unit]")) one.setAttribute("aria-pressed", String(one.dataset.unit === unit)); };
    button.addEventListener("click", () => { unit = button.dataset.unit; remember({ unit: unit === "mu" ? "" : unit }); press(); show(); });
    press();
  }
  $("#print").addEventListener("click", () => window.print());
  show();
})();
