"""Transcription by AssemblyAI: what it says becomes one utterance, and what it is asked for."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest
from assemblyai.streaming.v3 import StreamingParameters

from providers.assemblyai import AssemblyAIProvider
from providers.contracts import (
    SttOptions,
    TranscriptFinal,
)
from providers.errors import (
    UnknownModelError,
)
from providers.provider import ProviderSettings
from providers.stt.assemblyai import RATE, query
from tests.fakes.assemblyai_api import FakeAssemblyAI, query_problem
from tests.fakes.hearing import say, silence
from tests.providers import assemblyai_lab
from tests.providers.assemblyai_lab import ENGLISH, LATER, MULTI, SPEECH, hear, provider
from tests.providers.hearing import deltas, final, guesses, opinions, spoken

fake = assemblyai_lab.fake


@pytest.mark.parametrize("model", [LATER, ENGLISH, MULTI])
async def test_turns_of_one_utterance_are_joined_and_counted_once(fake: FakeAssemblyAI, model: str) -> None:
    events = await hear(fake, model=model)

    assert final(events) == "Hello there. How are you?"
    assert deltas(events) == ["Hello there.", " How are you?"]
    exchange = await fake.exchange(0)
    assert exchange.texts == [{"type": "ForceEndpoint"}, {"type": "Terminate"}]
    assert exchange.headers["authorization"] == fake.api_key
    assert exchange.headers["assemblyai-version"] == "2025-05-12"


async def test_guesses_grow_with_words_that_may_still_change(fake: FakeAssemblyAI) -> None:
    told = guesses(await hear(fake, say("Wonderful day.", rate=RATE), ENGLISH))

    assert told[0] == "wo"
    assert "wonderful da" in told
    assert told.index("wonderful") < told.index("wonderful da")
    assert told[-1] == "wonderful day"


async def test_a_guess_holds_the_whole_utterance(fake: FakeAssemblyAI) -> None:
    told = guesses(await hear(fake, say("Hello there. One two three four five.", rate=RATE)))

    assert "Hello there. One two three fo" in told


async def test_words_that_never_change_need_not_wait_for_punctuation(fake: FakeAssemblyAI) -> None:
    events = await hear(fake, model=ENGLISH, format_turns=False)

    assert final(events) == "hello there how are you"
    assert deltas(events)[:2] == ["hello", " there"]
    assert (await fake.exchange(0)).query["format_turns"] == "false"


@pytest.mark.parametrize("model", [LATER, ENGLISH])
async def test_the_end_of_a_turn_is_told_and_taken_back(fake: FakeAssemblyAI, model: str) -> None:
    told = opinions(await hear(fake, say("Hello there. And", rate=RATE), model))

    assert told[0] == 0.9
    assert told[-1] < 0.1


async def test_a_forced_end_is_no_opinion(fake: FakeAssemblyAI) -> None:
    events = await hear(fake, say("and then we", rate=RATE))

    assert final(events) == "and then we"
    assert opinions(events) == []


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("model", [LATER, ENGLISH])
async def test_silence_gives_an_empty_text(fake: FakeAssemblyAI, model: str, answers: bool) -> None:
    fake.answers_silence = answers

    assert await hear(fake, silence(0.5, rate=RATE), model) == [TranscriptFinal("")]


async def test_no_audio_asks_nobody(fake: FakeAssemblyAI) -> None:
    assert await hear(fake, b"") == [TranscriptFinal("")]
    assert fake.exchanges == []


async def test_audio_is_sent_in_pieces_that_the_service_takes(fake: FakeAssemblyAI) -> None:
    await hear(fake, SPEECH[:-1000])

    sizes = [len(message) for message in (await fake.exchange(0)).received if isinstance(message, bytes)]
    assert min(sizes) >= RATE // 10
    assert max(sizes) <= 2 * RATE


async def test_languages_are_those_of_the_turns(fake: FakeAssemblyAI) -> None:
    fake.language = "fr"
    events = await hear(fake, model=MULTI)

    assert isinstance(events[-1], TranscriptFinal)
    assert events[-1].languages == ("fr",)


def asked(model: str, formats: bool = True, **options: Any) -> dict[str, str]:
    values = query(model, SttOptions(**options), formats=formats)
    assert query_problem(values) is None
    read = {name: json.loads(value) if value[0] == "[" else value for name, value in values.items()}
    if model != "whisper-rt":
        assert StreamingParameters.model_validate(read).model_dump(exclude_none=True).keys() == values.keys()
    assert values.pop("speech_model") == model
    assert values.pop("sample_rate") == str(RATE)
    assert values.pop("encoding") == "pcm_s16le"
    return values


def test_every_hint_goes_where_the_model_takes_it() -> None:
    hints: dict[str, Any] = {
        "prompt": "A call about trains.",
        "keywords": ("Ada", "Zug", "x" * 51),
        "languages": ("en-GB", "de_DE", "en"),
        "delay": "low",
    }

    assert asked(LATER, **hints) == {
        "prompt": "A call about trains.",
        "keyterms_prompt": '["Ada","Zug"]',
        "language_codes": '["en","de"]',
        "continuous_partials": "true",
        "mode": "min_latency",
    }
    assert asked(ENGLISH, **hints) == {
        "keyterms_prompt": '["Ada","Zug"]',
        "format_turns": "true",
        "min_turn_silence": "240",
    }
    assert asked(MULTI, formats=False, language="de") == {
        "format_turns": "false",
        "language_detection": "true",
    }
    assert asked("whisper-rt", **hints) == {"keyterms_prompt": '["Ada","Zug"]'}


def test_settings_of_the_client_are_checked() -> None:
    good = {"vad_threshold": 0.6, "endOfTurnConfidenceThreshold": 0.7, "min_end_of_turn_silence": 300}
    bad = {"vad_threshold": "loud", "end_of_turn_confidence_threshold": 7, "max_turn_silence": True}

    assert asked(ENGLISH, settings=good, delay="xhigh") == {
        "format_turns": "true",
        "vad_threshold": "0.6",
        "end_of_turn_confidence_threshold": "0.7",
        "min_turn_silence": "300",
    }
    assert asked(ENGLISH, settings=bad) == {"format_turns": "true"}
    assert asked(LATER, settings=good) == {
        "continuous_partials": "true",
        "vad_threshold": "0.6",
        "min_turn_silence": "300",
    }


def test_the_longest_pause_is_never_below_the_shortest() -> None:
    values = asked(LATER, settings={"min_end_of_turn_silence": 1500})

    assert values["max_turn_silence"] == values["min_turn_silence"] == "1500"


def test_what_travels_in_the_address_is_bounded() -> None:
    values = asked(
        LATER,
        prompt="x" * 9000,
        keywords=tuple(f"term{n}" for n in range(200)),
        languages=tuple("abcdefghijklm"),
    )

    assert len(values["prompt"]) == 1500
    assert len(json.loads(values["keyterms_prompt"])) == 100
    assert len(json.loads(values["language_codes"])) == 10


async def test_a_warm_connection_is_used(fake: FakeAssemblyAI) -> None:
    lab = provider(fake)
    stt = lab.stt(LATER)
    await stt.warm()  # type: ignore[attr-defined]

    async with asyncio.timeout(10):
        events = [event async for event in stt.transcribe(spoken(SPEECH, RATE), SttOptions())]
    await lab.aclose()
    assert final(events) == "Hello there. How are you?"


async def test_utterances_at_once_do_not_mix(fake: FakeAssemblyAI) -> None:
    texts = [f"Number {word} is here." for word in ("one", "two", "three", "four")]
    lab = provider(fake)

    async def one(text: str) -> str:
        events = lab.stt(LATER).transcribe(spoken(say(text, rate=RATE), RATE), SttOptions())
        return final([event async for event in events])

    async with asyncio.timeout(10):
        assert await asyncio.gather(*map(one, texts)) == texts
    assert fake.most_open == 4
    await lab.aclose()


async def test_models_are_listed_and_engines_kept() -> None:
    lab = AssemblyAIProvider(ProviderSettings("lab", {"base_url": "wss://127.0.0.1:1"}))

    assert [model.id for model in lab.models()] == [LATER, MULTI, ENGLISH]
    assert all(model.kind == "stt" and model.languages for model in lab.models())
    engines = [lab.stt(f"model-{number}") for number in range(70)]
    assert lab.stt("model-69") is engines[69]
    assert lab.stt("model-0") is not engines[0]
    assert all(one is not other for one, other in pairwise(engines))
    with pytest.raises(UnknownModelError):
        lab.stt(" ")


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"base_ur": "x"}, "k", "did you mean 'base_url'"),
        ({"base_url": "ftp://x"}, "k", "base_url"),
        ({"final_timeout": 0}, "k", "final_timeout"),
        ({}, "ключ", "characters that no key has"),
    ],
)
def test_mistakes_in_the_settings_are_named(options: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AssemblyAIProvider(ProviderSettings("lab", options, key))
