/* A form made from the description of a process: what the service can be asked is written in one place only. */
taotu.form = (() => {
  "use strict";
  const { el, fill, $, ask, told, bytes, wrong, doing, dialog, Problem } = taotu;
  const WORDS = { auto: "自动判断", none: "不判断", group: "按组", village: "按村", sheet: "按国家标准图幅", partition: "重新划分", adjust: "变动最少的调整", fast: "快", standard: "标准", best: "细", patches: "图斑", parcels: "地块", pieces: "图块", grids: "网格", "": "自动", pdf: "PDF", geopdf: "GeoPDF", png: "PNG", dxf: "DXF", shp: "SHP" };
  const word = (value) => WORDS[value] ?? String(value);
  let count = 0;
  const id = () => `w-${++count}`;

  const options = (schema) => schema.anyOf ?? schema.oneOf ?? [schema];
  const plain = (schema) => options(schema).find((one) => one.type !== "null") ?? schema;
  const isFile = (schema) => options(schema).some((one) => one.properties?.upload);
  const may = (schema) => options(schema).some((one) => one.type === "null");

  /** Controls of one input: {node, value()}; an input left as it was says nothing (undefined). */
  function control(title, said, schema, needed) {
    if (isFile(schema)) return chooser(title, said, needed);
    const kind = plain(schema);
    if (kind.type === "array" && isFile(kind.items)) return several(title, said, () => chooser("", "", true), "添加文件");
    if (kind.type === "array" && kind.items.properties) return several(title, said, () => group(kind.items), "添加一项");
    if (kind.type === "array" && kind.items.enum) return ticks(title, said, kind, schema.default ?? kind.default ?? []);
    if (kind.type === "array") return codes(title, said);
    if (kind.type === "boolean") return tick(title, said, schema.default ?? false);
    if (kind.enum) return choice(title, said, kind, schema.default ?? "", needed || !may(schema));
    return line(title, said, kind, schema.default, needed);
  }

  const help = (said) => (said ? el("small", {}, said) : null);
  const field = (title, said, box) => { box.id = id(); return el("div", { class: "asked" }, el("label", { for: box.id }, title), box, help(said)); };

  function line(title, said, schema, standard, needed) {
    const number = schema.type === "number" || schema.type === "integer";
    const box = el("input", { type: number ? "number" : "text", step: schema.type === "integer" ? "1" : "any", min: schema.minimum, max: schema.maximum, maxlength: schema.maxLength, pattern: number ? null : schema.pattern, required: needed, autocomplete: "off", value: standard ?? "" });
    return { node: field(title, said, box), value: () => { const text = box.value.trim(); return text === "" || text === String(standard ?? "") ? undefined : number ? Number(text) : text; }, box };
  }
  function choice(title, said, schema, standard, needed) {
    const box = el("select", { required: needed }, needed ? null : el("option", { value: "" }, "不指定"), schema.enum.map((value) => el("option", { value, selected: value === standard }, word(value))));
    // Where the choices are named in words, a help that only explains their codes says nothing more.
    const codes = schema.enum.filter(Boolean), explained = codes.length && codes.every((code) => said.includes(code) && WORDS[code]);
    return { node: field(title, explained ? "" : said, box), value: () => (box.value === String(standard ?? "") || (box.value === "" && !schema.enum.includes("")) ? undefined : box.value), box };
  }
  function tick(title, said, standard) {
    const box = el("input", { type: "checkbox", checked: standard });
    return { node: el("div", { class: "asked" }, el("label", { class: "line" }, box, title), help(said)), value: () => (box.checked === standard ? undefined : box.checked) };
  }
  function ticks(title, said, schema, standard) {
    const boxes = schema.items.enum.map((value) => el("input", { type: "checkbox", value, checked: standard.includes(value) }));
    return { node: el("fieldset", { class: "asked" }, el("legend", {}, title), el("div", { class: "chips" }, boxes.map((box) => el("label", { class: "chip" }, box, el("span", {}, word(box.value))))), help(said)), value: () => boxes.filter((box) => box.checked).map((box) => box.value) };
  }
  function codes(title, said) {
    const box = el("textarea", { rows: 2, placeholder: "一行一个，或用逗号分开；空着为全部" });
    return { node: field(title, said, box), value: () => { const found = box.value.split(/[\s,，;；、]+/).filter(Boolean); return found.length ? found : undefined; } };
  }
  function group(schema) {
    const needed = new Set(schema.required ?? []);
    const parts = Object.entries(schema.properties).map(([name, one]) => [name, control(one.title ?? name, one.description ?? "", one, needed.has(name))]);
    return { node: el("div", { class: "pairs" }, parts.map(([, part]) => part.node)), value: () => Object.fromEntries(parts.map(([name, part]) => [name, part.value()]).filter(([, value]) => value !== undefined)) };
  }
  function several(title, said, make, button) {
    const rows = [], place = el("div", { class: "stack" });
    const add = () => {
      const part = make();
      const row = el("div", { class: "many" }, part.node, el("button", { type: "button", class: "quiet", onclick: () => { rows.splice(rows.indexOf(part), 1); row.remove(); } }, "去掉"));
      rows.push(part);
      place.append(row);
    };
    return { node: el("fieldset", { class: "asked" }, el("legend", {}, title), place, el("button", { type: "button", onclick: add }, button), help(said)), value: () => { const found = rows.map((part) => part.value()).filter((value) => value !== undefined); return found.length ? found : undefined; } };
  }

  // -- files: sent now, sent before, or lying in the server's folder

  function chooser(title, said, needed) {
    let chosen;
    const words = el("output", { class: "soft" }, "未选择");
    const button = el("button", { type: "button", "aria-describedby": null, onclick: doing(async () => {
      const one = await pick(title);
      if (!one) return;
      chosen = one.value;
      fill(words, el("b", {}, one.words));
      drop.hidden = false;
      button.removeAttribute("aria-invalid");
    }) }, "选择…");
    const drop = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => { chosen = undefined; fill(words, "未选择"); drop.hidden = true; } }, "清除");
    const node = el("div", { class: "asked" }, title ? el("span", { class: "label" }, title, needed ? el("small", {}, " 必填") : null) : null, el("div", { class: "joined" }, button, words, drop), help(said));
    return { node, value: () => chosen, lacking: () => (needed && !chosen ? button : null) };
  }

  function pick(title) {
    return new Promise((done) => {
      const place = el("div", { class: "browse" });
      const state = el("p", { class: "soft", role: "status" });
      const file = el("input", { type: "file", "aria-label": "上传文件" });
      const box = dialog(`选择${title}`,
        el("div", { class: "card stack" }, el("h3", {}, "从这台电脑上传"), el("p", { class: "soft small" }, "一个文件，或把整个文件夹压成 zip。SHP 请连同 dbf、shx、prj 一起压缩。"), file, state),
        el("h3", { class: "part" }, "已上传的资料"), place, el("div", { id: "on-server" }));
      const take = (value, words) => { done({ value, words }); box.close(); };
      box.addEventListener("close", () => done(null));
      file.addEventListener("change", async () => {
        if (!file.files.length) return;
        file.disabled = true;
        try {
          const made = await send(file.files[0], (share) => { state.textContent = share < 1 ? `正在上传 ${taotu.number(share * 100, 0)}%` : "正在检查…"; });
          state.textContent = `已上传 ${made.name}`;
          await list();
        } catch (error) { wrong(error); state.textContent = "没有上传成功"; } finally { file.disabled = false; file.value = ""; }
      });
      const entry = (words, size, act) => el("li", {}, el("button", { type: "button", onclick: act }, el("span", {}, words), el("small", {}, size)));
      async function list() {
        const { uploads } = await ask("/api/v1/uploads");
        fill(place, uploads.length ? uploads.map((one) => el("details", { class: "card fold" }, el("summary", {}, el("b", {}, one.name), el("small", { class: "soft" }, `${taotu.when(one.created)} · ${bytes(one.bytes)}`)),
          el("ul", { class: "files" }, entry("整个上传", "", () => take({ upload: one.id }, one.name)), one.files.filter((part) => !/\.(shx|dbf|prj|cpg|sbn|sbx)$/i.test(part.path)).slice(0, 300).map((part) => entry(part.path, bytes(part.bytes), () => take({ upload: one.id, path: part.path }, part.path))))))
          : el("p", { class: "soft" }, "还没有上传过。"));
      }
      list().catch((error) => fill(place, taotu.failed(error)));
      const server = $("#on-server", box);
      async function walk(path) {
        let found;
        try { found = await ask(`/api/v1/inputs?${taotu.query({ path })}`); } catch (error) { if (error.status !== 404) wrong(error); return; }
        const up = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
        fill(server, el("h3", { class: "part" }, "服务器数据目录"), el("ul", { class: "files card" }, path ? [entry(`用这个文件夹：${path}`, "", () => take({ server: path }, path)), entry("上一级", "", () => walk(up))] : null,
          found.entries.map((one) => entry(one.kind === "folder" ? `${one.name}/` : one.name, one.kind === "file" ? bytes(one.bytes) : "", () => (one.kind === "folder" ? walk(one.path) : take({ server: one.path }, one.path))))));
      }
      if (told.inputs) walk("");
    });
  }

  // The only request that is not by fetch, which cannot tell how much has gone.
  function send(file, tell) {
    return new Promise((done, fail) => {
      const request = new XMLHttpRequest(), data = new FormData();
      data.append("file", file);
      request.open("POST", "/api/v1/uploads");
      request.setRequestHeader("X-CSRF-Token", taotu.csrf);
      request.responseType = "json";
      request.upload.addEventListener("progress", (event) => tell(event.lengthComputable ? event.loaded / event.total : 0));
      request.addEventListener("load", () => (request.status === 201 ? done(request.response) : fail(new Problem(request.status, request.response ?? {}, request.getResponseHeader("X-Request-ID") ?? ""))));
      request.addEventListener("error", () => fail(new Problem(0, { title: "连不上服务", detail: "上传中断，请检查网络后重试" }, "")));
      request.send(data);
    });
  }

  /** The form of a process: what is always asked first, the rest folded away. */
  function of(process) {
    const parts = Object.entries(process.inputs).map(([name, one]) => [name, one, control(one.title, one.description, one.schema, one.minOccurs > 0)]);
    const first = parts.filter(([name, one]) => one.minOccurs > 0 || ["by", "formats", "only", "work", "layers", "rights", "baseline", "households"].includes(name));
    const rest = parts.filter((part) => !first.includes(part));
    const nodes = (some) => el("div", { class: "pairs" }, some.map(([, , part]) => part.node));
    const node = el("div", { class: "stack" }, parts.length ? nodes(first) : el("p", { class: "soft" }, "不用填什么。"), rest.length ? el("details", { class: "card fold" }, el("summary", {}, el("b", {}, "更多设置"), el("small", { class: "soft" }, `${rest.length} 项`)), nodes(rest)) : null);
    return {
      node,
      lacking: () => parts.map(([, , part]) => part.lacking?.()).find(Boolean),
      value: () => Object.fromEntries(parts.map(([name, , part]) => [name, part.value()]).filter(([, value]) => value !== undefined)),
    };
  }
  return { of };
})();
