"""The main job from files to a workspace: read, reconcile, write, and remember what it was made from.

A run is named by the content of its inputs, its settings and the versions of
the libraries that compute: same name, same workspace, byte for byte. No clock
is in it.
"""

import gc
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import geopandas as gpd
import pandas as pd

from geo import crs as systems
from geo import workspace
from geo.atomic import alone
from geo.datum import DatumShift
from geo.errors import OutputError, ShiftError, WorkspaceError
from geo.exchange import delivery, read
from geo.exchange.datum_file import DatumReading, read_datum
from geo.exchange.shift_file import write_shifts
from geo.findings import findings, joined
from geo.provenance import Run, hashes
from geo.reconcile import Reconciliation, Settings, reconcile
from geo.reconcile.checkpoint import open_checkpoint
from geo.reconcile.run import Progress
from geo.reconcile.sources import Sources
from geo.schema import GRID_FINDINGS, GRID_LAYERS

Told = Callable[[str], None]

_COLLECT_AFTER: Final = 50_000  # new objects; usual is 700, and every thread waits for each search


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Paths of the two maps and of what helps to read them; only the first two are needed."""

    survey: Path
    parcels: Path
    rights: Path | None = None
    villages: Path | None = None
    groups: Path | None = None
    baseline: Path | None = None
    survey_crs: str | None = None  # where a file does not say, and nothing else can tell
    parcels_crs: str | None = None
    baseline_crs: str | None = None
    datum: Path | None = None  # from an old datum to CGCS2000: parameters (.toml) or control points (.csv)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a run made, and how long each stage took."""

    result: Reconciliation
    run_id: str
    out: Path | str  # a file, or the URL of a database
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layers:
    """Everything that was read."""

    survey: read.Reading
    parcels: read.ParcelsReading
    villages: read.Reading | None = None
    groups: read.Reading | None = None
    baseline: read.Reading | None = None
    datum: DatumReading | None = None
    county_name: str = ""  # as the delivery folder says it
    chosen: tuple[pd.DataFrame, ...] = ()  # findings on files chosen, and on the file of the datum

    def readings(self) -> "dict[str, read.Reading | read.ParcelsReading]":
        """Those that are there, by role."""
        roles = ("survey", "parcels", "villages", "groups", "baseline")
        return {role: reading for role in roles if (reading := getattr(self, role)) is not None}

    def sources(self) -> Sources:
        """Their tables, as a reconciliation takes them."""

        def table(reading: read.Reading | None) -> Any:  # noqa: ANN401 - as the layer is
            return None if reading is None else reading.table

        return Sources(
            survey=self.survey.table,
            parcels=self.parcels.table,
            rights=self.parcels.rights,
            issuers=self.parcels.issuers,
            villages=table(self.villages),
            groups=table(self.groups),
            baseline=table(self.baseline),
        )


