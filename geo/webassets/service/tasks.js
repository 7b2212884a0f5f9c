/* 任务: started by a form, watched as they go, cancelled, their results taken away. */
(() => {
  "use strict";
  const { $, el, fill, ask, when, count, number, bytes, wrong, said, doing, dialog, params, remember, nextOf, query, tag, Problem } = taotu;
  const LOOKS = { accepted: "wait", running: "wait", successful: "good", failed: "bad", dismissed: "" };
  const OPEN = new Set(["accepted", "running"]);
  const place = $("#jobs"), of = $("#of");
  const cards = new Map(), streams = new Map();
  let processes = [];

  // -- starting

  async function begin() {
    processes = (await ask("/processes")).processes;
    fill($("#processes"), processes.filter((one) => one.allowed).map((one) => el("button", { type: "button", class: "tile", onclick: doing(() => start(one)) }, el("b", {}, one.title), el("span", {}, one.description))));
    fill(of, el("option", { value: "" }, "全部"), processes.map((one) => el("option", { value: one.id, selected: one.id === params.get("process") }, one.title)));
  }
  async function start(process) {
    const whole = await ask(`/processes/${process.id}`);
    const form = taotu.form.of(whole);
    const key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`; // one click too many starts no second job
    const box = dialog(process.title, el("form", { class: "stack", novalidate: true, onsubmit: doing(async (event) => {
      event.preventDefault();
      const lacking = form.lacking();
      if (lacking) { lacking.setAttribute("aria-invalid", "true"); lacking.focus(); throw new Problem(0, { title: "还缺资料", detail: "请先选好必填的文件" }, ""); }
      if (!event.target.checkValidity()) { event.target.reportValidity(); return; }
      const job = await ask(`/processes/${process.id}/execution`, { method: "POST", json: { inputs: form.value() }, headers: { "Idempotency-Key": key } });
      box.close();
      said("已排入队列", process.title);
      put(job, { first: true });
      cards.get(job.jobID).node.scrollIntoView({ block: "center", behavior: "smooth" });
    }) }, el("p", { class: "soft" }, process.description), form.node, el("div", { class: "acts" }, el("button", { type: "submit", class: "main" }, "开始"), el("button", { type: "button", onclick: () => box.close() }, "取消"))));
    box.classList.add("large");
  }

  // -- one job

  const lasted = (job) => {
    if (!job.started) return "";
    const s = Math.max(0, (new Date(job.finished ?? Date.now()) - new Date(job.started)) / 1000);
    return s < 90 ? `${number(s, 0)} 秒` : s < 5400 ? `${number(s / 60, 0)} 分钟` : `${number(s / 3600, 1)} 小时`;
  };
  function put(job, { first = false } = {}) {
    let card = cards.get(job.jobID);
    if (!card) {
      card = { node: el("article", { class: "card job", id: `job-${job.jobID}`, "aria-label": `${job.title}` }), job };
      cards.set(job.jobID, card);
      $(".none", place)?.remove();
      if (first) place.prepend(card.node);
      else place.append(card.node);
      draw(card, job);
    } else draw(card, { ...card.job, ...job });
    if (OPEN.has(card.job.status)) watch(card.job.jobID);
  }
  function draw(card, job) {
    card.job = job;
    const running = OPEN.has(job.status);
    const bar = el("span", { class: "bar", role: "progressbar", "aria-valuenow": job.progress ?? 0, "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "进度" }, el("i", { look: { width: `${job.progress ?? 0}%` } }));
    const held = card.node.contains(document.activeElement);
    fill(card.node,
      el("header", {}, el("b", {}, job.title), tag(LOOKS[job.status], job.statusTitle), el("small", { class: "soft" }, [job.createdBy, when(job.created), lasted(job) ? `用时 ${lasted(job)}` : ""].filter(Boolean).join(" · ")),
        el("div", { class: "acts" }, job.cancellable ? el("button", { type: "button", class: "danger", onclick: doing(() => cancel(job)) }, "取消任务") : null,
          !running && job.status !== "dismissed" ? el("button", { type: "button", onclick: doing(() => results(job)) }, "查看结果") : null)),
      running ? [bar, el("p", {}, [`${job.progress ?? 0}%`, job.step, job.message].filter(Boolean).join(" · "))] : job.message ? el("p", { class: job.status === "failed" ? "wrong" : "soft" }, job.message) : null,
      job.note ? el("p", { class: "soft small" }, job.note) : null, job.dismissedBy ? el("p", { class: "soft small" }, `由 ${job.dismissedBy} 取消`) : null);
    if (held) $("button", card.node)?.focus();
  }
  const STATUS = { accepted: "排队中", running: "运行中", successful: "已完成", failed: "失败", dismissed: "已取消" };
  function watch(id) {
    if (streams.has(id)) return;
    const stream = new EventSource(`/jobs/${id}/events`);
    streams.set(id, stream);
    stream.addEventListener("status", (event) => {
      const change = JSON.parse(event.data), card = cards.get(id);
      if (!card || change.seq < card.job.seq) return;
      draw(card, { ...card.job, ...change, statusTitle: STATUS[change.status] ?? change.status });
      if (OPEN.has(change.status)) return;
      close(id);
      ask(`/jobs/${id}`).then((job) => put(job), wrong);
      said(`任务${STATUS[change.status]}`, card.job.title);
    });
    // The browser tries again by itself; a stream that is gone for good leaves it to asking.
    stream.addEventListener("error", () => { if (stream.readyState === EventSource.CLOSED) { close(id); window.setTimeout(() => ask(`/jobs/${id}`).then((job) => put(job)).catch(() => {}), 3000); } });
  }
  function close(id) { streams.get(id)?.close(); streams.delete(id); }
  window.addEventListener("pagehide", () => { for (const id of [...streams.keys()]) close(id); });

  async function cancel(job) {
    if (!(await taotu.confirmed("取消任务", `取消“${job.title}”？已算的部分不保留，工作区不变。`, "取消任务", "danger"))) return;
    put(await ask(`/jobs/${job.jobID}`, { method: "DELETE" }));
  }

  const flat = (value, name = "") => Object.entries(value ?? {}).flatMap(([key, one]) => (one && typeof one === "object" && !Array.isArray(one) ? flat(one, `${name}${key} `) : [[`${name}${key}`, Array.isArray(one) ? (one.length && typeof one[0] === "object" ? `${one.length} 项` : one.join("、")) : typeof one === "number" ? number(one, Number.isInteger(one) ? 0 : 2) : one]]));
  async function results(job) {
    const found = await ask(`/jobs/${job.jobID}/results`);
    const villages = [...new Set(found.files.map((one) => one.village).filter(Boolean))];
    dialog(`${job.title}：结果`, el("div", { class: "stack" }, found.message ? el("p", { class: found.status === "failed" ? "wrong" : "" }, found.message) : null,
      found.published.length ? el("p", {}, `已写入工作区：${found.published.join("、")}`) : null,
      found.files.length ? [el("p", { class: "acts" }, el("a", { class: "main", href: `/jobs/${job.jobID}/archive`, download: true }, `全部下载（${count(found.files.length)} 个文件）`), villages.length > 1 ? el("small", { class: "soft" }, `共 ${count(villages.length)} 个村`) : null),
        taotu.table([{ key: "name", title: "文件", shown: (row) => el("a", { href: row.href }, row.name) }, { key: "bytes", title: "大小", number: true, shown: (row) => bytes(row.bytes) }], found.files.slice(0, 1000), { label: "文件", empty: "没有文件" })] : found.kept ? null : el("p", { class: "soft" }, "文件已清理；请重新运行。"),
      found.numbers ? el("details", { class: "card fold", open: !found.files.length }, el("summary", {}, el("b", {}, "汇总数字")), taotu.facts(flat(found.numbers).slice(0, 120))) : null)).classList.add("large");
  }

  // -- the list

  let turn = 0;
  async function list() {
    const mine = ++turn;
    for (const id of [...streams.keys()]) close(id);
    cards.clear();
    fill(place, taotu.loading());
    try {
      const page = await ask(`/jobs?${query({ process: of.value, limit: 25 })}`);
      if (mine !== turn) return;
      fill(place);
      take(page);
      if (!page.jobs.length) fill(place, el("p", { class: "none" }, "还没有任务。"));
    } catch (error) { if (mine === turn) fill(place, taotu.failed(error, list)); }
  }
  function take(page) {
    for (const job of page.jobs) put(job);
    const next = nextOf(page);
    if (!next) return;
    const more = el("button", { type: "button", onclick: doing(async () => { const following = await ask(next); more.remove(); take(following); }) }, "更早的任务");
    place.append(more);
  }
  of.addEventListener("change", () => { remember({ process: of.value }); list(); });
  begin().then(list).catch((error) => { fill($("#processes"), taotu.failed(error)); wrong(error); });
})();
