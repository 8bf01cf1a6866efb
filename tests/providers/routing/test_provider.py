"""Routers behind the registry, where sessions find them by name."""

from typing import Any

import pytest

from providers.builtin import BuiltinProvider
from providers.context_sizes import context_tokens
from providers.contracts import LlmRequest, RouteTaken, TextDelta, TextPart, UserMessage
from providers.errors import UnknownModelError
from providers.provider import ProviderSettings
from providers.registry import Defaults, Registry
from providers.router import RouterProvider, WithRouters
from providers.routing.definition import parse_definition
from providers.routing.routers import Routers


def definition(model: str, **more: Any) -> dict[str, Any]:
    return {"default_route": {"variants": [{"variant": {"model_id": model}}]}, **more}


@pytest.fixture
def routers() -> Routers:
    routers = Routers()
    routers.put(parse_definition(definition("builtin/echo"), name="support"))
    routers.put(parse_definition(definition("local/whisper", kind="stt"), name="ears"))
    return routers


@pytest.fixture
def registry(routers: Routers) -> Registry:
    provider = RouterProvider(routers)
    builtin = BuiltinProvider(ProviderSettings("builtin", {"context_tokens": 5000}))
    registry = Registry(
        {"builtin": builtin, "router": provider, "inworld": WithRouters("inworld", provider)},
        defaults=Defaults("builtin/echo", "router/ears", "builtin/none", "", ""),
        aliases={"helper": "router/support"},
    )
    provider.connect(registry)
    return registry


@pytest.mark.parametrize("name", ["router/support", "inworld/support", "helper", "support"])
async def test_a_session_uses_a_router_like_a_model(registry: Registry, name: str) -> None:
    request = LlmRequest((UserMessage((TextPart("[[say Hello.]]"),)),))

    events = [event async for event in registry.llm(name).generate(request)]

    assert isinstance(events[0], RouteTaken)
    assert (events[0].router, events[0].model) == ("support", "builtin/echo")
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello."


def test_routers_are_listed_with_their_kind(registry: Registry) -> None:
    listed = registry.models()

    assert ("router/support", "llm") in listed
    assert ("router/ears", "stt") in listed


@pytest.mark.parametrize("name", ["router/gone", "router/ears", "inworld/gone"])
def test_what_is_no_router_of_that_kind_is_unknown(registry: Registry, name: str) -> None:
    with pytest.raises(UnknownModelError):
        registry.resolve_llm(name)


def test_a_router_made_later_is_found_and_a_change_needs_no_new_engine(
    registry: Registry, routers: Routers
) -> None:
    engine = registry.llm("router/support")
    routers.put(parse_definition(definition("builtin/echo"), name="later"))

    assert registry.resolve_llm("inworld/later") == "inworld/later"
    assert registry.llm("router/support") is engine


def test_the_context_is_that_of_the_smallest_model(registry: Registry, routers: Routers) -> None:
    assert registry.context_tokens("router/support") == 5000
    assert registry.context_tokens("inworld/support") == 5000
    assert registry.context_tokens("router/gone") == context_tokens("gone")

    routers.put(parse_definition(definition("router/support"), name="round"))
    routers.put(parse_definition(definition("inworld/round"), name="support"))

    assert registry.context_tokens("router/round") == context_tokens("round")


def test_routers_come_before_the_models_of_a_provider_of_that_name(routers: Routers) -> None:
    provider = RouterProvider(routers)
    own = BuiltinProvider(ProviderSettings("inworld"))
    both = WithRouters("inworld", provider, own)
    registry = Registry({"inworld": both}, defaults=Defaults("inworld/echo", "", "", "", ""), aliases={})
    provider.connect(registry)

    assert both.name == "inworld"
    assert registry.llm("inworld/support") is not registry.llm("inworld/echo")
    assert ("inworld/echo", "llm") in registry.models()
