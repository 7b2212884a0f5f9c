"""Files of the pages: the browser keeps for ever what is asked for by its own version."""

from os import PathLike, stat_result

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from geo.assets import static_files

FOR_EVER = "public, max-age=31536000, immutable"


class Versioned(StaticFiles):
    """Static files whose address holds a part of their hash as ``v``."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file; kept for ever if its version was asked for."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        asked = scope.get("query_string", b"").startswith(b"v=")
        response.headers["Cache-Control"] = FOR_EVER if asked else "no-cache"
        return response


def static_app() -> Versioned:
    """What stands at ``/static``."""
    return Versioned(directory=static_files())
