"""The table of jobs, who may start and see what, and the form of every answer; here no job runs."""

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import geopandas as gpd
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box

from api import jobs as table
from api.limits import JobSettings
from api.processes import PROCESSES
from api.settings import Settings
from api.task import FILES, file_part, village_of, write_index
from geo import schema, workspace
from geo.errors import InputError
from tests.api.conftest import QUICK
from tests.geo.county import CRS, LOWER, UPPER, X0, Y0

AT = "2026-01-01T00:00:00.000Z"
LATER = "2026-01-01T00:01:00.000Z"


@pytest.fixture
def settings(tmp_path):
    """A service whose pool has no process: what is asked for waits."""
    (tmp_path / "inputs" / "三调").mkdir(parents=True)
    (tmp_path / "inputs" / "三调" / "DLTB.shp").write_bytes(b"x")
    (tmp_path / "inputs" / "out").symlink_to(tmp_path)
    return Settings(**QUICK, jobs=JobSettings(workers=0, most_waiting=20, inputs=tmp_path / "inputs"))


@pytest.fixture
def engine(tmp_path):
    made = sa.create_engine(f"sqlite:///{tmp_path / 'jobs.db'}")
    table.create_tables(made)
    yield made
    made.dispose()


def start(client, process, inputs=None, **headers):
    return client.post(f"/processes/{process}/execution", json={"inputs": inputs or {}}, headers=headers)


def done(  # noqa: PLR0913 - a job is what it is made of
    app, process="sheets", *, by="chief", villages=None, files=(), status="successful"
):
    """A job that has ended, with files as it would have made them."""
    pool = app.state.pool
    job, _ = pool.submit(process, {}, actor=by, villages=villages)
    folder = pool.folder(job.id)
    for name, text in files:
        path = folder / FILES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if files:
        write_index(folder)
    results = {"numbers": {"area_m2": 1.0}, "publish": ["sheets"], "message": "好"}
    return table.step(
        pool.engine, job.id, at=LATER, status=status, finished=LATER, results=results, message="好", progress=100
    )  # fmt: skip


SET = [
    (f"{UPPER}上庄村/1.pdf", "upper"),
    (f"{LOWER}柳沟村/2.pdf", "lower"),
    ("标准图幅/J49.pdf", "both"),
    ("图幅目录_按组.csv", "list"),
]


# --- the table ---------------------------------------------------------------------------------------------


def test_a_job_is_stored_with_its_first_change(engine):
    job, new = table.submit(engine, "report", {"only": []}, actor="li", villages={"1", "2"}, at=AT)
    assert new
    assert (job.status, job.progress, job.villages) == ("accepted", 0, frozenset({"1", "2"}))
    assert table.load(engine, job.id) == job
    assert [one["seq"] for one in table.changes(engine, job.id, 0)] == [1]
    assert table.changes(engine, job.id, 1) == []
    assert table.load(engine, "0" * 16) is None


def test_one_key_is_one_job_however_many_ask_at_once(engine):
    def ask(_at):
        return table.submit(engine, "report", {}, actor="li", villages=None, at=AT, key="k")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(24)))
    assert len({job.id for job, _ in answers}) == 1
    assert sum(new for _, new in answers) == 1
    with pytest.raises(table.KeyReusedError):
        table.submit(engine, "report", {"only": ["x"]}, actor="li", villages=None, at=AT, key="k")
    other, new = table.submit(engine, "report", {}, actor="wang", villages=None, at=AT, key="k")
    assert new
    assert other.id != answers[0][0].id


def test_serials_differ_however_many_ask_at_once(engine):
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(
                lambda _at: table.submit(engine, "report", {}, actor="li", villages=None, at=AT), range(24)
            )
        )
    assert sorted(job.serial for job, _ in made) == list(range(1, 25))


