"""The pool that does the jobs: a bounded number of processes, and what becomes of each job however it ends.

The result of a job is published in one transaction, after which nothing can
undo it; before that a job can be cancelled, killed or cut off at any moment and
leaves the workspace as it was. Whatever was running when the service ended is
put back into the queue when it starts again.
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import IO, Any, Final

from fastapi import FastAPI

from api import jobs as table
from api.jobs import Job, stamp
from api.limits import JobSettings
from api.processes import PROCESSES
from api.task import FILES, INDEX, LOG, RESULT, SPEC, WORKSPACE_VARIABLE
from api.uploads import sweep
from geo import workspace
from geo.atomic import whole_file
from geo.errors import GeoError, StaleError
from geo.store import EVERYTHING, Store
from geo.store.query import All, Compare

_LOG: Final = logging.getLogger("api.jobs")
# The layer a result goes on from: codes given meanwhile must not be lost, sheets of land that is gone not be listed.
_BASIS: Final = {"reconcile": "code_register", "sheets": "pieces"}
_MOST_ATTEMPTS: Final = 3
_TICK_S: Final = 1.0
_WRITE_EVERY_S: Final = 0.5


@dataclass(slots=True, kw_only=True, eq=False)
class _Running:
    job: Job
    process: subprocess.Popen[bytes] | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Pool:
    """Jobs of one service: taken from the table one after another, each done in a process of its own."""

    def __init__(self, store: Store, settings: JobSettings, *, clock: Callable[[], datetime]) -> None:
        self.store = store
        self.settings = settings
        self.engine = store.private()
        self.beat = 0  # grows with every change of any job: who listens need not ask the database
        self.streams = 0  # listeners now; counted in the event loop alone
        self.stopping = threading.Event()
        self._clock = clock
        self._changed = threading.Condition()
        self._running: dict[str, _Running] = {}
        self._readers: dict[str, int] = {}
        self._dispatcher: threading.Thread | None = None

    @property
    def runs(self) -> Path:
        """Folder with a folder for each job."""
        return self.store.folder / "runs"

    def folder(self, job_id: str) -> Path:
        """Folder of a job."""
        return self.runs / job_id

    def now(self) -> str:
        """The time of day, as the table keeps it."""
        return stamp(self._clock())

    def start(self) -> None:
        """Take up what was left of the time before, and begin to work."""
        self.stopping.clear()
        table.create_tables(self.engine)
        self.runs.mkdir(parents=True, exist_ok=True)
        self._recover()
        self._dispatcher = threading.Thread(target=self._dispatch, name="jobs", daemon=True)
        self._dispatcher.start()

    def stop(self) -> None:
        """End the running processes and put their jobs back into the queue, for the next start."""
        self.stopping.set()
        self._tell()
        if self._dispatcher is not None:
            self._dispatcher.join()
        with self._changed:
            left = list(self._running.values())
        for one in left:
            self._end(one)
        for one in left:
            one.ended.wait()

    def submit(  # noqa: PLR0913 - what a job is asked with
        self,
        process: str,
        inputs: Mapping[str, Any],
        *,
        asked: Mapping[str, Any] | None = None,
        actor: str,
        villages: Collection[str] | None,
        key: str | None = None,
    ) -> tuple[Job, bool]:
        """Put a job into the queue, as `api.jobs.submit`."""
        job, new = table.submit(
            self.engine,
            process,
            inputs,
            asked=asked,
            actor=actor,
            villages=villages,
            at=self.now(),
            key=key,
            most_waiting=self.settings.most_waiting,
        )
        self._tell()
        return job, new

    def cancel(self, job_id: str, *, actor: str) -> Job:
        """Cancel a job and remove what it made, as `api.jobs.dismiss`."""
        job = table.dismiss(self.engine, job_id, actor=actor, at=self.now())
        with self._changed:
            running = self._running.get(job_id)
        if running is None:
            self._remove(job_id)
        else:
            self._end(running)
        self._tell()
        return job

    @contextmanager
    def reading(self, job_id: str) -> Iterator[None]:
        """Keep a job's files for as long as this lasts."""
        with self._changed:
            self._readers[job_id] = self._readers.get(job_id, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._readers[job_id] -= 1
                if not self._readers[job_id]:
                    del self._readers[job_id]

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return table.counts(self.engine)

    # What follows runs in threads of the pool.

    def _tell(self) -> None:
        with self._changed:
            self.beat += 1
            self._changed.notify_all()

    def _dispatch(self) -> None:
        while not self.stopping.is_set():
            try:
                begun = self._begin_one()
            except Exception:  # noqa: BLE001 - a full disk or a locked database passes; the queue stays
                _LOG.exception("任务调度出错")
                begun = False
            if not begun:
                with self._changed:
                    self._changed.wait(_TICK_S)

    def _begin_one(self) -> bool:
        """Begin the next job, if there is room and one may run."""
        with self._changed:
            now = [one.job for one in self._running.values()]
        if len(now) >= self.settings.workers:
            return False
        waiting = table.listed(self.engine, statuses={"accepted"})[::-1]
        if not waiting:
            return False
        locked = {PROCESSES[job.process].lock for job in now} - {""}
        held = {job.id for job in waiting if PROCESSES[job.process].lock in locked}
        begun = table.listed(self.engine, statuses=set(table.STATUSES) - {"accepted"}, limit=200)
        chosen = table.next_in_line(waiting, begun, held)
        if chosen is None:
            return False
        at = self.now()
        job = table.step(
            self.engine,
            chosen.id,
            at=at,
            within={"accepted"},
            status="running",
            message="开始运行",
            started=chosen.started or at,
            attempt=chosen.attempt + 1,
        )
        if job is None:  # cancelled in this moment
            return True
        running = _Running(job=job)
        with self._changed:
            self._running[job.id] = running
            self.beat += 1
        threading.Thread(target=self._do, args=(running,), name=f"job {job.id}", daemon=True).start()
        return True

    def _do(self, running: _Running) -> None:
        job = running.job
        try:
            results = job.results if job.phase == table.PUBLISHING else None
            if results is None:
                results = self._work(running)
            if results is not None:
                self._publish(job.id, results)
        except Exception as error:  # noqa: BLE001 - the service stands whatever becomes of a job
            _LOG.exception("任务 %s", job.id)
            self._fail(job.id, _reason(error))
        finally:
            if running.process is not None and running.process.returncode is None:
                _signal(running.process, _KILL)
                _wait(running.process)
            with self._changed:
                self._running.pop(job.id, None)
            with suppress(Exception):
                self._tidy(job.id)
            running.ended.set()
            self._tell()

    def _work(self, running: _Running) -> dict[str, Any] | None:
        """Run the job's process; what it made, or None if it ended otherwise, which the table then says."""
        job = running.job
        folder = self.folder(job.id)
        folder.mkdir(parents=True, exist_ok=True)
        basis = self.store.edition(_BASIS[job.process]) if job.process in _BASIS else None
        self._write_spec(job, folder)
        with (folder / LOG).open("ab") as log:
            process = _started(folder / SPEC, self.store.url, log)
        with self._changed:
            running.process = process
        pid = {"pid": process.pid, "pid_started": began(process.pid)}
        if self._step(job.id, basis=basis, **pid) is None or self.stopping.is_set():
            self._end(running)
        end = self._listen(running, process)
        if end.get("end") == "done":
            return {"numbers": end["numbers"], "message": end["message"], "publish": end["publish"]}
        if end.get("end") == "failed":
            self._fail(job.id, str(end["message"]), code=str(end["code"]))
        elif self.stopping.is_set():
            self._again(job, "服务停止时中断，启动后接着运行")
        else:
            self._again(job, "工作进程被系统中止（多半是内存不足），接着运行")
        return None

    def _write_spec(self, job: Job, folder: Path) -> None:
        spec = {
            "process": job.process,
            "inputs": job.inputs,
            "villages": None if job.villages is None else sorted(job.villages),
            "tiles": str(self.store.folder / "tiles"),
            "threads": self.settings.threads,
            "nice": self.settings.nice,
            "editions": {
                name: self.store.edition(name)
                for name in job.inputs.get("layers", ())
                if job.process == "tiles"
            },
        }
        with whole_file(folder / SPEC) as scratch:
            scratch.write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")

    def _listen(self, running: _Running, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Bring what the process tells into the table until it is gone; its last line."""
        end: dict[str, Any] = {}
        step, written = "", 0.0
        pipe = process.stdout
        for line in pipe if pipe is not None else ():
            try:
                told = json.loads(line)
            except ValueError:  # cut off in the middle
                continue
            if "end" in told:
                end = told
            elif told["step"] != step or monotonic() - written >= _WRITE_EVERY_S:
                step, written = told["step"], monotonic()
                if self._step(running.job.id, **told) is None:
                    self._end(running)
        _wait(process)
        return end

    def _publish(self, job_id: str, results: dict[str, Any]) -> None:
        """Put a result into the workspace, once, and call the job done."""
        ready = self._step(
            job_id, phase=table.PUBLISHING, progress=99, step="写入工作区", message="", results=results
        )
        if ready is None:  # cancelled
            return
        layers, message = tuple(results["publish"]), results["message"]
        if layers and ready.process == "sheets" and not self._same_run(ready):
            layers, message = (), f"{message}；出图期间成果已更新，图幅图层未改"
        if layers and not self._published(ready):
            made = workspace.open(self.folder(job_id) / RESULT)
            since = None
            if ready.process == "reconcile" and ready.basis is not None:
                since = {_BASIS["reconcile"]: ready.basis}
            try:
                self.store.replace_layers(
                    made, actor=ready.created_by, why=_why(ready), layers=layers, since=since
                )
            except StaleError:
                self._again(ready, "运行期间图块编号有变动，按新的编号重新套合")
                return
        at = self.now()
        table.step(
            self.engine,
            job_id,
            at=at,
            within={"running"},
            status="successful",
            phase="",
            progress=100,
            step="完成",
            message=message,
            results={**results, "publish": list(layers)},
            finished=at,
            pid=None,
            pid_started=None,
        )

    def _same_run(self, job: Job) -> bool:
        """Whether the workspace still holds the run that a job saw."""
        now = self.store.edition(_BASIS[job.process])
        return job.basis is None or job.basis.partition("-")[0] == now.partition("-")[0]

    def _published(self, job: Job) -> bool:
        """Whether the service was ended between publishing and saying so."""
        if job.attempt == 1:
            return False
        said = All((Compare("action", "=", "replace"), Compare("why", "=", _why(job))))
        return self.store.count("audit", said, EVERYTHING) > 0

    def _step(self, job_id: str, **values: Any) -> Job | None:  # noqa: ANN401 - columns of the table
        job = table.step(self.engine, job_id, at=self.now(), within={"running"}, **values)
        self._tell()
        return job

    def _fail(self, job_id: str, message: str, *, code: str = "fault") -> None:
        at = self.now()
        self._step(
            job_id,
            status="failed",
            phase="",
            step="失败",
            message=message,
            results={"code": code, "message": message, "numbers": {}, "publish": []},
            finished=at,
            pid=None,
            pid_started=None,
        )

    def _again(self, job: Job, note: str) -> None:
        """Put a job that was cut off back into the queue, but not for ever."""
        if job.attempt >= _MOST_ATTEMPTS:
            cause = note.partition("，")[0]
            self._fail(job.id, f"已中断 {job.attempt} 次，不再重试（{cause}）；请联系管理员")
            return
        self._step(
            job.id,
            status="accepted",
            phase="",
            step="等待接着运行",
            message=note,
            note=note,
            results=None,
            pid=None,
            pid_started=None,
        )

    def _end(self, running: _Running) -> None:
        """Have a job's process group end: asked first, then made to."""
        process = running.process
        if process is None or running.ended.is_set():
            return
        _signal(process, signal.SIGTERM)

        def kill() -> None:
            if not running.ended.wait(self.settings.end_after_s):
                _signal(process, _KILL)

        threading.Thread(target=kill, daemon=True).start()

    def _tidy(self, job_id: str) -> None:
        """Remove what an ended job leaves over, and the folders of the oldest."""
        job = table.load(self.engine, job_id)
        if job is None or job.status == "dismissed":
            self._remove(job_id)
        elif job.status == "failed":
            for path in self.folder(job_id).glob("*"):
                if path.name not in {FILES, INDEX, LOG}:
                    _delete(path)
        elif job.status == "successful":
            for path in self.folder(job_id).glob(f"{RESULT}.part"):
                _delete(path)
        self._prune()

    def _prune(self) -> None:
        """Remove folders beyond the number and the bytes that are kept."""
        ended = table.listed(self.engine, statuses=table.ENDED, limit=self.settings.keep_rows)
        newest: set[str] = set()
        held = 0
        for at, job in enumerate(one for one in ended if one.kept):
            first = job.status == "successful" and job.process not in newest
            newest |= {job.process} if first else set()
            held += _size(self.folder(job.id))
            much = at >= self.settings.keep_runs or held > self.settings.keep_bytes
            if much and not first and not self._read_now(job.id):
                self._remove(job.id)
        for job_id in table.forget(self.engine, keep=self.settings.keep_rows):
            self._remove(job_id)

    def _read_now(self, job_id: str) -> bool:
        with self._changed:
            return job_id in self._readers

    def _remove(self, job_id: str) -> None:
        _delete(self.folder(job_id))
        table.step(self.engine, job_id, at=self.now(), within=table.ENDED, kept=False)

    def _recover(self) -> None:
        """What a service that was killed left: its processes ended, its jobs in the queue again."""
        for job in table.listed(self.engine, statuses={"running"})[::-1]:
            end_orphan(job.pid, job.pid_started)
            if job.phase == table.PUBLISHING and job.attempt < _MOST_ATTEMPTS:
                note = "服务重启，接着写入工作区"
                self._step(job.id, status="accepted", message=note, note=note, pid=None, pid_started=None)
            else:
                self._again(job, f"服务重启，接着运行（第 {job.attempt + 1} 次）")
        known = {job.id: job for job in table.listed(self.engine, limit=self.settings.keep_rows * 2)}
        for path in self.runs.iterdir():
            if path.name not in known or known[path.name].status == "dismissed":
                _delete(path)


def _why(job: Job) -> str:
    return f"任务 {job.id} {PROCESSES[job.process].title}"


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, GeoError) else "服务内部出错，已记入日志；请联系管理员"


_KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)


