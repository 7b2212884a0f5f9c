"""Who gets in, with what, and how far: sessions, CSRF, roles and keys through the service itself."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from api.access import COOKIE
from api.main import ROUTERS, create_app
from api.settings import Settings
from tests.api.conftest import PASSWORD, QUICK, Clock, PageClient
from tests.geo.county import LOWER, UPPER


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def settings(clock):
    return Settings(clock=clock, **QUICK)


def code_of(answer):
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def log_of(client, **params):
    return client.get("/api/v1/audit", params=params).json()["rows"]


# --- sessions


def test_a_login_says_who_one_is_and_sets_a_cookie_no_script_reads(nobody, as_role):
    as_role("officer", [UPPER], name="li")
    answer = nobody.log_in("li")
    assert answer.status_code == 200
    assert answer.json() | {"csrf": ""} == {
        "name": "li", "role": "officer", "villages": [UPPER], "csrf": "", "must_change": False,
    }  # fmt: skip
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert nobody.get("/api/v1/me").json()["name"] == "li"


def test_over_https_the_cookie_goes_over_https_only(app, as_role):
    as_role("viewer", name="li")
    client = PageClient(app, base_url="https://testserver")
    answer = client.log_in("li")
    assert "; Secure" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


def test_a_logout_kills_the_token(app, client):
    token = client.cookies[COOKIE]
    assert client.post("/api/v1/logout").status_code == 204
    stolen = PageClient(app, cookies={COOKIE: token})
    assert code_of(stolen.get("/api/v1/me")) == (401, "unauthorized")


def test_a_login_gives_a_new_token_and_ends_the_one_that_came_along(app, as_role):
    client = as_role("viewer", name="li")
    first = client.cookies[COOKIE]
    client.log_in("li")
    assert client.cookies[COOKIE] != first
    assert PageClient(app, cookies={COOKIE: first}).get("/api/v1/me").status_code == 401


def test_a_token_given_beforehand_is_never_taken_on(app, as_role):
    as_role("viewer", name="li")
    victim = PageClient(app, cookies={COOKIE: "chosen-by-an-attacker"})
    victim.log_in("li")
    assert PageClient(app, cookies={COOKIE: "chosen-by-an-attacker"}).get("/api/v1/me").status_code == 401


def test_sessions_end_when_idle(client, clock):
    clock.pass_by(timedelta(hours=2, seconds=1))
    answer = client.get("/api/v1/me")
    assert code_of(answer) == (401, "unauthorized")
    assert f'{COOKIE}=""' in answer.headers["set-cookie"]  # the browser forgets it, too


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "a" * 5000, "null", "' OR 1=1 --", "%00", "é"])
def test_a_forged_session_opens_nothing(app, token):
    client = PageClient(app, headers={"Cookie": f"{COOKIE}={token}".encode()})
    assert code_of(client.get("/api/v1/me")) == (401, "unauthorized")


def test_a_changed_password_kills_the_other_sessions(app, as_role):
    client = as_role("officer", name="li")
    other = PageClient(app)
    other.log_in("li")
    changed = client.post("/api/v1/password", json={"old": PASSWORD, "new": "something else 77"})
    assert changed.status_code == 204
    assert client.get("/api/v1/me").status_code == 200
    assert other.get("/api/v1/me").status_code == 401
    assert other.log_in("li").status_code == 401


def test_a_password_somebody_else_made_has_to_be_changed_first(client, nobody):
    made = client.post("/api/v1/users", json={"name": "wang", "role": "officer"}).json()["password"]
    answer = nobody.log_in("wang", made)
    assert answer.json()["must_change"]
    assert code_of(nobody.get("/collections")) == (403, "password_must_change")
    page = nobody.get("/map", headers={"Accept": "text/html"}, follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Fmap")
    assert nobody.get("/api/v1/me").json()["must_change"]
    weak = nobody.post("/api/v1/password", json={"old": made, "new": "wang12345678"})
    assert code_of(weak) == (422, "invalid_account")
    assert nobody.post("/api/v1/password", json={"old": made, "new": "my own choice 8"}).status_code == 204
    assert nobody.get("/collections").status_code == 200


def test_a_wrong_login_says_nothing_of_what_is_wrong(nobody, as_role):
    as_role("viewer", name="li")
    wrong = nobody.log_in("li", "not the password")
    unknown = nobody.log_in("nobody", "not the password")
    assert code_of(wrong) == code_of(unknown) == (401, "login_failed")
    assert wrong.headers["www-authenticate"].startswith("Bearer")
    assert wrong.json()["detail"] == unknown.json()["detail"]


def test_too_many_failures_are_told_how_long_to_wait(nobody, as_role):
    as_role("viewer", name="li")
    for _ in range(5):
        assert nobody.log_in("li", "not the password").status_code == 401
    answer = nobody.log_in("li")
    assert code_of(answer) == (429, "too_many_tries")
    assert 1 <= int(answer.headers["retry-after"]) <= 3


# --- nobody


OPEN = {"/healthz", "/readyz", "/metrics", "/api/v1/login", "/login"}


def test_without_login_only_the_way_in_is_open(nobody):
    routes = [route for router in ROUTERS for route in router.routes]
    assert len(routes) > 20
    for route in routes:
        for method in route.methods if route.path not in OPEN else ():
            answer = nobody.request(method, route.path.replace("{", "").replace("}", ""))
            assert answer.status_code == 401, (method, route.path)
            assert answer.headers["www-authenticate"] == 'Bearer realm="taotu"'
            assert answer.headers["cache-control"] == "no-store"
    for path in ("/openapi.json", "/nowhere", "/static", "/staticx/a.js", "/login/", "/healthz/x"):
        assert code_of(nobody.get(path)) == (401, "unauthorized")


@pytest.mark.parametrize(
    "wanted", ["..%2f..%2fschema.py", "..%5c..%5cschema.py", "%2e%2e/%2e%2e/schema.py", "%2fetc%2fpasswd"]
)
def test_the_open_folder_leads_nowhere_else(nobody, wanted):
    assert nobody.get(f"/static/{wanted}").status_code in {401, 404}


def test_a_browser_is_led_to_the_login_and_back(nobody):
    page = {"Accept": "text/html,application/xhtml+xml"}
    answer = nobody.get("/map?village=1407&x=%C3%A9", headers=page, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fmap%3Fvillage%3D1407%26x%3D%25C3%25A9"
    for script in ({"Sec-Fetch-Mode": "cors"}, {"Accept": "application/json"}):
        assert nobody.get("/map", headers=page | script, follow_redirects=False).status_code == 401
    assert nobody.get("/api/v1/me", headers=page, follow_redirects=False).status_code == 401
    assert nobody.post("/map", headers=page, follow_redirects=False).status_code == 401


# --- CSRF


def unsafe(client, **headers):
    return client.post("/api/v1/users", json={"name": "made", "role": "viewer"}, headers=headers)


def test_a_change_without_the_session_s_token_is_refused(client, as_role):
    other = as_role("admin")
    token = client.headers.pop("X-CSRF-Token")
    wrong = [None, "", "x", token[:-1], token.upper(), other.headers["X-CSRF-Token"], client.cookies[COOKIE]]
    for sent in wrong:
        answer = unsafe(client, **({} if sent is None else {"X-CSRF-Token": sent}))
        assert code_of(answer) == (403, "csrf"), sent
    assert unsafe(client, **{"X-CSRF-Token": token}).status_code == 201


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_every_unsafe_method_needs_the_token_even_where_there_is_no_route(client, method):
    del client.headers["X-CSRF-Token"]
    for path in ("/api/v1/users", "/api/v1/logout", "/collections", "/nowhere"):
        assert code_of(client.request(method, path)) == (403, "csrf")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver.evil.example"},
        {"Origin": "http://testserver:8080"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_change_from_another_site_is_refused_whatever_token_it_has(client, nobody, headers):
    assert code_of(unsafe(client, **headers)) == (403, "csrf")
    assert code_of(nobody.post("/api/v1/login", json={}, headers=headers)) == (403, "csrf")


def test_a_change_from_the_service_s_own_page_goes_through(client):
    own = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
    assert unsafe(client, **own).status_code == 201


def test_a_token_dies_with_its_session(client):
    stale = client.headers["X-CSRF-Token"]
    client.log_in("chief")
    client.headers["X-CSRF-Token"] = stale
    assert code_of(unsafe(client)) == (403, "csrf")


# --- roles


ADMIN_ONLY = [
    ("GET", "/api/v1/users"),
    ("POST", "/api/v1/users"),
    ("GET", "/api/v1/users/chief"),
    ("PATCH", "/api/v1/users/chief"),
    ("POST", "/api/v1/users/chief/password"),
    ("GET", "/api/v1/keys?all=true"),
    ("GET", "/metrics"),
]


@pytest.mark.parametrize("role", ["viewer", "officer", "reviewer"])
@pytest.mark.parametrize(("method", "address"), ADMIN_ONLY)
def test_what_is_the_administrator_s_is_nobody_else_s(as_role, role, method, address):
    body = {"json": {"name": "x", "role": "admin"}} if address == "/api/v1/users" else {}
    body = {"json": {"role": "admin"}} if method == "PATCH" else body
    answer = as_role(role).request(method, address, **body)
    assert code_of(answer) == (403, "forbidden")


@pytest.mark.parametrize("role", ["viewer", "officer"])
@pytest.mark.parametrize("address", ["/api/v1/audit", "/api/v1/audit/verify"])
def test_the_audit_log_is_not_for_all(as_role, role, address):
    assert code_of(as_role(role).get(address)) == (403, "forbidden")


def test_nobody_raises_themselves(as_role):
    officer = as_role("officer", [UPPER], name="li")
    for body in ({"role": "admin"}, {"villages": None}):
        assert officer.patch("/api/v1/users/li", json=body).status_code == 403
    for body in ({"label": "x", "role": "admin"}, {"label": "x", "villages": [LOWER]}):
        assert code_of(officer.post("/api/v1/keys", json=body)) == (422, "invalid_account")
    smuggled = {"old": PASSWORD, "new": "something else 77", "role": "admin"}
    assert code_of(officer.post("/api/v1/password", json=smuggled)) == (422, "invalid_parameter")
    assert officer.get("/api/v1/me").json() | {"csrf": ""} == {
        "name": "li", "role": "officer", "villages": [UPPER], "csrf": "", "must_change": False,
    }  # fmt: skip


def test_users_are_made_changed_and_switched_off(client, nobody):
    made = client.post("/api/v1/users", json={"name": "Wang", "role": "officer", "villages": [UPPER]})
    assert made.status_code == 201
    assert made.json()["name"] == "wang"
    password = made.json()["password"]
    assert code_of(client.post("/api/v1/users", json={"name": "wang", "role": "viewer"})) == (409, "conflict")
    nobody.log_in("wang", password)
    assert client.patch("/api/v1/users/wang", json={"active": False}).json()["active"] is False
    assert nobody.get("/api/v1/me").status_code == 401
    assert nobody.log_in("wang", password).status_code == 401
    changed = client.patch("/api/v1/users/wang", json={"active": True, "villages": None, "role": "reviewer"})
    assert (changed.json()["villages"], changed.json()["role"]) == (None, "reviewer")
    again = client.post("/api/v1/users/wang/password").json()["password"]
    assert nobody.log_in("wang", again).status_code == 200
    assert [user["name"] for user in client.get("/api/v1/users").json()["users"]] == ["chief", "wang"]
    assert code_of(client.get("/api/v1/users/li")) == (404, "not_found")
    assert code_of(client.patch("/api/v1/users/chief", json={"role": "viewer"})) == (409, "conflict")
    assert "hash" not in client.get("/api/v1/users").text


# --- keys


def with_key(app, text):
    return PageClient(app, headers={"Authorization": f"Bearer {text}"}, raise_server_exceptions=False)


def make_key(client, **more):
    answer = client.post("/api/v1/keys", json={"label": "QGIS", **more})
    assert answer.status_code == 201
    return answer.json()


def test_a_key_asks_in_its_owner_s_name_and_needs_no_csrf(app, as_role):
    owner = as_role("officer", [UPPER], name="li")
    made = make_key(owner)
    script = with_key(app, made["key"])
    assert script.get("/api/v1/me").json() == {
        "name": "li", "role": "officer", "villages": [UPPER], "csrf": None, "must_change": False,
    }  # fmt: skip
    assert made["key"] not in owner.get("/api/v1/keys").text
    assert owner.delete(f"/api/v1/keys/{made['key_id']}").status_code == 200
    assert code_of(script.get("/api/v1/me")) == (401, "unauthorized")


def test_a_key_of_narrower_scope_is_narrower(app, client):
    script = with_key(app, make_key(client, role="officer", villages=[LOWER])["key"])
    seen = script.get("/api/v1/me").json()
    assert (seen["role"], seen["villages"]) == ("officer", [LOWER])
    assert code_of(script.get("/api/v1/users")) == (403, "forbidden")
    assert code_of(script.get("/api/v1/audit")) == (403, "forbidden")


def test_a_key_loses_what_its_owner_loses(app, client, as_role):
    owner = as_role("reviewer", name="li")
    script = with_key(app, make_key(owner)["key"])
    assert script.get("/api/v1/audit").status_code == 200
    client.patch("/api/v1/users/li", json={"role": "officer", "villages": [UPPER]})
    seen = script.get("/api/v1/me").json()
    assert (seen["role"], seen["villages"]) == ("officer", [UPPER])
    client.patch("/api/v1/users/li", json={"active": False})
    assert script.get("/api/v1/me").status_code == 401


def test_a_key_makes_no_keys_and_changes_no_password(app, client):
    script = with_key(app, make_key(client, role="officer", villages=[UPPER])["key"])
    assert code_of(script.post("/api/v1/keys", json={"label": "more"})) == (403, "forbidden")
    wanted = {"old": PASSWORD, "new": "something else 77"}
    assert code_of(script.post("/api/v1/password", json=wanted)) == (403, "forbidden")


def test_a_key_can_end_itself_but_no_other_s(app, client, as_role):
    mine, other = make_key(as_role("viewer")), make_key(client)
    script = with_key(app, mine["key"])
    assert code_of(script.delete(f"/api/v1/keys/{other['key_id']}")) == (404, "not_found")
    assert script.delete(f"/api/v1/keys/{mine['key_id']}").status_code == 200
    assert script.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    "given",
    [
        "Bearer",
        "Bearer ",
        "Bearer taotu_",
        "Bearer x",
        "Basic bGk6eA==",
        "taotu_x",
        "Bearer taotu_' OR 1=1",
        "é",
    ],
)
def test_what_is_no_key_opens_nothing_even_beside_a_good_cookie(client, given):
    answer = client.get("/api/v1/me", headers={"Authorization": given.encode()})
    assert code_of(answer) == (401, "unauthorized")


def test_an_expired_key_opens_nothing(app, client, clock):
    script = with_key(app, make_key(client, days=1)["key"])
    assert script.get("/api/v1/me").status_code == 200
    clock.pass_by(timedelta(days=1))
    assert code_of(script.get("/api/v1/me")) == (401, "unauthorized")


def test_a_key_s_text_in_the_address_is_no_key(client, nobody):
    text = make_key(client)["key"]
    for name in ("key", "token", "api_key", "access_token", "authorization"):
        assert nobody.get("/api/v1/me", params={name: text}).status_code == 401


# --- the audit log hears of it


def test_the_log_tells_who_came_and_what_became_of_users_and_keys(client, nobody):
    client.post("/api/v1/users", json={"name": "wang", "role": "officer", "villages": [UPPER]})
    client.patch("/api/v1/users/wang", json={"villages": [LOWER]})
    client.post("/api/v1/users/wang/password")
    key = make_key(client)
    client.delete(f"/api/v1/keys/{key['key_id']}")
    nobody.log_in("wang", "not the password")
    nobody.log_in("my-secret-passw0rd", "typed into the wrong field")
    rows = log_of(client)
    assert [row["action"] for row in rows][::-1] == [
        "login", "user_created", "user_changed", "password_reset", "key_created", "key_revoked",
        "login_failed", "login_failed",
    ]  # fmt: skip
    assert [row["row_key"] for row in rows][:2] == ["未知用户", "wang"]
    assert '"140725100202"' in next(row["after"] for row in rows if row["action"] == "user_changed")
    told = client.get("/api/v1/audit").text
    assert "my-secret-passw0rd" not in told
    assert key["key"] not in told
    assert PASSWORD not in told
    assert client.get("/api/v1/audit/verify").json()["whole"] is True


def test_the_log_is_read_by_page_actor_action_and_time(client, as_role, clock):
    as_role("viewer", name="li")
    clock.pass_by(timedelta(days=1))
    as_role("viewer", name="wang")
    client.log_in("chief")
    assert {row["actor"] for row in log_of(client, actor="li")} == {"li"}
    assert [row["actor"] for row in log_of(client, since="2026-03-03")] == ["chief", "wang"]
    assert [row["actor"] for row in log_of(client, since="2026-03-03T16:00:00+08:00")] == ["chief", "wang"]
    assert log_of(client, since="2026-03-03T16:00:02+08:00") == []
    assert log_of(client, action="logout") == []
    first = client.get("/api/v1/audit?limit=2").json()
    rest = client.get("/api/v1/audit", params={"limit": 2, "after": first["after"]}).json()
    seen = [row["seq"] for row in first["rows"] + rest["rows"]]
    assert seen == [4, 3, 2, 1]
    assert rest["after"] is None


def test_a_reviewer_of_some_villages_reads_what_was_done_there(app, as_role):
    with app.state.store.write(actor="li") as change:
        change.note("seen", village_code=UPPER)
        change.note("seen", village_code=LOWER)
    reviewer = as_role("reviewer", [UPPER])
    rows = log_of(reviewer)
    assert [row["village_code"] for row in rows] == [UPPER]
    assert code_of(reviewer.get("/api/v1/audit/verify")) == (403, "forbidden")
    assert {row["village_code"] for row in log_of(as_role("reviewer"), action="seen")} == {UPPER, LOWER}


# --- one person, one machine


@pytest.fixture
def open_app(path):
    made = create_app(path, Settings(open_access=True, allowed_hosts=("testserver",), **QUICK))
    with TestClient(made):
        yield made


def test_an_open_service_takes_everybody_of_this_machine_as_administrator(open_app):
    client = PageClient(open_app, client=("127.0.0.1", 50_000))
    seen = client.get("/api/v1/me").json()
    assert (seen["name"], seen["role"]) == ("本机", "admin")
    assert client.post("/api/v1/users", json={"name": "li", "role": "viewer"}).status_code == 201
    assert log_of(client)[0]["actor"] == "本机"


@pytest.mark.parametrize("address", ["10.0.0.5", "192.168.1.7", "2001:db8::1"])
def test_an_open_service_answers_no_other_machine(open_app, address):
    assert code_of(PageClient(open_app, client=(address, 50_000)).get("/api/v1/me")) == (403, "forbidden")


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.5:8000", "127.0.0.1.evil.example"])
def test_an_open_service_answers_to_no_other_name(open_app, host):
    client = PageClient(open_app, client=("127.0.0.1", 50_000))
    assert code_of(client.get("/api/v1/me", headers={"Host": host})) == (421, "misdirected")


def test_an_open_service_still_refuses_other_sites(open_app):
    client = PageClient(open_app, client=("127.0.0.1", 50_000))
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert code_of(client.post("/api/v1/users", json={}, headers=headers)) == (403, "csrf")