def test_a_full_queue_takes_no_more(engine):
    table.submit(engine, "report", {}, actor="li", villages=None, at=AT, most_waiting=1)
    with pytest.raises(table.QueueFullError):
        table.submit(engine, "report", {}, actor="li", villages=None, at=AT, most_waiting=1)


def test_what_has_ended_changes_no_more(engine):
    job, _ = table.submit(engine, "report", {}, actor="li", villages=None, at=AT)
    assert table.step(engine, job.id, at=LATER, status="failed") is not None
    assert table.step(engine, job.id, at=LATER, status="successful") is None
    with pytest.raises(table.JobEndedError, match="失败"):
        table.dismiss(engine, job.id, actor="li", at=LATER)
    assert [one["status"] for one in table.changes(engine, job.id, 0)] == ["accepted", "failed"]


def test_a_job_that_publishes_is_not_cancelled_and_one_that_is_cancelled_stays_so(engine):
    job, _ = table.submit(engine, "report", {}, actor="li", villages=None, at=AT)
    table.step(engine, job.id, at=LATER, status="running", phase=table.PUBLISHING)
    with pytest.raises(table.JobEndedError, match="写入工作区"):
        table.dismiss(engine, job.id, actor="li", at=LATER)
    other, _ = table.submit(engine, "report", {}, actor="li", villages=None, at=AT)
    assert table.dismiss(engine, other.id, actor="li", at=LATER).status == "dismissed"
    assert table.dismiss(engine, other.id, actor="wang", at=LATER).dismissed_by == "li"


def test_rows_are_kept_to_a_bound_and_open_ones_always(engine):
    first, _ = table.submit(engine, "report", {}, actor="li", villages=None, at=AT, key="k")
    made = [table.submit(engine, "report", {}, actor="li", villages=None, at=AT)[0] for _ in range(5)]
    for job in made:
        table.step(engine, job.id, at=LATER, status="failed")
    assert set(table.forget(engine, keep=2)) == {job.id for job in made[:3]}
    assert {job.id for job in table.listed(engine)} == {first.id, made[3].id, made[4].id}
    assert table.changes(engine, made[0].id, 0) == []


def job_like(base, **values):
    return replace(base, **values)


@pytest.fixture(scope="module")
def any_job(tmp_path_factory):
    made = sa.create_engine(f"sqlite:///{tmp_path_factory.mktemp('one') / 'jobs.db'}")
    table.create_tables(made)
    job, _ = table.submit(made, "report", {}, actor="li", villages=None, at=AT)
    made.dispose()
    return job


@given(owners=st.lists(st.sampled_from("abc"), min_size=1, max_size=12))
def test_everybody_s_first_job_comes_before_anybody_s_last(any_job, owners):
    waiting = [
        job_like(any_job, id=str(at), serial=at, created_by=owner) for at, owner in enumerate(owners, start=1)
    ]
    order, begun = [], []
    while waiting:
        chosen = table.next_in_line(waiting, begun, ())
        waiting.remove(chosen)
        order.append(chosen.created_by)
        begun.append(
            job_like(chosen, status="successful", attempt=1, started=f"2026-01-01T00:00:{len(order):02}Z")
        )
    firsts = [order.index(name) for name in set(owners)]
    assert max(firsts) < len(set(owners))
    assert sorted(order) == sorted(owners)


def test_one_that_was_interrupted_goes_first_and_one_that_is_held_not_at_all(any_job):
    new = job_like(any_job, id="1", serial=1)
    cut = job_like(any_job, id="2", serial=2, attempt=1)
    assert table.next_in_line([new, cut], [], ()) is cut
    assert table.next_in_line([new, cut], [], {"2"}) is new
    assert table.next_in_line([new], [], {"1"}) is None


def test_a_folder_of_inputs_that_is_none_is_refused_at_the_start(tmp_path):
    with pytest.raises(InputError, match="--inputs"):
        JobSettings(inputs=tmp_path / "nothing")


