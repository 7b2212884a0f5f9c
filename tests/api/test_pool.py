"""Jobs in processes of their own: done, cancelled, killed, cut off with the service, and never half published."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from api import jobs as table
from api.limits import JobSettings
from api.pool import Pool, began, end_orphan
from api.processes import PROCESSES
from api.task import FILES, RESULT
from geo import workspace
from geo.pipeline import Inputs, reconcile_files
from geo.sample import SampleSettings, county, deliver
from geo.store import EVERYTHING, open_store
from geo.store.query import Compare
from geo.store.store import now_utc
from tests.geo.county import LOWER, UPPER
from tests.helpers import ROOT

QUICK = JobSettings(threads=1, nice=0, end_after_s=1.0)
LONG_S = 240


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A delivered county of one village, and its workspace as an earlier run left it."""
    folder = tmp_path_factory.mktemp("sample")
    deliver(county(SampleSettings(villages=1, seed=1)), folder / "in")
    reconcile_files(inputs_of(folder / "in"), folder / "county.gpkg")
    return folder


def inputs_of(folder):
    (held,) = [path.parent for path in folder.glob("*/矢量数据")]
    return Inputs(survey=folder / "三调", parcels=held, baseline=folder / "二调" / "DLTB.shp")


def reconciling(folder):
    paths = inputs_of(folder / "in")
    return asked(
        "reconcile", survey=str(paths.survey), parcels=str(paths.parcels), baseline=str(paths.baseline)
    )


def asked(process, **given):
    """All inputs of a process, as the route gives them."""
    model = PROCESSES[process].inputs.model_construct(**given)
    return {name: getattr(model, name) for name in type(model).model_fields}


@contextmanager
def standing(path, settings=QUICK):
    store = open_store(path)
    pool = Pool(store, settings, clock=now_utc)
    pool.start()
    try:
        yield pool
    finally:
        pool.stop()
        store.close()


def until(pool, job_id, wanted):
    """Wait for a job to be in a state, or in one that is an end."""
    end = time.monotonic() + LONG_S
    while time.monotonic() < end:
        job = table.load(pool.engine, job_id)
        if wanted(job) or job.status in table.ENDED:
            return job
        time.sleep(0.05)
    raise AssertionError(job)


def ended(pool, job_id):
    return until(pool, job_id, lambda _job: False)


def submit(pool, process, given=None, *, actor="li", villages=None):
    job, _ = pool.submit(process, given or asked(process), actor=actor, villages=villages)
    return job


