"""The commands of the service, and a service that really stands: as a process of its own, on a port."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx2
import pytest
from typer.testing import CliRunner

from geo.atomic import alone
from geo.cli import app as taotu
from geo.store import open_store
from tests.geo.county import UPPER

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")


def command(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "geo.cli", *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        **more,
    )


def run(*words):
    return CliRunner().invoke(taotu, [str(word) for word in words])


@contextmanager
def serving(path, *words):
    """A service on a free port; its process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "geo.cli", "serve", str(path), "--port", "0", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        found = re.search(r"http://[\w.:\[\]]+", line)
        assert found, (line, process.poll() is not None and process.stderr.read())
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


def test_an_open_service_stands_answers_and_stops_in_order(path):
    with serving(path, "--open") as (process, address):
        assert httpx2.get(f"{address}/healthz").json() == {"status": "ok"}
        assert httpx2.get(f"{address}/api/v1/me").json()["role"] == "admin"
        made = httpx2.post(f"{address}/api/v1/users", json={"name": "li", "role": "viewer"})
        assert made.status_code == 201
        assert "server" not in made.headers
        assert httpx2.get(f"{address}/api/v1/me", headers={"Host": "evil.example"}).status_code == 421
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    lines = [json.loads(line) for line in err.splitlines()]
    assert {"/healthz", "/api/v1/me"} <= {line.get("route") for line in lines}
    assert made.json()["password"] not in out + err
    assert not path.with_name(path.name + "-wal").exists()
    with open_store(path) as store:
        assert store.verify_audit() == []
    with alone(path):
        pass  # let go of


def test_a_request_under_way_is_answered_before_the_service_ends(path):
    with serving(path, "--open") as (process, address):
        host, port = address.removeprefix("http://").split(":")
        body = b'{"name": "slow", "role": "viewer"}'
        with socket.create_connection((host, int(port))) as line:
            head = (
                f"POST /api/v1/users HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            line.sendall(head.encode() + body[:10])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert process.poll() is None
            line.sendall(body[10:])
            line.settimeout(15)
            assert line.recv(65536).startswith(b"HTTP/1.1 201")
        assert process.wait(timeout=20) == 0


def test_a_service_holds_its_workspace_against_runs(path):
    with serving(path, "--open"):
        second = command("serve", path, "--port", "0", "--open")
        assert second.returncode == 2
        assert "另一个任务正在写" in second.stderr


def test_the_password_of_the_first_start_goes_to_the_terminal_and_nowhere_else(path):
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "geo.cli", "serve", str(path), "--port", "0"],
        stdout=follower, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(follower)
    shown = ""
    try:
        while "服务已启动" not in shown:
            shown += os.read(leader, 4096).decode()
        address = re.search(r"http://[\d.]+:\d+", shown)[0]
        password = re.search(r"密码\s+(\S+)", shown)[1]
        answer = httpx2.post(f"{address}/api/v1/login", json={"name": "admin", "password": password})
        assert answer.json()["must_change"] is True
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    assert process.returncode == 0
    assert password not in err
    kept = b"".join(file.read_bytes() for file in path.parent.rglob("*") if file.is_file())
    assert password.encode() not in kept


def test_without_a_terminal_no_password_is_made(path):
    with serving(path) as (process, address):
        login = httpx2.post(f"{address}/api/v1/login", json={"name": "admin", "password": "x"})
        assert login.status_code == 401
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert "taotu user add" in err
    assert "密码" not in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--open", "--host", "0.0.0.0"], "免登录"),  # noqa: S104 - what is refused
        (["--proxy", "gateway"], "网段"),
        (["--host", "no.such.host.invalid"], "监听"),
    ],
)
def test_a_service_that_cannot_stand_says_why_in_one_line(path, words, said):
    answer = run("serve", path, "--port", "0", *words)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_port_in_use_is_told(path):
    with socket.create_server(("127.0.0.1", 0)) as held:
        answer = run("serve", path, "--port", held.getsockname()[1])
    assert answer.exit_code == 2
    assert "--port" in answer.stderr


