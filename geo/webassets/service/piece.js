/* All that is known of one piece, in words: for the pages where land is looked at and where it is decided on. */
taotu.piece = (() => {
  "use strict";
  const { el, mu, m2, share, when, ask, item, items, told, facts, stateTag, tag, table, bboxOf, Problem } = taotu;
  const title = (list, code) => told.codes?.[list]?.[code] ?? code;
  const LISTS = { state: "state", identified_as: "identified_as", measured_how: "measured_how", owner_kind: "owner_kind", reject_reason: "reject_reason" };
  const SEVERITY = { error: "bad", warning: "wait", info: "" };

  /** The piece with what stands beside it, and the version to be sent back with a change. */
  async function load(code) {
    const answer = await item("pieces", code);
    return { ...answer.properties, geometry: answer.geometry, bbox: bboxOf(answer.geometry), version: answer.tag };
  }

  const area = (row) => el("dl", { class: "figures two" },
    el("div", { class: "figure first" }, el("dt", {}, "面积（毛）"), el("dd", {}, mu(row.area_m2), el("small", {}, "亩")), el("dd", { class: "below" }, `${m2(row.area_m2)} m²`)),
    el("div", { class: "figure" }, el("dt", {}, "净面积（扣田坎）"), el("dd", {}, mu(row.net_area_m2), el("small", {}, "亩")), el("dd", { class: "below" }, `${m2(row.net_area_m2)} m²`)));

  const head = (row) => el("header", { class: "piece-head" },
    el("h2", { class: "code", tabindex: "-1" }, row.piece_code),
    el("p", {}, stateTag(row.state), " ", tag("", title("piece_class", row.piece_class)), row.piece_shape && row.piece_shape !== "BLOCK" ? [" ", tag("", title("piece_shape", row.piece_shape))] : null,
      row.asked_code && row.asked_code !== row.piece_code ? el("small", {}, `查询的编号 ${row.asked_code} 现为此编号`) : null,
      row.register_status === "SUPERSEDED" ? el("small", {}, "此编号已不再使用") : null));

  const origin = (row) => facts([
    ["分类依据", row.class_reason], ["村", taotu.short(row.village_name)], ["组", row.group_code],
    ["图斑", row.patch_code], ["地类", row.land_class ? `${title("DLBM", row.land_class)}（${row.land_class}）` : ""],
    ["平均宽度", Number.isFinite(row.mean_width_m) ? `${m2(row.mean_width_m)} m` : ""],
    ["基期耕地占比", Number.isFinite(row.baseline_farmland_share) ? share(row.baseline_farmland_share) : ""],
    ["田坎系数", row.ridge_ratio ? share(row.ridge_ratio) : ""], ["佐证地块", row.evidence_parcels], ["标准图幅", row.sheet_code],
  ]);

  /** The three facts as they stand. Names of persons are there for officers only: the service sends them to no other. */
  function found(row) {
    const one = row.case;
    if (!one) return el("p", { class: "soft" }, "还没有人核查。");
    const by = (who, on) => [who, on].filter(Boolean).join("，");
    return facts([
      ["认定为", one.identified_as ? title("identified_as", one.identified_as) : ""], ["认定", by(one.identified_by, one.identified_on)],
      ["实测面积", Number.isFinite(one.measured_m2) ? `${mu(one.measured_m2)} 亩（${m2(one.measured_m2)} m²）` : ""],
      ["测量", by([one.measured_how ? title("measured_how", one.measured_how) : "", one.measured_by].filter(Boolean).join("，"), one.measured_on)],
      ["权利人", [one.owner_kind ? title("owner_kind", one.owner_kind) : "", one.owner_name].filter(Boolean).join("，")],
      ["权属依据", one.owner_basis], ["现使用人", one.current_user], ["地名", one.place_name],
      ["剔除原因", one.reject_reason ? title("reject_reason", one.reject_reason) : ""], ["争议原因", one.dispute_reason], ["备注", one.note],
      ["最近修改", one.updated_at ? `${when(one.updated_at)}，${one.updated_by ?? ""}` : ""],
    ]);
  }

  const problems = (row) => (row.findings?.length ? el("ul", { class: "plain" }, row.findings.map((one) => el("li", {},
    tag(SEVERITY[one.severity], one.title), el("p", {}, one.message), one.advice ? el("p", { class: "soft small" }, one.advice) : null))) : null);

  /** Photos as pictures, papers as links. */
  function evidence(row, { open = true } = {}) {
    const rows = row.attachments ?? [];
    if (!rows.length) return null;
    return el("ul", { class: "photos" }, rows.map((one) => {
      const name = [one.file_name, one.taken_on].filter(Boolean).join(" ");
      const address = `/attachments/${one.attachment_key}`;
      const isPicture = String(one.media_type).startsWith("image/") && (one.kind === "photo" || told.role !== "viewer");
      if (!isPicture) return el("li", {}, el("a", { href: address, class: "button" }, name || "附件"));
      const picture = el("img", { src: address, alt: one.note || name, loading: "lazy" });
      return el("li", {}, open ? el("button", { type: "button", class: "photo", "aria-label": `放大 ${name}`, onclick: () => taotu.dialog(name || "照片", el("img", { src: address, alt: one.note || name, class: "large" }), one.note ? el("p", {}, one.note) : null) }, picture) : picture,
        el("small", {}, one.note || one.taken_on || ""));
    }));
  }

  const worded = (field, value) => {
    if (value === null || value === undefined || value === "") return "空";
    if (field === "measured_m2") return `${mu(Number(value))} 亩`;
    if (LISTS[field]) return title(LISTS[field], value);
    return String(value);
  };
  const named = (field) => told.titles?.[field] ?? field;
  const SKIPPED = new Set(["version", "updated_at", "updated_by", "piece_key", "piece_code", "village_code", "group_code", "attachment_key", "byte_count", "media_type"]);

  function changes(entry) {
    const before = entry.before ?? {}, after = entry.after ?? {};
    if (entry.layer === "attachments") return el("p", {}, `添加附件 ${after.file_name ?? ""}`);
    const fields = Object.keys(after).filter((field) => !SKIPPED.has(field) && (after[field] ?? null) !== (before[field] ?? null));
    return el("ul", { class: "plain small" }, fields.map((field) => el("li", {}, `${named(field)}：`,
      before[field] !== null && before[field] !== undefined && before[field] !== "" ? [el("del", {}, worded(field, before[field])), " → "] : null, el("b", {}, worded(field, after[field])))));
  }

  async function history(code) {
    const { entries } = await ask(`/collections/pieces/items/${encodeURIComponent(code)}/history`);
    if (!entries.length) return el("p", { class: "soft" }, "还没有人改过。");
    return el("ol", { class: "past" }, [...entries].reverse().map((entry) => el("li", {},
      el("p", {}, el("b", {}, when(entry.at)), ` ${entry.actor}`), changes(entry), entry.why ? el("p", { class: "soft small" }, `理由：${entry.why}`) : null)));
  }

  /** Pages of the set of sheets that show the piece. */
  async function sheets(row) {
    if (!row.bbox) return [];
    const page = await items("sheets", {
      bbox: row.bbox.join(","), unit_code: [row.group_code, row.village_code, row.sheet_code], sheet_kind: "map", limit: 4, skipGeometry: "true",
    });
    return page.features.map((feature) => feature.properties);
  }

  return { load, area, head, origin, found, problems, evidence, history, changes, sheets, worded, named, title, table, Problem };
})();
