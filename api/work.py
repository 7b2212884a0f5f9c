"""One job in a process of its own: ``python -m api.work SPEC``; what it does is told as JSON lines on stdout.

The process leads a group, so that a cancelled job goes with all its workers; it
ends by itself when the service that started it does; and its memory goes back
when it ends. It writes into the job's folder alone, never into the workspace.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from api.task import FILES, WORKSPACE_VARIABLE, Task, Teller, write_index
from api.tasks import WORK
from geo.errors import GeoError, ShiftError


def main(arguments: list[str]) -> int:
    """Do the job of a spec; 0 if it was done."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints goes to the log
    threading.Thread(target=_end_with_service, daemon=True).start()
    folder = Path(arguments[0]).resolve().parent
    spec = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    if hasattr(os, "nice"):
        os.nice(int(spec["nice"]))
    teller = Teller(out=pipe)
    task = Task(
        process=spec["process"],
        inputs=spec["inputs"],
        villages=None if spec["villages"] is None else frozenset(spec["villages"]),
        folder=folder,
        tiles=Path(spec["tiles"]),
        url=os.environ[WORKSPACE_VARIABLE],
        threads=int(spec["threads"]),
        editions=spec["editions"],
        teller=teller,
    )
    try:
        task.out.mkdir(parents=True, exist_ok=True)
        made = WORK[task.process](task)
        write_index(task.folder)
    except ShiftError as error:
        _keep_shifts(task, error)
        write_index(task.folder)
        teller.end("failed", code="shift", message=f"{_without_paths(str(error), task)}；见偏移表")
    except GeoError as error:
        teller.end("failed", code=type(error).__name__, message=_without_paths(str(error), task))
    except MemoryError:
        teller.end("failed", code="memory", message="内存不足；请关闭其他程序，或减少线程数后重新运行")
    except Exception:  # noqa: BLE001 - whatever it is, the job's row says so and the log has it whole
        traceback.print_exc()
        teller.end("failed", code="fault", message="程序内部出错，已记入任务日志；请联系管理员")
    else:
        teller.end("done", numbers=made.numbers, message=made.message, publish=list(made.publish))
        return 0
    return 1


def _end_with_service() -> None:
    """Whoever started this holds the other end of stdin: when that is gone, so is the job."""
    while os.read(0, 1024):  # Python's own reader would hold a lock that its end waits for
        pass
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _without_paths(text: str, task: Task) -> str:
    """A message with names in place of the server's folders."""
    roots = {
        str(task.folder / FILES),
        str(task.folder),
        *(str(Path(one).parent) for one in _paths(task.inputs)),
    }
    if "://" not in task.url:
        roots.add(str(Path(task.url).parent))
    for root in sorted(roots - {"/", "."}, key=len, reverse=True):
        text = text.replace(f"{root}{os.sep}", "").replace(root, "服务器文件夹")
    return text.replace(task.url, "工作区") if "://" in task.url else text


def _paths(value: Any) -> Iterator[str]:  # noqa: ANN401 - inputs of any form
    """Every path among inputs."""
    if isinstance(value, str):
        if Path(value).is_absolute():
            yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _paths(one)
    elif isinstance(value, list):
        for one in value:
            yield from _paths(one)


def _keep_shifts(task: Task, error: ShiftError) -> None:
    from geo.exchange.shift_file import write_shifts  # noqa: PLC0415 - of this case alone

    write_shifts(error.shifts, task.out / "偏移表.csv")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
