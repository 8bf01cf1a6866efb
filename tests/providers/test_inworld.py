"""The provider of kind "inworld": options, names, voices of the account, and what it shares with others."""

import base64
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.client_settings import choice, flag, integer, number, texts
from providers.contracts import Voice
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
    UnknownModelError,
)
from providers.grpc_problems import grpc_error
from providers.http import HttpClient
from providers.inworld import InworldProvider
from providers.problems import Redactor
from providers.provider import ProviderSettings
from providers.stt import inworld as stt_adapter
from providers.stt.remote import Guessed, Settled
from providers.tts import inworld as tts_adapter
from providers.tts.inworld import InworldTts
from providers.tts.inworld_http import InworldHttpTts
from providers.tts.inworld_shape import Steering
from providers.tts.remote import Mark
from tests.fakes.inworld_api import FakeInworld


@pytest.fixture
async def fake() -> AsyncGenerator[FakeInworld, None]:
    async with FakeInworld() as server:
        yield server


@pytest.fixture
async def provider(fake: FakeInworld) -> AsyncGenerator[InworldProvider, None]:
    made = InworldProvider(ProviderSettings("inworld", {"base_url": fake.base_url}, fake.api_key))
    yield made
    await made.aclose()


def make(key: str | None = "a2V5OnNlY3JldA==", **options: Any) -> InworldProvider:
    return InworldProvider(ProviderSettings("inworld", options, key))


# --- Options and names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_uri": "x"}, "did you mean 'base_url'"),
        ({"base_url": "api.inworld.ai"}, "http://"),
        ({"base_url": "https://user:pw@host"}, "credentials"),
        ({"base_url": "http://host:port"}, "base_url"),
        ({"transport": "grpc"}, "transport"),
        ({"temperature": 0}, "temperature"),
        ({"delivery_mode": "LOUD"}, "delivery_mode"),
    ],
)
def test_options_that_are_wrong_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_key_with_odd_characters_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="key") as caught:
        make("schlüssel\n1")

    assert "schlüssel" not in str(caught.value)


def test_the_models_that_are_documented_are_listed() -> None:
    models = {(model.kind, model.id): model for model in make(models=["support"]).models()}

    assert {
        ("llm", "auto"),
        ("llm", "support"),
        ("stt", "inworld-stt-1"),
        ("stt", "soniox/stt-rt-v4"),
        ("tts", "inworld-tts-1.5-mini"),
        ("tts", "inworld-tts-1.5-max"),
        ("tts", "inworld-tts-2"),
    } <= set(models)
    assert all(model.streams for model in models.values())
    assert models["tts", "inworld-tts-2"].word_timings


def test_engines_are_made_once_and_bounded() -> None:
    provider = make()
    first = provider.tts("inworld-tts-2")

    assert provider.tts("inworld-tts-2") is first
    assert provider.llm("a") is provider.llm("a")
    assert provider.stt("a") is provider.stt("a")
    for number_ in range(1000):
        provider.llm(f"router-{number_}")
    assert len(provider._engines) <= 256
    for kind in (provider.llm, provider.stt, provider.tts):
        with pytest.raises(UnknownModelError):
            kind(" ")


def test_the_transport_is_chosen_in_the_settings() -> None:
    assert isinstance(make().tts("inworld-tts-2"), InworldTts)
    assert isinstance(make(transport="http").tts("inworld-tts-2"), InworldHttpTts)


def test_the_key_is_hidden_in_all_of_its_forms() -> None:
    key = base64.b64encode(b"workspace-key:very-secret-secret").decode()
    redactor = make(key)._http.redactor

    told = redactor.clean(f"bad key {key} of workspace-key with very-secret-secret")

    assert "secret-secret" not in told
    assert key not in told
    assert "workspace-key" not in told


# --- Voices ------------------------------------------------------------------------------------------


async def test_the_voices_of_the_account_are_listed(fake: FakeInworld, provider: InworldProvider) -> None:
    fake.listed[1] |= {"langCode": "AUTO", "voiceId": "space__mine", "displayName": "Mine"}
    fake.listed[2] |= {"langCode": "PT_BR"}

    voices = await provider.list_voices()

    assert len(voices) == 9
    assert voices[:3] == (
        Voice("Dennis", "Dennis", "en-US"),
        Voice("space__mine", "Mine", ""),
        Voice("Olivia", "Olivia", "pt-BR"),
    )


