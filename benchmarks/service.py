"""The service under load, and beside tipg on the same PostGIS: ``python -m benchmarks.service``.

The service runs as ``taotu serve`` does, asked over kept connections by this
process: items, pages deep in a layer, tiles cold and warm, search, overview;
fifty officers who edit the same pieces; its memory over many requests. CPU is
that of the service and, on PostGIS, of the database too: per request it holds
on a busy machine, what the clock says does not.
"""

import argparse
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import geopandas as gpd
import numpy as np
import pyogrio

from benchmarks.service_client import HEADING, Answer, Line, Load, Service, checked, load, quantile, taken
from benchmarks.service_land import make
from benchmarks.tiles import COLUMNS
from geo import schema, workspace
from geo.store import open_store
from geo.store.query import Query
from geo.store.scope import EVERYTHING
from geo.tiles import Tile
from geo.tiles.scheme import to_world
from tests import database

SEED: Final = 1
OFFICERS: Final = 50
CONTESTED: Final = 200  # pieces they all edit
WINDOW: Final = 0.008  # degrees; a map of some 800 m
PEER: Final = "tipg"
PLACES: Final = 4000  # where requests may look
DEEP: Final = 10_000  # rows of a page, on the way down


@dataclass(frozen=True, slots=True, kw_only=True)
class Sights:
    """What requests ask for, drawn at random from the county."""

    lonlat: list[tuple[float, float]]  # of pieces
    parcels: list[str]  # codes
    pieces: list[str]

    def boxes(self, number: int, seed: int) -> list[str]:
        """Windows of a map, as ``bbox`` has them."""
        half = WINDOW / 2
        return [
            f"{x - half:.6f},{y - half:.6f},{x + half:.6f},{y + half:.6f}"
            for x, y in random.Random(seed).choices(self.lonlat, k=number)  # noqa: S311 - test land
        ]

    def tiles(self, z: int, number: int) -> list[Tile]:
        """Different tiles that show something."""
        at = np.floor(to_world(np.array(self.lonlat), "EPSG:4326") * 2**z).astype(int)
        found = list(dict.fromkeys(map(tuple, at.tolist())))
        return [Tile(z, x, y) for x, y in random.Random(SEED).sample(found, min(number, len(found)))]  # noqa: S311 - test land


def rows(path: Path, layer: str) -> int:
    """How many rows a layer has."""
    return int(pyogrio.read_info(path, layer=layer)["features"])


def sights(path: Path) -> Sights:
    """What there is to ask for, by every so many-th row."""
    opened = workspace.open(path)
    pieces, parcels = (
        opened.read(layer, columns=[code], where=f"fid % {max(1, rows(path, layer) // PLACES)} = 0")
        for layer, code in (("pieces", "piece_code"), ("parcels", "parcel_code"))
    )
    middle = gpd.GeoSeries(pieces.geometry).representative_point().to_crs(4326)
    drawn = random.Random(SEED)  # noqa: S311 - test land
    return Sights(
        lonlat=list(zip(middle.x.tolist(), middle.y.tolist(), strict=True)),
        parcels=drawn.sample(parcels["parcel_code"].tolist(), len(parcels)),
        pieces=drawn.sample(pieces["piece_code"].tolist(), len(pieces)),
    )


