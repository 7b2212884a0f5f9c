"""Bringing a workspace to what this version of the store needs.

What only adds (layers, columns, indexes) follows from the dictionary of columns
and needs no number. What changes rows that are there is a numbered step, done
once: `STEPS` grows at its end and never changes before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Table, insert, select

from geo import schema
from geo.errors import WorkspaceError
from geo.store.backend import Backend
from geo.workspace.records import EDITIONS
from geo.workspace.records import STEPS as STEPS_TABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A change of rows that are there, from one version of the store to the next."""

    number: int
    title: str
    run: Callable[[Connection, dict[str, Table]], None]


def _mirror_states(connection: Connection, tables: dict[str, Table]) -> None:
    mirror_states(connection, tables)


STEPS: Final = (Step(number=1, title="图块状态取自核查登记", run=_mirror_states),)


def mirror_states(connection: Connection, tables: dict[str, Table]) -> None:
    """Set ``pieces.state`` to that of the record, where a piece has one."""
    cases, pieces = tables["cases"], tables["pieces"]
    state = select(cases.c.state).where(cases.c.piece_key == pieces.c.piece_key).scalar_subquery()
    held = select(cases.c.piece_key).where(cases.c.state.is_not(None))
    connection.execute(pieces.update().where(pieces.c.piece_key.in_(held)).values(state=state))


def complete(backend: Backend) -> None:
    """Add what the workspace lacks and do the steps it has not seen, in one transaction.

    Raises
    ------
    WorkspaceError
        If it was opened by a newer version, whose steps this one does not know.
    """
    with backend.reading() as connection:
        done = _done(connection, backend)
        if done == len(STEPS) and not _lacking(connection, backend) and not backend.unindexed(connection):
            return
    with backend.writing() as connection:
        there = backend.present(connection)
        for name in (STEPS_TABLE, EDITIONS, *schema.LAYER_TITLES):
            if name not in there:
                backend.create(connection, name)
        for layer in schema.LAYER_TITLES:
            if layer in there:
                for column in schema.columns(layer):
                    if column.name not in there[layer]:
                        backend.add_column(connection, layer, column)
        for layer, name, unique in backend.unindexed(connection):
            backend.index(connection, layer, name, unique=unique)
        for step in STEPS[_done(connection, backend) :]:
            step.run(connection, backend.tables)
            connection.execute(
                insert(backend.tables[STEPS_TABLE]).values(number=step.number, title=step.title)
            )


def _done(connection: Connection, backend: Backend) -> int:
    if STEPS_TABLE not in backend.present(connection):
        return 0
    table = backend.tables[STEPS_TABLE]
    numbers = sorted(connection.execute(select(table.c.number)).scalars())
    if numbers != [step.number for step in STEPS[: len(numbers)]]:
        raise WorkspaceError("工作区由更新版本的程序登记过数据：请用新版程序打开")
    return len(numbers)


def _lacking(connection: Connection, backend: Backend) -> bool:
    there = backend.present(connection)
    wanted = {STEPS_TABLE: set[str](), EDITIONS: set()} | {
        layer: set(schema.column_names(layer)) for layer in schema.LAYER_TITLES
    }
    return any(name not in there or columns - there[name] for name, columns in wanted.items())
