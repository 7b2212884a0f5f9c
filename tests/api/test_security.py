"""What every request passes and every answer carries: headers, hosts, sizes, proxies, errors, log lines."""

import asyncio
import io
import json
import logging
import re

import pytest
import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, OperationalError
from starlette.responses import StreamingResponse

from api.errors import _MESSAGES, STATUS, local_address, problems
from api.logs import JsonLines
from api.main import create_app
from api.settings import Settings
from geo.errors import ConditionError, ForbiddenError, StaleError, TransitionError, UnknownRowError
from tests.api.conftest import PASSWORD, QUICK, PageClient, user_client


class Sent(BaseModel):
    """A body with one of each kind of field."""

    number: int = Field(ge=1, le=9)
    text: str = Field(min_length=2, max_length=5, pattern="^[a-z]+$")
    many: list[int] = Field(default=[], max_length=2)
    yes: bool = False


router = APIRouter(prefix="/trial", responses=problems(404, 409, 412))


@router.get("/fault")
def fault():
    raise RuntimeError("name=张三 password=secret")


@router.get("/half")
def half():
    def parts():
        yield b"a"
        raise RuntimeError("half way")

    return StreamingResponse(parts())


@router.get("/refused/{kind}")
def refused(kind: str):
    raise {
        "stale": StaleError("旧", base=1, theirs={"version": 2, "note": "theirs"}, yours={"note": "yours"}),
        "unknown": UnknownRowError("没有图块"),
        "forbidden": ForbiddenError("不是所辖村"),
        "transition": TransitionError("已确认的不能再退回"),
        "condition": ConditionError("没有列 x"),
        "database": OperationalError(
            "SELECT name", {"name": "张三"}, Exception("server closed the connection")
        ),
        "value": DataError("SELECT name", {"name": "张三"}, Exception("NUL")),
    }[kind]


@router.post("/body")
def body(sent: Sent):
    return sent


@router.post("/raw")
async def raw(request: Request):
    return {"bytes": len(await request.body())}


@router.post("/attachments")
@router.post("/uploads")
async def upload(request: Request):
    return {"bytes": len(await request.body())}


@router.get("/plain")
def plain(request: Request, size: int = 5000):
    return Response("x" * size, media_type="text/plain", headers={"X-Nonce": request.state.nonce})


@router.get("/packed/{kind:path}")
def packed(kind: str):
    return Response(b"\x00" * 5000, media_type=kind)


@router.get("/kept")
def kept():
    return Response("x", headers={"Cache-Control": "public, max-age=60"})


@router.get("/peer")
def peer(request: Request):
    return {"peer": request.client.host, "url": str(request.url)}


@pytest.fixture(scope="module")
def app(county, tmp_path_factory):
    path = tmp_path_factory.mktemp("security") / "county.gpkg"
    path.write_bytes(county.read_bytes())
    made = create_app(
        path,
        Settings(
            proxies=("10.9.0.0/16",), max_body=10_000, max_attachment=20_000, max_upload=50_000, **QUICK
        ),
    )
    made.include_router(router)
    with TestClient(made):
        yield made


@pytest.fixture(scope="module")
def client(app):
    return user_client(app, "admin", name="chief")


@pytest.fixture
def lines(caplog):
    """What the log holds, line by line, as it would be written."""
    caplog.set_level(logging.INFO)

    def written():
        shape = JsonLines()
        own = [
            record for record in caplog.records if not record.name.startswith("http")
        ]  # the test's client logs too
        return [json.loads(shape.format(record)) for record in own]

    return written


def code_of(answer):
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


# --- headers


@pytest.mark.parametrize("path", ["/trial/plain", "/nowhere", "/trial/fault", "/healthz", "/openapi.json"])
def test_every_answer_has_its_headers(client, path):
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["cache-control"] == "no-store"
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy["script-src"] + policy["style-src"]
    assert "://" not in headers["content-security-policy"]


def test_each_answer_has_its_own_nonce_and_the_page_is_told_it(client):
    first, second = client.get("/trial/plain"), client.get("/trial/plain")
    assert first.headers["x-nonce"] != second.headers["x-nonce"]
    assert f"'nonce-{first.headers['x-nonce']}'" in first.headers["content-security-policy"]


def test_what_somebody_logged_in_is_given_is_kept_by_nobody_in_between(client):
    headers = client.get("/trial/kept").headers
    assert headers["cache-control"] == "private, max-age=60"
    assert {"Cookie", "Authorization"} <= set(headers["vary"].split(", "))