@contextmanager
def serving(url: str, folder: Path, *, beside: tuple[int, ...] = ()) -> Iterator[Service]:
    """Our service in a process of its own, asked by a land officer's key."""
    key = _key(url, folder)
    words = [sys.executable, "-m", "geo.cli", "serve", url, "--port", "0"]
    more = ["--folder", str(folder)] if "://" in url else []
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen([*words, *more], stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603 - our own
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
            if found is None:
                message = f"the service did not start: {(folder / 'service.log').read_text()[-2000:]}"
                raise RuntimeError(message)
            yield Service(
                address=found[0], pids=(process.pid, *beside), headers={"Authorization": f"Bearer {key}"}
            )
        finally:
            process.terminate()
            process.wait(60)


def _key(url: str, folder: Path) -> str:
    """A new key of a land officer of the whole county; the officer is made once."""
    from api.accounts import Accounts  # noqa: PLC0415 - the service's own process has it, this one only here
    from api.settings import Settings  # noqa: PLC0415 - as above

    with open_store(url, folder=folder if "://" in url else None) as store:
        accounts = Accounts(store.private(), Settings())
        if "bench" not in {user.name for user in accounts.users()}:
            accounts.add_user("bench", role="officer", by="bench")
        return accounts.add_key("bench", label="bench")[1]


def ours_items(box: str) -> str:
    """The first hundred parcels of a window."""
    return f"/collections/parcels/items?limit=100&bbox={box}"


def theirs_items(box: str) -> str:
    """The same of tipg."""
    return f"/collections/taotu.parcels/items?limit=100&bbox={box}"


def ours_tile(tile: Tile) -> str:
    """The parcels of a tile."""
    return f"/tiles/parcels/{tile.z}/{tile.x}/{tile.y}.mvt"


def theirs_tile(tile: Tile) -> str:
    """The same of tipg, with the same columns."""
    return f"/collections/taotu.parcels/tiles/WebMercatorQuad/{tile.z}/{tile.x}/{tile.y}?properties={','.join(COLUMNS)}"


def reading(service: Service, seen: Sights, number: int) -> None:
    """Items, pages, tiles, search and overview of ours."""
    near, far = seen.tiles(16, number), seen.tiles(14, number // 4)
    words = [*seen.parcels[: number // 4], *seen.pieces[: number // 4]]
    parts = [code[:-3] for code in words[::2]]  # what is typed so far
    work: list[tuple[str, Sequence[str], int]] = [
        ("items of a window, 100", list(map(ours_items, seen.boxes(number, 1))), 4),
        ("tile z16, cold", list(map(ours_tile, near)), 4),
        ("tile z16, warm", list(map(ours_tile, near * 2)), 4),
        ("tile z14, cold", list(map(ours_tile, far)), 4),
        ("tile z14, warm", list(map(ours_tile, far * 8)), 4),
        ("search, whole code", [f"/api/v1/search?q={code}" for code in words], 4),
        ("search, beginning of a code", [f"/api/v1/search?q={code}" for code in parts], 4),
        ("search, middle of a code", [f"/api/v1/search?q={code[-8:]}" for code in words[::8]], 4),
        ("overview, all figures, first", ["/api/v1/overview"], 1),
        ("overview, all figures, again", ["/api/v1/overview"] * 20, 1),
    ]
    print(HEADING)
    for name, paths, threads in work:
        print(load(name, service, paths, threads=threads).row(), f"{service.memory_mb():.0f} |", flush=True)
    for one in _pages(service):
        print(one.row(), f"{service.memory_mb():.0f} |", flush=True)
    line = Line(service)
    page = [checked(line.ask("/", Accept="text/html"), "page").first_ms for _ in range(20)]
    told_page = [
        f"First byte of the overview's page: p50 {quantile(page, 0.5):.1f} ms, p95 {quantile(page, 0.95):.1f} ms."
    ]
    print("", *told_page, sep="\n", flush=True)


def _pages(service: Service, number: int = 30) -> list[Load]:
    """Pages of a hundred at the beginning of a layer and deep in it."""
    first = "/collections/parcels/items?limit=100"

    def walk(line: Line, start: str) -> Iterator[Answer]:
        path: str | None = start
        for _ in range(number):
            if path is None:
                return
            answer = line.ask(path)
            yield answer
            path = _next(answer)

    def down(line: Line) -> str:
        path, here = f"/collections/parcels/items?limit={DEEP}&skipGeometry=true&properties=parcel_code", ""
        for _ in range(10):
            following = _next(checked(line.ask(path), "pages"))
            if following is None:
                break
            path = following
            here = re.sub(r".*[?&](cursor=[^&]*).*", r"\1", path)
        return f"{first}&{here}"

    line = Line(service)
    deep = down(line)
    line.close()
    return [
        taken("pages from the first on, 100", service, lambda line: walk(line, first)),
        taken("pages 100,000 rows deep, 100", service, lambda line: walk(line, deep)),
    ]


def _next(answer: Answer) -> str | None:
    for link in document(answer)["links"]:
        if link["rel"] == "next":
            return re.sub(r"^https?://[^/]+", "", link["href"])
    return None


def document(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    """What an answer says."""
    packed = answer.headers.get("content-encoding") == "gzip"
    return json.loads(gzip.decompress(answer.body) if packed else answer.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """What officers did."""

    wrote_ms: list[float]
    stale: int  # 412: somebody else was first
    failed: list[str]  # anything else


def editing(service: Service, pieces: Sequence[str], seconds: float) -> Edits:
    """Fifty officers who note what they saw of the same pieces, each as often as may be."""
    end = time.monotonic() + seconds
    start = threading.Barrier(OFFICERS)

    def officer(number: int) -> Edits:
        drawn = random.Random(number)  # noqa: S311 - test land
        line = Line(service)
        wrote: list[float] = []
        failed: list[str] = []
        stale = 0
        start.wait()
        while time.monotonic() < end:
            path = f"/collections/pieces/items/{drawn.choice(pieces)}"
            seen = checked(line.ask(path), path)
            fact = {"note": f"{number} {len(wrote)} {stale} {time.time_ns()}"}
            answer = line.ask(
                path,
                "PATCH",
                json.dumps(fact).encode(),
                If_Match=seen.headers["etag"],
                Content_Type="application/json",
            )
            if answer.status == 200:
                wrote.append(answer.ms)
            elif answer.status == 412:
                stale += 1
            else:
                failed.append(f"{answer.status} {answer.body[:200]!r}")
        line.close()
        return Edits(wrote_ms=wrote, stale=stale, failed=failed)

    with ThreadPoolExecutor(OFFICERS) as pool:
        parts = list(pool.map(officer, range(OFFICERS)))
    return Edits(
        wrote_ms=[ms for part in parts for ms in part.wrote_ms],
        stale=sum(part.stale for part in parts),
        failed=[one for part in parts for one in part.failed],
    )


def kept(url: str, folder: Path) -> tuple[int, int, list[str]]:
    """Sum of versions of all cases, rows of the log about them, and what is wrong with the log."""
    with open_store(url, folder=folder if "://" in url else None) as store:
        versions, rows, after = 0, 0, None
        while True:
            page = store.query(
                "cases", Query(columns=["version"], limit=DEEP, after=after, geometry=False), EVERYTHING
            )
            versions += int(page.rows["version"].sum())
            after = page.after
            if after is None:
                break
        while True:
            page = store.query(
                "audit", Query(columns=["layer"], limit=DEEP, after=after, geometry=False), EVERYTHING
            )
            rows += int(page.rows["layer"].eq("cases").sum())
            after = page.after
            if after is None:
                return versions, rows, store.verify_audit()


def edits_told(
    made: Edits, before: tuple[int, int, list[str]], after: tuple[int, int, list[str]], cpu_ms: float
) -> str:
    """What is to be said of the edits.

    Raises
    ------
    SystemExit
        If one was lost, or something else than a stale version was refused.
    """
    number = len(made.wrote_ms)
    if made.failed or after[2] or not (number == after[0] - before[0] == after[1] - before[1]):
        raise SystemExit(
            f"{number} edits, {after[0] - before[0]} versions, {after[1] - before[1]} rows of the log;"
            f" {after[2]}; {made.failed[:5]}"
        )
    return (
        f"{OFFICERS} officers on {CONTESTED} pieces: {number} edits, {made.stale} refused as stale, none lost (versions"
        f" and log agree, its chain is whole); p50 {quantile(made.wrote_ms, 0.5):.0f} ms, p95"
        f" {quantile(made.wrote_ms, 0.95):.0f} ms, {cpu_ms:.1f} ms CPU an edit with its reading."
    )


def memory(service: Service, seen: Sights, number: int) -> str:
    """Resident memory while many different requests are answered."""

    def mixed(seed: int, count: int) -> Iterable[str]:
        drawn = random.Random(seed)  # noqa: S311 - test land
        tiles = seen.tiles(17, PLACES)
        for box in seen.boxes(count, seed):
            yield drawn.choice(
                [
                    f"/collections/pieces/items?limit=20&bbox={box}",
                    ours_tile(drawn.choice(tiles)),
                    f"/api/v1/search?q={drawn.choice(seen.parcels)}",
                    f"/collections/pieces/items/{drawn.choice(seen.pieces)}",
                ]
            )

    told = [service.memory_mb()]
    begun = time.perf_counter()
    for step in range(10):
        load("mixed", service, mixed(step, number // 10), threads=8)
        told.append(service.memory_mb())
    rate = number / (time.perf_counter() - begun)
    return (
        f"Memory before, and after each tenth of {number} different requests ({rate:.0f} a second):"
        f" {', '.join(f'{mb:.0f}' for mb in told)} MB."
    )


@contextmanager
def peer(python: str, url: str, folder: Path, *, beside: tuple[int, ...]) -> Iterator[Service]:
    """Tipg over the same database, one process as ours."""
    port = 18_000 + os.getpid() % 10_000
    # A socket's folder stands where a host would: its settings refuse a URL without one.
    address = re.sub(r"@/(\w+)\?host=(.+)", lambda found: f"@{quote(found[2], safe='')}/{found[1]}", url)
    settings = {
        "DATABASE_URL": address,
        "TIPG_DB_SCHEMAS": '["taotu"]',
        "TIPG_DB_TABLES": '["taotu.parcels"]',
    }
    with (folder / "peer.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - who runs it chose it
            [python, "-m", "uvicorn", "tipg.main:app", "--port", str(port), "--log-level", "warning"],
            env=os.environ | settings, stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
        service = Service(address=f"http://127.0.0.1:{port}", pids=(process.pid, *beside))
        try:
            for _ in range(300):
                try:
                    checked(Line(service).ask("/collections/taotu.parcels"), PEER)
                    break
                except OSError:
                    if process.poll() is not None:
                        raise RuntimeError((folder / "peer.log").read_text()[-2000:]) from None
                    time.sleep(0.1)
            yield service
        finally:
            process.terminate()
            process.wait(60)


def side_by_side(ours: Service, theirs: Service, seen: Sights, number: int) -> None:
    """Items and cold tiles by both, in turns of the same requests."""
    boxes = seen.boxes(number, 2)
    asked: dict[str, tuple[list[str], list[str]]] = {
        "items of a window, 100": (list(map(ours_items, boxes)), list(map(theirs_items, boxes)))
    }
    for z, count in ((14, number // 4), (16, number)):
        tiles = seen.tiles(z, count)
        asked[f"tile z{z}, cold"] = (list(map(ours_tile, tiles)), list(map(theirs_tile, tiles)))
    lines = [
        f"| request | taotu CPU ms | {PEER} CPU ms | times as fast (CPU) | (p50) | (a second) | taotu KB | {PEER} KB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, paths in asked.items():
        load(name, ours, paths[0][-1:], threads=1)
        load(name, theirs, paths[1][-1:], threads=1)  # both have a connection to the database open
        half = len(paths[0]) // 2
        parts = [
            load(name, service, some[cut], threads=4)
            for cut in (slice(half), slice(half, -1))
            for service, some in ((ours, paths[0]), (theirs, paths[1]))
        ]
        own, other = _both(parts[::2]), _both(parts[1::2])
        lines.append(
            f"| {name} | {own.cpu_ms:.1f} | {other.cpu_ms:.1f} | {other.cpu_ms / own.cpu_ms:.2f} "
            f"| {other.quantile(0.5) / own.quantile(0.5):.2f} | {own.a_second / other.a_second:.2f} "
            f"| {own.kb:.0f} | {other.kb:.0f} |"
        )
    print(*lines, sep="\n")


def _both(parts: Sequence[Load]) -> Load:
    """Two loads of the same kind as one."""
    numbers = [len(part.answers_ms) for part in parts]
    return Load(
        name=parts[0].name,
        threads=parts[0].threads,
        wall_s=sum(part.wall_s for part in parts),
        cpu_ms=float(np.average([part.cpu_ms for part in parts], weights=numbers)),
        answers_ms=[ms for part in parts for ms in part.answers_ms],
        kb=float(np.average([part.kb for part in parts], weights=numbers)),
    )


def on_postgis(
    held: Path, url: str, beside: tuple[int, ...], asked: argparse.Namespace, folder: Path
) -> None:
    """The same on PostGIS, and tipg if it is there."""
    if not workspace.exists(url):
        opened = workspace.open(held)
        workspace.write(
            url,
            {layer: opened.read(layer) for layer in schema.RUN_LAYERS if layer in opened.layers},
            crs=opened.crs,
        )
    seen = sights(held)
    there = (
        subprocess.run(  # noqa: S603 - as above
            [asked.tipg, "-c", "import tipg"], check=False, capture_output=True
        ).returncode
        == 0
    )
    if not there:
        print(f"\n{PEER} is not installed for {asked.tipg}: ours alone")
    with serving(url, folder, beside=beside) as ours:
        print(f"\nOn PostGIS, load {os.getloadavg()[0]:.1f}:\n")
        reading(ours, seen, asked.number)
    with ExitStack() as held_open:  # started anew: nothing is warm
        ours = held_open.enter_context(serving(url, folder, beside=beside))
        if there:
            theirs = held_open.enter_context(peer(asked.tipg, url, folder, beside=beside))
            print(f"\nBeside {PEER} on the same PostGIS, load {os.getloadavg()[0]:.1f}:\n")
            side_by_side(ours, theirs, seen, asked.number)
    _edits(url, folder, seen, asked.seconds, beside)


def _edits(url: str, folder: Path, seen: Sights, seconds: float, beside: tuple[int, ...] = ()) -> None:
    before = kept(url, folder)
    with serving(url, folder, beside=beside) as service:
        cpu = service.cpu_s()
        made = editing(service, list(islice(dict.fromkeys(seen.pieces), CONTESTED)), seconds)
        cpu_ms = (service.cpu_s() - cpu) * 1000 / max(1, len(made.wrote_ms))
    print(f"\n{edits_told(made, before, kept(url, folder), cpu_ms)}")


def main() -> None:
    """Make the county, drive the service, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--patches", type=int, default=100_000, help="survey patches; 1000 to try it out")
    parser.add_argument("--number", type=int, default=400, help="requests of a kind")
    parser.add_argument("--requests", type=int, default=20_000, help="over which memory is watched")
    parser.add_argument("--seconds", type=float, default=15, help="that officers edit")
    parser.add_argument(
        "--postgis", help="empty database for it; by default a server of the run's own, if installed"
    )
    parser.add_argument("--tipg", default=sys.executable, help="Python that has tipg")
    parser.add_argument("--only", choices=["file", "postgis"], help="one of the two stores alone")
    parser.add_argument("--keep", type=Path, help="folder to keep the county in, used again if it is there")
    asked = parser.parse_args()
    with ExitStack() as held, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        path = make(asked.keep or folder, asked.patches)
        counts = {layer: rows(path, layer) for layer in ("patches", "parcels", "pieces")}
        print(", ".join(f"{number:,} {layer}" for layer, number in counts.items()))
        if asked.only != "postgis":
            seen = sights(path)
            with serving(str(path), folder) as service:
                print(f"\nOn a GeoPackage, load {os.getloadavg()[0]:.1f}:\n")
                reading(service, seen, asked.number)
            _edits(str(path), folder, seen, asked.seconds)
            with serving(str(path), folder) as service:
                print(f"\n{memory(service, seen, asked.requests)}")
        if asked.only == "file":
            return
        url, beside = asked.postgis, ()
        if url is None:
            if database.programs() is None:
                print(f"\n{database.NOT_THERE}")
                return
            server = held.enter_context(database.server())
            url = server.database()
            beside = (int((server.folder / "data" / "postmaster.pid").read_text().split()[0]),)
        on_postgis(path, url, beside, asked, folder)


if __name__ == "__main__":
    main()
