/* 审计: who did what, before and after, and whether the log is whole. */
(() => {
  "use strict";
  const { $, el, fill, ask, table, told, tag, when, count, mu, loading, failed, facts, dialog, doing, query, remember, params, short, county, bytes } = taotu;
  const ACTIONS = {
    insert: "新增", update: "修改", replace: "换成新成果", login: "登录", login_failed: "登录失败", logout: "退出",
    password_changed: "改密码", password_reset: "重设密码", user_created: "新增用户", user_changed: "改用户权限",
    key_created: "新建密钥", key_revoked: "停用密钥", job: "运行任务", job_dismissed: "取消任务",
    download: "下载个人信息", backup: "下载备份", upload: "上传资料", upload_deleted: "删除资料",
  };
  const LOOKS = { login_failed: "bad", update: "wait", replace: "wait", download: "wait", backup: "wait", insert: "good" };
  const LISTS = { state: "state", identified_as: "identified_as", measured_how: "measured_how", owner_kind: "owner_kind", reject_reason: "reject_reason" };
  const OWN = { address: "来自", role: "角色", villages: "村", active: "启用", label: "用途", expires_at: "有效至", job: "任务", process: "任务种类", columns: "列", rows: "行数", format: "格式", query: "条件", layers: "图层", upload: "上传编号", name: "文件名", sha256: "校验值" };
  const ROLES = { viewer: "查阅", officer: "经办", reviewer: "审核", admin: "管理员" };
  const PROCESSES = { reconcile: "套合比对", align: "偏移试算", sheets: "出图", grids: "网格划分", tiles: "矢量瓦片", report: "汇总报告", ledger: "台账" };
  const HIDDEN = new Set(["piece_key", "attachment_key", "conflict_key", "media_type"]);
  const KEPT = ["action", "layer", "actor", "row_key", "since"];
  const form = $("#filters");
  const place = $("#rows");
  let names = new Map();
  let rows = [];
  let after = null;

  const parsed = (text) => { if (text === null || text === undefined || typeof text === "object") return text ?? {}; try { return JSON.parse(text) ?? {}; } catch { return {}; } };
  const village = (code) => (code ? names.get(code) ?? code : "");
  const action = (row) => ACTIONS[row.action] ?? row.action;
  const object = (row) => [row.layer ? told.layers[row.layer] ?? row.layer : "", row.row_key].filter(Boolean).join(" ");

  const cut = (text) => (text.length > 24 ? `${text.slice(0, 23)}…` : text);
  const named = (row) => [row.layer ? told.layers[row.layer] ?? row.layer : null, row.row_key ? el("span", { class: "whole" }, cut(row.row_key)) : null].filter(Boolean).flatMap((one, i) => (i ? [" ", one] : [one]));

  const VALUES = new Set(["base_value", "theirs_value", "yours_value", "chosen_value"]);
  const CHOSEN = { base: "原值", theirs: "现值", yours: "新值", other: "另填" };
  const SHAPES = { photo: "照片", signature: "签名", document: "文件" };

  function worded(field, value, layer, of) {
    if (value === null || value === undefined || value === "") return "空";
    if (VALUES.has(field) && of) return worded(of, value, layer === "conflicts" ? "cases" : layer);
    if (VALUES.has(field)) return Object.values(told.codes).map((list) => list[value]).find(Boolean) ?? String(value);
    if (layer === "conflicts" && field === "chosen") return CHOSEN[value] ?? value;
    if (layer === "attachments" && field === "kind") return SHAPES[value] ?? value;
    if (typeof value === "boolean") return value ? "是" : "否";
    if (Array.isArray(value)) return value.map((one) => (field === "villages" ? village(one) : field === "columns" ? told.titles[one] ?? one : field === "layers" ? told.layers[one] ?? one : String(one))).join("、") || "无";
    if (field === "village_code") return village(value);
    if (field === "field") return told.titles[value] ?? value;
    if (field === "role") return ROLES[value] ?? value;
    if (field === "process") return PROCESSES[value] ?? value;
    if (field === "villages") return "全县";
    if (field === "byte_count") return bytes(Number(value));
    if (field.endsWith("_m2") && Number.isFinite(Number(value))) return `${mu(Number(value))} 亩（${taotu.m2(Number(value))} m²）`;
    if (field.endsWith("_at")) return when(value);
    if (layer === "conflicts" && field === "status") return value === "open" ? "待处理" : "已处理";
    if (LISTS[field]) return told.codes[LISTS[field]]?.[value] ?? value;
    return String(value);
  }
  const titled = (field) => OWN[field] ?? told.titles[field] ?? field;

  function differences(row) {
    const before = parsed(row.before);
    const now = parsed(row.after);
    const fields = [...new Set([...Object.keys(now), ...Object.keys(before)])].filter((field) => !HIDDEN.has(field) && !(field === "village_code" && row.village_code));
    if (!fields.length) return el("p", { class: "soft" }, "没有记下别的内容。");
    const both = row.action === "update";
    return el("table", { class: "differences" },
      both ? el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "项"), el("th", { scope: "col" }, "改前"), el("th", { scope: "col" }, "改后"))) : null,
      el("tbody", {}, fields.map((field) => el("tr", {}, el("th", { scope: "row" }, titled(field)),
        both ? el("td", {}, before[field] === null || before[field] === undefined ? el("span", { class: "soft" }, "空") : el("del", {}, worded(field, before[field], row.layer, now.field))) : null, el("td", { class: "now" }, worded(field, now[field], row.layer, now.field))))));
  }

  function gist(row) {
    const before = parsed(row.before);
    const now = parsed(row.after);
    const fields = Object.keys(now).filter((field) => !HIDDEN.has(field) && field !== "village_code" && field !== "piece_code" && field !== "group_code");
    const said = fields.slice(0, 2).map((field) => (row.action === "update" ? `${titled(field)}：${worded(field, before[field], row.layer, now.field)} → ${worded(field, now[field], row.layer, now.field)}` : `${titled(field)}：${worded(field, now[field], row.layer, now.field)}`)).join("；");
    return said + (fields.length > 2 ? ` 等 ${fields.length} 项` : "");
  }

  function open(row) {
    dialog(`第 ${count(row.seq)} 条 · ${action(row)}`,
      facts([["时间", when(row.at)], ["操作人", row.actor], ["对象", object(row)], ["村", village(row.village_code)], ["理由", row.why]]),
      el("h3", {}, row.action === "update" ? "改前与改后" : "内容"), differences(row),
      el("details", {}, el("summary", {}, "哈希"), facts([["本条", el("span", { class: "mono" }, row.hash)], ["上条", el("span", { class: "mono" }, row.previous_hash || "（第一条）")]])),
      row.row_key && row.layer ? el("div", { class: "acts" }, el("button", { type: "button", onclick: (event) => { event.currentTarget.closest("dialog").close(); form.elements.layer.value = row.layer; form.elements.row_key.value = row.row_key; form.requestSubmit(); } }, "只看这个对象的记录")) : null);
  }

  const columns = [
    { key: "seq", title: "序号", number: true, shown: (row) => count(row.seq) },
    { key: "at", title: "时间", shown: (row) => el("span", { class: "code" }, when(row.at)) },
    { key: "actor", title: "操作人" },
    { key: "action", title: "操作", value: action, shown: (row) => tag(LOOKS[row.action], action(row)) },
    { key: "object", title: "对象", value: object, shown: (row) => el("span", { class: "code", title: object(row) }, object(row) ? named(row) : "—") },
    { key: "village_code", title: "村", value: (row) => village(row.village_code), shown: (row) => village(row.village_code) || "—" },
    { key: "gist", title: "内容", value: gist, shown: (row) => gist(row) || "—" },
    { key: "why", title: "理由", shown: (row) => row.why || "—" },
  ];

  const asked = () => {
    const data = new FormData(form);
    const values = Object.fromEntries(KEPT.map((name) => [name, String(data.get(name) ?? "").trim()]));
    return values;
  };
  function sent(values) {
    // The log keeps UTC; a day begins at midnight here. A case is kept under its key, a code without its letter.
    const since = values.since ? new Date(`${values.since}T00:00:00`).toISOString() : "";
    const code = /^(\d{14})-[A-Z]-(\d{4}.*)$/.exec(values.row_key);
    return { ...values, since, row_key: code ? `${code[1]}-${code[2]}` : values.row_key };
  }

  function show() {
    fill(place, table(columns, rows, { label: "审计记录", empty: "没有符合条件的记录", pick: open }));
    $("#shown").textContent = rows.length ? `已显示 ${count(rows.length)} 条` : "";
    $("#older").hidden = after === null;
    fill($("#actors"), [...new Set(rows.map((row) => row.actor))].map((name) => el("option", { value: name })));
  }
  async function load(more) {
    const page = await ask(`/api/v1/audit?${query({ ...sent(asked()), limit: 100, after: more ? after : "" })}`);
    rows = more ? [...rows, ...page.rows] : page.rows;
    after = page.after;
    show();
  }
  function again() {
    fill(place, loading());
    $("#older").hidden = true;
    return load(false).catch((error) => fill(place, failed(error, again)));
  }

  const choose = (select, all, pairs) => fill(select, el("option", { value: "" }, all), pairs.map(([value, title]) => el("option", { value }, title)));
  choose(form.elements.action, "全部操作", Object.entries(ACTIONS));
  choose(form.elements.layer, "全部", ["cases", "attachments", "conflicts"].filter((name) => told.layers[name]).map((name) => [name, told.layers[name]]));
  for (const name of KEPT) form.elements[name].value = params.get(name) ?? "";
  form.addEventListener("submit", (event) => { event.preventDefault(); remember(asked()); again(); });
  form.addEventListener("reset", () => window.setTimeout(() => { remember(asked()); again(); }));
  for (const name of ["action", "layer", "since"]) form.elements[name].addEventListener("change", () => form.requestSubmit());
  $("#older").addEventListener("click", doing(() => load(true)));
  $("#print").addEventListener("click", () => window.print());
  $("#verify")?.addEventListener("click", doing(async () => {
    fill($("#verdict"), loading("正在逐条核验…"));
    try {
      const verdict = await ask("/api/v1/audit/verify");
      fill($("#verdict"), verdict.whole
        ? el("div", { class: "proof" }, el("p", {}, el("b", {}, `全部 ${count(verdict.head.seq)} 条记录完整，没有改动、缺失或颠倒。`)),
          el("p", { class: "small" }, "末条哈希，可抄在纸上留存，日后对照：", el("br"), el("span", { class: "mono" }, verdict.head.hash)))
        : el("div", { class: "proof bad", role: "alert" }, el("p", {}, el("b", {}, "审计记录不完整，请立即报告并封存本机。")), el("ul", {}, verdict.problems.map((one) => el("li", {}, one)))));
    } catch (error) { fill($("#verdict")); throw error; }
  }));
  county().then(({ villages }) => { names = new Map(villages.map((one) => [one.village_code, short(one.village_name) || one.village_code])); }).catch(() => {}).then(again);
})();
