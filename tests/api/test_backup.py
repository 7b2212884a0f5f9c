"""A backup holds all of the county, is for administrators only, and leaves nothing behind."""

import asyncio
import io
import os
import zipfile

from api.access import Caller
from api.routes.backup import read_backup
from geo import workspace
from geo.store import EVERYTHING, Query, open_store

ADDRESS = "/api/v1/backup"


def test_a_backup_opens_as_the_workspace_with_its_records_and_log(app, client, tmp_path):
    held = app.state.store.folder / "attachments" / "ab" / "abcd"
    held.parent.mkdir(parents=True)
    held.write_bytes(b"photo")
    answer = client.get(ADDRESS)
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as bundle:
        assert bundle.testzip() is None
        assert bundle.read("attachments/ab/abcd") == b"photo"
        bundle.extract("workspace.gpkg", tmp_path / "out")
        said = bundle.read("说明.txt").decode()
    assert len(workspace.open(tmp_path / "out" / "workspace.gpkg").read("pieces")) > 0
    with open_store(tmp_path / "out" / "workspace.gpkg") as copy:
        rows = copy.query("audit", Query(limit=1000), EVERYTHING).rows
        assert copy.verify_audit() == []
    assert rows["action"].tolist()[-1] == "backup"
    assert rows["hash"].tolist()[-1] in said


def test_a_backup_leaves_no_copy_behind(app, client):
    client.get(ADDRESS)
    assert not list(app.state.store.folder.glob("backup-*"))


def test_whoever_leaves_before_the_end_leaves_no_copy_behind(app):
    caller = Caller(name="chief", role="admin", villages=None)
    response = read_backup(caller, app.state.store, app.state.settings)
    assert list(app.state.store.folder.glob("backup-*"))

    async def leave():
        await anext(response.body_iterator)
        await response.body_iterator.aclose()

    asyncio.run(leave())
    assert not list(app.state.store.folder.glob("backup-*"))


def test_a_copy_of_a_service_that_was_cut_off_goes_with_the_next_backup(app, client):
    left = app.state.store.folder / "backup-old"
    left.mkdir()
    (left / "workspace.gpkg").write_bytes(b"half")
    os.utime(left, (0, 0))
    assert client.get(ADDRESS).status_code == 200
    assert not left.exists()


def test_nobody_but_an_administrator_gets_a_backup(as_role, nobody):
    for role in ("viewer", "officer", "reviewer"):
        assert as_role(role).get(ADDRESS).status_code == 403
    assert nobody.get(ADDRESS).status_code == 401


def test_a_full_disk_is_told_before_anything_is_copied(app, client):
    app_settings = app.state.settings
    object.__setattr__(app_settings, "min_free", 2**70)
    answer = client.get(ADDRESS)
    assert answer.status_code == 503
    assert "磁盘" in answer.json()["detail"]
    assert not list(app.state.store.folder.glob("backup-*"))
