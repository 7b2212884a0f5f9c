/* 冲突: what two people gave differently, side by side, one of them to be chosen. */
(() => {
  "use strict";
  const { $, el, fill, ask, table, told, tag, stateTag, when, count, mu, m2, loading, failed, doing, said, query, remember, params, short, villageChoice, M2_PER_MU } = taotu;
  const LISTS = { state: "state", identified_as: "identified_as", measured_how: "measured_how", owner_kind: "owner_kind", reject_reason: "reject_reason" };
  const DATES = new Set(["identified_on", "measured_on"]);
  const LONG = new Set(["note", "owner_basis", "dispute_reason"]);
  const CHOSEN = { base: "原值", theirs: "现值", yours: "新值", other: "另填" };
  const place = $("#list");
  const village = $("#village");
  let status = params.get("status") === "resolved" ? "resolved" : "open";
  let names = new Map();
  const cards = new Map();
  let rows = [];
  let after = null;
  let waiting = 0;

  const isEmpty = (value) => value === null || value === undefined || value === "";
  function worded(field, value) {
    if (isEmpty(value)) return "空";
    if (field === "measured_m2" && Number.isFinite(Number(value))) return `${mu(Number(value))} 亩`;
    if (LISTS[field]) return told.codes[LISTS[field]]?.[value] ?? String(value);
    return String(value);
  }
  const same = (field, a, b) => (isEmpty(a) && isEmpty(b)) || (field === "measured_m2" ? Number(a) === Number(b) : String(a ?? "") === String(b ?? ""));
  const titled = (field) => told.titles[field] ?? field;
  const nameOf = (code) => names.get(code) ?? code;

  // -- one conflict

  function asking(row) {
    if (LISTS[row.field]) {
      return el("select", { class: "given", "aria-label": "另填的值" }, el("option", { value: "" }, "空"), Object.entries(told.codes[LISTS[row.field]]).map(([code, title]) => el("option", { value: code }, title)));
    }
    if (row.field === "measured_m2") return el("input", { class: "given", type: "number", min: "0.01", step: "0.01", "aria-label": "另填的亩数", placeholder: "亩" });
    return el("input", { class: "given", type: DATES.has(row.field) ? "date" : "text", maxlength: LONG.has(row.field) ? 400 : 80, "aria-label": "另填的值" });
  }

  function card(row) {
    const group = `chosen-${row.conflict_key}`;
    const given = asking(row);
    const choice = (side, title, value, by) => el("label", { class: "choice" }, el("span", {}, el("input", { type: "radio", name: group, value: side, required: true }), title),
      el("b", { class: isEmpty(value) ? "soft" : null }, worded(row.field, value)),
      row.field === "measured_m2" && !isEmpty(value) ? el("small", {}, `${m2(Number(value))} m²`) : null, by ? el("small", {}, by) : null);
    const other = el("label", { class: "choice" }, el("span", {}, el("input", { type: "radio", name: group, value: "other" }), "另填"), given);
    given.addEventListener("focus", () => { $("input[type=radio]", other).checked = true; });
    const why = el("input", { name: "why", required: true, maxlength: 400, list: "reasons", placeholder: "如：现场复核" });
    const moved = !same(row.field, row.current_value, row.theirs_value);
    const form = el("form", { class: "card case", novalidate: true, "aria-label": `${row.piece_code ?? row.piece_key} ${titled(row.field)}`, onsubmit: (event) => { event.preventDefault(); sent(event); } },
      el("header", {}, el("h2", {}, titled(row.field)), el("a", { class: "code", href: `/review?piece=${encodeURIComponent(row.piece_code ?? "")}` }, row.piece_code ?? row.piece_key), row.state ? stateTag(row.state) : null,
        el("span", { class: "soft" }, [nameOf(row.village_code), row.place_name, Number.isFinite(row.area_m2) ? `图上 ${mu(row.area_m2)} 亩` : "", row.source].filter(Boolean).join(" · "))),
      moved ? el("p", { class: "soft small" }, tag("wait", "此后又改过"), ` 登记里现在是“${worded(row.field, row.current_value)}”。`) : null,
      el("fieldset", {}, el("legend", { class: "hide" }, "采用哪个值"), el("div", { class: "choices" },
        choice("base", "原值", row.base_value, ""), choice("theirs", "现值", row.theirs_value, row.theirs_by), choice("yours", "新值", row.yours_value, row.yours_by), other)),
      el("div", { class: "decide" }, el("label", {}, "理由", why), el("button", { type: "submit", class: "main" }, "采用")));
    const sent = doing(async () => {
      const chosen = new FormData(form).get(group);
      if (!chosen) { say(form, "请先选一个值"); $(`input[type=radio]`, form).focus(); return; }
      if (!why.value.trim()) { say(form, "请写明理由"); why.focus(); return; }
      const json = { chosen, why: why.value.trim(), case_version: row.case_version };
      if (chosen === "other") json.value = row.field === "measured_m2" ? (given.value ? Math.round(Number(given.value) * M2_PER_MU * 100) / 100 : null) : given.value || null;
      try {
        const done = await ask(`/api/v1/conflicts/${encodeURIComponent(row.conflict_key)}/resolve`, { method: "POST", json, headers: { "If-Match": `"${row.version}"` } });
        await settle(row, form, done.conflict);
      } catch (error) {
        if (error.status === 412 || error.code === "conflict") { taotu.wrong(error); await load(false); return; }
        if (error.status === 409 || error.status === 422 || error.status === 403) { say(form, [error.message, ...(error.errors ?? []).map((one) => one.message)].filter(Boolean).join("；")); return; }
        throw error;
      }
    });
    cards.set(row.conflict_key, form);
    return form;
  }

  function say(form, words) {
    $(".wrong", form)?.remove();
    form.append(el("p", { class: "wrong", role: "alert" }, words));
  }

  /** Takes the card away; what was typed into others stays, but those of the same piece rest on what it is now. */
  async function settle(row, form, now) {
    said("已采用", `${titled(row.field)}：${worded(row.field, now.chosen_value)}`);
    const beside = form.nextElementSibling ?? form.previousElementSibling;
    rows = rows.filter((one) => one !== row);
    waiting -= 1;
    form.remove();
    if (!rows.length) { await load(false); return; }
    tell();
    const fresh = new Map((await ask(`/api/v1/conflicts?${query({ status, village: row.village_code, limit: 500 })}`)).conflicts.map((one) => [one.conflict_key, one]));
    for (const one of rows.filter((other) => other.piece_key === row.piece_key)) {
      const now_ = fresh.get(one.conflict_key);
      if (!now_) continue;
      Object.assign(one, now_);
      cards.get(one.conflict_key)?.replaceWith(card(one));
    }
    ($("input[type=radio]", beside?.isConnected ? beside : place))?.focus();
  }

  // -- the list

  const columns = [
    { key: "piece_code", title: "图块", value: (row) => row.piece_code ?? row.piece_key, shown: (row) => el("a", { class: "code", href: `/review?piece=${encodeURIComponent(row.piece_code ?? "")}` }, row.piece_code ?? row.piece_key) },
    { key: "village_code", title: "村", value: (row) => nameOf(row.village_code) },
    { key: "field", title: "项", value: (row) => titled(row.field) },
    { key: "theirs_value", title: "现值", value: (row) => worded(row.field, row.theirs_value) },
    { key: "yours_value", title: "新值", value: (row) => worded(row.field, row.yours_value) },
    { key: "chosen_value", title: "采用", value: (row) => worded(row.field, row.chosen_value), shown: (row) => el("span", {}, el("b", {}, worded(row.field, row.chosen_value)), el("small", { class: "soft" }, ` ${CHOSEN[row.chosen] ?? ""}`)) },
    { key: "why", title: "理由" },
    { key: "updated_by", title: "处理人" },
    { key: "updated_at", title: "时间", shown: (row) => el("span", { class: "whole" }, when(row.updated_at)) },
  ];

  const tell = () => { $("#waiting").textContent = waiting ? `还有 ${count(waiting)} 条待处理。` : ""; };
  function show() {
    tell();
    cards.clear();
    $("#further").hidden = after === null;
    if (status === "resolved") { fill(place, table(columns, rows, { label: "已处理的冲突", empty: "还没有处理过的冲突" })); return; }
    fill(place, rows.length ? rows.map(card) : el("div", { class: "card none" }, el("p", {}, el("b", {}, "没有待处理的冲突")), el("p", {}, "读入外业成果时，若与现有登记不同，会列在这里。")));
  }
  async function load(more) {
    const page = await ask(`/api/v1/conflicts?${query({ status, village: village.value, limit: 100, after: more ? after : "" })}`);
    rows = more ? [...rows, ...page.conflicts] : page.conflicts;
    after = page.after;
    waiting = page.open;
    show();
  }
  function again() {
    fill(place, loading());
    return load(false).catch((error) => fill(place, failed(error, again)));
  }

  const press = () => { for (const one of document.querySelectorAll("[data-status]")) one.setAttribute("aria-pressed", String(one.dataset.status === status)); };
  for (const button of document.querySelectorAll("[data-status]")) {
    button.addEventListener("click", () => { status = button.dataset.status; remember({ status: status === "open" ? "" : status }); press(); again(); });
  }
  press();
  $("#further").addEventListener("click", doing(() => load(true)));
  village.addEventListener("change", () => { remember({ village: village.value }); again(); });
  villageChoice(village).then((villages) => { names = new Map(villages.map((one) => [one.village_code, short(one.village_name) || one.village_code])); }).catch(() => {}).then(again);
})();
