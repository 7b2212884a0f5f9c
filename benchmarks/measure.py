"""One contestant in a process of its own: its wall and CPU seconds, and its own peak memory."""

import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run took, and what it says of its result."""

    name: str
    wall_s: float
    cpu_s: float
    peak_mb: float  # of the whole process, inputs included
    load: float  # of the machine as it began: over its cores, wall seconds mean little
    result: dict[str, Any]


def measured(name: str, prepare: Callable[[], Any], work: Callable[[Any], dict[str, Any]]) -> Run:
    """Run ``work`` on what ``prepare`` gives, in a fresh process; only ``work`` is timed.

    Raises
    ------
    RuntimeError
        If the process fails; its own traceback is on stderr.
    """
    context = multiprocessing.get_context("spawn")
    inlet, outlet = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(outlet, name, prepare, work))
    process.start()
    outlet.close()
    try:
        told = inlet.recv()
    except EOFError as error:
        message = f"{name}: the process ended without a result"
        raise RuntimeError(message) from error
    finally:
        process.join()
    return Run(**json.loads(told))


def _run(outlet: Any, name: str, prepare: Callable[[], Any], work: Callable[[Any], dict[str, Any]]) -> None:  # noqa: ANN401 - a pipe's end
    given = prepare()
    load = os.getloadavg()[0]
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(given)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = _peak_mb()
    outlet.send(
        json.dumps(asdict(Run(name=name, wall_s=wall, cpu_s=cpu, peak_mb=peak, load=load, result=result)))
    )


def _peak_mb() -> float:
    """Most memory this process ever held; getrusage would add what its parent held when it was forked."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(runs: list[Run], against: str) -> str:
    """Best run of each contestant, as a Markdown table; ratios are those of ``against`` to it."""
    best = {name: min((r for r in runs if r.name == name), key=lambda r: r.wall_s) for name in _names(runs)}
    least_cpu = {name: min(r.cpu_s for r in runs if r.name == name) for name in best}
    lines = [
        "| contestant | wall s | CPU s | peak MB | times as fast (wall) | (CPU) | load |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, run in best.items():
        lines.append(
            f"| {name} | {run.wall_s:.2f} | {least_cpu[name]:.2f} | {run.peak_mb:.0f} "
            f"| {best[against].wall_s / run.wall_s:.2f} | {least_cpu[against] / least_cpu[name]:.2f} | {run.load:.1f} |"
        )
    return "\n".join(lines)


def _names(runs: list[Run]) -> list[str]:
    return list(dict.fromkeys(run.name for run in runs))