async def test_voices_are_listed_page_by_page(fake: FakeInworld, provider: InworldProvider) -> None:
    fake.listed = [{"voiceId": f"voice-{number_}", "langCode": "DE_DE"} for number_ in range(450)]

    voices = await provider.list_voices()

    assert [voice.id for voice in voices] == [f"voice-{number_}" for number_ in range(450)]
    assert [query.get("pageToken") for query in fake.listings] == [None, "1-200", "1-400"]


async def test_odd_voices_are_left_out(fake: FakeInworld, provider: InworldProvider) -> None:
    odd: list[Any] = [5, None, {}, {"voiceId": 7}, {"voiceId": "a", "displayName": 5, "langCode": 5}]
    fake.listed = odd

    assert await provider.list_voices() == (Voice("a", "a", ""),)


async def test_an_account_may_have_no_voices(fake: FakeInworld, provider: InworldProvider) -> None:
    fake.listed = []

    assert await provider.list_voices() == ()


async def test_voices_need_the_key(fake: FakeInworld) -> None:
    provider = InworldProvider(ProviderSettings("inworld", {"base_url": fake.base_url}, "d3Jvbmc6d3Jvbmc="))

    with pytest.raises(AuthenticationError):
        await provider.list_voices()

    await provider.aclose()


# --- Failures of a gRPC gateway ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ({"code": 16, "message": "x"}, AuthenticationError),
        ({"code": 7, "message": "x"}, AuthenticationError),
        ({"code": 8, "message": "x"}, RateLimitError),
        ({"code": 3, "message": "x"}, InvalidRequestError),
        ({"code": 5, "message": "x"}, InvalidRequestError),
        ({"code": 4}, TimedOutError),
        ({"code": 14}, OverloadedError),
        ({"code": 13}, OverloadedError),
        ({"code": 429, "message": "x"}, RateLimitError),
        ({"code": "UNAUTHENTICATED"}, AuthenticationError),
        ({"status": "RESOURCE_EXHAUSTED", "code": "x"}, RateLimitError),
        ({"code": True}, OverloadedError),
        ({"code": 99}, OverloadedError),
        ({"code": []}, OverloadedError),
        ({}, OverloadedError),
        ("text", OverloadedError),
        (None, OverloadedError),
        ([], OverloadedError),
        ([1], OverloadedError),
    ],
)
def test_codes_of_grpc_are_told_as_what_they_mean(status: Any, kind: type[ProviderError]) -> None:
    error = grpc_error(status, Redactor(()), "inworld")

    assert type(error) is kind
    assert error.provider == "inworld"


def test_the_wait_and_the_secrets_of_a_status() -> None:
    status = {"code": 8, "message": "key secret-key-1 is slow", "details": [{"retryDelay": "2.5s"}, 5, None]}

    error = grpc_error(status, Redactor(("secret-key-1",)), "inworld")

    assert isinstance(error, RateLimitError)
    assert error.retry_after == 2.5
    assert "secret-key-1" not in str(error)


# --- Settings of a client ----------------------------------------------------------------------------


def test_settings_are_read_in_either_spelling() -> None:
    camel = {
        "vadThreshold": 0.4,
        "maxTurnSilence": 100.4,
        "deliveryMode": "stable",
        "languageHints": ["de", 5],
    }

    assert number(camel, "vad_threshold", 0, 1) == 0.4
    assert integer(camel, "max_turn_silence", 20, 5000) == 100
    assert choice(camel, "delivery_mode", ("STABLE",)) == "STABLE"
    assert texts(camel, "language_hints") == ["de"]
    assert flag({"enabled": False}, "enabled", default=True) is False
    assert flag({"enabled": "no"}, "enabled", default=True) is True
    assert texts({"a": ["x"] * 1000}, "a") == ["x"] * 100


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400)]),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["AAAA", "UklGRgAAAABXQVZFZm10IA==", "1500", "20", "hello"]),
)


