"""The provider of kind "openai-compatible": its options, its names and its one session."""

import asyncio
from typing import Any

import pytest

from providers.contracts import ModelInfo, SttOptions, TtsOptions
from providers.errors import UnknownModelError
from providers.openai_compatible import OpenAICompatibleProvider
from providers.provider import ProviderSettings
from tests.fakes.openai_api import FakeOpenAI
from tests.providers.test_openai_chat import ASK, collect, text_of
from tests.providers.test_openai_speech import saying
from tests.providers.test_openai_transcriptions import SPEECH, said

BASE = {"base_url": "http://127.0.0.1:9/v1"}


def provider(
    options: dict[str, Any] | None = None, name: str = "lab", key: str | None = None
) -> OpenAICompatibleProvider:
    return OpenAICompatibleProvider(ProviderSettings(name, BASE if options is None else options, key))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**BASE, "base_ulr": "x"}, "unknown option 'base_ulr'; did you mean 'base_url'"),
        ({**BASE, "conect_timeout": 1}, "did you mean 'connect_timeout'"),
        ({**BASE, "gap_timeout": 0}, "option 'gap_timeout'"),
        ({**BASE, "gap_timeout": "soon"}, "option 'gap_timeout'"),
        ({**BASE, "max_tokens_field": "max"}, "option 'max_tokens_field'"),
        ({**BASE, "headers": {"X-Api": "a\nb"}}, "header 'X-Api'"),
        ({}, "base_url is missing"),
        ({"base_url": "127.0.0.1:9/v1"}, "http://"),
        ({"base_url": "http:///v1"}, "name a host"),
        ({"base_url": "http://127.0.0.1:99999/v1"}, "Port"),
        ({"base_url": "http://me:pw@127.0.0.1/v1"}, "credentials"),
        ({"base_url": "http://127.0.0.1/v1?key=x"}, "query"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="provider 'lab'") as caught:
        provider(options)

    assert message in str(caught.value)
    assert "pw" not in str(caught.value)


def test_a_key_that_cannot_be_one_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="key") as caught:
        provider(key="abc\ndef")

    assert "abc" not in str(caught.value)


def test_openai_needs_no_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert provider({}, "openai")._http.base_url == "https://api.openai.com/v1"

    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1/")
    assert provider({}, "openai")._http.base_url == "http://127.0.0.1:1/v1"
    assert provider(BASE, "openai")._http.base_url == BASE["base_url"]


def test_configured_models_are_listed() -> None:
    options = {**BASE, "models": ["a/b"], "stt_models": ["ears"], "tts_models": ["mouth"]}

    assert provider(options).models() == (
        ModelInfo("a/b", "llm"),
        ModelInfo("ears", "stt"),
        ModelInfo("mouth", "tts"),
    )


def test_engines_are_made_once_and_not_without_end() -> None:
    lab = provider()

    assert lab.llm("a") is lab.llm("a")
    assert lab.llm("a") is not lab.stt("a")  # type: ignore[comparison-overlap]
    for at in range(2 * lab.max_engines):
        lab.llm(f"model-{at}")
    assert len(lab._engines) == lab.max_engines
    with pytest.raises(UnknownModelError):
        lab.llm(" ")


def test_voices_are_known_at_openai_and_free_elsewhere() -> None:
    openai, lab = provider({}, "openai").tts("m"), provider().tts("m")
    strict = provider({**BASE, "voices": ["anna"]}).tts("m")

    assert openai.voices is not None
    assert openai.knows_voice("marin")
    assert openai.knows_voice("voice_123")
    assert not openai.knows_voice("Dennis")
    assert lab.voices is None
    assert lab.knows_voice("Dennis")
    assert strict.knows_voice("anna")
    assert not strict.knows_voice("marin")


async def test_all_three_kinds_share_one_connection() -> None:
    async with FakeOpenAI() as fake:
        options = {
            "base_url": fake.base_url + "/",
            "organization": "org-1",
            "project": "proj-1",
            "headers": {"X-Team": "voice"},
            "extra_body": {"reasoning_effort": "none"},
            "system_role": "developer",
            "max_tokens_field": "max_completion_tokens",
        }
        lab = provider(options, key=f" {fake.api_key}\n".strip())

        assert text_of(await collect(lab.llm("meta/llama-3"))) == "Hello from the fake model."
        async for _ in lab.stt("ears").transcribe(said(SPEECH), SttOptions()):
            pass
        async for _ in lab.tts("mouth").speak(saying("Hi."), TtsOptions("any")):
            pass
        await lab.aclose()

    chat, heard, spoken = fake.chat.requests[0], fake.transcriptions.requests[0], fake.speech.requests[0]
    assert chat.connection == heard.connection == spoken.connection
    assert chat.body["model"] == "meta/llama-3"
    assert chat.body["reasoning_effort"] == "none"
    for request in (chat, heard, spoken):
        assert request.headers["openai-organization"] == "org-1"
        assert request.headers["openai-project"] == "proj-1"
        assert request.headers["x-team"] == "voice"


async def test_a_server_without_keys_gets_none() -> None:
    async with FakeOpenAI() as fake:
        lab = provider({"base_url": fake.base_url, "headers": {"authorization": f"Bearer {fake.api_key}"}})

        assert text_of(await collect(lab.llm("m")))
        await lab.aclose()


async def test_proxies_of_the_environment_are_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with FakeOpenAI() as fake:
        lab = provider({"base_url": fake.base_url}, key=fake.api_key)

        assert text_of(await collect(lab.llm("m"), ASK))
        await lab.aclose()


async def test_closing_twice_or_before_use_is_fine() -> None:
    lab = provider()

    await lab.aclose()
    await asyncio.gather(lab.aclose(), lab.aclose())
