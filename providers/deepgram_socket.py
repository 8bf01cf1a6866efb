"""What Deepgram's services have in common: how a socket of theirs ends, and how they report failures."""

import re
from collections.abc import Callable
from typing import Any

from providers.errors import ProviderError
from providers.websockets import Socket, SocketClosedError

__all__ = ["CLOSED", "CLOSE_STATUSES", "KEEP_ALIVE_S", "ListenSocket", "failure", "languages", "number"]

CLOSED = "Closed"  # type of the message that stands for an orderly end; no service sends it
KEEP_ALIVE_S = 4.0  # of three to five seconds, as documented; after ten without a word the socket is closed

ORDERLY = 1000  # also what aiohttp makes of a closing frame without a code

# Codes of closing frames by which it minds what it was sent, and the HTTP status that fits.
CLOSE_STATUSES = {1003: 400, 1007: 400, 1008: 400, 1009: 413}

# Words of an error's code, and the HTTP status that fits.
_STATUSES = (
    (401, re.compile(r"(?i)auth|credential|forbidden|permission|api_?key")),
    (429, re.compile(r"(?i)rate_?limit|too_?many|concurren|quota|credit|capacity_exceeded")),
    (504, re.compile(r"(?i)time_?d?_?out")),
    (
        400,
        re.compile(r"(?i)unparsable|schema|invalid|unsupported|bad_?request|not_?found|missing|too_?large"),
    ),
)


class ListenSocket(Socket):
    """A socket for transcription. An orderly end after `leave` is read as a message of type `CLOSED`."""

    def __init__(self, opened: Socket, *, is_complete: Callable[[], bool] | None = None) -> None:
        """Take over a socket.

        `is_complete` tells whether a connection that just breaks off after `leave` has said everything.
        """
        vars(self).update(vars(opened))
        self._is_complete = is_complete
        self._leaving = False

    async def leave(self) -> None:
        """Ask the service to finish its work and to close the socket."""
        self._leaving = True
        await self.send_json({"type": "CloseStream"})

    async def receive(self, within: float | None = None) -> dict[str, Any] | bytes:
        try:
            return await super().receive(within)
        except SocketClosedError:
            if self._leaving and self._ended_well():
                return {"type": CLOSED}
            raise

    def _ended_well(self) -> bool:
        if self._socket.close_code == ORDERLY:
            return True
        return self._socket.close_code == 1006 and self._is_complete is not None and self._is_complete()


def failure(socket: Socket, message: dict[str, Any]) -> ProviderError:
    """The error for a message that reports one, in any of the shapes in use."""
    codes = [message.get(name) for name in ("code", "variant", "err_code")]
    code = " ".join(text for text in codes if isinstance(text, str))
    told = [message.get(name) for name in ("description", "error_message", "err_msg", "message")]
    text = next((text for text in told if isinstance(text, str) and text), "")
    status = message.get("error_code")
    if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status < 600:
        status = next((status for status, words in _STATUSES if words.search(code)), 500)
    return socket.problem(status, ": ".join(part for part in (code, text) if part), code)


def number(value: Any) -> float | None:
    """A number of a message that is neither negative nor absurd, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e7 else None


def languages(value: Any) -> tuple[str, ...]:
    """The codes of a list of a message, however it looks."""
    entries = value if isinstance(value, list) else []
    return tuple(entry for entry in entries if isinstance(entry, str) and entry)[:16]
