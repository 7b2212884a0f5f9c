/* The way in, and the change of a password that somebody else made. */
(() => {
  "use strict";
  const { $, ask, Problem } = taotu;
  const here = new URLSearchParams(window.location.search);
  const login = $("#login");
  const change = $("#change");

  // Only a path of this service: no login leads elsewhere.
  function onward() {
    const next = here.get("next") ?? "/";
    const target = new URL(next, window.location.origin);
    window.location.assign(target.origin === window.location.origin && target.pathname !== "/login" ? target.pathname + target.search + target.hash : "/");
  }

  function tell(place, error) {
    place.textContent = error instanceof Problem ? error.message : "页面出错，请刷新后重试";
    place.hidden = false;
    if (!(error instanceof Problem)) console.error(error);
  }

  function toChange(old, name) {
    login.hidden = true;
    change.hidden = false;
    change.elements.old.value = old;
    change.elements.name.value = name; // for the browser that keeps passwords
    (old ? change.elements.new : change.elements.old).focus();
  }

  let token = document.querySelector('meta[name="csrf"]')?.content ?? "";
  async function sent(form, place, act) {
    const button = $("button", form);
    place.hidden = true;
    button.disabled = true;
    try { await act(new FormData(form)); } catch (error) { tell(place, error); } finally { button.disabled = false; }
  }

  login.addEventListener("submit", (event) => {
    event.preventDefault();
    sent(login, $("#wrong"), async (data) => {
      const me = await ask("/api/v1/login", { method: "POST", json: { name: data.get("name"), password: data.get("password") } });
      token = me.csrf ?? token;
      if (me.must_change) toChange(data.get("password"), me.name);
      else onward();
    });
  });

  change.addEventListener("submit", (event) => {
    event.preventDefault();
    sent(change, $("#wrong-change"), async (data) => {
      if (data.get("new") !== data.get("again")) throw new Problem(0, { detail: "两次输入的新密码不同" }, "");
      await ask("/api/v1/password", { method: "POST", json: { old: data.get("old"), new: data.get("new") }, headers: { "X-CSRF-Token": token } });
      onward();
    });
  });

  if (here.has("change")) {
    ask("/api/v1/me").then((me) => { token = me.csrf ?? token; toChange("", me.name); }).catch(() => {});
  }
})();