def test_texts_are_packed_and_what_is_packed_already_is_not(client):
    accept = {"Accept-Encoding": "gzip"}
    assert client.get("/trial/plain", headers=accept).headers.get("content-encoding") == "gzip"
    for kind in (
        "application/vnd.mapbox-vector-tile",
        "application/vnd.pmtiles",
        "application/pdf",
        "image/png",
    ):
        assert "content-encoding" not in client.get(f"/trial/packed/{kind}", headers=accept).headers


# --- hosts and proxies


@pytest.mark.parametrize(
    "host", ["", "a b", "a/b", "a@b", 'x"><script>', "a,b", "a:b", "a:123456", "[::1", "é"]
)
def test_a_host_that_is_none_is_refused(client, host):
    assert client.get("/trial/peer", headers={"Host": host.encode()}).status_code == 400


@pytest.mark.parametrize("host", ["county.example", "COUNTY.example:8000"])
def test_a_service_of_some_names_answers_to_them_alone(path, host):
    made = create_app(path, Settings(allowed_hosts=("county.example", "::1"), **QUICK))
    with TestClient(made) as client:
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
        assert client.get("/healthz", headers={"Host": "[::1]:8000"}).status_code == 200
        assert code_of(client.get("/healthz", headers={"Host": "evil.example"})) == (421, "misdirected")


def seen_from(app, client, address, **headers):
    cookies = dict(client.cookies)
    asking = PageClient(app, client=(address, 1), cookies=cookies)
    return asking.get("/trial/peer", headers=headers).json()


def test_only_a_known_proxy_is_believed_who_asks(app, client):
    forwarded = {
        "X-Forwarded-For": "1.2.3.4, 10.8.0.7, 10.9.0.2",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "county.example",
    }
    told = seen_from(app, client, "10.9.0.1", **forwarded)
    assert told == {
        "peer": "10.8.0.7",
        "url": "https://county.example/trial/peer",
    }  # not what a client put before
    told = seen_from(app, client, "10.8.0.7", **forwarded)
    assert told == {"peer": "10.8.0.7", "url": "http://testserver/trial/peer"}


def test_a_proxy_s_nonsense_is_not_believed(app, client):
    told = seen_from(app, client, "10.9.0.1", **{"X-Forwarded-Proto": "javascript", "X-Forwarded-For": " , "})
    assert told == {"peer": "10.9.0.1", "url": "http://testserver/trial/peer"}
    asking = PageClient(app, client=("10.9.0.1", 1), cookies=dict(client.cookies))
    assert asking.get("/trial/peer", headers={"X-Forwarded-Host": "a/b"}).status_code == 400


# --- sizes


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(client):
    answer = client.post("/trial/raw", content=b"x" * 10_001)
    assert code_of(answer) == (413, "too_large")
    assert client.post("/trial/raw", content=b"x" * 10_000).json() == {"bytes": 10_000}


def test_a_body_in_pieces_is_counted(client):
    def pieces(count):
        for _ in range(count):
            yield b"x" * 1000

    assert client.post("/trial/raw", content=pieces(10)).json() == {"bytes": 10_000}
    assert code_of(client.post("/trial/raw", content=pieces(11))) == (413, "too_large")
    assert code_of(client.post("/trial/body", content=pieces(11), headers=JSON)) == (413, "too_large")


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("address", "role", "most"),
    [
        ("/trial/uploads", "reviewer", 50_000),
        ("/trial/uploads", "officer", 10_000),
        ("/trial/attachments", "officer", 20_000),
        ("/trial/attachments", "viewer", 10_000),
        ("/trial/raw", "admin", 10_000),
    ],
)
def test_large_bodies_are_for_who_may_send_them_and_have_an_end_too(app, address, role, most):
    client = user_client(app, role)

    def pieces(count):
        yield from [b"x" * 1000] * (count // 1000)
        yield b"x" * (count % 1000)

    for content in (lambda count: b"x" * count, pieces):
        assert client.post(address, content=content(most)).json() == {"bytes": most}
        assert code_of(client.post(address, content=content(most + 1))) == (413, "too_large")


def test_who_is_not_in_sends_nothing(app):
    answer = PageClient(app).post("/trial/uploads", content=b"x" * 40_000)
    assert code_of(answer) == (401, "unauthorized")


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "9" * 400, "+5", "0x10"])
def test_a_length_that_is_none_is_refused(client, length):
    answer = client.post("/trial/raw", content=b"", headers={"Content-Length": length})
    assert answer.status_code in {400, 413}


@pytest.mark.parametrize(
    "content", [b"[" * 9000, b'{"a":' * 1800, b"\xff\xfe", b"{", b'{"number": 1e999999}', b"NaN"]
)
def test_a_body_that_cannot_be_read_is_refused(client, content):
    assert client.post("/trial/body", content=content, headers=JSON).status_code in {400, 422}