@given(st.one_of(_SCALARS, st.lists(_SCALARS), st.dictionaries(st.text(), _SCALARS)))
def test_any_value_is_valid_or_none(value: Any) -> None:
    given_ = {"a": value}

    heard = number(given_, "a", 0, 1)
    assert heard is None or 0 <= heard <= 1
    assert choice(given_, "a", ("ON",)) in (None, "ON")
    assert all(isinstance(text, str) for text in texts(given_, "a"))


async def test_a_page_that_lists_nothing_sensible_is_refused(
    fake: FakeInworld, provider: InworldProvider
) -> None:
    listed: Any = _NoList()
    fake.listed = listed

    with pytest.raises(BadAnswerError):
        await provider.list_voices()


class _NoList(dict[str, Any]):
    """What is listed where voices should be: an object, whatever part of it is asked for."""

    def __getitem__(self, key: Any) -> Any:
        return {"voices": 5}


# --- Messages that make no sense ---------------------------------------------------------------------

_MEMBERS = st.sampled_from(
    [
        *("result", "error", "transcription", "transcript", "isFinal", "wordTimestamps", "voiceProfile"),
        *(
            "speechStarted",
            "startTimeMs",
            "endTimeMs",
            "speechStopped",
            "usage",
            "contextId",
            "status",
            "code",
        ),
        *("message", "details", "retryDelay", "audioChunk", "audioContent", "timestampInfo", "wordAlignment"),
        *("words", "wordEndTimeSeconds", "flushCompleted", "contextClosed", "contextCreated"),
    ]
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_MEMBERS, inner, max_size=6)),
    max_leaves=8,
)
_MESSAGES = st.one_of(
    st.binary(max_size=4),
    st.dictionaries(_MEMBERS, _JSON, max_size=4),
    st.dictionaries(_MEMBERS, _JSON, max_size=6).map(lambda result: {"result": result}),
    st.fixed_dictionaries(
        {},
        optional={
            "transcript": _JSON,
            "isFinal": _JSON,
            "wordTimestamps": st.lists(st.dictionaries(_MEMBERS, _SCALARS), max_size=3),
            "voiceProfile": _JSON,
        },
    ).map(lambda heard: {"result": {"speechStarted": {"startTimeMs": 100}, "transcription": heard}}),
    st.fixed_dictionaries(
        {},
        optional={
            "audioContent": _JSON,
            "timestampInfo": st.fixed_dictionaries(
                {"wordAlignment": st.dictionaries(_MEMBERS, _JSON, max_size=3)}
            ),
        },
    ).map(lambda chunk: {"result": {"audioChunk": chunk}}),
)


class _Nowhere:
    """As much of a socket as a wire needs to read."""

    provider = "inworld"
    redactor = Redactor(())

    def bad(self, what: str) -> BadAnswerError:
        return BadAnswerError(what, provider=self.provider)

    async def send_json(self, message: Any) -> None:
        pass


@settings(max_examples=60, deadline=None)
@given(messages=st.lists(_MESSAGES, max_size=4), closing=st.booleans())
def test_a_transcript_is_read_or_refused(messages: list[Any], closing: bool) -> None:
    http: Any = HttpClient("inworld", "http://127.0.0.1:1")
    wire = stt_adapter._Wire(http, {})
    wire._closing = closing
    for message in messages:
        with contextlib.suppress(ProviderError):
            for reading in wire.read(message):
                if isinstance(reading, Settled | Guessed):
                    assert isinstance(reading.text, str)


@settings(max_examples=60, deadline=None)
@given(messages=st.lists(_MESSAGES, max_size=4))
async def test_speech_is_read_or_refused(messages: list[Any]) -> None:
    wire = tts_adapter._Wire({}, Steering({}))
    socket: Any = _Nowhere()
    await wire.begin(socket)
    await wire.send(socket, "hello there, hello")
    for message in messages:
        with contextlib.suppress(ProviderError):
            for sound in wire.read(message):
                if isinstance(sound, Mark):
                    assert 0 <= sound.chars <= 18
                    assert sound.seconds >= 0