def test_names_of_files_tell_their_village():
    assert village_of(f"{UPPER}上庄村") == UPPER
    assert village_of("标准图幅") is None
    assert village_of("１４０７２５１００２０１村") is None
    assert file_part("ab12-3/../x") == "ab12_3_.._x"


# --- processes -----------------------------------------------------------------------------------------------


def test_processes_say_in_chinese_what_they_need_and_who_may_start_them(client, as_role):
    listed = client.get("/processes").json()["processes"]
    assert {one["id"] for one in listed} == set(PROCESSES)
    assert all(one["allowed"] for one in listed)
    for one in listed:
        told = client.get(f"/processes/{one['id']}").json()
        for name, given_ in told["inputs"].items():
            assert any("\u4e00" <= sign <= "\u9fff" for sign in given_["title"]), name
            assert "$ref" not in json.dumps(given_)
    assert client.get("/processes/reconcile").json()["inputs"]["survey"]["minOccurs"] == 1
    limited = as_role("officer", [UPPER]).get("/processes").json()["processes"]
    assert {one["id"] for one in limited if one["allowed"]} == {"sheets", "report"}
    assert client.get("/processes/nothing").status_code == 404


def test_a_job_is_there_before_the_answer_says_so(client, app):
    answer = start(client, "report")
    assert answer.status_code == 201
    body = answer.json()
    assert answer.headers["location"] == f"/jobs/{body['jobID']}"
    assert (body["type"], body["processID"], body["status"]) == ("process", "report", "accepted")
    assert client.get(answer.headers["location"]).json() == {
        **body, "inputs": {"only": []}
    }  # fmt: skip
    (row,) = [row for row in client.get("/api/v1/audit").json()["rows"] if row["action"] == "job"]
    assert body["jobID"] in row["after"]
    assert app.state.metrics.jobs()["accepted"] == 1


