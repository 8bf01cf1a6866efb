"""What providers of remote services share: their options, their HTTP clients, and their engines by name."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

from pydantic import Field

from providers.errors import UnknownModelError
from providers.http import HttpClient, Timeouts
from providers.options import ProviderOptions, read_options
from providers.provider import Provider, ProviderSettings

__all__ = ["HttpOptions", "RemoteOptions", "RemoteProvider", "long_words", "over_http"]

MIN_SECRET_CHARS = 8  # shorter words of a header are flags and schemes

# Of which a page of options speaks last, in this order; what is particular about a kind comes before.
_LAST = (
    "connect_timeout",
    "first_byte_timeout",
    "gap_timeout",
    "total_timeout",
    "final_timeout",
    "keep_alive_interval",
    "proxy_from_env",
)


class RemoteOptions(ProviderOptions):
    """What a `[providers.NAME]` table of any such kind may hold. Kinds give `base_url` their own default.

    A field NAME_timeout is the deadline of that name of `Timeouts`, where there is one.
    """

    base_url: str | None = Field(None, description="Address of the API.")
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to reach the server.")
    gap_timeout: float = Field(15.0, gt=0, description="Seconds between two pieces of an answer.")
    proxy_from_env: bool = Field(False, description="Whether HTTP_PROXY, HTTPS_PROXY and .netrc are used.")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        listed = cls.model_fields
        for name in _LAST:
            if name in listed:
                listed[name] = listed.pop(name)

    def timeouts(self) -> Timeouts:
        """The deadlines for the HTTP client; those that the kind has no option for are the usual ones."""
        names = [deadline.name for deadline in fields(Timeouts)]
        return Timeouts(
            **{
                name: getattr(self, f"{name}_timeout")
                for name in names
                if f"{name}_timeout" in type(self).model_fields
            }
        )


class HttpOptions(RemoteOptions):
    """What kinds add that answer over HTTP, piece by piece."""

    first_byte_timeout: float = Field(30.0, gt=0, description="Seconds from the request to the first byte.")
    total_timeout: float = Field(600.0, gt=0, description="Seconds for a whole answer.")


@runtime_checkable
class Closable(Protocol):
    """What holds connections."""

    async def aclose(self) -> None: ...


Options = TypeVar("Options", bound=RemoteOptions)
Engine = TypeVar("Engine")
Owned = TypeVar("Owned", bound=Closable)


class RemoteProvider(Provider, Generic[Options]):
    """The client of one service. `_key` is "" where the settings have none.

    Raises `ValueError` for options that are unknown or wrong, and for a key that cannot be one.
    """

    max_engines: ClassVar[int] = 64  # names come from clients; engines are cheap to make again

    def __init__(self, settings: ProviderSettings, kind: type[Options]) -> None:
        super().__init__(settings)
        self._options = read_options(settings, kind)
        self._key = (settings.api_key or "").strip()
        if not self._key.isascii() or not self._key.isprintable():
            raise ValueError(f"provider '{self.name}': the API key has characters that no key has")
        self._owned: list[Closable] = []
        self._engines: dict[tuple[type, str], Any] = {}
        self._retired: list[Closable] = []
        self._lock = threading.Lock()  # engines are asked for from worker threads

    async def aclose(self) -> None:
        with self._lock:
            engines = [*self._engines.values(), *self._retired]
        await asyncio.gather(*(engine.aclose() for engine in engines if isinstance(engine, Closable)))
        for owned in reversed(self._owned):
            await owned.aclose()

    def _client(
        self,
        headers: Mapping[str, str],
        *,
        base_url: str | None = None,
        secrets: Iterable[str] = (),
    ) -> HttpClient:
        """A client for that address, or the one of the options. The key is a secret in any case."""
        for header, value in headers.items():
            if not (header.isascii() and header.isprintable() and value.isprintable()):
                raise ValueError(
                    f"provider '{self.name}': header {header!a} has characters that none may have"
                )
        client = HttpClient(
            self.name,
            _checked(self.name, base_url or self._options.base_url),
            headers=headers,
            secrets=(self._key, *secrets),
            timeouts=self._options.timeouts(),
            proxy_from_env=self._options.proxy_from_env,
        )
        return self._own(client)

    def _own(self, thing: Owned) -> Owned:
        """Have it closed with the provider, before what it was made of."""
        self._owned.append(thing)
        return thing

    def _key_header(self, header: str, before: str = "") -> dict[str, str]:
        """The header that carries the key; without a key, none."""
        return {header: before + self._key} if self._key else {}

    def _engine(self, kind: type[Engine], model: str, make: Callable[[], Engine]) -> Engine:
        """The engine of one kind and model, made if there is none yet. Raises `UnknownModelError` for ""."""
        if not model.strip():
            raise UnknownModelError(f"provider '{self.name}': the name of the model is missing")
        with self._lock:
            if (kind, model) not in self._engines:
                if len(self._engines) >= self.max_engines:
                    self._retire(self._engines.pop(next(iter(self._engines))))
                self._engines[kind, model] = make()
            engine: Engine = self._engines[kind, model]
            return engine

    def _retire(self, engine: object) -> None:
        if isinstance(engine, Closable):
            self._retired.append(engine)  # somebody may still speak with it
            # One much older has long been closed by its idle time.
            del self._retired[: -self.max_engines]


def long_words(headers: Mapping[str, str]) -> list[str]:
    """What may be a secret in headers, such as both halves of "Token abc...", but no flags and schemes."""
    return [word for value in headers.values() for word in value.split() if len(word) >= MIN_SECRET_CHARS]


def over_http(base_url: str) -> str:
    """An address as services document it for WebSockets, with the scheme that clients here begin with."""
    return base_url.replace("ws", "http", 1) if base_url.startswith(("ws://", "wss://")) else base_url


def _checked(name: str, base_url: str | None) -> str:
    if not base_url:
        raise ValueError(f"provider '{name}': base_url is missing, such as \"http://127.0.0.1:8080/v1\"")
    try:
        parts = urlsplit(base_url.strip())
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"provider '{name}': base_url: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"provider '{name}': base_url must start with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"provider '{name}': base_url may hold neither credentials nor a query")
    return base_url.strip()
