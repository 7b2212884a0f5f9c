"""Progress as it comes, from a service that really stands on a port, to its end and past its stop."""

import asyncio
import json
import signal
import sys
import threading
import time

import httpx2
import pytest

from api import jobs as table
from api.limits import JobSettings
from api.routes import jobs as routes
from api.settings import Settings
from geo.store import open_store
from tests.api.conftest import QUICK
from tests.api.test_serve import serving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
LONG_S = 120


@pytest.fixture
def settings():
    return Settings(**QUICK, jobs=JobSettings(workers=0, most_streams=2))


def listen(address, job_id, *, last=None):
    """Events of a job until the stream ends."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with httpx2.stream("GET", f"{address}/jobs/{job_id}/events", headers=headers, timeout=LONG_S) as answer:
        if answer.status_code == 204:
            return []
        assert answer.headers["content-type"].startswith("text/event-stream")
        return read(answer.iter_text())


def read(chunks):
    """Events of a stream, as a browser takes them."""
    found = []
    for block in "".join(chunks).split("\n\n"):
        parts = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "data" in parts:
            assert parts["event"] == "status"
            found.append({**json.loads(parts["data"]), "id": int(parts["id"])})
    return found


def execute(address, process, inputs=None):
    answer = httpx2.post(
        f"{address}/processes/{process}/execution", json={"inputs": inputs or {}}, timeout=LONG_S
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["jobID"]


def status(address, job_id):
    return httpx2.get(f"{address}/jobs/{job_id}", timeout=LONG_S).json()


def test_progress_is_told_to_the_end_and_from_where_a_listener_was_cut_off(path):
    with serving(path, "--open") as (_, address):
        job = execute(address, "report")
        told = listen(address, job)
        assert [one["id"] for one in told] == list(range(1, len(told) + 1))
        assert (told[0]["status"], told[-1]["status"]) == ("accepted", "successful")
        assert [one["progress"] for one in told] == sorted(one["progress"] for one in told)
        assert {one["seq"] for one in told} == {one["id"] for one in told}
        half = told[len(told) // 2]["id"]
        assert listen(address, job, last=half) == told[half:]
        assert listen(address, job, last=told[-1]["id"]) == []
        assert listen(address, job, last="x'; --") == told
        assert status(address, job)["seq"] == told[-1]["seq"]


def test_a_stop_ends_listeners_and_the_job_goes_on_at_the_next_start(path):
    with serving(path, "--open") as (process, address):
        job = execute(address, "sheets")
        while status(address, job)["status"] != "running":
            time.sleep(0.05)
        told = []
        listener = threading.Thread(target=lambda: told.extend(listen(address, job)))
        listener.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(timeout=40) == 0
        listener.join(10)
        assert not listener.is_alive()
        assert time.monotonic() - began < 20, "a stop waits for no listener"
    assert told
    with serving(path, "--open") as (_, address):
        assert listen(address, job)[-1]["status"] == "successful"
        end = status(address, job)
        assert end["attempt"] == 2
        assert "服务停止" in end["note"]


def test_a_service_killed_in_the_middle_of_a_job_goes_on_with_it_and_says_so(path):
    with serving(path, "--open") as (process, address):
        job = execute(address, "sheets")
        while status(address, job)["status"] != "running":
            time.sleep(0.05)
        process.kill()
        process.wait()
    with serving(path, "--open") as (_, address):
        assert listen(address, job)[-1]["status"] == "successful"
        end = status(address, job)
        assert end["attempt"] == 2
        assert "服务重启" in end["note"]
    with open_store(path) as store:
        assert store.verify_audit() == []


def test_a_quiet_stream_is_kept_alive_and_is_no_longer_counted_when_it_ends(app, client, monkeypatch):
    monkeypatch.setattr(routes, "_KEEP_ALIVE_S", 0.02)
    monkeypatch.setattr(routes, "_LOOK_EVERY_S", 0.01)
    pool = app.state.pool
    job, _ = pool.submit("report", {}, actor="chief", villages=None)

    async def first(count):
        stream = routes._changes(pool, job, 0)
        got = [await anext(stream) for _ in range(count)]
        assert pool.streams == 1
        await stream.aclose()
        return got

    retry, event, *pings = asyncio.run(first(5))
    assert retry.startswith(b"retry: ")
    assert b'"status": "accepted"' in event
    assert set(pings) == {b": ping\n\n"}
    assert pool.streams == 0
    pool.streams = 2
    assert client.get(f"/jobs/{job.id}/events").status_code == 503


def test_a_stream_ends_in_time_for_the_browser_to_say_again_who_it_is(app, monkeypatch):
    monkeypatch.setattr(routes, "_LONGEST_S", 0.1)
    pool = app.state.pool
    job, _ = pool.submit("report", {}, actor="chief", villages=None)

    async def whole():
        return [part async for part in routes._changes(pool, job, 0)]

    assert len(read([part.decode() for part in asyncio.run(whole())])) == 1
    assert table.load(pool.engine, job.id).status == "accepted"