def _started(spec: Path, url: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(  # noqa: S603 - this program itself, with a path it made
        [sys.executable, "-m", "api.work", str(spec)],
        stdin=subprocess.PIPE,  # held open: when the service is gone, the job ends
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=spec.parent,
        env={**os.environ, "PYTHONPATH": path, WORKSPACE_VARIABLE: url, "PYTHONUTF8": "1"},
        start_new_session=True,
    )


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process and end what is left of its group."""
    if hasattr(os, "waitid"):  # not yet reaped, so that the group's number is surely its own
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        _signal(process, _KILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        else:
            process.terminate()


def began(pid: int) -> str | None:
    """When a process began, in ticks since the machine did: with the number it names a process for ever."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def end_orphan(pid: int | None, started: str | None) -> bool:
    """End the process group of a job whose service is gone, if it is surely that one."""
    if pid is None or started is None or began(pid) != started or not hasattr(os, "killpg"):
        return False
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, _KILL)
        return True
    return False


def _size(folder: Path) -> int:
    """Bytes of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def attach(app: FastAPI, settings: JobSettings) -> Pool:
    """Give a service its pool, as ``app.state.pool``: it works from the service's start to its end."""
    pool = Pool(app.state.store, settings, clock=app.state.settings.clock)
    app.state.pool = pool
    app.state.metrics.jobs = pool.counts
    app.state.lifetime.starting += [lambda: sweep(app.state.store.folder / "uploads"), pool.start]
    app.state.lifetime.closing.append(pool.stop)
    return pool