def test_a_repeated_request_with_its_key_starts_nothing_new(client):
    key = {"Idempotency-Key": "3f1c"}
    first, again = start(client, "report", **key), start(client, "report", **key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["jobID"] == again.json()["jobID"]
    assert start(client, "report", {"only": [UPPER]}, **key).status_code == 409
    assert start(client, "ledger", **key).status_code == 409
    assert start(client, "report").json()["jobID"] != first.json()["jobID"]
    assert len(client.get("/jobs").json()["jobs"]) == 2
    assert start(client, "report", **{"Idempotency-Key": "x" * 201}).status_code == 422


@pytest.mark.parametrize(
    ("process", "inputs", "field"),
    [
        ("report", {"only": ["'; DROP TABLE jobs"]}, "inputs.only.0"),
        ("report", {"nothing": 1}, "inputs.nothing"),
        ("sheets", {"scale": 1}, "inputs.scale"),
        ("sheets", {"formats": ["exe"]}, "inputs.formats.0"),
        ("reconcile", {}, "inputs.survey"),
        ("grids", {"seed": -1}, "inputs.seed"),
        ("tiles", {"layers": ["households"]}, "inputs.layers.0"),
    ],
)
def test_what_a_process_does_not_take_is_refused_by_name(client, process, inputs, field):
    answer = start(client, process, inputs)
    assert answer.status_code == 422
    assert any(flaw["field"].startswith(field) for flaw in answer.json()["errors"]), answer.text
    assert client.get("/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    "server", ["../county.gpkg", "/etc/passwd", "out", "out/county.gpkg", "三调/../..", "nothing"]
)
def test_a_job_reads_below_the_folder_of_inputs_and_nowhere_else(client, server):
    good = {"server": "三调/DLTB.shp"}
    assert start(client, "align", {"survey": good, "parcels": good}).status_code == 201
    answer = start(client, "align", {"survey": {"server": server}, "parcels": good})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_inputs_by_upload_are_found_and_kept_while_they_are_needed(client):
    made = client.post("/api/v1/uploads", files={"file": ("a.csv", b"a")}).json()
    given_ = {"upload": made["id"], "path": "a.csv"}
    job = start(client, "align", {"survey": given_, "parcels": given_}).json()
    assert client.get(f"/jobs/{job['jobID']}").json()["inputs"]["survey"] == given_
    address = f"/api/v1/uploads/{made['id']}"
    assert client.delete(address).status_code == 409
    client.delete(f"/jobs/{job['jobID']}")
    assert client.delete(address).status_code == 204
    assert start(client, "align", {"survey": given_, "parcels": given_}).status_code == 404
    assert (
        start(client, "align", {"survey": {"upload": "../../../../etc"}, "parcels": given_}).status_code
        == 422
    )


def test_the_folder_of_inputs_is_shown_without_what_leads_out(client):
    body = client.get("/api/v1/inputs").json()
    assert [one["name"] for one in body["entries"]] == ["三调"]
    inside = client.get("/api/v1/inputs", params={"path": "三调"}).json()["entries"]
    assert inside == [{"name": "DLTB.shp", "path": "三调/DLTB.shp", "kind": "file", "bytes": 1}]
    for path in ("..", "out", "/", "三调/DLTB.shp"):
        assert client.get("/api/v1/inputs", params={"path": path}).status_code == 422


# --- rights --------------------------------------------------------------------------------------------------

GOOD = {"server": "三调/DLTB.shp"}
FULL = {"reconcile": {"survey": GOOD, "parcels": GOOD}, "align": {"survey": GOOD, "parcels": GOOD}}


@pytest.mark.parametrize(
    ("role", "villages", "may"),
    [
        ("viewer", None, set()),
        ("viewer", [UPPER], set()),
        ("officer", None, {"sheets", "report", "ledger"}),
        ("officer", [UPPER], {"sheets", "report"}),
        ("officer", [], set()),
        ("reviewer", None, set(PROCESSES)),
        ("reviewer", [UPPER], {"sheets", "report"}),
        ("admin", None, set(PROCESSES)),
    ],
)
def test_who_may_start_what(as_role, role, villages, may):
    asker = as_role(role, villages)
    answers = {name: start(asker, name, FULL.get(name)).status_code for name in PROCESSES}
    assert answers == {name: 201 if name in may else 403 for name in PROCESSES}


@pytest.mark.parametrize(
    "inputs",
    [{"only": [LOWER]}, {"only": [f"{UPPER}01", f"{LOWER}02-D-0001"]}, {"only": [UPPER[:9]]}, {"only": ["J49I304498"]},
     {"by": "sheet"}, {"photo": [GOOD]}],
)  # fmt: skip
def test_an_officer_of_a_village_gets_no_sheet_of_another(as_role, inputs):
    asker = as_role("officer", [UPPER])
    assert start(asker, "sheets", inputs).status_code == 403
    assert start(asker, "sheets", {"only": [f"{UPPER}01"]}).status_code == 201


def test_jobs_of_others_are_not_there_for_who_has_some_villages(app, client, as_role):
    officer, other = as_role("officer", [UPPER], "li"), as_role("officer", [LOWER], "wang")
    mine = start(officer, "report").json()["jobID"]
    theirs = start(client, "ledger").json()["jobID"]
    assert [one["jobID"] for one in officer.get("/jobs").json()["jobs"]] == [mine]
    assert other.get("/jobs").json()["jobs"] == []
    assert {one["jobID"] for one in client.get("/jobs").json()["jobs"]} == {mine, theirs}
    for address in (
        f"/jobs/{theirs}",
        f"/jobs/{theirs}/results",
        f"/jobs/{theirs}/events",
        f"/jobs/{theirs}/archive",
    ):
        assert officer.get(address).status_code == 404
    assert officer.delete(f"/jobs/{theirs}").status_code == 404
    assert other.delete(f"/jobs/{mine}").status_code == 404
    assert app.state.pool.counts()["accepted"] == 2


def test_only_one_s_own_jobs_are_cancelled_but_a_reviewer_of_the_county_cancels_any(as_role):
    li, wang, chief = as_role("officer"), as_role("officer"), as_role("reviewer")
    job = start(li, "report").json()
    address = f"/jobs/{job['jobID']}"
    assert wang.get(address).json()["cancellable"] is False
    assert wang.delete(address).status_code == 403
    assert as_role("viewer").delete(address).status_code == 403
    assert chief.get(address).json()["cancellable"] is True
    answer = chief.delete(address)
    assert (answer.status_code, answer.json()["status"]) == (200, "dismissed")
    assert li.delete(address).json()["status"] == "dismissed"
    assert li.get(f"{address}/results").status_code == 404


def test_cancelling_what_is_done_is_a_conflict(app, client):
    assert client.delete(f"/jobs/{done(app).id}").status_code == 409


def test_an_officer_gets_the_own_village_s_pages_of_the_county_s_set_and_no_more(app, client, as_role):
    job = done(app, files=SET)
    officer = as_role("officer", [UPPER])
    body = officer.get(f"/jobs/{job.id}/results").json()
    assert [one["name"] for one in body["files"]] == [f"{UPPER}上庄村/1.pdf"]
    assert body["numbers"] is None
    assert officer.get(f"/jobs/{job.id}").json()["inputs"] is None
    for name, text in SET:
        address = f"/jobs/{job.id}/files/{name}"
        answer = officer.get(address)
        assert answer.status_code == (200 if name.startswith(UPPER) else 404)
        assert client.get(address).text == text
    archive = zipfile.ZipFile(io.BytesIO(officer.get(f"/jobs/{job.id}/archive").content))
    assert archive.namelist() == [f"{UPPER}上庄村/1.pdf"]
    assert officer.get(f"/jobs/{job.id}/archive", params={"village": LOWER}).status_code == 404
    assert as_role("officer", []).get(f"/jobs/{job.id}/archive").status_code == 404


def test_who_lost_a_village_has_lost_its_files(app, as_role):
    job = done(app, by="li", villages={UPPER, LOWER}, files=SET)
    before = as_role("officer", [UPPER, LOWER], "li")
    assert len(before.get(f"/jobs/{job.id}/results").json()["files"]) == 4
    app.state.accounts.change_user("li", {"villages": [UPPER]})
    body = before.get(f"/jobs/{job.id}/results")
    if body.status_code == 401:  # a change of rights ends sessions
        assert before.log_in("li").status_code == 200
        body = before.get(f"/jobs/{job.id}/results")
    assert [one["name"] for one in body.json()["files"]] == [f"{UPPER}上庄村/1.pdf"]
    assert body.json()["numbers"] is None


def test_a_page_of_the_set_leads_to_its_files_for_who_may_see_it(app, client, as_role, tmp_path):
    keys = {"1": f"{UPPER}上庄村/1.pdf", "2": f"{LOWER}柳沟村/2.pdf;gone.dxf"}
    rows = [
        {
            "sheet_key": key,
            "unit_code": name[:12] + "01",
            "file": name,
            "geometry": box(X0, Y0, X0 + 1, Y0 + 1),
        }
        for key, name in keys.items()
    ]
    made = schema.conform(gpd.GeoDataFrame(rows, crs=CRS), "sheets")
    workspace.write(tmp_path / "set.gpkg", {"sheets": made}, crs=CRS)
    app.state.store.replace_layers(
        workspace.open(tmp_path / "set.gpkg"), actor="chief", why="", layers=["sheets"]
    )
    assert client.get("/api/v1/sheets/1").json() == {"sheet_key": "1", "job": None, "files": []}
    job = done(app, files=SET)
    (file,) = client.get("/api/v1/sheets/2").json()["files"]
    assert (file["name"], client.get(file["href"]).text) == (f"{LOWER}柳沟村/2.pdf", "lower")
    officer = as_role("officer", [UPPER])
    assert officer.get("/api/v1/sheets/1").json()["job"] == job.id
    assert officer.get("/api/v1/sheets/2").status_code == 404


@pytest.mark.parametrize(
    "name",
    ["../spec.json", "..%2Fspec.json", "%2e%2e/spec.json", "../../../county.gpkg", "/etc/passwd", "..\\spec.json",
     ".taotu/x.json", "nothing.pdf", "", "x" * 401, "%00"],
)  # fmt: skip
def test_no_other_file_is_reached_by_a_job_s_address(app, client, name):
    job = done(app, files=[*SET, (".taotu/x.json", "{}")])
    (app.state.pool.folder(job.id) / "spec.json").write_text("secret", encoding="utf-8")
    answer = client.get(f"/jobs/{job.id}/files/{name}")
    assert answer.status_code in {404, 422}
    assert "secret" not in answer.text


def test_files_are_shown_or_saved_and_read_in_part(app, client):
    job = done(app, files=SET)
    address = f"/jobs/{job.id}/files/{UPPER}上庄村/1.pdf"
    assert client.get(address).headers["content-disposition"].startswith("inline")
    assert client.get(address, params={"download": 1}).headers["content-disposition"].startswith("attachment")
    part = client.get(address, headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.text) == (206, "pp")
    head = client.head(address)
    assert (head.status_code, head.headers["content-length"]) == (200, "5")


def test_files_that_were_cleared_away_are_said_to_be(app, client):
    job = done(app, files=SET)
    (app.state.pool.folder(job.id) / FILES / "图幅目录_按组.csv").unlink()
    answer = client.get(f"/jobs/{job.id}/files/图幅目录_按组.csv")
    assert answer.status_code == 404
    assert "清理" in answer.json()["detail"]


def test_results_wait_for_the_end_and_a_failure_says_why(app, client):
    job = start(client, "report").json()["jobID"]
    assert client.get(f"/jobs/{job}/results").status_code == 404
    failed = done(app, "reconcile", status="failed", files=[("偏移表.csv", "x")])
    body = client.get(f"/jobs/{failed.id}/results").json()
    assert (body["status"], body["published"]) == ("failed", [])
    assert [one["name"] for one in body["files"]] == ["偏移表.csv"]


def test_pages_of_jobs_give_each_once(client):
    made = [start(client, "report").json()["jobID"] for _ in range(5)]
    seen, following = [], "/jobs?limit=2"
    while following:
        body = client.get(following).json()
        seen += [one["jobID"] for one in body["jobs"]]
        following = next((link["href"] for link in body["links"] if link["rel"] == "next"), None)
    assert seen == made[::-1]
    assert client.get("/jobs?status=failed").json()["jobs"] == []
    assert client.get("/jobs?process=sheets").json()["jobs"] == []


def test_a_full_queue_is_a_conflict(client):
    answers = [start(client, "report").status_code for _ in range(21)]
    assert answers == [201] * 20 + [409]


@pytest.mark.parametrize(
    "address", ["/processes", "/jobs", "/jobs/0123456789abcdef", "/api/v1/sheets/x", "/api/v1/inputs"]
)
def test_nobody_gets_anything_without_login(nobody, address):
    assert nobody.get(address).status_code == 401


def test_a_change_needs_the_page_s_token(client):
    del client.headers["X-CSRF-Token"]
    assert start(client, "report").status_code == 403
    assert client.delete("/jobs/0123456789abcdef").status_code == 403


def test_what_is_not_there_is_a_problem(client):
    for address in ("/jobs/0123456789abcdef", "/jobs/0123456789abcdef/events", "/processes/x/execution"):
        assert client.request("POST" if "execution" in address else "GET", address).status_code == 404
    assert client.get("/jobs/' OR 1=1").status_code == 422
