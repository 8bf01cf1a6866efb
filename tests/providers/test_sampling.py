"""Settings of a generation that few services have: each gets what it documents, under its own name."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from providers.catalog import CATALOG
from providers.contracts import LlmRequest, TextPart, UserMessage
from providers.provider import ProviderSettings
from providers.registry import make_provider
from tests.fakes.openai_api import FakeOpenAI
from tests.fakes.upstreams import UPSTREAMS, opened

ASK = LlmRequest(
    (UserMessage((TextPart("hi"),)),),
    seed=2**31 + 7,
    repetition_penalty=1.2,
    logit_bias={"50256": -100},
)
OWN = {"seed", "random_seed", "repetition_penalty", "repeat_penalty", "logit_bias"}


async def asked(name: str, request: LlmRequest = ASK, **options: Any) -> dict[str, Any]:
    """The body that a service gets, which is accepted."""
    async with opened(UPSTREAMS[name], **options) as upstream:
        events = [event async for event in upstream.engine.generate(request)]
        assert events
        fake = upstream.fake
        endpoint = next(getattr(fake, own) for own in ("chat", "messages", "contents") if hasattr(fake, own))
        body: dict[str, Any] = endpoint.requests[-1].body
        return body


async def asked_of(service: str, fake: FakeOpenAI) -> dict[str, Any]:
    """What the service of that name gets of those settings."""
    options = {**CATALOG[service].options, "base_url": fake.base_url}
    settings = ProviderSettings(service, options, fake.api_key)
    provider = make_provider("openai-compatible", settings)
    assert [event async for event in provider.llm("m").generate(ASK)]
    await provider.aclose()
    return {name: value for name, value in fake.chat.requests[-1].body.items() if name in OWN}


@pytest.mark.parametrize(
    ("service", "wanted"),
    [
        ("openai", {"seed": ASK.seed, "logit_bias": {"50256": -100}}),
        ("groq", {"seed": ASK.seed}),
        ("cerebras", {"seed": ASK.seed, "logit_bias": {"50256": -100}}),
        ("xai", {"seed": ASK.seed}),
        ("mistral", {"random_seed": ASK.seed}),
        ("deepseek", {}),
        ("llama.cpp", {"seed": ASK.seed, "repeat_penalty": 1.2, "logit_bias": {"50256": -100}}),
        ("lm-studio", {"seed": ASK.seed, "repeat_penalty": 1.2, "logit_bias": {"50256": -100}}),
        *(
            (service, {"seed": ASK.seed, "repetition_penalty": 1.2, "logit_bias": {"50256": -100}})
            for service in ("together", "fireworks", "openrouter", "deepinfra", "ollama", "vllm")
        ),
    ],
)
async def test_a_service_gets_what_it_documents_under_its_own_name(
    service: str, wanted: Mapping[str, Any]
) -> None:
    async with FakeOpenAI() as fake:
        assert await asked_of(service, fake) == wanted
        assert len(fake.chat.requests) == 1


@pytest.mark.parametrize("refused", [{"random_seed"}, {"seed", "logit_bias", "repetition_penalty"}])
async def test_a_server_that_refuses_them_is_asked_without_them(refused: set[str]) -> None:
    async with FakeOpenAI(unsupported=refused) as fake:
        names = {"seed": "random_seed"} if "random_seed" in refused else {}
        settings = ProviderSettings("lab", {"base_url": fake.base_url, "setting_names": names}, fake.api_key)
        provider = make_provider("openai-compatible", settings)
        for _ in range(2):
            assert [event async for event in provider.llm("m").generate(ASK)]
        await provider.aclose()
        bodies = [request.body for request in fake.chat.requests]

    assert len(bodies) == len(refused) + 2  # the second request knows
    assert not refused & bodies[-1].keys()
    assert all(refused & body.keys() for body in bodies[: len(refused)])


async def test_inworld_gets_all_of_them() -> None:
    body = await asked("inworld/shop")

    assert (body["seed"], body["repetition_penalty"], body["logit_bias"]) == (ASK.seed, 1.2, {"50256": -100})


async def test_gemini_has_seeds_of_32_bits() -> None:
    body = await asked("gemini/gemini-2.5-flash")

    assert body["generationConfig"] == {"seed": 7}


@pytest.mark.parametrize(
    ("effort", "tokens", "budget"),
    [(None, 3000, 3000), ("low", 3000, 3000), ("none", 3000, 0), (None, 90_000, 24_576), (None, None, None)],
)
async def test_gemini_thinks_as_many_tokens_as_it_is_told(
    effort: str | None, tokens: int | None, budget: int | None
) -> None:
    body = await asked(
        "gemini/gemini-2.5-flash", replace(ASK, reasoning_effort=effort, reasoning_tokens=tokens)
    )

    assert body["generationConfig"].get("thinkingConfig", {}).get("thinkingBudget") == budget


@pytest.mark.parametrize(
    ("effort", "tokens", "budget"),
    [(None, 3000, 3000), ("high", 3000, 3000), ("none", 3000, None), (None, 100, None), (None, 9000, 5000)],
)
async def test_claude_thinks_as_many_tokens_as_it_is_told(
    effort: str | None, tokens: int, budget: int | None
) -> None:
    request = replace(ASK, reasoning_effort=effort, reasoning_tokens=tokens, max_output_tokens=10_000)
    body = await asked("anthropic/claude-haiku-4-5", request)

    assert body.get("thinking", {}).get("budget_tokens") == budget
    assert not OWN & body.keys()  # it has none of these
