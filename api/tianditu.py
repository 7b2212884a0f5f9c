"""天地图 through the service: its key stays here, and what was fetched once is kept for a while.

The key is part of the address that is asked, so no address ever goes into an
answer, an error or the log. An address that leads elsewhere is not followed.

Source: 天地图地图 API, WMTS, tile matrix set w (Web Mercator).
"""

import os
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlencode, urlsplit

from api.errors import NotReadyError
from geo.atomic import whole_file
from geo.errors import InputError

LAYERS: Final = {
    "img": "天地图影像",
    "cia": "天地图影像注记",
    "vec": "天地图矢量",
    "cva": "天地图矢量注记",
    "ter": "天地图地形",
    "cta": "天地图地形注记",
}
_ZOOMS: Final = range(1, 19)
_TIMEOUT_S: Final = 6.0
_LARGEST: Final = 2 * 2**20  # bytes of a picture
_KEPT_S: Final = 30 * 86400
_KEPT_BYTES: Final = 512 * 2**20
_LOOKED_EVERY: Final = 500  # pictures kept between two looks at how much there is
_REST_S: Final = 30.0  # after it could not be reached, nobody waits for it again so soon
_KINDS: Final = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
}


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are refused: they would take the key elsewhere."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - as urllib calls it
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """None: the answer stands as it is."""


class Tianditu:
    """Pictures of 天地图, from its address or a county's own node.

    Parameters
    ----------
    url : str
        Its beginning, ``https://t0.tianditu.gov.cn``.
    key : str
        Sent as ``tk``; empty where a node needs none.
    folder : path
        Where pictures are kept, up to half a gigabyte.

    Raises
    ------
    InputError
        If the address is none of http or https.
    """

    def __init__(self, url: str, key: str, folder: Path) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InputError("天地图地址应以 http:// 或 https:// 开头")
        self._url = url.rstrip("/")
        self._key = key
        self._folder = folder
        self._open = urllib.request.build_opener(_Stay).open
        self._lock = threading.Lock()
        self._put = 0
        self._rest_until = 0.0

    def tile(self, layer: str, z: int, x: int, y: int) -> tuple[bytes | None, str]:
        """A picture and its media type; None where there is none.

        Raises
        ------
        NotReadyError
            If it cannot be reached; the message holds neither address nor key.
        """
        if z not in _ZOOMS or layer not in LAYERS:
            return None, ""
        place = self._folder / layer / str(z) / str(x) / f"{y}.tile"
        body = self._held(place)
        if body is None:
            body = self._fetched(layer, z, x, y)
            if body is not None:
                self._keep(place, body)
        kind = _kind(body) if body is not None else ""
        return body, kind

    def _held(self, place: Path) -> bytes | None:
        try:
            if time.time() - place.stat().st_mtime > _KEPT_S:
                return None
            body = place.read_bytes()
        except OSError:
            return None
        return body if _kind(body) else None

    def _fetched(self, layer: str, z: int, x: int, y: int) -> bytes | None:
        if time.monotonic() < self._rest_until:
            raise NotReadyError("天地图暂时连接不上")
        asked = {
            "SERVICE": "WMTS", "REQUEST": "GetTile", "VERSION": "1.0.0", "LAYER": layer, "STYLE": "default",
            "TILEMATRIXSET": "w", "FORMAT": "tiles", "TILEMATRIX": z, "TILEROW": y, "TILECOL": x,
        }  # fmt: skip
        if self._key:
            asked["tk"] = self._key
        address = f"{self._url}/{layer}_w/wmts?{urlencode(asked)}"
        request = urllib.request.Request(address, headers={"User-Agent": "taotu"})  # noqa: S310 - http or https, as was checked
        try:
            with self._open(request, timeout=_TIMEOUT_S) as answer:
                body: bytes = answer.read(_LARGEST + 1)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:  # noqa: PLR2004 - not there
                return None
            raise NotReadyError(f"天地图没有给出图片（{error.code}）：请核对密钥和每日配额") from None
        except (OSError, HTTPException):
            self._rest_until = time.monotonic() + _REST_S
            raise NotReadyError("天地图暂时连接不上") from None
        if len(body) > _LARGEST or not _kind(body):
            raise NotReadyError("天地图给出的不是图片：请核对地址和密钥") from None
        return body

    def _keep(self, place: Path, body: bytes) -> None:
        with suppress(Exception):  # a full disk costs speed, not the map
            with whole_file(place) as scratch:
                scratch.write_bytes(body)
            with self._lock:
                self._put += 1
                look = self._put % _LOOKED_EVERY == 1
            if look:
                self._trim()

    def _trim(self) -> None:
        """Take away what was fetched first until there is room."""
        files = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                with suppress(OSError):
                    path = Path(folder, name)
                    told = path.stat()
                    files.append((told.st_mtime, told.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= _KEPT_BYTES:
                return
            path.unlink(missing_ok=True)
            total -= size


def _kind(body: bytes) -> str:
    """Media type of a picture by its first bytes; empty if it is none."""
    return next((kind for head, kind in _KINDS.items() if body.startswith(head)), "")