def gone(pid):
    """Whether no process of a group is left."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def published(store):
    """How often layers were replaced, by the log."""
    return store.count("audit", Compare("action", "=", "replace"), EVERYTHING)


def content(store):
    """What the workspace says, layer by layer."""
    opened = workspace.open(store.url)
    return {
        layer: opened.read(layer).to_json() for layer in ("pieces", "patches", "code_register", "balance")
    }


# --- what a job does -------------------------------------------------------------------------------------


def test_a_report_is_made_and_its_process_is_gone(path):
    with standing(path) as pool:
        job = ended(pool, submit(pool, "report").id)
        assert (job.status, job.progress, job.step, job.pid) == ("successful", 100, "完成", None)
        names = {one.name for one in (pool.folder(job.id) / FILES).iterdir()}
        assert names == {"汇总.json", "汇总.txt", "汇总.xlsx"}
        assert job.results["numbers"]["areas"][0]["farmland_m2"] == 40_000.0
        assert not (pool.folder(job.id) / "work.gpkg").exists()
        steps = [(one["status"], one["progress"]) for one in table.changes(pool.engine, job.id, 0)]
        assert steps[0] == ("accepted", 0)
        assert steps[-1] == ("successful", 100)
        assert [share for _, share in steps] == sorted(share for _, share in steps)


def test_a_report_of_some_villages_tells_of_no_other(path):
    with standing(path) as pool:
        job = ended(pool, submit(pool, "report", villages=frozenset({UPPER})).id)
        assert job.status == "successful"
        assert {row["code"][:12] for row in job.results["numbers"]["areas"]} == {UPPER}
        for name in ("汇总.json", "汇总.txt"):
            assert LOWER not in (pool.folder(job.id) / FILES / name).read_text(encoding="utf-8")


def test_a_reconciliation_is_published_in_one_step_and_keeps_its_codes(sample, tmp_path):
    path = shutil.copy(sample / "county.gpkg", tmp_path / "county.gpkg")
    with standing(path) as pool:
        before = content(pool.store)
        job = ended(pool, submit(pool, "reconcile", reconciling(sample)).id)
        assert job.status == "successful", job.message
        assert content(pool.store) == before  # the same inputs give the same land under the same codes
        assert published(pool.store) == 1
        assert pool.store.verify_audit() == []
        assert "pieces" in job.results["publish"]
        assert job.results["numbers"]["pieces"] == len(workspace.open(path).read("pieces", geometry=False))


def test_sheets_of_a_village_are_made_and_only_whole_sets_change_the_layer(path):
    with standing(path) as pool:
        job = ended(pool, submit(pool, "sheets", villages=frozenset({UPPER})).id)
        assert job.status == "successful", job.message
        folders = {one.name for one in (pool.folder(job.id) / FILES).iterdir() if one.is_dir()}
        assert {name[:12] for name in folders - {".taotu"}} == {UPPER}
        assert pool.store.count("sheets", None, EVERYTHING) == 0
        assert ended(pool, submit(pool, "sheets").id).status == "successful"
        assert pool.store.count("sheets", None, EVERYTHING) > 0


def test_a_job_that_cannot_be_done_says_why_without_paths_of_the_server(path, tmp_path):
    (tmp_path / "nothing").mkdir()
    with standing(path) as pool:
        given = asked("reconcile", survey=str(tmp_path / "nothing"), parcels=str(tmp_path / "nothing"))
        job = ended(pool, submit(pool, "reconcile", given).id)
        assert job.status == "failed"
        assert job.message
        assert "Traceback" not in job.message
        assert str(tmp_path) not in job.message
        assert published(pool.store) == 0


def test_a_village_that_lies_far_off_leaves_a_table_to_decide_on(tmp_path):
    deliver(county(SampleSettings(villages=1, seed=1, shift_m=40.0)), tmp_path / "in")
    workspace.write(tmp_path / "county.gpkg", {}, crs="EPSG:4526")
    with standing(tmp_path / "county.gpkg") as pool:
        job = ended(pool, submit(pool, "reconcile", reconciling(tmp_path)).id)
        assert (job.status, job.results["code"]) == ("failed", "shift")
        assert (pool.folder(job.id) / FILES / "偏移表.csv").exists()
        assert published(pool.store) == 0


# --- turns -----------------------------------------------------------------------------------------------


def test_two_reconciliations_never_run_at_once_and_others_do(sample, tmp_path):
    path = shutil.copy(sample / "county.gpkg", tmp_path / "county.gpkg")
    with standing(path, JobSettings(workers=3, threads=1, nice=0)) as pool:
        first = submit(pool, "reconcile", reconciling(sample))
        second = submit(pool, "reconcile", reconciling(sample), actor="wang")
        report = submit(pool, "report")
        most = 0
        while table.load(pool.engine, second.id).status in table.OPEN:
            now = table.listed(pool.engine, process="reconcile", statuses={"running"})
            most = max(most, len(now))
            time.sleep(0.02)
        assert most == 1
        ends = [ended(pool, job.id) for job in (first, second, report)]
        assert {job.status for job in ends} == {"successful"}
        assert ends[1].started >= ends[0].finished
        assert ends[2].started < ends[0].finished


def test_who_asks_for_much_does_not_keep_others_waiting(path):
    with standing(path, JobSettings(workers=1, threads=1, nice=0)) as pool:
        many = [submit(pool, "ledger", actor="li") for _ in range(3)]
        one = submit(pool, "report", actor="wang")
        done = [ended(pool, job.id) for job in [*many, one]]
        assert done[3].started < done[1].started < done[2].started


# --- cancelling ------------------------------------------------------------------------------------------


def test_a_cancelled_job_ends_with_all_its_processes_and_leaves_nothing(sample, tmp_path):
    path = shutil.copy(sample / "county.gpkg", tmp_path / "county.gpkg")
    with standing(path) as pool:
        before = content(pool.store)
        job = submit(pool, "reconcile", reconciling(sample))
        running = until(pool, job.id, lambda one: one.progress >= 15)
        assert running.status == "running"
        assert pool.cancel(job.id, actor="li").status == "dismissed"
        assert gone(running.pid)
        while pool.counts()["running"] or pool.folder(job.id).exists():
            time.sleep(0.05)
        assert ended(pool, job.id).dismissed_by == "li"
        assert content(pool.store) == before
        assert published(pool.store) == 0
        assert ended(pool, submit(pool, "report").id).status == "successful"  # the place is free again


def test_a_waiting_job_is_cancelled_at_once_and_never_begun(path):
    with standing(path) as pool:
        first, second = submit(pool, "ledger"), submit(pool, "report")
        pool.cancel(second.id, actor="li")
        assert ended(pool, first.id).status == "successful"
        job = table.load(pool.engine, second.id)
        assert (job.status, job.started, job.attempt) == ("dismissed", None, 0)


def test_of_cancelling_and_finishing_one_wins_and_the_log_agrees(path):
    """Cancelled at any moment of its life, a set of sheets is either published and done, or neither."""
    with standing(path) as pool:
        for wait in (0.0, 1.5, 3.0, 5.0):
            before = published(pool.store)
            job = submit(pool, "sheets")
            time.sleep(wait)
            try:
                pool.cancel(job.id, actor="li")
                cancelled = True
            except table.JobEndedError:
                cancelled = False
            end = ended(pool, job.id)
            assert end.status == ("dismissed" if cancelled else "successful")
            assert published(pool.store) - before == (0 if cancelled else 1)


def test_many_who_cancel_and_one_who_finishes_agree(path):
    with standing(path) as pool:
        job = submit(pool, "report")
        outcomes = []
        gate = threading.Barrier(9)

        def cancel():
            gate.wait()
            try:
                outcomes.append(table.dismiss(pool.engine, job.id, actor="li", at=pool.now()).status)
            except table.JobEndedError:
                outcomes.append("ended")

        def finish():
            gate.wait()
            done = table.step(pool.engine, job.id, at=pool.now(), status="successful", finished=pool.now())
            outcomes.append("finished" if done else "too late")

        threads = [threading.Thread(target=cancel) for _ in range(8)] + [threading.Thread(target=finish)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        end = table.load(pool.engine, job.id).status
        if end == "successful":
            assert sorted(outcomes) == ["ended"] * 8 + ["finished"]
        else:
            assert sorted(outcomes) == ["dismissed"] * 8 + ["too late"]


# --- being killed ----------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_started_again_and_its_job_says_so(sample, tmp_path):
    path = shutil.copy(sample / "county.gpkg", tmp_path / "county.gpkg")
    with standing(path) as pool:
        before = content(pool.store)
        job = submit(pool, "reconcile", reconciling(sample))
        running = until(pool, job.id, lambda one: one.step in {"套合比对", "写入成果"} and one.pid)
        os.killpg(running.pid, signal.SIGKILL)
        end = ended(pool, job.id)
        assert (end.status, end.attempt) == ("successful", 2)
        assert "中止" in end.note
        assert content(pool.store) == before
        assert published(pool.store) == 1


def test_a_job_that_is_killed_again_and_again_fails(path, monkeypatch):
    monkeypatch.setattr("api.pool._MOST_ATTEMPTS", 2)
    with standing(path) as pool:
        job = submit(pool, "ledger")
        for attempt in (1, 2):
            running = until(pool, job.id, lambda one, now=attempt: one.attempt == now and one.pid)
            os.killpg(running.pid, signal.SIGKILL)
        end = ended(pool, job.id)
        assert end.status == "failed"
        assert "已中断 2 次" in end.message


@contextmanager
def service(path, *how):
    """A pool in a process of its own."""
    command = [sys.executable, "-m", "tests.api.jobs_service", str(path), *how]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"stands\n"
            yield process
        finally:
            process.kill()


def test_a_job_of_a_service_that_is_killed_ends_with_it_and_goes_on_with_the_next(sample, tmp_path):
    path = shutil.copy(sample / "county.gpkg", tmp_path / "county.gpkg")
    with open_store(path) as store:
        before = content(store)
        pool = Pool(store, QUICK, clock=now_utc)  # only asks and looks
        table.create_tables(pool.engine)
        job = submit(pool, "reconcile", reconciling(sample))
        with service(path) as process:
            running = until(pool, job.id, lambda one: one.progress >= 15)
            assert running.status == "running"
            process.kill()
            process.wait()
        assert gone(running.pid), "its worker outlives it"
        assert table.load(pool.engine, job.id).status == "running"  # nobody was left to say otherwise
        pool.start()
        end = ended(pool, job.id)
        pool.stop()
        assert (end.status, end.attempt) == ("successful", 2)
        assert "服务重启" in end.note
        assert content(store) == before
        assert published(store) == 1
        assert store.verify_audit() == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_service_killed_as_it_publishes_has_published_once_in_the_end(sample, tmp_path, moment):
    path = shutil.copy(sample / "county.gpkg", tmp_path / "county.gpkg")
    with open_store(path) as store:
        pool = Pool(store, QUICK, clock=now_utc)
        table.create_tables(pool.engine)
        job = submit(pool, "reconcile", reconciling(sample))
        with service(path, moment) as process:
            assert process.wait(timeout=LONG_S) == -signal.SIGKILL
        assert published(store) == (moment == "after")
        cut = table.load(pool.engine, job.id)
        assert (cut.status, cut.phase) == ("running", table.PUBLISHING)
        pool.start()
        end = ended(pool, job.id)
        pool.stop()
        assert end.status == "successful"
        assert published(store) == 1
        assert store.verify_audit() == []


def test_stopping_a_service_puts_its_job_back_into_the_queue(path):
    with standing(path) as pool:
        job = submit(pool, "ledger")
        running = until(pool, job.id, lambda one: one.pid)
    assert gone(running.pid)
    with standing(path) as pool:
        end = ended(pool, job.id)
        assert (end.status, end.attempt) == ("successful", 2)
        assert "服务停止" in end.note


def test_a_process_of_another_time_is_not_ended():
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        assert not end_orphan(process.pid, "1")
        assert not end_orphan(process.pid, None)
        assert process.poll() is None
        assert end_orphan(process.pid, began(process.pid))
        assert process.wait(timeout=10) == -signal.SIGKILL


# --- codes given meanwhile, and what is kept -------------------------------------------------------------


def test_codes_given_while_a_job_runs_are_not_lost(sample, tmp_path):
    path = shutil.copy(sample / "county.gpkg", tmp_path / "county.gpkg")
    with standing(path) as pool:
        job = submit(pool, "reconcile", reconciling(sample))
        until(pool, job.id, lambda one: one.progress >= 15)
        with pool.store.write(actor="li") as change:
            change.note("field")
            change._touched.add("code_register")
        end = ended(pool, job.id)
        assert (end.status, end.attempt) == ("successful", 2)
        assert "编号有变动" in end.note
        assert published(pool.store) == 1


def test_old_folders_go_but_the_newest_good_one_of_each_kind_and_those_in_use_stay(path):
    with standing(path, JobSettings(threads=1, nice=0, keep_runs=1)) as pool:
        ledger = ended(pool, submit(pool, "ledger").id)
        first = ended(pool, submit(pool, "report").id)
        with pool.reading(first.id):
            second = ended(pool, submit(pool, "report").id)
            third = ended(pool, submit(pool, "report").id)
            assert pool.folder(first.id).exists()
        fourth = ended(pool, submit(pool, "report").id)
        wait_until(lambda: not pool.folder(third.id).exists())
        held = [pool.folder(job.id).exists() for job in (ledger, first, second, third, fourth)]
        assert held == [True, False, False, False, True]
        assert not table.load(pool.engine, second.id).kept


def test_folders_are_kept_to_a_number_of_bytes(path):
    with standing(path, JobSettings(threads=1, nice=0, keep_bytes=1)) as pool:
        first, second = (ended(pool, submit(pool, "report").id) for _ in range(2))
        wait_until(lambda: not pool.folder(first.id).exists())
        assert pool.folder(second.id).exists()


def wait_until(claim):
    end = time.monotonic() + 20
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_folders_of_no_job_are_swept_at_the_start(path):
    stray = Path(path).with_suffix(".service") / "runs" / "0123456789abcdef"
    stray.mkdir(parents=True)
    (stray / RESULT).write_bytes(b"x")
    with standing(path):
        assert not stray.exists()
