"""How much a model holds: the settings know best, then its name, then a cautious default."""

import pytest

from providers.builtin import BuiltinProvider
from providers.context_sizes import DEFAULT_CONTEXT_TOKENS, context_tokens
from providers.openai_compatible import OpenAICompatibleProvider
from providers.provider import ProviderSettings
from providers.registry import Defaults, Registry

BASE = {"base_url": "http://127.0.0.1:9/v1"}


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4", 8_192),
        ("gpt-4-0613", 8_192),
        ("gpt-4-1106-preview", 128_000),
        ("gpt-4o-mini", 128_000),
        ("gpt-4.1-nano", 1_047_576),
        ("gpt-5-mini", 272_000),
        ("openai/gpt-oss-20b:free", 131_072),
        ("o1-mini-2024-09-12", 128_000),
        ("o3", 200_000),
        ("gemini-2.5-flash", 1_048_576),
        ("models/gemini-1.5-pro", 1_048_576),
        ("claude-3-5-haiku-latest", 200_000),
        ("meta-llama/Meta-Llama-3-8B-Instruct", 8_192),
        ("meta-llama/Llama-3.1-8B-Instruct", 131_072),
        ("llama3.2:3b", 131_072),
        ("accounts/fireworks/models/llama-v3p1-70b-instruct", 131_072),
        ("mistral-large-latest", 131_072),
        ("Mistral-7B-Instruct-v0.3", 32_768),
        ("Qwen/Qwen2.5-7B-Instruct", 32_768),
        ("deepseek-chat", 65_536),
        ("my-own-model", DEFAULT_CONTEXT_TOKENS),
        ("not-gpt-4o", DEFAULT_CONTEXT_TOKENS),
        ("", DEFAULT_CONTEXT_TOKENS),
    ],
)
def test_a_model_is_known_by_how_its_own_name_begins(model: str, tokens: int) -> None:
    assert context_tokens(model) == tokens


async def test_the_settings_of_a_provider_beat_the_name_of_its_model() -> None:
    told = OpenAICompatibleProvider(ProviderSettings("told", {**BASE, "context_tokens": 4096}))
    untold = OpenAICompatibleProvider(ProviderSettings("untold", BASE))
    echo = BuiltinProvider(ProviderSettings("builtin"))
    small = BuiltinProvider(ProviderSettings("small", {"context_tokens": 50}))
    providers = {provider.name: provider for provider in (told, untold, echo, small)}
    registry = Registry(providers, defaults=Defaults("", "", "", "", ""), aliases={})

    assert registry.context_tokens("told/meta/llama-3.1-8b") == 4096
    assert registry.context_tokens("untold/meta/llama-3.1-8b") == 131_072
    assert registry.context_tokens("builtin/echo") == 128_000
    assert registry.context_tokens("small/echo") == 50
    await registry.aclose()


@pytest.mark.parametrize("kind", [BuiltinProvider, OpenAICompatibleProvider])
@pytest.mark.parametrize("tokens", [0, "many"])
def test_a_context_that_cannot_be_is_refused(
    kind: type[BuiltinProvider | OpenAICompatibleProvider], tokens: object
) -> None:
    with pytest.raises(ValueError, match="'lab': option 'context_tokens'"):
        kind(ProviderSettings("lab", {**({} if kind is BuiltinProvider else BASE), "context_tokens": tokens}))
