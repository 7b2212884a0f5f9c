"""Jobs of a workspace in PostGIS: the same table, the same work, the same publication."""

import pytest

from api import jobs as table
from geo import workspace
from geo.store import EVERYTHING, open_store
from geo.store.query import Compare
from tests.api.test_pool import QUICK, Pool, asked, ended, now_utc, submit
from tests.geo.county import CRS, county_tables


@pytest.fixture
def pool(postgis, tmp_path):
    url = postgis.database()
    workspace.write(url, county_tables(), crs=CRS)
    store = open_store(url, folder=tmp_path / "service")
    made = Pool(store, QUICK, clock=now_utc)
    made.start()
    yield made
    made.stop()
    store.close()


def test_jobs_are_kept_done_and_published_there(pool):
    report = submit(pool, "report")
    sheets = submit(pool, "sheets")
    first, again = (
        pool.submit("tiles", asked("tiles"), actor="li", villages=None, key="k")[0] for _ in range(2)
    )
    assert first.id == again.id
    assert [ended(pool, job.id).status for job in (report, sheets, first)] == ["successful"] * 3
    assert pool.store.count("sheets", None, EVERYTHING) > 0
    assert pool.store.count("audit", Compare("action", "=", "replace"), EVERYTHING) == 1
    assert pool.store.verify_audit() == []
    assert list((pool.store.folder / "tiles").glob("pieces-*.pmtiles"))
    assert pool.counts()["successful"] == 3


def test_a_cancelled_job_is_cancelled_there_too(pool):
    job = submit(pool, "ledger")
    assert pool.cancel(job.id, actor="li").status == "dismissed"
    assert ended(pool, job.id).status == "dismissed"
    done = ended(pool, submit(pool, "report").id)
    with pytest.raises(table.JobEndedError):
        pool.cancel(done.id, actor="li")


def test_no_password_of_the_database_is_in_a_job_s_folder(pool):
    job = ended(pool, submit(pool, "report").id)
    held = b"".join(path.read_bytes() for path in pool.folder(job.id).rglob("*.json"))
    assert b"postgresql://" not in held