@dataclass(slots=True)
class Clock:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage."""
        start = perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start


def read_layers(inputs: Inputs, *, personal: bool = False) -> Layers:
    """Read every layer, in the survey's CRS.

    A folder is searched by the naming rules of a delivery; a path given
    outright goes before what is found beside it.

    Raises
    ------
    GeoError
        If a file cannot be read or does not belong to the same county.
    """
    beside = delivery.find(inputs.survey) if inputs.survey.is_dir() else None
    held = delivery.find(inputs.parcels) if inputs.parcels.is_dir() else None
    taken = beside.survey if beside is not None else None
    survey = read.survey(taken or inputs.survey, personal=personal, crs=inputs.survey_crs)
    datum = None if inputs.datum is None else read_datum(inputs.datum, near=survey.table)
    ways = () if datum is None else datum.shifts
    if ways and _off_datum(survey, ways):  # the file of ways needs the county, so the survey came first
        survey = read.survey(taken or inputs.survey, personal=personal, crs=inputs.survey_crs, datum=ways)
    near = survey.table
    parcels = read.parcels(
        inputs.parcels,
        rights=inputs.rights,
        personal=personal,
        near=near,
        crs=inputs.parcels_crs,
        datum=ways,
        contractors=personal,  # who holds a contract is no part of the reckoning
    )
    villages = inputs.villages or (None if beside is None else beside.villages)
    groups = inputs.groups or (None if held is None else held.groups)
    baseline = inputs.baseline or (None if beside is None else beside.baseline)
    layers = Layers(
        survey=survey,
        parcels=parcels,
        villages=None if villages is None else read.villages(villages, near=near, datum=ways),
        groups=None if groups is None else read.groups(groups, near=near, datum=ways),
        baseline=None
        if baseline is None
        else read.baseline(baseline, near=near, crs=inputs.baseline_crs, datum=ways),
        datum=datum,
        county_name=_county_name(inputs.parcels),
        chosen=tuple(folder.findings for folder in (beside, datum) if folder is not None),
    )
    return replace(layers, chosen=(*layers.chosen, *_unused(layers)))


def _off_datum(survey: read.Reading, ways: Sequence[DatumShift]) -> bool:
    """Whether the survey, or a file of it, stands on a datum there is a way from."""
    mixed = survey.findings["rule"].eq("datum_differs").any()
    return bool(mixed) or systems.datum_of(survey.table.crs) in {way.datum for way in ways}


def _unused(layers: Layers) -> list[pd.DataFrame]:
    """Datums that a file was given for and no layer stands on."""
    if layers.datum is None:
        return []
    notes = joined(reading.findings for reading in layers.readings().values())
    used = set(notes.loc[notes["rule"].eq("datum_converted"), "row_code"])
    file = layers.datum.files[0].name
    return [
        findings(
            "datum_unused", f"{file} 有{way.datum}的转换参数，没有图层用到", layer=file, row_code=way.datum
        )
        for way in layers.datum.shifts
        if way.datum not in used
    ]


def _county_name(path: Path) -> str:
    """Name of the county from its delivery folder, as 寿阳县 of 140725寿阳县; empty if there is none."""
    named = [re.fullmatch(r"\d{6}(\D+)", part) for part in (path.name, path.resolve().parent.name)]
    return next((match[1] for match in named if match), "")


def reconcile_files(  # noqa: PLR0913 - what the command line offers, by name
    inputs: Inputs,
    out: str | os.PathLike[str],
    *,
    settings: Settings | None = None,
    resume: bool = False,
    personal: bool = False,
    progress: Progress | None = None,
    told: Told | None = None,
) -> Outcome:
    """Read, reconcile and write a workspace.

    Parameters
    ----------
    inputs : Inputs
        Files, or delivery folders.
    out : path
        The workspace, ``*.gpkg``, or a ``postgresql://`` URL. If one stands there already,
        its codes carry over. Of a database, checkpoint and shifts lie in the working folder.
    settings : Settings, optional
        Everything that decides the result.
    resume : bool
        Go on from the checkpoint of an interrupted run of the same inputs.
    personal : bool
        Read columns of persons too.
    progress, told : callable, optional
        Called after each village, and with a line as each stage begins.

    Returns
    -------
    Outcome
        The result as written.

    Raises
    ------
    ShiftError
        If a village lies so far off that someone must accept it first. The shifts
        found are then written to ``*.shifts.csv`` beside ``out``, to be decided on.
    GeoError
        If an input cannot be read, or the workspace not written; what stood there stays.
    """
    target = str(out) if workspace.is_database(out) else Path(out)
    beside = workspace.beside(target)
    with alone(beside), _rare_collections():
        try:
            return _reconciled(
                inputs,
                target,
                settings or Settings(),
                resume=resume,
                personal=personal,
                progress=progress,
                told=told,
            )
        except ShiftError as error:
            table = beside.with_suffix(".shifts.csv")
            write_shifts(error.shifts, table, decided=(settings or Settings()).align.given)
            raise ShiftError(f"{error}。偏移表：{table}", shifts=error.shifts) from error


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for circles of dead objects a hundredth as often: tables leave none, and all threads wait."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], _COLLECT_AFTER) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _reconciled(  # noqa: PLR0913 - as `reconcile_files`
    inputs: Inputs,
    target: Path | str,
    settings: Settings,
    *,
    resume: bool,
    personal: bool,
    progress: Progress | None,
    told: Told | None,
) -> Outcome:
    """The run itself, with the output held."""
    say = told or (lambda _line: None)
    clock = Clock()
    with clock.stage("read"):
        previous = _previous(target)
        say("读取数据…")
        layers = read_layers(inputs, personal=personal)
        _same_county(previous, layers, target)
    with clock.stage("hash"):
        described = _described(layers, inputs)
        run = Run.of(described, settings.as_json())
    checkpoint = open_checkpoint(workspace.beside(target), run.run_id, resume=resume)
    with clock.stage("reconcile"):
        say("套合比对…")
        sources = layers.sources()
        try:
            result = reconcile(
                sources.survey,
                sources.parcels,
                villages=sources.villages,
                baseline=sources.baseline,
                groups=sources.groups,
                rights=sources.rights,
                issuers=sources.issuers,
                previous=previous,
                settings=settings,
                read_findings=[*(reading.findings for reading in layers.readings().values()), *layers.chosen],
                county_name=layers.county_name,
                run_id=run.run_id,
                checkpoint=checkpoint,
                progress=progress,
            )
        except ShiftError:
            checkpoint.drop()  # shifts are found before any village is done: it holds nothing
            raise
    with clock.stage("write"):
        say("写入成果…")
        tables = result.tables()
        bare = not len(tables["villages"])
        tables |= _kept(target, previous, result.findings, bare=bare)
        tables["runs"] = run.after(None if previous is None else previous["runs"])
        workspace.write(target, tables, crs=result.patches.crs, held=True)
    checkpoint.drop()
    return Outcome(result=result, run_id=run.run_id, out=target, seconds=clock.seconds)


def _kept(
    target: Path | str, previous: dict[str, pd.DataFrame] | None, found: gpd.GeoDataFrame, *, bare: bool
) -> dict[str, pd.DataFrame]:
    """Layers of grids, which this work does not make, and their findings behind those of this run."""
    if previous is None:
        return {}
    before = workspace.open(target)
    layers = (*(layer for layer in GRID_LAYERS if layer in before.layers), "findings")
    kept = {layer: before.read(layer) for layer in layers}
    if bare and len(kept.get("grids", ())):  # nobody gave any villages: those that grids were drawn in
        kept["villages"] = before.read("villages")
    for layer, table in kept.items():
        if isinstance(table, gpd.GeoDataFrame) and found.crs is not None and table.crs != found.crs:
            kept[layer] = table.to_crs(found.crs)
    notes = kept.pop("findings")
    notes = notes[notes["finding_id"].str.startswith(GRID_FINDINGS)]
    return {**kept, "findings": pd.concat([found, notes], ignore_index=True)} if len(notes) else kept


def _previous(target: Path | str) -> dict[str, pd.DataFrame] | None:
    """Pieces, register and runs of the workspace that is to be replaced."""
    if not workspace.exists(target):
        return None
    try:
        before = workspace.open(target)
    except WorkspaceError as error:
        raise WorkspaceError(f"{error}；若要保留该文件，请为成果换一个文件名") from error
    return {layer: before.read(layer) for layer in ("pieces", "code_register", "runs")}


def _same_county(previous: dict[str, pd.DataFrame] | None, layers: Layers, target: Path | str) -> None:
    """One county's codes must not be given to another's land."""
    if previous is None:
        return
    before = set(previous["code_register"]["group_code"].str[:6])
    units = pd.concat([layers.survey.table["location_unit_code"], layers.parcels.table["issuer_code"]])
    now = set(units.dropna().str[:6])
    if before and now and not before & now:
        raise OutputError(
            f"{workspace.shown(target)} 是 {'、'.join(sorted(before))} 的成果，"
            f"本次数据是 {'、'.join(sorted(now)[:5])}；请换一个文件名"
        )


def _described(layers: Layers, inputs: Inputs) -> dict[str, dict[str, object]]:
    """Files, rows and content of each input, and what the caller said of it; where they lie decides nothing."""
    said = {"survey": inputs.survey_crs, "parcels": inputs.parcels_crs, "baseline": inputs.baseline_crs}
    out: dict[str, dict[str, object]] = {}
    for role, reading in layers.readings().items():
        out[role] = {"files": hashes(reading.files), "rows": len(reading.table)}
        if said.get(role):
            out[role]["crs"] = said[role]
    if layers.datum is not None:
        out["datum"] = {"files": hashes(layers.datum.files)}
    return out
