"""Which models a request goes to, in which order: route by condition, variant by weight, then the pool."""

import asyncio
import hashlib
import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from providers.contracts import Caller, Message, RouteTaken
from providers.errors import InvalidRequestError, UnknownModelError
from providers.names import EngineKind
from providers.routing.conditions import CompiledCondition, facts
from providers.routing.definition import Route, RouterDefinition, SortKey, Variant
from providers.routing.lookup import Lookup, canonical
from providers.routing.prices import price_of
from providers.routing.race import Won
from providers.routing.scoreboard import Scoreboard

__all__ = ["CompiledRouter", "Plan", "names_of"]

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided before anybody was asked."""

    router: RouterDefinition
    route: str
    variant: str
    chosen: Variant
    models: tuple[str, ...]  # canonical, in the order in which they are to be asked
    reason: str

    def taken(self, won: Won) -> RouteTaken:
        """As it is told once a model has answered."""
        failed = [attempt for attempt in won.attempts if attempt.error is not None]
        reason = self.reason
        if failed:
            reason += f", after {failed[-1].error} of {failed[-1].model}"
        if won.hedged:
            reason += ", sooner than the one before it"
        return RouteTaken(self.router.id, self.route, self.variant, won.model, reason, won.attempts)


class CompiledRouter:
    """A definition, ready to choose."""

    def __init__(self, definition: RouterDefinition) -> None:
        self.definition = definition
        self._conditions = [
            None if entry.condition is None else CompiledCondition(entry.condition.cel_expression)
            for entry in definition.routes
        ]

    async def plan(
        self,
        lookup: Lookup,
        board: Scoreboard,
        caller: Caller,
        messages: Sequence[Message] = (),
    ) -> Plan:
        """Raises `InvalidRequestError` when no route matches, or none of the route's models exists."""
        definition = self.definition
        route, name, reason = await self._route(caller, messages)
        number = _pick(f"{definition.id}/{name}", route, caller)
        chosen = route.variants[number].variant
        variant = chosen.variant_id or f"variant-{number + 1}"
        if len(route.variants) > 1:
            reason += f", variant {variant} by weight"
        models, how = _order(definition, chosen, lookup, board)
        return Plan(definition, name, variant, chosen, models, reason + how)

    async def _route(self, caller: Caller, messages: Sequence[Message]) -> tuple[Route, str, str]:
        seen = facts(caller, messages) if self._conditions else {}
        for number, condition in enumerate(self._conditions, 1):
            entry = self.definition.routes[number - 1]
            name = entry.route.route_id or f"route-{number}"
            if condition is None:
                return entry.route, name, "unconditional route"
            if condition(seen):
                return entry.route, name, f"condition of route {number} is true"
            await asyncio.sleep(0)  # each may take most of a millisecond, and there may be many
        default = self.definition.default_route
        if default is None:
            raise InvalidRequestError(
                f"Router '{self.definition.id}': No route matched. Configure a default route or adjust"
                " conditions."
            )
        return default, default.route_id or "default", "default route"


def _pick(place: str, route: Route, caller: Caller) -> int:
    """The same variant for the same user (else the same session) as long as the weights stay."""
    weights = [entry.weight for entry in route.variants]
    shares = [1.0 if weight is None else weight for weight in weights]
    who = caller.user_id or caller.session_id
    if who:
        digest = hashlib.sha256(f"{place}\0{who}".encode("utf-8", "replace")).digest()
        point = int.from_bytes(digest[:8]) / 2**64
    else:
        point = random.random()
    left = point * sum(shares)
    for number, share in enumerate(shares):
        left -= share
        if left < 0:
            return number
    return max(range(len(shares)), key=shares.__getitem__)


def names_of(variant: Variant) -> tuple[str, ...]:
    """Every model that a variant names, the first choice first; an empty name is the server's default."""
    selection = variant.model_selection
    fixed = variant.model_id
    if fixed is None or fixed.lower() == AUTO:
        return selection.models or ("",)
    return (fixed, *selection.models)


def _order(
    definition: RouterDefinition, variant: Variant, lookup: Lookup, board: Scoreboard
) -> tuple[tuple[str, ...], str]:
    selection = variant.model_selection
    found: list[str] = []
    unknown: list[str] = []
    for name in names_of(variant):
        try:
            served = _served(name, variant, lookup, definition.kind)
        except UnknownModelError as error:
            unknown.append(str(error))
            continue
        found += [model for model in served if not _ignored(model, selection.ignore)]
    found = list(dict.fromkeys(found))
    if not found:
        why = unknown[0] if unknown else "all of its models are ignored"
        raise InvalidRequestError(f"Router '{definition.id}' has no model to ask: {why}")
    fixed = variant.model_id is not None and variant.model_id.lower() != AUTO
    if not selection.sort:
        return tuple(found), ""
    first, pool = (found[:1], found[1:]) if fixed else ([], found)
    for key in reversed(selection.sort):
        pool = _sorted(pool, key, definition, board)
    how = f", sorted by {selection.sort[0].metric.lower()}" if not fixed else ""
    if not fixed and any(key.metric in ("LATENCY", "THROUGHPUT") for key in selection.sort):
        guest = board.explore(pool)
        if guest is not None:
            pool = [guest, *(model for model in pool if model != guest)]
            how = ", to measure it"
    return (*first, *pool), how


def _served(name: str, variant: Variant, lookup: Lookup, kind: EngineKind) -> list[str]:
    """Who serves a model: by the order of providers for a bare name, else the one that it names."""
    provider = variant.model_selection.provider
    if "/" in name:
        model = canonical(lookup, kind, name)
        allowed = provider.allow_fallbacks or not provider.order or _owner(model) in provider.order
        return [model] if allowed else []
    served: list[str] = []
    for owner in provider.order if name else ():
        with suppress(UnknownModelError):
            served.append(canonical(lookup, kind, f"{owner}/{name}"))
    if not served or provider.allow_fallbacks:
        try:
            served.append(canonical(lookup, kind, name))
        except UnknownModelError:
            if not served:
                raise
    return served


def _ignored(model: str, ignore: Iterable[str]) -> bool:
    return any(entry in (model, _owner(model), model.partition("/")[2]) for entry in ignore)


def _owner(model: str) -> str:
    return model.partition("/")[0]


def _sorted(models: list[str], key: SortKey, definition: RouterDefinition, board: Scoreboard) -> list[str]:
    """In the order of one criterion; models of which nothing is known come last, as they were listed."""

    def figure(model: str) -> float | None:
        match key.metric:
            case "PRICE":
                return price_of(model, definition.prices)
            case "LATENCY":
                return board.latency(model)
            case "THROUGHPUT":
                return board.throughput(model)
            case metric:
                return definition.scores[metric].get(model)

    figures = {model: figure(model) for model in models}
    sign = -1.0 if key.descending else 1.0
    known = [model for model in models if figures[model] is not None]
    known.sort(key=lambda model: sign * (figures[model] or 0.0))
    return known + [model for model in models if figures[model] is None]
