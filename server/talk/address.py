"""Where to connect: completes what a user gives as `--url`, and finds the key for it."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

__all__ = ["is_loopback", "key_for", "session_url"]

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def session_url(url: str, model: str) -> str:
    """The WebSocket address of a session: `http://HOST`, `ws://HOST/v1` and `HOST:PORT` are all completed.

    Raises `ValueError` for anything else than an http or WebSocket address.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"{url} is not an address; give one like http://127.0.0.1:8000")
    path = parts.path.rstrip("/") or "/v1"
    if not path.endswith("/realtime"):
        path += "/realtime"
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not query.keys() & {"call_id", "intent"}:
        query.setdefault("model", model)
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, urlencode(query), ""))


def key_for(url: str, given: str | None, environment: Mapping[str, str]) -> str | None:
    """The key to present: the one given, else `PARLEY_API_KEY`; `OPENAI_API_KEY` goes to OpenAI alone."""
    if given:
        return given
    host = urlsplit(url).hostname or ""
    if host == "openai.com" or host.endswith(".openai.com"):
        return environment.get("OPENAI_API_KEY") or environment.get("PARLEY_API_KEY")
    return environment.get("PARLEY_API_KEY")


def is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in {"localhost", "127.0.0.1", "::1"}
