"""Inworld's chat completions: those of OpenAI, with routers that are told whose request it is."""

from collections.abc import Iterator, Mapping
from typing import Any

from providers.contracts import Attempt, Caller, LlmEvent, LlmRequest, RouteTaken
from providers.http import HttpClient
from providers.llm.openai_chat import ChatStream, OpenAIChatLlm

__all__ = ["InworldChatLlm", "route_from"]

MAX_TRIED = 100  # attempts that are told of


class InworldChatLlm(OpenAIChatLlm):
    """A router ("inworld/<id>"), a model ("provider/model"), or the service's choice ("auto")."""

    def _extra_members(self, request: LlmRequest) -> dict[str, Any]:
        return _with_caller(self._extra_body, request.caller, routed=self._model.startswith("inworld/"))

    def _stream(self) -> ChatStream:
        return _RoutedStream(self._http, self._model)


class _RoutedStream(ChatStream):
    """A route that is told ahead of the text comes first."""

    def __init__(self, http: HttpClient, model: str) -> None:
        super().__init__(http, keeps_reasoning=False)
        self._asked = model
        self._told = False  # of the route, or of anything: a route comes before all else or not at all

    def feed(self, chunk: Any) -> Iterator[LlmEvent]:
        if not self._told and isinstance(chunk, Mapping):
            route = route_from(chunk.get("metadata"), self._asked, chunk.get("model"), self._http.provider)
            if route is not None:
                self._told = True
                yield route
        for event in super().feed(chunk):
            self._told = True
            yield event


def route_from(metadata: Any, asked: str, model: Any, provider: str) -> RouteTaken | None:
    """What the metadata of a reply say about its route; None where they say nothing.

    `asked` is the name that was asked for, `model` the one that the reply bears.
    """
    if not isinstance(metadata, Mapping):
        return None
    told = metadata.get("attempts")
    attempts = tuple(_attempts(told if isinstance(told, list) else [], provider))
    words = {name: _word(metadata, *keys) for name, keys in _WORDS.items()}
    if not attempts and not any(words.values()):
        return None
    answering = next((attempt.model for attempt in attempts if attempt.error is None), "")
    if not answering and isinstance(model, str) and model:
        answering = f"{provider}/{model}"
    router = words["router"] or asked
    return RouteTaken(
        router=router.removeprefix("routers/").removeprefix("inworld/"),
        route=words["route"],
        variant=words["variant"],
        model=answering,
        reason=words["reason"],
        attempts=attempts,
    )


# Both spellings are in use, and shorter and longer names.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "router": ("router", "routerId", "router_id"),
    "route": ("route", "routeId", "route_id"),
    "variant": ("variant", "variantId", "variant_id"),
    "reason": ("reason", "reasoning"),
}


def _attempts(told: list[Any], provider: str) -> Iterator[Attempt]:
    for one in told[:MAX_TRIED]:
        model = _word(one, "model") if isinstance(one, Mapping) else ""
        if not model:
            continue
        if (maker := _word(one, "provider")) and not model.startswith(f"{maker}/"):
            model = f"{maker}/{model}"
        failed = one.get("success") is False or _word(one, "status").lower() not in ("", "success", "ok")
        waited = one.get("latencyMs", one.get("latency_ms", 0))
        known = isinstance(waited, int | float) and not isinstance(waited, bool) and 0 <= waited < 1e9
        seconds = waited / 1000 if known else 0.0
        yield Attempt(f"{provider}/{model}", "provider_error" if failed else None, seconds)


def _word(value: Mapping[str, Any], *names: str) -> str:
    for name in names:
        if isinstance(text := value.get(name), str) and text:
            return text[:200]
    return ""


def _with_caller(extra: Mapping[str, Any], caller: Caller, *, routed: bool) -> dict[str, Any]:
    """The extra members of a request, with what its router decides by: the user and the metadata.

    A router gives the same variant to the same user; where nobody is named, the session stays with one.
    """
    body = dict(extra)
    if user := caller.user_id or (caller.session_id if routed else ""):
        body["user"] = user
    if caller.metadata:
        own = body.get("extra_body")
        own = dict(own) if isinstance(own, Mapping) else {}
        known = own.get("metadata")
        own["metadata"] = {**(known if isinstance(known, Mapping) else {}), **caller.metadata}
        body["extra_body"] = own
    return body
