/* 核查: a list of pieces to decide on, a map, and the form of the three facts. Nothing of others is written over:
   every change names the version it was made on, and a stale one is laid beside what stands. */
(() => {
  "use strict";
  const { $, el, fill, ask, items, mu, m2, count, told, wrong, said, doing, settled, remember, params, piece, Problem, dialog, nextOf } = taotu;
  const M2_PER_MU = taotu.M2_PER_MU;
  const listSide = $("#list-side"), formSide = $("#form-side"), list = $("#list");
  const today = () => { const now = new Date(); return `${now.getFullYear()}-${String(now.getMonth() + 1).padStart(2, "0")}-${String(now.getDate()).padStart(2, "0")}`; };

  // -- the list

  const stateChoice = $("#state");
  fill(stateChoice, el("option", { value: "" }, "全部状态"), Object.entries(told.codes.state).map(([code, title]) => el("option", { value: code }, title)));
  stateChoice.value = params.get("state") ?? "candidate";
  const PAGE = 50;
  let rows = [], more = null, open = null, mine = 0;

  async function begin() {
    const turn = ++mine;
    rows = [];
    fill(list, taotu.loading());
    const text = $("#code").value.trim().toUpperCase();
    try {
      const filter = /^[0-9A-Z-]+$/.test(text) ? `piece_code LIKE '%${text}%'` : "";
      const page = await items("pieces", {
        village_code: $("#village").value, state: stateChoice.value, piece_shape: text ? "" : "BLOCK", filter,
        sortby: text ? "+piece_code" : "-area_m2", limit: PAGE, skipGeometry: "true", properties: "piece_code,piece_class,piece_shape,state,area_m2,village_name",
      });
      if (turn === mine) take(page);
    } catch (error) {
      if (turn === mine) fill(list, taotu.failed(error, begin));
    }
  }
  function take(page) {
    rows.push(...page.features.map((one) => one.properties));
    more = nextOf(page);
    draw();
  }
  function draw() {
    if (!rows.length) { fill(list, el("p", { class: "none" }, stateChoice.value === "candidate" ? "这里的图块都核查过了。" : "没有符合条件的图块。")); return; }
    fill(list,
      el("ul", { class: "queue" }, rows.map((row) => el("li", {}, el("button", {
        type: "button", "aria-current": row.piece_code === open?.piece_code ? "true" : null, data: { code: row.piece_code }, onclick: () => choose(row.piece_code),
      }, el("b", { class: "code" }, row.piece_code), el("span", { class: "number" }, `${mu(row.area_m2)} 亩`),
      el("small", {}, [taotu.short(row.village_name), piece.title("piece_class", row.piece_class)].filter(Boolean).join(" · ")), taotu.stateTag(row.state))))),
      more ? el("button", { type: "button", class: "wide", onclick: doing(async () => take(await ask(more))) }, "再看一些") : null);
  }
  async function progress() {
    const { county, villages } = await taotu.county();
    const one = $("#village").value ? villages.find((row) => row.village_code === $("#village").value) : county;
    const left = one?.candidate_count ?? 0, all = one?.piece_count ?? 0;
    $("#progress").textContent = all ? `共 ${count(all)} 块（含细条、碎屑），已核查 ${count(all - left)} 块，${taotu.share((all - left) / all)}。按面积从大到小列出成块的图块。` : "";
  }
  for (const select of [$("#village"), stateChoice]) {
    select.addEventListener("change", () => { remember({ village: $("#village").value, state: stateChoice.value }); begin(); progress().catch(wrong); paint(); if (select.id === "village" && select.value) seeVillage(select.value); });
  }
  $("#code").addEventListener("input", settled(begin, 300));
  $("#choice").addEventListener("submit", (event) => { event.preventDefault(); begin(); });
  function paint() {
    taotuMap.filter({ village_code: $("#village").value ? [$("#village").value] : [] }, ["pieces", "patches"]);
  }

  // -- the form

  const GROUPS = [
    ["一、是什么地", [["identified_as", "code"], ["identified_by", "text", 40], ["identified_on", "date"]]],
    ["二、有多大", [["measured_mu", "area"], ["measured_how", "code"], ["measured_by", "text", 40], ["measured_on", "date"]]],
    ["三、是谁的", [["owner_kind", "code"], ["owner_name", "text", 80], ["owner_basis", "long", 400], ["current_user", "text", 80], ["place_name", "text", 80]]],
    ["其他", [["note", "long", 1000]]],
  ];
  const TITLES = { measured_mu: "实测面积（亩）" };
  const named = (field) => TITLES[field] ?? piece.named(field);

  function control(field, kind, most, value) {
    const attributes = { name: field, id: `f-${field}` };
    if (kind === "code") return el("select", attributes, el("option", { value: "" }, "未填"), Object.entries(told.codes[field]).map(([code, title]) => el("option", { value: code, selected: code === value }, title)));
    if (kind === "long") return el("textarea", { ...attributes, maxlength: most, rows: 2 }, value ?? "");
    if (kind === "area") return el("input", { ...attributes, inputmode: "decimal", autocomplete: "off", pattern: "[0-9]+(\\.[0-9]{0,4})?", value: value ?? "", "aria-describedby": "f-m2" });
    if (kind === "date") return el("input", { ...attributes, type: "date", min: "2000-01-01", value: value ?? "" });
    return el("input", { ...attributes, maxlength: most, autocomplete: "off", value: value ?? "" });
  }
  // What stands, in the words of the form: an area is written in mu, and is only changed where another one was typed.
  const standing = (row, field) => {
    const one = row.case ?? {};
    if (field !== "measured_mu") return one[field] ?? "";
    return Number.isFinite(one.measured_m2) ? String(Math.round((one.measured_m2 / M2_PER_MU) * 100) / 100) : "";
  };
  function changed() {
    const patch = {};
    for (const box of formSide.querySelectorAll("[name]")) {
      const was = standing(open, box.name), now = box.value.trim();
      if (box.name === "why" || !GROUPS.some(([, fields]) => fields.some(([name]) => name === box.name)) || now === was) continue;
      if (box.name === "measured_mu") {
        const area = Number(now);
        if (now && !(area > 0)) { box.setAttribute("aria-invalid", "true"); box.focus(); throw new Problem(0, { title: "实测面积不对", detail: "请填大于 0 的亩数，如 12.35" }, ""); }
        patch.measured_mu = now ? area : null;
      } else patch[box.name] = now || null;
    }
    return patch;
  }
  const dirty = () => { try { return Boolean(open) && Object.keys(changed()).length > 0; } catch { return true; } };

  async function choose(code, { go = true } = {}) {
    if (dirty() && open.piece_code !== code && !(await taotu.confirmed("还没有保存", `图块 ${open.piece_code} 的修改还没有保存。`, "放弃修改", "danger"))) return;
    formSide.hidden = false;
    document.body.classList.add("is-deciding");
    fill(formSide, taotu.loading());
    try { show(await piece.load(code), { go }); } catch (error) { open = null; fill(formSide, back(), taotu.failed(error, () => choose(code))); }
  }
  const back = () => el("button", { type: "button", class: "quiet back", onclick: () => leave() }, "‹ 返回列表");
  async function leave() {
    if (dirty() && !(await taotu.confirmed("还没有保存", `图块 ${open.piece_code} 的修改还没有保存。`, "放弃修改", "danger"))) return;
    const code = open?.piece_code;
    open = null;
    formSide.hidden = true;
    document.body.classList.remove("is-deciding");
    taotuMap.highlight("pieces", null);
    remember({ piece: null });
    draw();
    list.querySelector(`[data-code="${CSS.escape(code ?? "")}"]`)?.focus();
  }

  function show(row, { go = false, focus = true } = {}) {
    open = row;
    remember({ piece: row.piece_code });
    if (row.bbox && go) taotuMap.goTo({ bbox: row.bbox, layer: "pieces", code: row.piece_code });
    else taotuMap.highlight("pieces", row.piece_code);
    for (const button of list.querySelectorAll("[data-code]")) {
      if (button.dataset.code === row.piece_code) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    const may = row.next_states ?? [];
    const closed = row.state === "superseded" || row.register_status === "SUPERSEDED";
    const form = el("form", { class: "stack", novalidate: true, onsubmit: doing(async (event) => { event.preventDefault(); await save({}); }), onkeydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); }
    } },
    GROUPS.map(([title, fields]) => el("fieldset", { class: "card", disabled: closed }, el("legend", {}, title), el("div", { class: "pairs" }, fields.map(([field, kind, most]) => el("div", { class: kind === "long" || kind === "area" || field === "identified_as" || field === "measured_how" ? "wide" : null },
      el("label", { for: `f-${field}` }, named(field)), kind === "area" ? areaLine(row, control(field, kind, most, standing(row, field))) : control(field, kind, most, standing(row, field))))))),
    el("label", {}, "修改理由（选填，记入审计）", el("input", { name: "why", maxlength: 400, autocomplete: "off" })),
    el("div", { class: "acts" }, el("button", { type: "submit", class: "main", disabled: closed }, "保存"), el("button", { type: "button", onclick: doing(async () => { await save({ next: true }); }), disabled: closed }, "保存并看下一块"), el("span", { class: "soft small" }, "Ctrl+Enter 保存；状态随三项事实推进")));
    const moves = el("section", { class: "card" }, el("h2", {}, "改状态"), may.length
      ? el("div", { class: "acts" }, may.map((state) => el("button", { type: "button", class: state === "rejected" || state === "disputed" ? "danger" : null, data: { state }, onclick: doing(() => move(state)) }, told.codes.state[state])))
      : el("p", { class: "soft" }, "您现在不能改这一块的状态。"));
    const photos = el("section", { class: "card" }, el("h2", {}, "照片与材料"), piece.evidence(row), closed ? null : attach(row));
    const problems = piece.problems(row);
    const past = el("div", {});
    const history = el("details", { class: "card fold" }, el("summary", {}, el("h2", {}, "修改历史")), past);
    history.addEventListener("toggle", () => { if (history.open) { fill(past, taotu.loading()); piece.history(row.piece_code).then((made) => fill(past, made), (error) => fill(past, taotu.failed(error))); } });
    const origin = el("details", { class: "card fold" }, el("summary", {}, el("h2", {}, "图上情况")), piece.origin(row), problems);
    fill(formSide, back(), el("div", { class: "stack" }, piece.head(row), piece.area(row), row.class_reason ? el("p", { class: "soft small" }, row.class_reason) : null), form, moves, photos, origin, history);
    formSide.scrollTop = 0;
    if (focus) $(".piece-head h2", formSide).focus({ preventScroll: !window.matchMedia("(max-width: 860px)").matches });
  }
  function areaLine(row, box) {
    const line = el("small", { id: "f-m2", class: "soft" });
    const tell = () => {
      box.removeAttribute("aria-invalid");
      const area = Number(box.value) * M2_PER_MU;
      const apart = area / row.area_m2 - 1;
      line.textContent = area > 0 ? `合 ${m2(area)} m²，与图上面积相差 ${apart >= 0 ? "+" : ""}${taotu.number(apart * 100, 1)}%` : `图上面积 ${mu(row.area_m2)} 亩`;
    };
    box.addEventListener("input", tell);
    tell();
    return el("div", {}, el("div", { class: "joined" }, box, el("button", { type: "button", onclick: () => {
      box.value = String(Math.round((row.area_m2 / M2_PER_MU) * 100) / 100);
      const how = $("#f-measured_how", formSide), on = $("#f-measured_on", formSide);
      if (!how.value) how.value = "CONFIRMED";
      if (!on.value) on.value = today();
      tell();
    } }, "沿用图上面积")), line);
  }

  // -- saving

  async function save({ state, extra = {}, next = false }) {
    const patch = { ...changed(), ...extra };
    if (state) patch.state = state;
    const why = $("[name=why]", formSide)?.value.trim();
    if (!Object.keys(patch).length) { said("没有改动"); if (next) await onward(); return; }
    if (why) patch.why = why;
    await send(patch, open.version, next);
  }
  async function send(patch, version, next) {
    const code = open.piece_code;
    try {
      const answer = await ask(`/collections/pieces/items/${encodeURIComponent(code)}`, { method: "PATCH", json: patch, headers: { "If-Match": version } });
      const before = open.state;
      const row = { ...answer.properties, geometry: answer.geometry, bbox: taotu.bboxOf(answer.geometry), version: answer.tag };
      said("已保存", before === row.state ? code : `${code}：${told.codes.state[before]} → ${told.codes.state[row.state]}`);
      const at = rows.find((one) => one.piece_code === row.piece_code);
      if (at) at.state = row.state;
      taotuMap.refresh("pieces", `/tiles/pieces/{z}/{x}/{y}.mvt?v=edited-${Date.now()}`);
      show(row, { focus: !next });
      draw();
      if (next) await onward();
    } catch (error) {
      if (error.status !== 412) throw error;
      stale(error.body, patch, next);
    }
  }
  async function onward() {
    const at = rows.findIndex((one) => one.piece_code === open.piece_code);
    const following = [...rows.slice(at + 1), ...rows.slice(0, Math.max(at, 0))].find((one) => !stateChoice.value || one.state === stateChoice.value);
    if (!following) { said("本页的图块都看过了"); return; }
    open = null;
    await choose(following.piece_code);
  }

  // -- a move that needs a reason asks for it

  async function move(state) {
    if (state !== "rejected" && state !== "disputed") { await save({ state }); return; }
    const row = open;
    const reason = state === "rejected"
      ? el("select", { name: "reason", required: true }, el("option", { value: "" }, "请选择"), Object.entries(told.codes.reject_reason).map(([code, title]) => el("option", { value: code, selected: row.case?.reject_reason === code }, title)))
      : el("textarea", { name: "reason", required: true, maxlength: 400, rows: 3 }, row.case?.dispute_reason ?? "");
    const box = dialog(`改为“${told.codes.state[state]}”`, el("form", { class: "stack", novalidate: true, onsubmit: doing(async (event) => {
      event.preventDefault();
      if (!reason.value.trim()) { reason.setAttribute("aria-invalid", "true"); reason.focus(); return; }
      box.close();
      await save({ state, extra: { [state === "rejected" ? "reject_reason" : "dispute_reason"]: reason.value.trim() } });
    }) }, el("p", {}, `图块 ${row.piece_code}，${mu(row.area_m2)} 亩。`), el("label", {}, state === "rejected" ? "剔除原因" : "争议原因：谁与谁、争什么", reason),
    el("div", { class: "acts" }, el("button", { type: "submit", class: "main" }, "确定"), el("button", { type: "button", onclick: () => box.close() }, "取消"))));
  }

  // -- stale: what it was, what another made of it, what you want

  function stale(body, patch, next) {
    const theirs = body.theirs ?? {}, was = open.case ?? {};
    const stored = (one, field) => (field === "measured_mu" ? one.measured_m2 : one[field]) ?? null;
    const mine = (field) => (field === "measured_mu" ? (patch.measured_mu === null ? null : patch.measured_mu * M2_PER_MU) : patch[field]);
    const words = (field, value) => piece.worded(field === "measured_mu" ? "measured_m2" : field, value);
    const fields = Object.keys(patch).filter((field) => field !== "why");
    const beforeOf = (field) => (field === "state" ? open.state : stored(was, field));
    const theirsOf = (field) => (field === "state" ? theirs.state : stored(theirs, field));
    // Fields that only others changed are told of too, so that nothing is decided unseen.
    const others = Object.keys(was).concat(Object.keys(theirs)).filter((field, i, all) => all.indexOf(field) === i && told.titles[field] && !fields.includes(field) && !(field === "measured_m2" && fields.includes("measured_mu"))
      && !["version", "updated_at", "updated_by", "state"].includes(field) && (was[field] ?? null) !== (theirs[field] ?? null) && field !== "piece_key" && field !== "piece_code" && field !== "village_code" && field !== "group_code");
    const contested = fields.filter((field) => (beforeOf(field) ?? null) !== (theirsOf(field) ?? null) && words(field, theirsOf(field)) !== words(field, mine(field)));
    const option = (field, side, value) => (contested.includes(field)
      ? el("label", { class: "pick-one" }, el("input", { type: "radio", name: `keep-${field}`, value: side, required: true }), words(field, value)) : words(field, value));
    const box = dialog("这一块刚被别人改过", el("form", { class: "stack", novalidate: true, onsubmit: doing(async (event) => {
      event.preventDefault();
      const kept = { ...patch };
      for (const field of contested) {
        const choice = box.querySelector(`[name="keep-${field}"]:checked`);
        if (!choice) { box.querySelector(`[name="keep-${field}"]`).focus(); wrongChoice.hidden = false; return; }
        if (choice.value === "theirs") delete kept[field];
      }
      box.close();
      if (!Object.keys(kept).some((field) => field !== "why")) { show(await piece.load(open.piece_code)); said("已采用他人的填写"); return; }
      open = { ...open, case: theirs, state: theirs.state ?? open.state };
      await send(kept, `"${theirs.version ?? 0}"`, next);
    }) },
    el("p", {}, theirs.updated_by ? `${theirs.updated_by} 在 ${taotu.when(theirs.updated_at)} 保存了修改。` : "", contested.length ? "请逐项选择采用哪一个。" : "与您填的不相冲突，可以一并保存。"),
    el("div", { class: "table" }, el("table", { class: "three" }, el("thead", {}, el("tr", {}, ["项目", "原值", "他人", "您的"].map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, [...contested, ...fields.filter((field) => !contested.includes(field))].map((field) => el("tr", { class: contested.includes(field) ? "contested" : null },
        el("th", { scope: "row" }, named(field)), el("td", {}, words(field, beforeOf(field))), el("td", {}, option(field, "theirs", theirsOf(field))), el("td", {}, option(field, "yours", mine(field))))),
      others.map((field) => el("tr", {}, el("th", { scope: "row" }, named(field)), el("td", {}, words(field, was[field])), el("td", {}, words(field, theirs[field])), el("td", { class: "soft" }, "未改")))))),
    wrongChoiceBox(),
    el("div", { class: "acts" }, el("button", { type: "submit", class: "main" }, contested.length ? "按选择保存" : "一并保存"), el("button", { type: "button", onclick: doing(async () => { box.close(); show(await piece.load(open.piece_code)); }) }, "放弃我的修改"))));
    const wrongChoice = $(".wrong", box);
  }
  const wrongChoiceBox = () => el("p", { class: "wrong", role: "alert", hidden: true }, "还有项目没有选。");

  // -- photos

  function attach(row) {
    const preview = el("div", { class: "preview" });
    const file = el("input", { type: "file", name: "file", accept: "image/jpeg,image/png,application/pdf", id: "f-file" });
    const kind = el("select", { name: "kind" }, [["photo", "现场照片"], ["signature", "签名"], ["document", "证明材料"]].map(([value, title]) => el("option", { value }, title)));
    let shown = "";
    file.addEventListener("change", () => {
      if (shown) URL.revokeObjectURL(shown);
      shown = "";
      const [one] = file.files;
      if (!one) { fill(preview); return; }
      if (one.type.startsWith("image/")) { shown = URL.createObjectURL(one); fill(preview, el("img", { src: shown, alt: "预览" }), el("small", {}, `${one.name}，${taotu.bytes(one.size)}`)); } else { kind.value = "document"; fill(preview, el("small", {}, `${one.name}，${taotu.bytes(one.size)}`)); }
    });
    const form = el("form", { class: "stack attach", novalidate: true, onsubmit: doing(async (event) => {
      event.preventDefault();
      const data = new FormData(form);
      if (!file.files.length) { file.focus(); throw new Problem(0, { title: "还没有选文件", detail: "请先拍照或选一个文件" }, ""); }
      const made = await ask(`/collections/pieces/items/${encodeURIComponent(row.piece_code)}/attachments`, { method: "POST", body: data });
      if (shown) URL.revokeObjectURL(shown);
      said("已上传", made.file_name ?? "");
      const typed = Object.fromEntries([...formSide.querySelectorAll("[id^=f-][name]")].filter((one) => one.type !== "file").map((one) => [one.id, one.value]));
      const fresh = await piece.load(row.piece_code);
      show({ ...fresh, case: open.case, version: open.version }, { focus: false }); // what was typed stays, on the version it was typed on
      for (const [id, value] of Object.entries(typed)) { const box = document.getElementById(id); if (box) box.value = value; }
    }) }, el("div", { class: "pairs" }, el("div", { class: "wide" }, el("label", { for: "f-file" }, "拍照或选文件（照片、PDF）"), file, preview), el("div", {}, el("label", {}, "种类", kind)), el("div", {}, el("label", {}, "说明", el("input", { name: "note", maxlength: 400, autocomplete: "off" })))),
    el("div", { class: "acts" }, el("button", { type: "submit" }, "上传")));
    return form;
  }

  taotuMap.on("pick", (at) => {
    const hit = at.hits.find((one) => one.layer === "pieces");
    if (hit) choose(hit.code, { go: false });
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !formSide.hidden && !document.querySelector("dialog[open]") && !event.defaultPrevented) leave(); });
  window.addEventListener("beforeunload", (event) => { if (dirty()) event.preventDefault(); });

  taotu.villageChoice($("#village")).then(() => { begin(); paint(); if ($("#village").value && !params.get("piece")) seeVillage($("#village").value); return progress(); }).catch(wrong);
  // The outlines may come after the names.
  function seeVillage(code) {
    const go = () => { const box = taotuMap.overview.byCode.get(code)?.getBounds(); if (box) taotuMap.goTo({ bbox: [box.getWest(), box.getSouth(), box.getEast(), box.getNorth()], layer: "pieces", code: null, zoom: 16 }); };
    if (taotuMap.overview?.features) { go(); return; }
    const stop = taotuMap.on("villages", () => { stop(); go(); });
  }
  if (params.get("piece")) choose(params.get("piece"));
})();
