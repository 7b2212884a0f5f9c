/* What every page of the service uses: asking the service, elements, figures in words, messages, dialogs.
   Texts from data reach the page as text nodes only, never as markup. */
window.taotu = (() => {
  "use strict";
  const told = JSON.parse(document.getElementById("told").textContent);
  const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";
  const M2_PER_MU = 2000 / 3;

  // -- elements

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes ?? {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "look") Object.assign(node.style, value); // by script: a strict policy bars style attributes
      else if (key === "data") Object.assign(node.dataset, value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }

  const $ = (selector, within = document) => within.querySelector(selector);
  const fill = (node, ...children) => node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));

  // -- figures

  const number = (value, decimals) => (Number.isFinite(value)
    ? value.toLocaleString("zh-CN", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }) : "—");
  const mu = (m2) => (Number.isFinite(m2) ? number(m2 / M2_PER_MU, 2) : "—");
  const m2 = (value) => number(value, 2);
  const count = (value) => number(value, 0);
  const share = (value) => (Number.isFinite(value) ? `${number(value * 100, 1)}%` : "—");
  function when(text) {
    if (!text) return "—";
    const time = new Date(text);
    if (Number.isNaN(time.getTime())) return text;
    const two = (n) => String(n).padStart(2, "0");
    return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${two(time.getHours())}:${two(time.getMinutes())}`;
  }

  // -- asking the service

  class Problem extends Error {
    constructor(status, body, request) {
      super(body.detail || body.title || "请求不成");
      Object.assign(this, { status, title: body.title || "请求不成", code: body.code, errors: body.errors ?? [], body, request });
    }
  }

  async function ask(path, { method = "GET", json, body, headers = {}, signal, raw = false } = {}) {
    const sent = { Accept: "application/json, application/geo+json", ...headers };
    if (json !== undefined) { sent["Content-Type"] = "application/json"; body = JSON.stringify(json); }
    if (method !== "GET") sent["X-CSRF-Token"] ??= csrf;
    let answer;
    try {
      answer = await fetch(path, { method, body, headers: sent, signal, credentials: "same-origin" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, { title: "连不上服务", detail: "请检查网络，或请管理员看服务是否开着" }, "");
    }
    if (answer.ok) {
      if (raw) return answer;
      if (answer.status === 204) return null;
      const value = await answer.json();
      Object.defineProperty(value, "tag", { value: answer.headers.get("ETag") });
      return value;
    }
    const said = await answer.json().catch(() => ({}));
    if (answer.status === 401 && !path.endsWith("/login")) {
      window.location.assign(`/login?next=${encodeURIComponent(window.location.pathname + window.location.search)}`);
    }
    throw new Problem(answer.status, said, answer.headers.get("X-Request-ID") ?? "");
  }

  // -- messages

  function toast(kind, title, detail, more) {
    const close = el("button", { type: "button", class: "quiet", "aria-label": "关闭", onclick: () => box.remove() }, "关闭");
    const box = el("div", { class: `toast ${kind}`, role: kind === "wrong" ? "alert" : null },
      el("b", {}, title), detail ? el("p", {}, detail) : null, more ? el("small", {}, more) : null, close);
    // A dialog lies above all else, so what is said meanwhile is said in it.
    ([...document.querySelectorAll("dialog[open]")].at(-1) ?? $("#toasts")).append(box);
    if (kind !== "wrong") window.setTimeout(() => box.remove(), 5000);
  }
  const said = (title, detail) => toast("done", title, detail);
  function wrong(error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) { console.error(error); toast("wrong", "页面出错", error.message); return; }
    const fields = error.errors.map((one) => [one.field, one.message].filter(Boolean).join("：")).join("；");
    toast("wrong", error.title, [error.message, fields].filter(Boolean).join(" "), error.request ? `请求号 ${error.request}` : "");
  }
  /** A handler whose failure is told, and which is not started twice. */
  function doing(act) {
    let busy = false;
    return async (event) => {
      if (busy) return;
      busy = true;
      const button = event?.submitter ?? event?.currentTarget;
      button?.setAttribute?.("aria-busy", "true");
      try { await act(event); } catch (error) { wrong(error); } finally { busy = false; button?.removeAttribute?.("aria-busy"); }
    };
  }

  // -- dialogs: the browser's own, so that Escape and the focus work by themselves

  function dialog(title, ...content) {
    const box = el("dialog", { class: "dialog", "aria-label": title },
      el("header", {}, el("h2", {}, title), el("button", { type: "button", class: "quiet", "aria-label": "关闭", onclick: () => box.close() }, "关闭")),
      ...content);
    box.addEventListener("close", () => box.remove());
    document.body.append(box);
    box.showModal();
    return box;
  }

  // -- tables: columns are {key, title, value(row), shown(row), number}; a head sorts

  function table(columns, rows, { caption, empty = "没有内容", pick, sums, sortable = true, label } = {}) {
    const body = el("tbody");
    let order = null;
    const value = (column, row) => (column.value ? column.value(row) : row[column.key]);
    function draw() {
      const sorted = order ? [...rows].sort((a, b) => compare(value(order.column, a), value(order.column, b)) * order.way) : rows;
      fill(body, sorted.length ? sorted.map((row) => line(row)) : el("tr", {}, el("td", { colspan: columns.length, class: "none" }, empty)));
    }
    function line(row) {
      const cells = columns.map((column) => {
        const text = column.shown ? column.shown(row) : value(column, row);
        return el("td", { class: column.number ? "number" : null }, text instanceof Node ? text : String(text ?? "—"));
      });
      if (!pick) return el("tr", {}, cells);
      const go = (event) => { if (event.type === "click" || event.key === "Enter" || event.key === " ") { if (event.type === "keydown") event.preventDefault(); pick(row, event.currentTarget); } };
      return el("tr", { tabindex: "0", class: "pick", onclick: go, onkeydown: go }, cells);
    }
    const heads = columns.map((column) => {
      if (!sortable || column.fixed) return el("th", { scope: "col", class: column.number ? "number" : null }, column.title);
      const head = el("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": "none" },
        el("button", { type: "button", onclick: () => {
          order = { column, way: order?.column === column ? -order.way : column.number ? -1 : 1 };
          for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
          head.setAttribute("aria-sort", order.way > 0 ? "ascending" : "descending");
          draw();
        } }, column.title));
      return head;
    });
    draw();
    const foot = sums ? el("tfoot", {}, el("tr", {}, columns.map((column) => el("td", { class: column.number ? "number" : null }, String((column.shown ? column.shown(sums) : value(column, sums)) ?? ""))))) : null;
    return el("div", { class: "table", tabindex: "0", role: "region", "aria-label": label ?? caption ?? "表" },
      el("table", {}, caption ? el("caption", {}, caption) : null, el("thead", {}, el("tr", {}, heads)), body, foot));
  }
  function compare(a, b) {
    if (a === b) return 0;
    if (a === null || a === undefined) return 1;
    if (b === null || b === undefined) return -1;
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "zh-CN", { numeric: true });
  }

  // -- what several pages need

  const params = new URLSearchParams(window.location.search);
  /** Keeps a choice in the address, so that it can be sent to a colleague. */
  function remember(changes) {
    const here = new URL(window.location.href);
    for (const [key, value] of Object.entries(changes)) {
      if (value) here.searchParams.set(key, value);
      else here.searchParams.delete(key);
    }
    window.history.replaceState(null, "", here);
  }
  const query = (values) => {
    const made = new URLSearchParams();
    for (const [key, value] of Object.entries(values)) {
      for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") made.append(key, one);
    }
    return made.toString();
  };
  const items = (layer, values) => ask(`/collections/${layer}/items?${query(values)}`);
  const item = (layer, key) => ask(`/collections/${layer}/items/${encodeURIComponent(key)}`);
  /** A page's link to the next, on this service whatever name it goes by. */
  const nextOf = (page) => {
    const link = (page.links ?? []).find((one) => one.rel === "next");
    if (!link) return null;
    const there = new URL(link.href, window.location.href);
    return there.pathname + there.search;
  };
  /** West, south, east and north of a GeoJSON geometry. */
  function bboxOf(geometry) {
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    const walk = (part) => {
      if (typeof part[0] !== "number") { part.forEach(walk); return; }
      box[0] = Math.min(box[0], part[0]); box[1] = Math.min(box[1], part[1]);
      box[2] = Math.max(box[2], part[0]); box[3] = Math.max(box[3], part[1]);
    };
    if (!geometry?.coordinates) return null;
    walk(geometry.coordinates);
    return Number.isFinite(box[0]) ? box : null;
  }
  let overview;
  const county = () => (overview ??= ask("/api/v1/overview").catch((error) => { overview = undefined; throw error; }));
  const short = (name) => String(name ?? "").replace(/村?村民委员会/, "村");
  /** A choice of villages, filled when their names are known. */
  async function villageChoice(select, all = "全部村") {
    fill(select, el("option", { value: "" }, all));
    const { villages } = await county();
    select.append(...villages.map((one) => el("option", { value: one.village_code }, short(one.village_name) || one.village_code)));
    select.value = params.get("village") ?? "";
    if (select.selectedIndex < 0) select.value = "";
    return villages;
  }
  const STATE_LOOKS = { candidate: "wait", disputed: "bad", rejected: "", superseded: "", reserved: "" };
  const tag = (kind, text) => el("span", { class: `tag ${kind ?? ""}` }, text);
  const stateTag = (state) => tag(STATE_LOOKS[state] ?? "good", told.codes?.state?.[state] ?? state);
  const bytes = (n) => (!Number.isFinite(n) ? "—" : n < 1024 ? `${n} B` : n < 1048576 ? `${number(n / 1024, 0)} KB` : n < 1073741824 ? `${number(n / 1048576, 1)} MB` : `${number(n / 1073741824, 1)} GB`);
  const loading = (words = "正在载入…") => el("p", { class: "none", role: "status" }, words);
  const failed = (error, again) => el("div", { class: "none" }, el("p", {}, error instanceof Problem ? error.message : "没有载入"),
    again ? el("button", { type: "button", onclick: again }, "重试") : null);
  const facts = (pairs) => el("dl", { class: "facts" }, pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined && pair[1] !== "")
    .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value instanceof Node ? value : String(value))]));
  /** Waits until nothing was typed for a while. */
  function settled(act, after = 220) {
    let timer;
    return (...given) => { window.clearTimeout(timer); timer = window.setTimeout(() => act(...given), after); };
  }
  function confirmed(title, words, button, kind = "main") {
    return new Promise((done) => {
      const box = dialog(title, el("p", {}, words), el("div", { class: "acts" },
        el("button", { type: "button", class: kind, onclick: () => { done(true); box.close(); } }, button),
        el("button", { type: "button", onclick: () => box.close() }, "取消")));
      box.addEventListener("close", () => done(false));
    });
  }

  // -- the shell

  // What stands beside a map is printed by its own button: the browser's own way prints the map.
  $(".with-map .side .head h1")?.after(el("button", { type: "button", class: "quiet no-print aside", onclick: () => {
    document.body.classList.add("print-list");
    window.addEventListener("afterprint", () => document.body.classList.remove("print-list"), { once: true });
    window.print();
  } }, "打印此栏"));

  const menu = $(".top .menu");
  menu?.addEventListener("click", () => {
    const open = menu.getAttribute("aria-expanded") !== "true";
    menu.setAttribute("aria-expanded", String(open));
  });
  $("#logout")?.addEventListener("click", doing(async () => {
    await ask("/api/v1/logout", { method: "POST" });
    window.location.assign("/login");
  }));
  $("#password")?.addEventListener("click", () => window.location.assign("/login?change=1"));

  return { told, el, $, fill, number, mu, m2, count, share, when, ask, Problem, said, wrong, doing, dialog, table, M2_PER_MU,
    params, remember, query, items, item, nextOf, bboxOf, county, short, villageChoice, tag, stateTag, bytes, loading, failed, facts, settled, confirmed, csrf };
})();
