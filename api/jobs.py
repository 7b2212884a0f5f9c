"""The table of jobs: every step of a job is one conditional update, so that of two who end it one wins.

A job is ``accepted``, ``running``, then ``successful``, ``failed`` or
``dismissed``. Each change has a number and a row of its own, from which a
listener that was cut off goes on.
"""

import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from api.errors import ConflictError

Status = str

STATUSES: Final = {
    "accepted": "排队中",
    "running": "运行中",
    "successful": "已完成",
    "failed": "失败",
    "dismissed": "已取消",
}
OPEN: Final = frozenset({"accepted", "running"})
ENDED: Final = frozenset(STATUSES) - OPEN
PUBLISHING: Final = "publishing"  # phase of a job whose result is whole: from here on it is not cancelled
LIMIT: Final = 1000
_ID_BYTES: Final = 8
_TRIES: Final = 50

metadata = sa.MetaData()
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("serial", sa.Integer, nullable=False, unique=True),  # order of arrival
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, index=True),
    sa.Column("phase", sa.Text, nullable=False, default=""),
    sa.Column("progress", sa.Integer, nullable=False, default=0),
    sa.Column("step", sa.Text, nullable=False, default=""),
    sa.Column("message", sa.Text, nullable=False, default=""),
    sa.Column("note", sa.Text, nullable=False, default=""),
    sa.Column("asked", sa.Text, nullable=False),
    sa.Column("inputs", sa.Text, nullable=False),
    sa.Column("villages", sa.Text),
    sa.Column("created_by", sa.Text, nullable=False, index=True),
    sa.Column("created", sa.Text, nullable=False),
    sa.Column("started", sa.Text),
    sa.Column("finished", sa.Text),
    sa.Column("updated", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False, default=0),
    sa.Column("seq", sa.Integer, nullable=False, default=1),
    sa.Column("pid", sa.Integer),
    sa.Column("pid_started", sa.Text),
    sa.Column("basis", sa.Text),
    sa.Column("results", sa.Text),
    sa.Column("dismissed_by", sa.Text),
    sa.Column("kept", sa.Boolean, nullable=False, default=True),
)
events = sa.Table(
    "job_events",
    metadata,
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("progress", sa.Integer, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)
keys = sa.Table(
    "job_keys",
    metadata,
    sa.Column("actor", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
)


class KeyReusedError(ConflictError):
    """An Idempotency-Key came again with another request."""


class JobEndedError(ConflictError):
    """A job that has ended, or is publishing its result, cannot be cancelled any more."""


class QueueFullError(ConflictError):
    """More jobs wait than the queue holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row of the table, its JSON read."""

    id: str
    serial: int
    process: str
    status: Status
    phase: str
    progress: int  # 0 to 100
    step: str
    message: str
    note: str  # what befell it besides, as a restart of the service
    asked: dict[str, Any]  # as it came
    inputs: dict[str, Any]  # the same with the places of files
    villages: frozenset[str] | None  # of the one who asked; None is the whole county
    created_by: str
    created: str  # ISO-8601, UTC
    started: str | None
    finished: str | None
    updated: str
    attempt: int  # how often it was begun
    seq: int  # number of its last change
    pid: int | None
    pid_started: str | None
    basis: str | None  # edition of what its result rests on
    results: dict[str, Any] | None
    dismissed_by: str | None
    kept: bool  # whether its files are still there


def stamp(at: dt.datetime) -> str:
    """A time as the tables keep it."""
    return at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def _reading(engine: Engine) -> Iterator[sa.Connection]:
    """A connection that only reads: it waits for no writer."""
    with engine.connect() as base:
        yield base.execution_options(read_only=True)


def create_tables(engine: Engine) -> None:
    """Make the tables that are not there yet."""
    metadata.create_all(engine)


def submit(  # noqa: PLR0913 - what a job is asked with
    engine: Engine,
    process: str,
    inputs: Mapping[str, Any],
    *,
    asked: Mapping[str, Any] | None = None,
    actor: str,
    villages: Collection[str] | None,
    at: str,
    key: str | None = None,
    most_waiting: int = LIMIT,
) -> tuple[Job, bool]:
    """Put a job into the queue; with a key that was used before, the job it was used for.

    ``asked`` is what the caller sent, if ``inputs`` are not just that.

    Returns
    -------
    Job, bool
        And whether it is new.

    Raises
    ------
    KeyReusedError
        If the key was used for another request.
    QueueFullError
        If ``most_waiting`` jobs wait already.
    """
    told = json.dumps(inputs if asked is None else asked, ensure_ascii=False, sort_keys=True)
    body = hashlib.sha256(f"{process}\n{told}".encode()).hexdigest()
    if key is not None and (before := _by_key(engine, actor, key, body)) is not None:
        return before, False
    with _reading(engine) as base:
        waiting = base.execute(
            sa.select(sa.func.count()).select_from(jobs).where(jobs.c.status == "accepted")
        )
        if waiting.scalar_one() >= most_waiting:
            raise QueueFullError(f"排队的任务已有 {most_waiting} 个；请等前面的任务完成后再提交")
    job_id = secrets.token_hex(_ID_BYTES)
    row = {
        "id": job_id,
        "process": process,
        "status": "accepted",
        "message": "已排队",
        "asked": told,
        "inputs": json.dumps(inputs, ensure_ascii=False, sort_keys=True),
        "villages": None if villages is None else json.dumps(sorted(villages)),
        "created_by": actor,
        "created": at,
        "updated": at,
    }
    next_serial = sa.select(sa.func.coalesce(sa.func.max(jobs.c.serial), 0) + 1).scalar_subquery()
    for _ in range(_TRIES):
        try:
            with engine.begin() as base:
                if key is not None:
                    base.execute(keys.insert().values(actor=actor, key=key, body=body, job_id=job_id, at=at))
                base.execute(jobs.insert().values(serial=next_serial, **row))
                _note(base, job_id)
        except IntegrityError:  # the key, or the serial, was taken in this moment
            if key is not None and (before := _by_key(engine, actor, key, body)) is not None:
                return before, False
        else:
            return found(engine, job_id), True
    raise QueueFullError("同时提交的任务太多；请稍后再提交")


def _by_key(engine: Engine, actor: str, key: str, body: str) -> Job | None:
    with _reading(engine) as base:
        row = base.execute(sa.select(keys).where(keys.c.actor == actor, keys.c.key == key)).one_or_none()
    if row is None:
        return None
    if row.body != body:
        raise KeyReusedError("这个 Idempotency-Key 已用于另一项请求；请换一个新的键")
    return load(engine, row.job_id)


def load(engine: Engine, job_id: str) -> Job | None:
    """A job by its id, or None."""
    with _reading(engine) as base:
        row = base.execute(sa.select(jobs).where(jobs.c.id == job_id)).one_or_none()
    return None if row is None else _job(row)


def found(engine: Engine, job_id: str) -> Job:
    """A job that is surely there."""
    job = load(engine, job_id)
    if job is None:
        raise KeyError(job_id)
    return job


def listed(  # noqa: PLR0913 - how a list may be narrowed
    engine: Engine,
    *,
    actor: str | None = None,
    process: str | None = None,
    statuses: Collection[Status] = (),
    before: int | None = None,
    limit: int = LIMIT,
) -> list[Job]:
    """Jobs, the newest first.

    Parameters
    ----------
    engine : Engine
    actor : str, optional
        Only those this one asked for, and finished sets of sheets, of which everybody has a part.
    process, statuses
        Only those of this process, in these states.
    before : int, optional
        Only those that arrived before this serial.
    limit : int
    """
    asked = sa.select(jobs).order_by(jobs.c.serial.desc()).limit(limit)
    if actor is not None:
        everybodys = sa.and_(
            jobs.c.process == "sheets", jobs.c.status == "successful", jobs.c.villages.is_(None)
        )
        asked = asked.where(sa.or_(jobs.c.created_by == actor, everybodys))
    if process is not None:
        asked = asked.where(jobs.c.process == process)
    if statuses:
        asked = asked.where(jobs.c.status.in_(sorted(statuses)))
    if before is not None:
        asked = asked.where(jobs.c.serial < before)
    with _reading(engine) as base:
        return [_job(row) for row in base.execute(asked)]


def step(
    engine: Engine,
    job_id: str,
    *,
    at: str,
    within: Collection[Status] = OPEN,
    in_phase: str | None = None,
    **values: Any,  # noqa: ANN401 - columns of the table
) -> Job | None:
    """Change a job if it is in one of these states (and this phase); None if it is not any more."""
    chosen = [jobs.c.id == job_id, jobs.c.status.in_(sorted(within))]
    if in_phase is not None:
        chosen.append(jobs.c.phase == in_phase)
    if "results" in values and values["results"] is not None:
        values["results"] = json.dumps(values["results"], ensure_ascii=False, sort_keys=True)
    with engine.begin() as base:
        done = base.execute(
            jobs.update().where(*chosen).values(seq=jobs.c.seq + 1, updated=at, **values).returning(jobs)
        ).one_or_none()
        if done is None:
            return None
        _note(base, job_id)
    return _job(done)


def dismiss(engine: Engine, job_id: str, *, actor: str, at: str) -> Job:
    """Cancel a job; one that is cancelled already stays so.

    Raises
    ------
    JobEndedError
        If it has ended otherwise, or is publishing its result.
    """
    job = step(
        engine,
        job_id,
        at=at,
        in_phase="",
        status="dismissed",
        message="已取消",
        finished=at,
        dismissed_by=actor,
        pid=None,
        pid_started=None,
    )
    if job is not None:
        return job
    job = found(engine, job_id)
    if job.status == "dismissed":
        return job
    if job.status in OPEN:
        raise JobEndedError("任务正在把成果写入工作区，不能取消了")
    raise JobEndedError(f"任务{STATUSES[job.status]}，不能取消了")


def next_in_line(waiting: Sequence[Job], begun: Sequence[Job], held: Collection[str]) -> Job | None:
    """Which waiting job is to run: of those who wait, one has the turn who was served longest ago.

    Parameters
    ----------
    waiting : sequence of Job
    begun : sequence of Job
        Those that ran or run; the latest of each person counts.
    held : collection of str
        Ids of waiting jobs that may not run now.
    """
    served: dict[str, str] = {}
    busy: dict[str, int] = {}
    for job in begun:
        served[job.created_by] = max(served.get(job.created_by, ""), job.started or "")
        busy[job.created_by] = busy.get(job.created_by, 0) + (job.status == "running")
    free = [job for job in waiting if job.id not in held]
    # One that was interrupted has had its turn already: it goes first.
    return min(
        free,
        key=lambda job: (
            job.attempt == 0,
            busy.get(job.created_by, 0),
            served.get(job.created_by, ""),
            job.serial,
        ),
        default=None,
    )


def changes(engine: Engine, job_id: str, after: int) -> list[dict[str, Any]]:
    """Changes of a job with a number beyond ``after``, in order: ``seq, at, status, progress, step, message``."""
    asked = sa.select(events).where(events.c.job_id == job_id, events.c.seq > after).order_by(events.c.seq)
    with _reading(engine) as base:
        return [
            {name: value for name, value in row._mapping.items() if name != "job_id"}  # noqa: SLF001 - its public name
            for row in base.execute(asked)
        ]


def counts(engine: Engine) -> dict[Status, int]:
    """How many jobs are in each state."""
    asked = sa.select(jobs.c.status, sa.func.count()).group_by(jobs.c.status)
    with _reading(engine) as base:
        return dict.fromkeys(STATUSES, 0) | {row[0]: row[1] for row in base.execute(asked)}


def forget(engine: Engine, *, keep: int) -> list[str]:
    """Remove the rows of ended jobs but the newest; their ids."""
    ended = sa.select(jobs.c.id).where(jobs.c.status.in_(sorted(ENDED))).order_by(jobs.c.serial.desc())
    with _reading(engine) as base:
        gone = list(base.execute(ended).scalars())[keep:]
    if gone:
        with engine.begin() as base:
            for table, column in ((events, events.c.job_id), (keys, keys.c.job_id), (jobs, jobs.c.id)):
                base.execute(table.delete().where(column.in_(gone)))
    return gone


def _note(base: sa.Connection, job_id: str) -> None:
    """Write a job's state as its newest change."""
    told = sa.select(
        jobs.c.id, jobs.c.seq, jobs.c.updated, jobs.c.status, jobs.c.progress, jobs.c.step, jobs.c.message
    ).where(jobs.c.id == job_id)
    base.execute(
        events.insert().from_select(["job_id", "seq", "at", "status", "progress", "step", "message"], told)
    )


def _job(row: sa.Row[Any]) -> Job:
    values = dict(row._mapping)  # noqa: SLF001 - its public name
    values["asked"], values["inputs"] = json.loads(values["asked"]), json.loads(values["inputs"])
    values["results"] = None if values["results"] is None else json.loads(values["results"])
    limited = values["villages"]
    values["villages"] = None if limited is None else frozenset(json.loads(limited))
    values["kept"] = bool(values["kept"])
    return Job(**values)
