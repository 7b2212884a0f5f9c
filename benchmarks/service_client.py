"""Asking a service from another process: requests of several threads over kept connections, timed one by one."""

import http.client
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

TIMEOUT: Final = 120
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where something answers, who asks, and the processes whose CPU it costs."""

    address: str
    pids: tuple[int, ...]
    headers: Mapping[str, str] = field(default_factory=dict)

    def cpu_s(self) -> float:
        """CPU seconds of its processes and of all they started."""
        return sum(_cpu_s(pid) for pid in _descendants(self.pids))

    def memory_mb(self) -> float:
        """Memory of its own that its first process holds: pages of the mapped file are the system's."""
        status = Path(f"/proc/{self.pids[0]}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) / 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, whole, as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    first_ms: float  # until its first byte
    ms: float  # until its last


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a number of requests took."""

    name: str
    threads: int
    wall_s: float
    cpu_ms: float  # of the service, for one request
    answers_ms: list[float]
    kb: float  # of a body, as sent

    @property
    def a_second(self) -> float:
        """Requests a second."""
        return len(self.answers_ms) / self.wall_s

    def quantile(self, share: float) -> float:
        """Milliseconds within which a share of requests was answered."""
        return quantile(self.answers_ms, share)

    def row(self) -> str:
        """One line of a Markdown table, but for the memory that is held after it."""
        return (
            f"| {self.name} | {len(self.answers_ms)} | {self.threads} | {self.a_second:.0f} | {self.quantile(0.5):.1f} "
            f"| {self.quantile(0.95):.1f} | {self.cpu_ms:.1f} | {self.kb:.0f} |"
        )


HEADING: Final = (
    "| request | number | at once | a second | p50 ms | p95 ms | CPU ms each | KB | MB held |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)


class Line:
    """One kept connection."""

    def __init__(self, service: Service) -> None:
        self._headers = {"Accept-Encoding": "gzip", **service.headers}
        self._held = http.client.HTTPConnection(urlsplit(service.address).netloc, timeout=TIMEOUT)

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """Ask and read the whole answer."""
        sent = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        begun = time.perf_counter()
        self._held.request(method, path, body, sent)
        response = self._held.getresponse()
        start = response.read(1)
        first = time.perf_counter()
        whole = start + response.read()
        ended = time.perf_counter()
        return Answer(
            status=response.status,
            headers={name.lower(): value for name, value in response.getheaders()},
            body=whole,
            first_ms=(first - begun) * 1000,
            ms=(ended - begun) * 1000,
        )

    def close(self) -> None:
        """Let it go."""
        self._held.close()


def load(name: str, service: Service, paths: Iterable[str], *, threads: int = 4) -> Load:
    """Ask for every path, several at once.

    Raises
    ------
    RuntimeError
        If an answer is no success.
    """
    todo = _Shared(iter(paths))
    begun, before = time.perf_counter(), service.cpu_s()
    with ThreadPoolExecutor(threads) as pool:
        parts = [
            task.result() for task in [pool.submit(partial(_drain, service, todo)) for _ in range(threads)]
        ]
    wall, cpu = time.perf_counter() - begun, service.cpu_s() - before
    answers = [one for part in parts for one in part]
    return Load(
        name=name,
        threads=threads,
        wall_s=wall,
        cpu_ms=cpu * 1000 / len(answers),
        answers_ms=[ms for ms, _ in answers],
        kb=statistics.fmean(size for _, size in answers) / 1024,
    )


def taken(name: str, service: Service, work: Callable[[Line], Iterable[Answer]]) -> Load:
    """What one connection's requests take that need one another's answers."""
    line = Line(service)
    begun, before = time.perf_counter(), service.cpu_s()
    answers = [checked(answer, name) for answer in work(line)]
    wall, cpu = time.perf_counter() - begun, service.cpu_s() - before
    line.close()
    return Load(
        name=name,
        threads=1,
        wall_s=wall,
        cpu_ms=cpu * 1000 / len(answers),
        answers_ms=[answer.ms for answer in answers],
        kb=statistics.fmean(len(answer.body) for answer in answers) / 1024,
    )


def checked(answer: Answer, what: str) -> Answer:
    """The answer, if it is a success.

    Raises
    ------
    RuntimeError
        If it is not.
    """
    if answer.status not in {200, 204}:
        message = f"{what}: {answer.status} {answer.body[:300]!r}"
        raise RuntimeError(message)
    return answer


def quantile(values: list[float], share: float) -> float:
    """The value that a share of them does not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


class _Shared:
    """An iterator several threads may draw from."""

    def __init__(self, held: Iterator[str]) -> None:
        self._held = held
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        with self._lock:
            return next(self._held)


def _drain(service: Service, todo: Iterable[str]) -> list[tuple[float, int]]:
    line = Line(service)
    try:
        answers = ((path, line.ask(path)) for path in todo)
        return [(answer.ms, len(checked(answer, path).body)) for path, answer in answers]
    finally:
        line.close()


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu_s(pid: int) -> float:
    try:
        return sum(map(int, _stat(pid)[11:15])) / _TICKS  # its own, and that of children that ended
    except OSError:
        return 0.0  # it ended meanwhile


def _descendants(pids: Iterable[int]) -> set[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except OSError:
                continue
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found
