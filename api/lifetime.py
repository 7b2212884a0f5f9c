"""How a service ends: it is told once, its endless answers end by themselves, the rest is let finish."""

import asyncio
from collections.abc import Callable, MutableSet
from contextlib import suppress
from weakref import WeakSet

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STREAM = b"text/event-stream"


class Lifetime:
    """What of a service has to end when it ends.

    ``closing`` are functions called, last first, after the last request is answered and
    before the store closes; ``starting`` are called, in order, before the first request.
    """

    def __init__(self) -> None:
        self.starting: list[Callable[[], None]] = []
        self.closing: list[Callable[[], None]] = []
        self.stopping = False
        self._streams: MutableSet[asyncio.Task[None]] = WeakSet()

    def stop(self) -> None:
        """End every event stream; called in the event loop, at the first sign of a stop."""
        self.stopping = True
        for task in list(self._streams):
            task.cancel()

    def started(self, task: "asyncio.Task[None]") -> None:
        """A stream began in ``task``; one that began too late ends at once."""
        self._streams.add(task)
        if self.stopping:
            task.cancel()


class EndStreams:
    """Middleware that ends event streams whole, not torn, when the service stops."""

    def __init__(self, app: ASGIApp, *, lifetime: Lifetime) -> None:
        self._app = app
        self._lifetime = lifetime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; watch it if it is answered by a stream of events."""
        task = asyncio.current_task()
        streams = False

        async def watched(message: Message) -> None:
            nonlocal streams
            if message["type"] == "http.response.start" and task is not None:
                kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
                streams = any(kind.startswith(_STREAM) for kind in kinds)
                await send(message)
                if streams:
                    self._lifetime.started(task)
                return
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            if not (streams and self._lifetime.stopping):
                raise
            if task is not None:
                task.uncancel()
            with suppress(OSError):  # the browser went away at the same moment
                await send({"type": "http.response.body", "body": b"", "more_body": False})