def test_a_service_of_nothing_does_not_stand(tmp_path):
    answer = run("serve", tmp_path / "none.gpkg")
    assert answer.exit_code == 2
    assert "none.gpkg" in answer.stderr
    assert not list(tmp_path.iterdir())


def test_users_and_keys_are_made_on_the_command_line(path):
    made = run("user", "add", path, "li", "--role", "officer", "--village", UPPER)
    assert made.exit_code == 0, made.output
    password = re.search(r"密码\s+(\S+)（", made.stdout)[1]
    assert run("user", "add", path, "li").exit_code == 2
    key = run("key", "new", path, "li", "--label", "QGIS", "--days", "30").stdout.split()[-1]
    assert key.startswith("taotu_")
    listed = run("user", "list", path).stdout
    assert "li" in listed
    assert UPPER in listed
    key_id = run("key", "list", path).stdout.split()[0]
    with serving(path) as (_, address):
        by_key = httpx2.get(f"{address}/api/v1/me", headers={"Authorization": f"Bearer {key}"}).json()
        assert (by_key["name"], by_key["villages"]) == ("li", [UPPER])
        login = httpx2.post(f"{address}/api/v1/login", json={"name": "li", "password": password})
        assert login.status_code == 200
        # A command beside a service that stands is heard a second later.
        assert run("key", "end", path, key_id).exit_code == 0
        time.sleep(1.1)
        assert (
            httpx2.get(f"{address}/api/v1/me", headers={"Authorization": f"Bearer {key}"}).status_code == 401
        )
        assert run("user", "change", path, "li", "--off").exit_code == 0
        time.sleep(1.1)
        assert httpx2.get(f"{address}/api/v1/me", cookies=dict(login.cookies)).status_code == 401
    assert run("user", "password", path, "nobody").exit_code == 2
    shown = run("audit", "show", path, "--json", "--limit", "100").stdout
    actions = [json.loads(line)["action"] for line in shown.splitlines()][::-1]
    assert actions == ["user_created", "key_created", "login", "key_revoked", "user_changed"]


def test_a_log_that_was_touched_is_told(path):
    run("user", "add", path, "li")
    run("user", "add", path, "wang")
    whole = run("audit", "verify", path)
    assert whole.exit_code == 0
    head = re.search(r"\d+:[0-9a-f]{64}", whole.stdout)[0]
    assert run("audit", "verify", path, "--head", head).exit_code == 0
    assert run("audit", "verify", path, "--head", "99:" + "0" * 64).exit_code == 1
    assert run("audit", "verify", path, "--head", "x").exit_code == 2
    with sqlite3.connect(path) as file:
        for (name,) in file.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'"
        ):
            file.execute(f'DROP TRIGGER "{name}"')
        file.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 1")
    file.close()
    broken = run("audit", "verify", path)
    assert broken.exit_code == 1
    assert "第 1 条" in broken.stdout


@pytest.mark.parametrize("name", ["user", "key", "audit"])
def test_help_of_the_groups_is_there(name):
    told = run(name, "--help")
    assert told.exit_code == 0
    assert f"taotu {name}" in told.stdout
    assert {name, "serve"} <= set(re.findall(r"\w+", run("--help").stdout))


def test_many_writers_of_accounts_beside_a_service_do_not_lock_each_other_out(path):
    run("user", "add", path, "li", "--role", "admin")
    key = run("key", "new", path, "li").stdout.split()[-1]
    with serving(path) as (_, address):
        statuses = []

        def make(number):
            with httpx2.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60) as script:
                for at in range(5):
                    body = {"name": f"u{number}-{at}", "role": "viewer"}
                    statuses.append(script.post(f"{address}/api/v1/users", json=body).status_code)

        threads = [threading.Thread(target=make, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [201] * 30
