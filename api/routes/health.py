"""Whether the service stands and its workspace can be read."""

from fastapi import APIRouter

from api.source import SourceDep

router = APIRouter(tags=["health"])


@router.get("/healthz")
def read_health(source: SourceDep) -> dict[str, str | int]:
    """``ok`` with the workspace's schema version; 503 if it cannot be opened."""
    return {"status": "ok", "workspace_version": source.open().version}
