"""Transcription by Soniox: what it says becomes one utterance, and what it is asked for."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from soniox.types.realtime import RealtimeSTTConfig

from providers.contracts import (
    SttOptions,
    TranscriptFinal,
)
from providers.errors import (
    UnknownModelError,
)
from providers.provider import ProviderSettings
from providers.soniox import SonioxProvider
from providers.stt.soniox import RATE, config
from tests.fakes.hearing import say, silence
from tests.fakes.soniox_api import FakeSoniox, config_problem
from tests.fakes.websocket import Garbage, Plan
from tests.providers import soniox_lab
from tests.providers.hearing import deltas, final, guesses, opinions, spoken
from tests.providers.soniox_lab import V4, V5, hear, provider

fake = soniox_lab.fake


async def test_tokens_settle_as_they_become_final(fake: FakeSoniox) -> None:
    events = await hear(fake, say("One two three four five six seven. Bye.", rate=RATE))

    assert final(events) == "One two three four five six seven. Bye."
    assert deltas(events)[:3] == ["One", " two", " three"]
    exchange = await fake.exchange(0)
    assert exchange.texts[1:] == [{"type": "finalize"}, ""]
    assert exchange.received[0] == exchange.texts[0]
    assert exchange.headers["authorization"] == f"Bearer {fake.api_key}"
    assert fake.api_key not in json.dumps(exchange.texts)


async def test_a_guess_holds_the_whole_utterance(fake: FakeSoniox) -> None:
    told = guesses(await hear(fake, say("Hello there. One two three four five.", rate=RATE)))

    assert told[0] == "H"
    assert "Hello there. One two three fo" in told


async def test_the_end_of_a_turn_is_told_and_taken_back(fake: FakeSoniox) -> None:
    events = await hear(fake)

    assert opinions(events) == [1.0, 0.0, 1.0]
    assert "<" not in final(events)


async def test_a_forced_end_is_no_opinion(fake: FakeSoniox) -> None:
    events = await hear(fake, say("and then we", rate=RATE))

    assert final(events) == "and then we"
    assert opinions(events) == []


@pytest.mark.parametrize("marks", [True, False])
async def test_silence_gives_an_empty_text(fake: FakeSoniox, marks: bool) -> None:
    fake.marks_silence = marks

    assert await hear(fake, silence(0.5, rate=RATE)) == [TranscriptFinal("")]


async def test_no_audio_asks_nobody(fake: FakeSoniox) -> None:
    assert await hear(fake, b"") == [TranscriptFinal("")]
    assert fake.exchanges == []


async def test_languages_are_those_of_the_tokens(fake: FakeSoniox) -> None:
    fake.language = "fr"
    last = (await hear(fake))[-1]
    told = (await hear(fake, options=SttOptions(language="fr-FR")))[-1]

    assert isinstance(last, TranscriptFinal)
    assert last.languages == ("fr",)
    assert isinstance(told, TranscriptFinal)
    assert told.languages is None


def tokens(*texts: str, final: bool = True) -> str:
    return json.dumps({"tokens": [{"text": text, "is_final": final} for text in texts]})


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("Hello.", "Bye.", "Hello. Bye."),
        ("Hello.", " Bye.", "Hello. Bye."),
        ("你好。", "再见。", "你好。再见。"),
        ("안녕.", "네.", "안녕. 네."),
    ],
)
async def test_turns_are_joined_as_the_language_writes(
    fake: FakeSoniox, first: str, second: str, joined: str
) -> None:
    said = [Garbage(0, tokens(first, "<end>")), Garbage(0, tokens(second, "<end>"))]
    fake.script(Plan((), *said))

    assert final(await hear(fake)) == joined


async def test_translations_are_no_part_of_the_text(fake: FakeSoniox) -> None:
    token = {"text": "Hallo", "is_final": True, "translation_status": "translation"}
    fake.script(Plan(("Hello.",), Garbage(0, json.dumps({"tokens": [token]}))))

    assert final(await hear(fake)) == "Hello."


async def test_a_quiet_connection_is_kept_alive(fake: FakeSoniox) -> None:
    fake.idle_s = 0.5
    lab = provider(fake, keep_alive_interval=0.02)

    async def audio() -> AsyncIterator[bytes]:
        yield say("Hello", rate=RATE)
        exchange = await fake.exchange(0)
        await exchange.until(lambda: exchange.texts.count({"type": "keepalive"}) >= 3)
        yield say("there.", rate=RATE)

    async with asyncio.timeout(10):
        events = [event async for event in lab.stt(V4).transcribe(audio(), SttOptions())]
    await lab.aclose()
    assert final(events) == "Hello there."


def asked(model: str = V4, **options: Any) -> dict[str, Any]:
    values = config(model, SttOptions(**options))
    assert config_problem(values) is None
    RealtimeSTTConfig.model_validate(values)
    assert RealtimeSTTConfig.model_fields.keys() >= values.keys()
    constant = {
        "model": model,
        "audio_format": "pcm_s16le",
        "sample_rate": RATE,
        "num_channels": 1,
        "enable_endpoint_detection": True,
    }
    assert constant.items() <= values.items()
    return {name: value for name, value in values.items() if name not in constant}


def test_every_hint_goes_to_its_field() -> None:
    assert asked() == {"enable_language_identification": True}
    assert asked(language="en-GB", prompt="Trains.", keywords=("Ada", "Zug"), delay="low") == {
        "enable_language_identification": False,
        "language_hints": ["en"],
        "language_hints_strict": True,
        "max_endpoint_delay_ms": 1000,
        "context": {"text": "Trains.", "terms": ["Ada", "Zug"]},
    }
    assert asked(languages=("de_CH", "fr", "de", "yue"), delay="medium") == {
        "enable_language_identification": True,
        "language_hints": ["de", "fr"],
        "language_hints_strict": False,
    }


def test_settings_of_the_client_are_checked() -> None:
    good = {
        "languageHints": ["it"],
        "language_hints_strict": False,
        "max_turn_silence": 700,
        "end_of_turn_confidence_threshold": 0.75,
    }
    bad = {"language_hints": [1, "xyz"], "max_turn_silence": 9000, "end_of_turn_confidence_threshold": "x"}
    wanted = {
        "enable_language_identification": False,
        "language_hints": ["it"],
        "language_hints_strict": False,
        "max_endpoint_delay_ms": 700,
    }

    assert asked(settings=good) == wanted
    assert asked(V5, settings=good) == {**wanted, "endpoint_sensitivity": -0.5}
    assert asked(V5, settings=bad) == {"enable_language_identification": True}


def test_the_context_is_bounded() -> None:
    context = asked(prompt="x" * 9000, keywords=("y" * 5000, "z" * 5000, "Ada"))["context"]

    assert context["terms"] == ["y" * 5000, "Ada"]
    assert len(context["text"]) < 3000


async def test_utterances_at_once_do_not_mix(fake: FakeSoniox) -> None:
    texts = [f"Number {word} is here." for word in ("one", "two", "three", "four")]
    lab = provider(fake)

    async def one(text: str) -> str:
        events = lab.stt(V4).transcribe(spoken(say(text, rate=RATE), RATE), SttOptions())
        return final([event async for event in events])

    async with asyncio.timeout(10):
        assert await asyncio.gather(*map(one, texts)) == texts
    assert fake.most_open == 4
    await lab.aclose()


async def test_models_are_listed_and_engines_kept() -> None:
    lab = SonioxProvider(ProviderSettings("lab", {"base_url": "wss://127.0.0.1:1"}))

    assert [model.id for model in lab.models()] == [V4, V5]
    engines = [lab.stt(f"model-{number}") for number in range(70)]
    assert lab.stt("model-69") is engines[69]
    assert lab.stt("model-0") is not engines[0]
    with pytest.raises(UnknownModelError):
        lab.stt(" ")


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"base_ur": "x"}, "k", "did you mean 'base_url'"),
        ({"base_url": "ftp://x"}, "k", "base_url"),
        ({"keep_alive_interval": 20}, "k", "keep_alive_interval"),
        ({}, "ключ", "characters that no key has"),
    ],
)
def test_mistakes_in_the_settings_are_named(options: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SonioxProvider(ProviderSettings("lab", options, key))
