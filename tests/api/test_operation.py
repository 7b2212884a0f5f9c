"""Whether the service says truly that it stands, what it counts, and how it ends."""

import asyncio
import re
import shutil
from collections import namedtuple

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import StreamingResponse

from api.lifetime import EndStreams, Lifetime
from api.main import create_app
from api.settings import Settings
from tests.api.conftest import QUICK, PageClient
from tests.geo.county import W_CODE


def counted(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_health_looks_at_no_data(app, nobody):
    app.state.store.close()
    assert nobody.get("/healthz").json() == {"status": "ok"}


def test_a_service_that_can_work_is_ready(nobody):
    assert nobody.get("/readyz").json() == {"status": "ready"}


def test_a_service_without_its_workspace_is_not_ready(app, nobody, monkeypatch):
    def fail(*_args):
        raise OSError("gone")

    monkeypatch.setattr(type(app.state.store), "query", fail)
    monkeypatch.setattr(type(app.state.store), "head", fail)
    answer = nobody.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert answer.json()["detail"] == "工作区读不了；审计记录读不了"


def test_a_service_on_a_full_disk_is_not_ready(nobody, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as of shutil
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**12, 10**12, 1000))
    assert nobody.get("/readyz").json()["detail"] == "磁盘空间不足"


def test_requests_are_counted_by_route_not_by_address(app, client):
    for _ in range(3):
        client.get(f"/collections/pieces/items/{W_CODE}")
    client.get("/nowhere/1")
    client.get("/nowhere/2")
    app.state.metrics.jobs = lambda: {"running": 2}
    values = counted(client.get("/metrics").text)
    routes = {dict(key[1:])["route"] for key in values if key[0] == "taotu_requests_total"}
    assert not any(W_CODE in route or "nowhere" in route for route in routes)
    assert values["taotu_requests_total", ("method", "GET"), ("route", "-"), ("status", "404")] == 2
    (template,) = [route for route in routes if route.startswith("/collections/")]
    assert values["taotu_request_seconds_count", ("route", template)] == 3
    assert values["taotu_open_sessions",] == 1
    assert values["taotu_jobs", ("state", "running")] == 2
    assert values["taotu_logins_total", ("outcome", "ok")] == 1


def test_strange_methods_make_no_series(client):
    for number in range(5):
        client.request(f"X{number}", "/healthz")
    values = counted(client.get("/metrics").text)
    assert {dict(key[1:])["method"] for key in values if key[0] == "taotu_requests_total"} == {
        "POST",
        "other",
    }


def test_metrics_are_for_administrators_and_this_machine(app, nobody, as_role):
    assert nobody.get("/metrics").status_code == 401
    assert as_role("reviewer").get("/metrics").status_code == 403
    here = PageClient(app, client=("127.0.0.1", 1))
    assert here.get("/metrics").status_code == 200
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        assert here.get("/metrics", headers={header: "1.2.3.4"}).status_code == 401


def test_this_machine_may_be_refused_the_metrics(path):
    with TestClient(create_app(path, Settings(local_metrics=False, **QUICK))) as client:
        assert TestClient(client.app, client=("127.0.0.1", 1)).get("/metrics").status_code == 401


def test_what_is_started_is_closed_last_first_before_the_store(path):
    made = create_app(path, Settings(**QUICK))
    told = []
    made.state.lifetime.starting += [lambda: told.append("start")]
    made.state.lifetime.closing += [
        lambda: told.append(("first", made.state.store.head())),
        lambda: told.append("second"),
    ]
    with TestClient(made):
        assert told == ["start"]
    assert told == ["start", "second", ("first", told[-1][1])]


# --- streams that have no end


async def endless(_scope, receive, send):
    async def events():
        while True:
            yield b"data: 1\n\n"
            await asyncio.sleep(0.01)

    await StreamingResponse(events(), media_type="text/event-stream")(_scope, receive, send)


SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": [], "asgi": {"spec_version": "2.4"}}


async def silent():
    await asyncio.sleep(60)


def test_streams_end_whole_when_the_service_stops():
    lifetime, sent = Lifetime(), []

    async def send(message):
        await asyncio.sleep(0)
        sent.append(message)

    async def run():
        streams = [
            asyncio.create_task(EndStreams(endless, lifetime=lifetime)(SCOPE, silent, send)) for _ in "ab"
        ]
        await asyncio.sleep(0.1)
        assert not any(stream.done() for stream in streams)
        lifetime.stop()
        await asyncio.wait_for(asyncio.gather(*streams), 1)
        late = asyncio.create_task(EndStreams(endless, lifetime=lifetime)(SCOPE, silent, send))
        await asyncio.wait_for(late, 1)

    asyncio.run(run())
    ends = [message for message in sent if message.get("more_body") is False]
    assert len(ends) == 3


def test_a_stream_cut_off_by_anybody_else_is_cut_off():
    async def run():
        stream = asyncio.create_task(EndStreams(endless, lifetime=Lifetime())(SCOPE, silent, nothing))
        await asyncio.sleep(0.05)
        stream.cancel()
        await stream

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())


async def nothing(_message):
    await asyncio.sleep(0)


def test_other_answers_are_let_finish():
    lifetime, sent = Lifetime(), []

    async def slow(scope, receive, send):
        async def parts():
            for _ in range(5):
                yield b"x"
                await asyncio.sleep(0.02)

        await StreamingResponse(parts(), media_type="text/csv")(scope, receive, send)

    async def send(message):
        await asyncio.sleep(0)
        sent.append(message)

    async def run():
        task = asyncio.create_task(EndStreams(slow, lifetime=lifetime)(SCOPE, silent, send))
        await asyncio.sleep(0.03)
        lifetime.stop()
        await task

    asyncio.run(run())
    assert b"".join(message.get("body", b"") for message in sent) == b"xxxxx"


def test_the_description_tells_of_the_one_form_of_errors_and_the_ways_in(client):
    told = client.get("/openapi.json").json()
    assert set(told["components"]["securitySchemes"]) == {"key", "session"}
    assert {"code", "detail", "title", "status"} <= set(
        told["components"]["schemas"]["Problem"]["properties"]
    )
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            ids = re.fullmatch(r"\w+", operation["operationId"])
            assert ids, (path, method)
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert set(answer["content"]) == {"application/problem+json"}, (path, method, status)
