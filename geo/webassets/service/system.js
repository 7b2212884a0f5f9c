/* 系统: who may come in, by which keys, and what the service stands on. */
(() => {
  "use strict";
  const { $, el, fill, ask, table, told, tag, when, count, bytes, loading, failed, facts, dialog, doing, confirmed, said, short, county } = taotu;
  const ROLES = { viewer: "查阅", officer: "经办", reviewer: "审核", admin: "管理员" };
  const ROLE_NOTES = {
    viewer: "只看图和表，看不到姓名", officer: "在所辖村核查、填写、传照片",
    reviewer: "全部村，处理冲突、公示、运行任务", admin: "再加用户、密钥和备份",
  };
  const role = (code) => ROLES[code] ?? code;
  let names = new Map();
  const seen = (villages) => (villages === null ? "全县" : villages.length === 0 ? "无" : villages.map((code) => names.get(code) ?? code).join("、"));

  // -- what it stands on

  const figure = (title, text, unit, ...below) => el("div", { class: "figure" }, el("dt", {}, title), el("dd", {}, text, unit ? el("small", {}, unit) : null), ...below.map((one) => el("dd", { class: "below" }, one)));

  async function standing() {
    let ready;
    try { await ask("/readyz"); ready = figure("服务", "正常", "", "工作区、审计记录可读"); } catch (error) { ready = figure("服务", "需处理", "", error.message); }
    const { total, free } = told.disk;
    const used = total ? 1 - free / total : 0;
    const disk = figure("磁盘可用", bytes(free), "", el("span", { class: "meter", role: "img", "aria-label": `已用 ${Math.round(used * 100)}%` }, el("i", { class: used > 0.9 ? "near" : null, look: { width: `${used * 100}%` } })));
    const log = await ask("/api/v1/audit?limit=1").then((page) => page.rows[0]).catch(() => null);
    fill($("#standing"), ready, disk,
      figure("审计记录", log ? count(log.seq) : "—", "条", log ? `最近 ${when(log.at)}` : ""),
      figure("套图", told.versions.taotu ?? "—", "版", `Python ${told.versions.Python ?? ""}`));
  }

  // -- users

  async function showUsers() {
    const { users } = await ask("/api/v1/users");
    const columns = [
      { key: "name", title: "用户名", shown: (row) => el("b", {}, row.name) },
      { key: "role", title: "角色", value: (row) => role(row.role) },
      { key: "villages", title: "村", value: (row) => seen(row.villages) },
      { key: "active", title: "状态", value: (row) => (row.active ? (row.must_change ? "待改密码" : "启用") : "停用"),
        shown: (row) => (row.active ? (row.must_change ? tag("wait", "待改密码") : tag("good", "启用")) : tag("", "停用")) },
      { key: "last_login_at", title: "最近登录", value: (row) => row.last_login_at, shown: (row) => (row.last_login_at ? when(row.last_login_at) : "从未") },
      { key: "do", title: "办理", fixed: true, shown: (row) => el("button", { type: "button", "aria-label": `修改 ${row.name}`, onclick: () => editUser(row) }, "修改") },
    ];
    fill($("#users"), table(columns, users, { label: "用户", empty: "还没有用户" }));
  }

  function rights(held) {
    const chosen = el("select", { name: "role" }, Object.entries(ROLES).map(([code, title]) => el("option", { value: code }, title)));
    chosen.value = held?.role ?? "officer";
    const note = el("small", { class: "soft" }, ROLE_NOTES[chosen.value]);
    chosen.addEventListener("change", () => { note.textContent = ROLE_NOTES[chosen.value]; places.hidden = chosen.value === "admin"; });
    const limited = held ? held.villages !== null : true;
    const ticks = el("div", { class: "ticks", hidden: !limited }, [...names].map(([code, name]) => el("label", {}, el("input", { type: "checkbox", name: "village", value: code, checked: Boolean(held?.villages?.includes(code)) }), name)));
    const way = (value, title, on) => el("label", {}, el("input", { type: "radio", name: "reach", value, checked: on, onchange: () => { ticks.hidden = value === "all"; } }), title);
    const places = el("fieldset", { hidden: chosen.value === "admin" }, el("legend", {}, "可办理的村"), el("div", { class: "ways" }, way("all", "全县", !limited), way("some", "只限这些村", limited)), ticks);
    return { nodes: [el("label", {}, "角色", chosen, note), places],
      value: (data) => ({ role: data.get("role"), villages: data.get("role") === "admin" || data.get("reach") === "all" ? null : data.getAll("village") }) };
  }

  function secret(title, words, text) {
    const copied = el("button", { type: "button", class: "main", onclick: async () => {
      try { await navigator.clipboard.writeText(text); copied.textContent = "已复制"; } catch { window.getSelection().selectAllChildren(code); copied.textContent = "已选中，请按 Ctrl+C"; }
    } }, "复制");
    const code = el("code", {}, text);
    dialog(title, el("p", {}, words), el("div", { class: "secret" }, code, copied), el("p", { class: "soft small" }, "关闭后不能再看到。"));
  }

  function addUser() {
    const parts = rights(null);
    const form = el("form", { class: "form", autocomplete: "off", onsubmit: (event) => { event.preventDefault(); sent(event); } },
      el("label", {}, "用户名", el("input", { name: "name", required: true, maxlength: 64, autofocus: true })),
      ...parts.nodes,
      el("p", { class: "soft small" }, "密码由系统生成，只显示一次；本人第一次登录时须改成自己的。"),
      el("div", { class: "acts" }, el("button", { type: "submit", class: "main" }, "新增"), el("button", { type: "button", onclick: () => box.close() }, "取消")));
    const sent = doing(async () => {
      const data = new FormData(form);
      const made = await ask("/api/v1/users", { method: "POST", json: { name: data.get("name").trim(), ...parts.value(data) } });
      box.close();
      await showUsers();
      secret(`${made.name} 的密码`, "请当面交给本人：", made.password);
    });
    const box = dialog("新增用户", form);
  }

  function editUser(user) {
    const parts = rights(user);
    const change = (json, words) => async () => {
      await ask(`/api/v1/users/${encodeURIComponent(user.name)}`, { method: "PATCH", json });
      box.close();
      said(words);
      await showUsers();
    };
    const form = el("form", { class: "form", onsubmit: (event) => { event.preventDefault(); saved(event); } }, ...parts.nodes,
      el("div", { class: "acts" }, el("button", { type: "submit", class: "main" }, "保存"),
        el("button", { type: "button", onclick: doing(async () => {
          if (!await confirmed("重设密码", `${user.name} 现在的密码将失效，已登录的会退出。`, "重设")) return;
          const made = await ask(`/api/v1/users/${encodeURIComponent(user.name)}/password`, { method: "POST" });
          box.close();
          await showUsers();
          secret(`${made.name} 的新密码`, "请当面交给本人：", made.password);
        }) }, "重设密码"),
        el("button", { type: "button", class: user.active ? "danger" : null, onclick: doing(change({ active: !user.active }, user.active ? `${user.name} 已停用` : `${user.name} 已启用`)) }, user.active ? "停用" : "启用")));
    const saved = doing((event) => change(parts.value(new FormData(form)), `${user.name} 的权限已保存`)(event));
    const box = dialog(`修改 ${user.name}`, form);
  }

  // -- keys

  async function showKeys() {
    const { keys } = await ask("/api/v1/keys?all=true");
    const ended = (row) => Boolean(row.revoked_at) || new Date(row.expires_at) < new Date();
    const columns = [
      { key: "label", title: "用途", shown: (row) => el("b", {}, row.label) },
      { key: "name", title: "所有者" },
      { key: "role", title: "角色", value: (row) => role(row.role) },
      { key: "villages", title: "村", value: (row) => seen(row.villages) },
      { key: "expires_at", title: "有效至", shown: (row) => (row.revoked_at ? tag("", "已停用") : new Date(row.expires_at) < new Date() ? tag("", "已过期") : when(row.expires_at).slice(0, 10)) },
      { key: "used_at", title: "最近使用", shown: (row) => (row.used_at ? when(row.used_at) : "从未") },
      { key: "do", title: "办理", fixed: true, shown: (row) => (ended(row) ? "" : el("button", { type: "button", class: "danger", "aria-label": `停用 ${row.label}`, onclick: doing(async () => {
        if (!await confirmed("停用密钥", `用“${row.label}”的程序将连不上服务。停用后不能恢复。`, "停用", "danger")) return;
        await ask(`/api/v1/keys/${encodeURIComponent(row.key_id)}`, { method: "DELETE" });
        said(`密钥“${row.label}”已停用`);
        await showKeys();
      }) }, "停用")) },
    ];
    fill($("#keys"), table(columns, keys, { label: "密钥", empty: "还没有密钥" }));
  }

  function addKey() {
    const form = el("form", { class: "form", autocomplete: "off", onsubmit: (event) => { event.preventDefault(); sent(event); } },
      el("label", {}, "用途", el("input", { name: "label", required: true, maxlength: 80, placeholder: "如 QGIS 桌面、夜间备份脚本", autofocus: true })),
      el("div", { class: "pair" },
        el("label", {}, "角色", el("select", { name: "role" }, Object.entries(ROLES).map(([code, title]) => el("option", { value: code, selected: code === "viewer" }, title)))),
        el("label", {}, "有效天数", el("input", { name: "days", type: "number", min: 1, max: 3650, value: 365, required: true }))),
      el("p", { class: "soft small" }, "密钥归您所有，只显示一次。给到够用的角色即可。"),
      el("div", { class: "acts" }, el("button", { type: "submit", class: "main" }, "新建"), el("button", { type: "button", onclick: () => box.close() }, "取消")));
    const sent = doing(async () => {
      const data = new FormData(form);
      const made = await ask("/api/v1/keys", { method: "POST", json: { label: data.get("label").trim(), role: data.get("role"), days: Number(data.get("days")) } });
      box.close();
      await showKeys();
      secret(`密钥“${made.label}”`, "在 QGIS 或脚本里用作 Authorization: Bearer …", made.key);
    });
    const box = dialog("新建密钥", form);
  }

  // -- the run and the parts

  const SOURCES = { survey: "三调图斑", parcels: "确权地块", villages: "村级调查区", groups: "组级区域", baseline: "基期数据", households: "住户" };
  function parsed(text) { try { return JSON.parse(text) ?? {}; } catch { return {}; } }
  function showRuns() {
    if (!told.runs.length) { fill($("#runs"), el("p", { class: "none" }, "工作区里没有运行记录")); return; }
    fill($("#runs"), told.runs.map(runOf).sort((a, b) => a.order - b.order).map((one) => one.node));
  }
  function runOf(run) {
    const inputs = parsed(run.inputs);
    const rows = Object.entries(inputs).map(([name, one]) => ({ name: SOURCES[name] ?? name, rows: one?.rows ?? null, files: Object.entries(one?.files ?? {}) })).filter((row) => row.files.length);
    const isMain = "parcels" in inputs && "survey" in inputs;
    const fold = (title, text) => (text ? el("details", {}, el("summary", {}, title), el("pre", { class: "mono" }, text)) : null);
    const node = el("section", {}, el("h3", {}, isMain ? "套合比对" : "households" in inputs || "grids" in inputs ? "网格划分" : "其他", " ", el("small", { class: "soft mono" }, run.run_id)),
      table([
        { key: "name", title: "资料" },
        { key: "rows", title: "行数", number: true, shown: (row) => count(row.rows) },
        { key: "files", title: "文件", fixed: true, shown: (row) => row.files.map(([name]) => name).slice(0, 6).join("、") + (row.files.length > 6 ? ` 等 ${row.files.length} 个` : "") },
      ], rows, { label: "读入的资料", empty: "没有登记资料", sortable: false }),
      ...[fold("文件校验值（SHA-256）", rows.flatMap((row) => row.files.map(([name, hash]) => `${hash}  ${name}`)).join("\n")), fold("参数", JSON.stringify(parsed(run.settings), null, 1))].filter(Boolean));
    return { node, order: isMain ? 0 : 1 };
  }

  const again = (place, show) => { const now = () => { fill($(place), loading()); return show().catch((error) => fill($(place), failed(error, now))); }; return now(); };
  $("#add-user").addEventListener("click", addUser);
  $("#add-key").addEventListener("click", addKey);
  fill($("#workspace"), facts([["坐标系", told.crs], ["代号", told.meta.crs], ["行政区代码", told.meta.county_code], ["格式版本", told.meta.schema_version], ["服务文件夹", el("span", { class: "mono" }, told.folder)]]));
  fill($("#versions"), facts(Object.entries(told.versions).map(([name, text]) => [name === "taotu" ? "套图" : name, text])));
  showRuns();
  standing();
  county().then(({ villages }) => { names = new Map(villages.map((one) => [one.village_code, short(one.village_name) || one.village_code])); })
    .catch(taotu.wrong).then(() => { again("#users", showUsers); again("#keys", showKeys); });
})();