ODD = [
    "%00",
    "a%00b",
    "%ff",
    "..%2f..%2fetc%2fpasswd",
    "%27%20OR%201=1--",
    "%F0%9F%92%A9",
    "x" * 3000,
    "%0d%0aX-A:%20b",
]


@pytest.mark.parametrize("odd", ODD)
def test_odd_letters_in_an_address_break_nothing(client, odd):
    for address in ("/api/v1/users/{}", "/api/v1/keys/{}", "/api/v1/audit?row_key={}", "/nowhere/{}"):
        for method in ("GET", "PATCH", "DELETE"):
            answer = client.request(method, address.format(odd), json={} if method == "PATCH" else None)
            assert answer.status_code < 500
            assert "x-a" not in answer.headers


@pytest.mark.parametrize("odd", ["\\u0000", "\\ud800", "\\u202e"])
def test_odd_letters_in_a_body_break_nothing(client, odd):
    name = f'{{"name": "a{odd}", "password": "b{odd}c"}}'
    assert client.post("/api/v1/login", content=name, headers=JSON).status_code in {401, 422, 429}
    user = f'{{"name": "a{odd}", "role": "viewer"}}'
    assert client.post("/api/v1/users", content=user, headers=JSON).status_code == 422
    key = client.post("/api/v1/keys", content=f'{{"label": "a{odd}"}}', headers=JSON)
    assert key.status_code == (201 if odd == "\\u202e" else 422)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_a_body_of_another_kind_is_refused(client, kind):
    answer = client.post(
        "/trial/body", content=b'{"number": 1, "text": "abc"}', headers={"Content-Type": kind}
    )
    assert code_of(answer) == (415, "unsupported_media_type")


# --- errors


def test_an_unforeseen_fault_tells_nothing_but_where_to_look(client, lines):
    answer = client.get("/trial/fault")
    assert code_of(answer) == (500, "internal")
    body = answer.json()
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text
    told = [line for line in lines() if line["logger"] == "api"]
    assert "RuntimeError" in told[0]["error"]


def test_half_an_answer_breaks_and_is_not_taken_for_a_whole(client):
    user = PageClient(client.app, cookies=dict(client.cookies))
    with pytest.raises(RuntimeError, match="half way"):
        user.get("/trial/half")


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("stale", 412, "stale"),
        ("unknown", 404, "not_found"),
        ("forbidden", 403, "forbidden"),
        ("transition", 409, "state_conflict"),
        ("condition", 400, "invalid_filter"),
        ("database", 503, "workspace_unavailable"),
        ("value", 422, "invalid_parameter"),
    ],
)
def test_errors_are_answered_by_the_table(client, lines, kind, status, code):
    answer = client.get(f"/trial/refused/{kind}")
    assert code_of(answer) == (status, code)
    assert "SELECT" not in answer.text
    assert all("[parameters" not in one.get("error", "") for one in lines())
    assert re.search(r"[\u4e00-\u9fff]", answer.json()["title"])


def test_a_stale_change_shows_what_was_what_is_and_what_was_wanted(client):
    body = client.get("/trial/refused/stale").json()
    assert (body["base"], body["theirs"], body["yours"]) == (
        1,
        {"version": 2, "note": "theirs"},
        {"note": "yours"},
    )


def test_fields_are_told_in_chinese(client):
    wrong = {"number": 10, "text": "A", "many": [1, 2, 3], "yes": "perhaps"}
    answer = client.post("/trial/body", json=wrong)
    assert code_of(answer) == (422, "invalid_parameter")
    told = {flaw["field"]: flaw["message"] for flaw in answer.json()["errors"]}
    assert told == {
        "number": "应不大于 9", "text": "至少 2 个字符", "many": "至多 2 项", "yes": "应为 true 或 false",
    }  # fmt: skip
    assert client.post("/trial/body", json={}).json()["detail"] == "请检查：number 必填；text 必填"
    wrong = {"number": "x", "text": "ABC", "many": {}}
    told = {
        flaw["field"]: flaw["message"] for flaw in client.post("/trial/body", json=wrong).json()["errors"]
    }
    assert told == {"number": "应为整数", "text": "格式不对，应符合 ^[a-z]+$", "many": "应为列表"}


def test_what_was_sent_does_not_come_back_as_a_message(client):
    answer = client.post("/api/v1/login", json={"name": "li", "password": {"deep": PASSWORD}})
    assert answer.status_code == 422
    assert PASSWORD not in answer.text


def test_messages_of_fields_are_chinese_and_errors_have_codes():
    assert all(re.search(r"[\u4e00-\u9fff]", said) for said in _MESSAGES.values())
    assert all(re.fullmatch(r"[a-z_]+", code) for _, code, _ in STATUS.values())


