"""What a job is to the process that does it: the task, who is told of it, and the files it leaves.

The service reads this too, so it imports nothing that takes long to load.
"""

import json
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import IO, Any, Final

from geo.atomic import whole_file

WORKSPACE_VARIABLE: Final = "TAOTU_JOB_WORKSPACE"  # a URL may hold a password: it is in no file
FILES: Final = "files"  # folder of what is downloaded
WORK_COPY: Final = "work.gpkg"
RESULT: Final = "result.gpkg"  # what is published
INDEX: Final = "files.json"
SPEC: Final = "spec.json"
LOG: Final = "log.txt"

_EVERY_S: Final = 0.2
_VILLAGE_DIGITS: Final = 12


@dataclass(slots=True, kw_only=True)
class Teller:
    """What is told of a job: the step in words, and how much of the whole is done."""

    out: IO[str]
    step: str = ""
    percent: int = 0
    _from: float = 0.0
    _to: float = 100.0
    _last: float = field(default=0.0)

    def stage(self, step: str, start: float, end: float) -> None:
        """Begin a step that takes the job from ``start`` to ``end`` percent."""
        self.step, self._from, self._to = step, start, end
        self._say(start, "")

    def tell(self, done: int, total: int, name: str) -> None:
        """How much of the step is done: what the functions of `geo` call."""
        share = done / total if total else 0.0
        message = f"{done}/{total} {name}".strip() if total else ""
        if done == total or monotonic() - self._last >= _EVERY_S:
            self._say(self._from + share * (self._to - self._from), message)

    def end(self, kind: str, **told: object) -> None:
        """The last line: ``done`` or ``failed``."""
        self._write({"end": kind, **told})

    def _say(self, percent: float, message: str) -> None:
        self._last = monotonic()
        self.percent = max(self.percent, min(99, int(percent)))  # done is what the service says
        self._write({"step": self.step, "progress": self.percent, "message": message})

    def _write(self, line: Mapping[str, object]) -> None:
        self.out.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.out.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be done, where, and who is told."""

    process: str
    inputs: Mapping[str, Any]  # of the process's model; files as paths of this machine
    villages: frozenset[str] | None  # of the one who asked
    folder: Path
    tiles: Path
    url: str
    threads: int
    editions: Mapping[str, str]
    teller: Teller

    @property
    def out(self) -> Path:
        """Folder of what is downloaded."""
        return self.folder / FILES

    def path(self, name: str) -> Path | None:
        """File of an input, if it was given."""
        value = self.inputs.get(name)
        return None if value is None else Path(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of a job."""

    numbers: Mapping[str, Any]
    message: str
    publish: tuple[str, ...] = ()  # layers of ``result.gpkg`` that go into the workspace


def file_part(edition: str) -> str:
    """An edition as a part of a file's name."""
    return "".join(sign if sign.isalnum() or sign in "._" else "_" for sign in edition)[:80] or "0"


def write_index(folder: Path) -> None:
    """List the files of a job: name, bytes, media type, and the village each belongs to, if it is one's."""
    root = folder / FILES
    listed = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if not path.is_file() or any(part.startswith(".") for part in parts):
            continue
        listed.append(
            {
                "name": "/".join(parts),
                "bytes": path.stat().st_size,
                "type": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
                "village": village_of(parts[0]),
            }
        )
    with whole_file(folder / INDEX) as scratch:
        scratch.write_text(json.dumps(listed, ensure_ascii=False), encoding="utf-8")


def village_of(name: str) -> str | None:
    """Village of a file by the code its name, or its folder's, begins with."""
    code = name[:_VILLAGE_DIGITS]
    return code if len(code) == _VILLAGE_DIGITS and code.isascii() and code.isdigit() else None
