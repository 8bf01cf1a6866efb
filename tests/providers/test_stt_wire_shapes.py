"""Whatever a transcription service sends: the adapters make sense of it, or raise a `ProviderError`."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.contracts import EndOfTurn, SttOptions
from providers.errors import ProviderError
from providers.http import HttpClient
from providers.stt import assemblyai, soniox
from providers.stt.remote import Details, Done, Guessed, Reading, Settled, SttWire

WORDS = (
    "Turn",
    "Begin",
    "Error",
    "Termination",
    "SpeechStarted",
    "<end>",
    "<fin>",
    "hello",
    " you",
    "x.",
    "",
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=4,
)


def some(likely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what belongs there."""
    return st.one_of(likely, likely, values)


words = st.fixed_dictionaries(
    {},
    optional={
        "text": some(st.sampled_from(WORDS)),
        "start": some(st.integers(0, 9000)),
        "end": some(st.integers(0, 9000)),
        "word_is_final": some(st.booleans()),
    },
)
turns = st.fixed_dictionaries(
    {"type": some(st.just("Turn"))},
    optional={
        "turn_order": some(st.integers(0, 6)),
        "turn_is_formatted": some(st.booleans()),
        "end_of_turn": some(st.booleans()),
        "transcript": some(st.sampled_from(("", "hello", "hello you", "Hello, you."))),
        "end_of_turn_confidence": some(st.floats(0, 1)),
        "words": some(st.lists(some(words), max_size=3)),
        "language_code": some(st.just("en")),
        "error": values,
        "error_code": some(st.sampled_from((3005, 4001, 429))),
    },
)
tokens = st.fixed_dictionaries(
    {},
    optional={
        "text": some(st.sampled_from(WORDS)),
        "is_final": some(st.booleans()),
        "language": some(st.just("de")),
        "translation_status": values,
    },
)
results = st.fixed_dictionaries(
    {},
    optional={
        "tokens": some(st.lists(some(tokens), max_size=4)),
        "final_audio_proc_ms": some(st.integers(0, 9000)),
        "finished": some(st.booleans()),
        "error_code": some(st.sampled_from((None, 401, 503))),
        "error_message": some(st.just("no")),
    },
)
HTTP = HttpClient("lab", "http://127.0.0.1:1")


def check(wire: SttWire, messages: list[Any]) -> None:
    for message in messages:
        with suppress(ProviderError):
            for reading in wire.read(message):
                check_reading(reading)


def check_reading(reading: Reading) -> None:
    match reading:
        case Settled(text, until):
            assert isinstance(text, str)
            assert until is None or until >= 0
        case Guessed(text):
            assert isinstance(text, str)
        case EndOfTurn(probability):
            assert 0 <= probability <= 1
        case Details(languages):
            assert languages is None or all(isinstance(code, str) for code in languages)
        case _:
            assert reading == Done()


@pytest.mark.parametrize("formats", [True, False])
@pytest.mark.parametrize("model", ["u3-rt-pro", "universal-streaming-english"])
@settings(max_examples=50, deadline=None)
@given(messages=st.lists(turns | st.dictionaries(st.text(), values) | st.binary(), max_size=6))
def test_assemblyai(model: str, formats: bool, messages: list[Any]) -> None:
    check(assemblyai._Wire(HTTP, model, SttOptions(), formats=formats), messages)


@settings(max_examples=100, deadline=None)
@given(messages=st.lists(results | st.dictionaries(st.text(), values) | st.binary(), max_size=6))
def test_soniox(messages: list[Any]) -> None:
    check(soniox._Wire(HTTP, soniox.config("stt-rt-v4", SttOptions()), 8.0), messages)