def test_a_method_that_is_not_meant_is_told_which_are(client):
    answer = client.put("/trial/plain")
    assert code_of(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


# --- places to go after login


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
        "/\t/evil.example", "\n//evil.example", "/a\r\nSet-Cookie: x=1", " //evil.example", "", None, "evil",
        "/x\\y", "///evil.example", "/\x00",
    ],
)  # fmt: skip
def test_a_login_leads_nowhere_else(wanted):
    assert local_address(wanted) == "/"


@pytest.mark.parametrize(
    "wanted", ["/", "/map", "/map?village=1407#x", "/a//b", "/map?next=https://evil.example"]
)
def test_a_login_leads_back(wanted):
    assert local_address(wanted) == wanted


@given(st.text())
def test_wherever_a_login_leads_is_here(wanted):
    address = local_address(wanted)
    assert address.startswith("/")
    assert not address.startswith(("//", "/\\"))


# --- the log


def test_a_request_leaves_one_line_that_names_route_and_user_and_nothing_asked_for(client, lines):
    client.get("/trial/refused/unknown?name=张三&phone=13800000000")
    (line,) = [one for one in lines() if one["logger"] == "api.request"]
    assert line["route"] == "/trial/refused/{kind}"
    assert (line["method"], line["status"], line["user"], line["level"]) == ("GET", 404, "chief", "info")
    assert line["ms"] >= 0
    assert not any(
        word in json.dumps(line, ensure_ascii=False) for word in ("张三", "13800000000", "unknown")
    )


def test_no_line_holds_a_token_or_an_address_that_no_route_has(app, client, lines):
    token, csrf = client.cookies["taotu_session"], client.headers["X-CSRF-Token"]
    client.get(f"/nowhere/{token}")
    client.get("/api/v1/me", headers={"Authorization": "Bearer taotu_abcdefghijk"})
    PageClient(app).log_in("chief", "typed-by-mistake")
    assert client.get("/trial/fault").status_code == 500
    told = json.dumps(lines(), ensure_ascii=False)
    for secret in (token, csrf, "taotu_abcdefghijk", "typed-by-mistake", PASSWORD):
        assert secret not in told
    assert {one["route"] for one in lines() if one["logger"] == "api.request" and one["status"] == 404} == {
        "-"
    }


@pytest.mark.parametrize("given_id", ["abcd1234", "0af7651916cd43dd8448eb211c80319c", "a.b-c_d-0001"])
def test_a_sane_request_id_is_taken_on(client, given_id):
    assert client.get("/healthz", headers={"X-Request-ID": given_id}).headers["x-request-id"] == given_id


@pytest.mark.parametrize(
    "given_id",
    [
        "",
        "short",
        "x" * 65,
        "a b c d e f",
        'x","level":"error',
        "<script>alert(1)</script>",
        "é" * 10,
        "a\tb\tc\td\te",
    ],
)
def test_a_request_id_that_could_forge_a_line_is_replaced(client, lines, given_id):
    answer = client.get("/healthz", headers={"X-Request-ID": given_id.encode()})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    assert [one["request_id"] for one in lines() if one["logger"] == "api.request"] == [
        answer.headers["x-request-id"]
    ]


def test_a_line_stays_one_line_whatever_it_holds():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    record = logging.makeLogRecord({"msg": 'a\n{"forged": 1}\r\nb\u2028', "levelno": 20, "levelname": "INFO"})
    handler.handle(record)
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue())["message"].startswith("a\n")


def test_a_line_about_the_database_holds_none_of_its_values():
    engine = sa.create_engine("sqlite://")
    person = "张" + "三"  # not as a whole in the lines of code that are told, too

    def ask():
        try:
            with engine.connect() as db:
                db.execute(sa.text("SELECT * FROM nothing WHERE name = :name"), {"name": person})
        except sa.exc.OperationalError as error:
            raise RuntimeError("outer") from error

    with pytest.raises(RuntimeError) as raised:
        ask()
    record = logging.makeLogRecord({"msg": "x", "exc_info": (raised.type, raised.value, raised.tb)})
    engine.dispose()
    told = JsonLines().format(record)
    assert "SELECT * FROM nothing" in told
    assert person not in told


# --- what is no HTTP request


def test_a_websocket_is_closed(app):
    told = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        await asyncio.sleep(0)
        told.append(message["type"])

    scope = {"type": "websocket", "path": "/trial/plain", "headers": [], "query_string": b"", "scheme": "ws"}
    asyncio.run(app(scope, receive, send))
    assert told == ["websocket.close"]
