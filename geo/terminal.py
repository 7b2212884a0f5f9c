"""What all commands share: their words for wrong use, their exit status, the bar while one waits.

Exit status: 0 done, 1 done with findings of severity error, 2 wrong use or
unreadable input. Results go to stdout, progress to stderr.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import Annotated, Final, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from geo.errors import GeoError

P = ParamSpec("P")
R = TypeVar("R")

WITH_ERRORS: Final = 1
UNUSABLE: Final = 2

AsJson = Annotated[bool, typer.Option("--json", help="在标准输出打印机器可读的摘要")]
WorkspacePath = Annotated[str, typer.Argument(help="成果文件 .gpkg，或 postgresql:// 数据库地址")]

screen = Console(stderr=True)


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what the user must mend into one clear line."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except GeoError as error:
            sys.stderr.write(f"错误：{error}\n")
            raise typer.Exit(UNUSABLE) from error
        except MemoryError as error:
            sys.stderr.write("错误：内存不足；请关闭其他程序，或分乡镇运行\n")
            raise typer.Exit(UNUSABLE) from error

    return run


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on a terminal; nothing elsewhere."""
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
    )
    with shown if screen.is_terminal else nullcontext():
        task = shown.add_task(title, total=None)
        yield lambda done, total, name: shown.update(
            task, completed=done, total=total, description=name or title
        )
