"""The same work for many things, on several processes, with results in the order of the things."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final, TypeVar

from geo.errors import OutputError

Thing = TypeVar("Thing")
Shared = TypeVar("Shared")
Result = TypeVar("Result")
Tell = Callable[[int, int, str], None]  # how many are done, of how many, and the last one's name

AGAIN: Final = "请减少 --jobs 后重新运行"  # what to do where nothing is kept of a run that was stopped
_AHEAD: Final = 2  # things waiting for each process: no more are held in memory


def cores(jobs: int) -> int:
    """Number of processes or threads for a setting: 0 is every core this process may use."""
    if jobs > 0:
        return jobs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(  # noqa: PLR0913 - what a spread is made of, by name
    work: Callable[[Thing, Shared], Result],
    things: Sequence[Thing],
    shared: Shared,
    *,
    workers: int,
    tell: Tell | None = None,
    name: Callable[[Thing], str] = str,
    begin: Callable[[], None] | None = None,
    advice: str = AGAIN,
) -> list[Result]:
    """``work(thing, shared)`` for every thing.

    Parameters
    ----------
    work : function of a module, of a thing and what all share
        Things, what is shared and results go between processes.
    things, shared
        ``shared`` is sent to each process once.
    workers : int
        Processes; with one, the work is done here.
    tell : callable, optional
        Called after each.
    name : callable
        What to call a thing when telling.
    begin : function of a module, optional
        Called in each further process before its first thing; not where the work is done here.
    advice : str
        What the user is to do if the system ended a process, to finish the message.

    Returns
    -------
    list
        Results in the order of ``things``, whoever was done first.

    Raises
    ------
    OutputError
        If the system ended a process.
    """
    say = tell or (lambda _done, _total, _name: None)
    say(0, len(things), "")
    if workers <= 1 or len(things) <= 1:
        results = []
        for at, thing in enumerate(things, start=1):
            results.append(work(thing, shared))
            say(at, len(things), name(thing))
        return results
    # A fresh process each: one that is forked takes over locks that other threads hold.
    context = multiprocessing.get_context("spawn")
    done: dict[int, Result] = {}
    with ProcessPoolExecutor(
        min(workers, len(things)), mp_context=context, initializer=_begin, initargs=((work, shared), begin)
    ) as pool:
        waiting: dict[Future[Result], int] = {}
        rest = iter(enumerate(things))
        try:
            while len(done) < len(things):
                for at, thing in rest:
                    waiting[pool.submit(_one, thing)] = at
                    if len(waiting) >= workers * _AHEAD:
                        break
                ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ready:
                    at = waiting.pop(future)
                    done[at] = future.result()
                    say(len(done), len(things), name(things[at]))
        except BrokenProcessPool as error:
            raise OutputError(f"工作进程被系统中止（多半是内存不足）：{advice}") from error
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
    return [done[at] for at in range(len(things))]


_task: list[Any] = []  # of this process: the work and what is shared


def _begin(task: Any, first: Callable[[], None] | None) -> None:  # noqa: ANN401 - whatever the work shares
    if first is not None:
        first()
    _task[:] = task
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A run that is killed takes its workers along: they would wait for work for ever."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _one(thing: Any) -> Any:  # noqa: ANN401 - whatever the work takes and gives
    work, shared = _task
    return work(thing, shared)
