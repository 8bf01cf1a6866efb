"""Transcription by Deepgram: segments and turns that become one utterance, parameters, failures, ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import pytest
from yarl import URL

from providers.contracts import (
    SttEvent,
    SttOptions,
    TranscriptDelta,
    TranscriptFinal,
)
from providers.deepgram import DeepgramProvider
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
    UnknownModelError,
)
from providers.http import HttpClient
from providers.provider import ProviderSettings
from providers.stt.deepgram_flux import FluxSettings, flux_query
from providers.stt.deepgram_nova import RATE, DeepgramNovaStt, NovaSettings, nova_query
from tests.fakes.deepgram_api import FakeDeepgram, query_problem
from tests.fakes.hearing import in_pieces, say, silence
from tests.fakes.websocket import Cut, Fault, Garbage, Hesitate, Plan, Refusal, Stall
from tests.providers.hearing import deltas, final, guesses, heard_by, opinions, spoken

NOVA, FLUX, MULTI = "nova-3", "flux-general-en", "flux-general-multi"
TEXT = "Hello there. Could you turn on the light in the kitchen, please? Thank you."
SPEECH = say(TEXT, rate=RATE)


@pytest.fixture
async def fake() -> AsyncIterator[FakeDeepgram]:
    async with FakeDeepgram() as fake:
        yield fake


def provider(fake: FakeDeepgram, key: str | None = None, **options: Any) -> DeepgramProvider:
    table = {"base_url": fake.base_url, "connect_timeout": 5.0, **options}
    return DeepgramProvider(ProviderSettings("lab", table, key or fake.api_key))


async def hear(
    fake: FakeDeepgram,
    pcm: bytes = SPEECH,
    model: str = NOVA,
    options: SttOptions | None = None,
    **settings: Any,
) -> list[SttEvent]:
    return await heard_by(provider(fake, **settings), model, pcm, options)


# --- What is heard ---------------------------------------------------------------------------------------


async def test_segments_of_nova_are_joined_by_spaces(fake: FakeDeepgram) -> None:
    events = await hear(fake)

    assert final(events) == TEXT
    assert deltas(events)[:3] == ["Hello there.", " Could you turn on the", " light in the kitchen, please?"]
    exchange = await fake.exchange(0)
    assert exchange.texts == [{"type": "Finalize"}, {"type": "CloseStream"}]
    assert exchange.headers["authorization"] == f"Token {fake.api_key}"


@pytest.mark.parametrize("model", [FLUX, MULTI])
async def test_turns_of_flux_are_joined_by_spaces(fake: FakeDeepgram, model: str) -> None:
    events = await hear(fake, model=model)

    assert final(events) == TEXT
    assert deltas(events)[0] == "Hello there."
    exchange = await fake.exchange(0)
    assert exchange.texts == [{"type": "ForceEndTurn"}, {"type": "CloseStream"}]
    assert {len(message) for message in exchange.received if isinstance(message, bytes)} == {
        2 * RATE * 8 // 100
    }


@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_guesses_hold_the_whole_utterance_and_may_change(fake: FakeDeepgram, model: str) -> None:
    whole = "Hello there. Understanding everything takes considerably longer."
    told = [text for text in guesses(await hear(fake, say(whole, rate=RATE), model)) if len(text) > 15]

    assert all(text.startswith("Hello there. Un") for text in told)
    assert any(not f"{whole} ".startswith(f"{text} ") for text in told)


@pytest.mark.parametrize("lag_s", [0.1, 0.4])
@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_what_is_transcribed_late_is_not_lost(fake: FakeDeepgram, model: str, lag_s: float) -> None:
    fake.lag_s = lag_s

    assert final(await hear(fake, say("One two three four five", rate=RATE), model)).split() == [
        *("One", "two", "three", "four", "five")
    ]


@pytest.mark.parametrize("end", [None, 1000, 1006])
async def test_flux_may_close_as_it_likes(fake: FakeDeepgram, end: int | None) -> None:
    fake.flux_end, fake.lag_s = end, 0.2

    assert final(await hear(fake, model=FLUX)) == TEXT
    assert len(fake.exchanges) == 1


@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_nobody_waits_for_the_farewell(fake: FakeDeepgram, model: str) -> None:
    pcm = say("One two three", rate=RATE)
    await hear(fake, pcm, model)
    sent = fake.exchanges[0].sent
    last = next(at for at, message in enumerate(sent) if "three" in str(message) and _settles(message))
    assert last < len(sent) - 1
    fake.script(Plan(None, Stall(sent=last + 1)))

    assert final(await hear(fake, pcm, model, final_timeout=60.0)) == "One two three"


def _settles(message: Any) -> bool:
    return message.get("is_final") is True or message.get("event") == "EndOfTurn"


async def test_flux_that_breaks_off_before_it_is_done_is_asked_again(fake: FakeDeepgram) -> None:
    fake.lag_s = 5.0  # nothing is transcribed before the end
    fake.script(Plan(None, Cut(sent=2, code=1006)))

    assert final(await hear(fake, model=FLUX)) == TEXT
    assert len(fake.exchanges) == 2


@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_silence_gives_an_empty_text(fake: FakeDeepgram, model: str) -> None:
    assert await hear(fake, silence(2.5, rate=RATE), model) == [TranscriptFinal("")]


@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_no_audio_asks_nobody(fake: FakeDeepgram, model: str) -> None:
    assert await hear(fake, b"", model) == [TranscriptFinal("")]
    assert fake.exchanges == []


async def test_nova_takes_a_pause_for_little_and_a_long_one_for_more(fake: FakeDeepgram) -> None:
    pcm = say("Well.", rate=RATE, pause_s=1.5) + say("Right.", rate=RATE, pause_s=0.5)

    assert opinions(await hear(fake, pcm)) == [0.6, 0.9, 0.5, 0.6]


async def test_a_forced_end_is_no_opinion(fake: FakeDeepgram) -> None:
    for model in (NOVA, FLUX):
        assert opinions(await hear(fake, say("and then we", rate=RATE), model)) == []


async def test_flux_suggests_ends_and_takes_them_back(fake: FakeDeepgram) -> None:
    pcm = say("I would like", rate=RATE) + silence(0.28, rate=RATE) + say("two of them.", rate=RATE)
    pcm += say("And", rate=RATE)

    assert opinions(await hear(fake, pcm, FLUX)) == [0.6, 0.0, 0.6, 0.8, 0.0]
    assert opinions(await hear(fake, pcm, FLUX, eager_eot_threshold=False)) == [0.8, 0.0]


@pytest.mark.parametrize("model", [NOVA, MULTI])
async def test_languages_are_those_that_were_found(fake: FakeDeepgram, model: str) -> None:
    fake.language = "fr"
    events = await hear(fake, model=model)

    assert isinstance(events[-1], TranscriptFinal)
    assert events[-1].languages == ("fr",)


async def test_languages_without_spaces_get_none(fake: FakeDeepgram) -> None:
    fake.language = "ja"
    text = "これは いい です。"
    pcm = say(text, rate=RATE) + silence(0.6, rate=RATE) + say("はい。", rate=RATE)

    assert final(await hear(fake, pcm)) == text + "はい。"
    assert final(await hear(fake, pcm, MULTI)) == text + "はい。"


async def test_nova_is_told_that_the_client_is_still_there(fake: FakeDeepgram) -> None:
    http = HttpClient("lab", fake.base_url, headers={"Authorization": f"Token {fake.api_key}"})
    stt = DeepgramNovaStt(http, NOVA, NovaSettings(keep_alive_s=0.02))

    async def audio() -> AsyncIterator[bytes]:
        yield say("One", rate=RATE)
        exchange = await fake.exchange(0)
        await exchange.until(lambda: exchange.texts.count({"type": "KeepAlive"}) == 3)
        yield say("two", rate=RATE)

    async with asyncio.timeout(10):
        events = [event async for event in stt.transcribe(audio(), SttOptions())]
    await http.aclose()
    assert final(events) == "One two"
    assert len(fake.exchanges) == 1


# --- Parameters ------------------------------------------------------------------------------------------


def values(path: str, query: list[tuple[str, str]]) -> Mapping[str, Any]:
    """A query as the service reads it, which finds nothing wrong with it."""
    parsed = URL.build(path=path, query=query).query
    assert query_problem(path, parsed) == ""
    assert parsed["encoding"] == "linear16"
    assert parsed["sample_rate"] == str(RATE)
    return {
        name: parsed.getall(name) if name in ("keyterm", "keywords", "language_hint", "tag") else parsed[name]
        for name in parsed
    }


def nova(model: str = NOVA, fixed: NovaSettings | None = None, **options: Any) -> Mapping[str, Any]:
    return values("/v1/listen", nova_query(model, fixed or NovaSettings(), SttOptions(**options)))


def flux(model: str = MULTI, fixed: FluxSettings | None = None, **options: Any) -> Mapping[str, Any]:
    return values("/v2/listen", flux_query(model, fixed or FluxSettings(), SttOptions(**options)))


def test_nova_is_asked_for_what_a_conversation_needs() -> None:
    asked = nova()

    assert asked["interim_results"] == asked["punctuate"] == asked["smart_format"] == "true"
    assert (asked["language"], asked["endpointing"], asked["utterance_end_ms"]) == ("multi", "300", "1000")
    assert "no_delay" not in asked
    assert "utterance_end_ms" not in nova(fixed=NovaSettings(utterance_end_ms=None))
    assert nova(fixed=NovaSettings(endpointing_ms=None))["endpointing"] == "false"


@pytest.mark.parametrize(
    ("options", "language", "hints"),
    [
        ({}, "multi", None),
        ({"language": "de"}, "de", None),
        ({"languages": ("de",)}, "de", None),
        ({"languages": ("de", "en-GB")}, "multi", ["de", "en-GB"]),
        ({"settings": {"language_hints": ["pl", "cs"]}}, "multi", ["pl", "cs"]),
        ({"language": "de", "settings": {"languageHints": ["pl", "cs"]}}, "de", None),
    ],
)
def test_nova_is_told_the_languages(options: dict[str, Any], language: str, hints: list[str] | None) -> None:
    asked = nova(**options)

    assert (asked["language"], asked.get("language_hint")) == (language, hints)


def test_words_go_where_the_model_takes_them() -> None:
    words = ("Ada", "Zug, Bahn", "Ada", " ", "x" * 101)

    assert nova(keywords=words)["keyterm"] == ["Ada", "Zug Bahn"]
    assert nova("nova-2", keywords=words)["keywords"] == ["Ada", "Zug Bahn"]
    assert flux(keywords=words)["keyterm"] == ["Ada", "Zug Bahn"]


def test_what_travels_in_the_address_is_bounded() -> None:
    terms = nova(keywords=tuple(f"term number {n}" for n in range(500)))["keyterm"]

    assert len(terms) <= 100
    assert sum(map(len, terms)) <= 1500
    assert len(nova(settings={"language_hints": ["en"] * 900})["language_hint"]) <= 100


def test_settings_of_the_client_are_checked() -> None:
    good: dict[str, Any] = {
        "minEndOfTurnSilence": 450,
        "max_turn_silence": 1500,
        "numerals": True,
        "punctuate": False,
    }
    bad: dict[str, Any] = {
        "min_end_of_turn_silence": "long",
        "max_turn_silence": -1,
        "numerals": "yes",
        "punctuate": 0,
    }

    asked = nova(settings=good, delay="low")
    assert (asked["endpointing"], asked["utterance_end_ms"]) == ("450", "1500")
    assert (asked["numerals"], asked["punctuate"], asked["no_delay"]) == ("true", "false", "true")
    assert nova(settings=bad) == nova()

    good = {"end_of_turn_confidence_threshold": 0.45, "max_turn_silence": 900}
    bad = {"end_of_turn_confidence_threshold": 7, "max_turn_silence": [], "profanity_filter": "yes"}
    asked = flux(settings=good)
    assert (asked["eot_threshold"], asked["eager_eot_threshold"], asked["eot_timeout_ms"]) == (
        "0.5",
        "0.5",
        "900",
    )
    assert flux(settings=bad) == flux()
    assert flux()["eager_eot_threshold"] == "0.5"


def test_flux_is_told_only_languages_that_it_knows() -> None:
    assert flux(languages=("de-AT", "en", "de", "tlh"))["language_hint"] == ["de", "en"]
    assert flux(language="fr")["language_hint"] == ["fr"]
    assert "language_hint" not in flux(language="pl")
    assert "language_hint" not in flux(FLUX, language="de")


async def test_options_of_the_table_are_sent(fake: FakeDeepgram) -> None:
    table: dict[str, Any] = {"mip_opt_out": True, "tags": ["a", "b"]}
    await hear(fake, endpointing=False, utterance_end=False, language="de", smart_format=False, **table)
    await hear(fake, model=FLUX, eot_threshold=0.8, eager_eot_threshold=0.4, eot_timeout=3000, **table)

    asked, told = fake.queries
    assert (asked["endpointing"], asked["language"], asked["smart_format"]) == ("false", "de", "false")
    assert "utterance_end_ms" not in asked
    assert (told["eot_threshold"], told["eager_eot_threshold"], told["eot_timeout_ms"]) == (
        "0.8",
        "0.4",
        "3000",
    )
    for query in (asked, told):
        assert (query["mip_opt_out"], query.getall("tag")) == ("true", ["a", "b"])


@pytest.mark.parametrize(
    "options",
    [
        {"endpointing": 5},
        {"endpointing": True},
        {"utterance_end": 999},
        {"eager_eot_threshold": 0.1},
        {"eot_threshold": 1.0},
        {"base_url": "ftp://example.org"},
        {"unknown": 1},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        DeepgramProvider(ProviderSettings("lab", options, "k"))


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="characters that no key has"):
        DeepgramProvider(ProviderSettings("lab", {}, "a\nb"))


async def test_models_are_listed_and_engines_cached() -> None:
    lab = DeepgramProvider(ProviderSettings("lab", {}, "k"))

    listed = {model.id: model for model in lab.models()}
    assert {NOVA, FLUX, MULTI, "aura-2"} <= set(listed)
    assert all(model.streams and model.languages for model in listed.values())
    assert lab.stt(NOVA) is lab.stt(NOVA)
    assert lab.stt(NOVA) is not lab.stt("nova-2")
    for n in range(200):
        lab.stt(f"nova-{n}")
    with pytest.raises(UnknownModelError):
        lab.stt(" ")
    with pytest.raises(UnknownModelError):
        lab.llm("x")
    await lab.aclose()


# --- Failures --------------------------------------------------------------------------------------------


async def failure(fake: FakeDeepgram, pcm: bytes = SPEECH, **settings: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await hear(fake, pcm, **settings)
    assert "fake-key" not in str(caught.value)
    assert caught.value.provider == "lab"
    await fake.all_closed()
    return caught.value


@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_a_wrong_key_is_an_authentication_error(fake: FakeDeepgram, model: str) -> None:
    assert isinstance(await failure(fake, key="fake-key-wrong", model=model), AuthenticationError)
    assert len(fake.exchanges) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Refusal(429, {"err_code": "TOO_MANY_REQUESTS"}, retry_after=7), RateLimitError),
        (Refusal(402), AuthenticationError),
        (Refusal(503), OverloadedError),
        (Refusal(400), InvalidRequestError),
        (Refusal(200), BadAnswerError),
        (Stall(), TimedOutError),
        (Garbage(), BadAnswerError),
        (Garbage(data="[]"), BadAnswerError),
        (Garbage(sent=1, data=b"\x00"), BadAnswerError),
        (Cut(heard=1, code=1008, reason="DATA-0000"), InvalidRequestError),
        (Cut(heard=1, code=1003), InvalidRequestError),
    ],
)
@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_each_failure_is_told_as_what_it_is(
    fake: FakeDeepgram, model: str, fault: Fault, kind: type[ProviderError]
) -> None:
    fake.script(Plan(None, fault))
    hasty: dict[str, Any] = {"connect_timeout": 0.3, "final_timeout": 0.3}
    error = await failure(fake, model=model, **(hasty if kind is TimedOutError else {}))

    assert type(error) is kind
    assert len(fake.exchanges) == 1
    if isinstance(error, RateLimitError):
        assert error.retry_after == 7


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INTERNAL_SERVER_ERROR", OverloadedError),
        ("UNPARSABLE_CLIENT_MESSAGE", InvalidRequestError),
        ("INVALID_SAMPLE_RATE", InvalidRequestError),
        ("SchemaError", InvalidRequestError),
        ("TOO_MANY_REQUESTS", RateLimitError),
        ("INVALID_AUTH", AuthenticationError),
        ("CLIENT_TIMEOUT", TimedOutError),
    ],
)
@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_errors_of_a_session_are_told(
    fake: FakeDeepgram, model: str, code: str, kind: type[ProviderError]
) -> None:
    fake.default = code
    error = await failure(fake, model=model)

    assert type(error) is kind
    assert code in str(error)


async def test_an_unknown_model_is_an_invalid_request(fake: FakeDeepgram) -> None:
    for model in ("nova-9", "flux-general-xx"):
        assert isinstance(await failure(fake, model=model), InvalidRequestError)


@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_a_text_that_does_not_come_is_late(fake: FakeDeepgram, model: str) -> None:
    fake.script(Plan(None, Stall(sent=3)))

    assert isinstance(await failure(fake, model=model, final_timeout=0.1), TimedOutError)


def alternative(**members: Any) -> dict[str, Any]:
    return {"alternatives": [{"transcript": "", "confidence": 1, "words": [], **members}]}


SHAPELESS: list[tuple[str, dict[str, Any]]] = [
    (NOVA, {"type": "Results"}),
    (NOVA, {"type": "Results", "channel": [], "start": 0, "duration": 1}),
    (NOVA, {"type": "Results", "channel": {"alternatives": []}, "start": 0, "duration": 1}),
    (NOVA, {"type": "Results", "channel": {"alternatives": {"0": 1}}, "start": 0, "duration": 1}),
    (NOVA, {"type": "Results", "channel": alternative(transcript=None), "start": 0, "duration": 1}),
    (NOVA, {"type": "Results", "channel": alternative(), "start": "0", "duration": 1}),
    (NOVA, {"type": "Results", "channel": alternative(), "start": 0, "duration": -1}),
    (NOVA, {"type": "Results", "channel": alternative(), "start": 0}),
    (FLUX, {"type": "TurnInfo"}),
    (FLUX, {"type": "TurnInfo", "event": "Update", "transcript": ["x"], "audio_window_end": 1}),
    (FLUX, {"type": "TurnInfo", "event": "EndOfTurn", "transcript": "x", "audio_window_end": None}),
    (FLUX, {"type": "TurnInfo", "event": "EndOfTurn", "transcript": "x", "audio_window_end": True}),
]


@pytest.mark.parametrize(("model", "message"), SHAPELESS)
async def test_a_message_of_no_shape_is_a_bad_answer(
    fake: FakeDeepgram, model: str, message: dict[str, Any]
) -> None:
    fake.script(Plan(None, Garbage(sent=1, data=json.dumps(message))))

    assert isinstance(await failure(fake, model=model), BadAnswerError)


ODD: list[dict[str, Any]] = [
    {},
    {"type": None},
    {"type": {"x": 1}},
    {"type": "SpeechStarted", "channel": [0, 1], "timestamp": 0.1},
    {"type": "Warning", "code": 5, "description": []},
    {"type": "ConfigureFailure", "code": "x"},
    {"type": "UtteranceEnd"},
    {"type": "Connected"},
    {"type": "Metadata", "duration": "?"},
    {"type": "Results", "channel": alternative(languages="en"), "start": 0, "duration": 0, "is_final": "no"},
    {"type": "Results", "channel": alternative(languages=[1, None]), "start": 0, "duration": 0},
    {"type": "TurnInfo", "event": 5, "transcript": "", "audio_window_end": 0, "languages": {"en": 1}},
    {"type": "TurnInfo", "event": "New", "transcript": "", "audio_window_end": 0, "languages": [None]},
]


@pytest.mark.parametrize("message", ODD)
@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_odd_messages_do_no_harm(fake: FakeDeepgram, message: dict[str, Any], model: str) -> None:
    fake.script(Plan(None, Garbage(sent=1, data=json.dumps(message))))

    assert final(await hear(fake, model=model)) == TEXT


async def test_an_odd_confidence_is_no_confidence(fake: FakeDeepgram) -> None:
    for odd, told in (("high", 0.5), (None, 0.5), (7, 1.0), (-1, 0.5), (True, 0.5)):
        turn = {"type": "TurnInfo", "event": "EagerEndOfTurn", "transcript": "", "audio_window_end": 0}
        frame = json.dumps(turn | {"end_of_turn_confidence": odd})
        fake.script(Plan(None, Garbage(sent=1, data=frame)))
        assert opinions(await hear(fake, silence(0.5, rate=RATE), FLUX)) == [told]


@pytest.mark.parametrize(
    "message", [{"err_code": "X", "err_msg": "boom"}, {"type": "Error"}, {"type": "Error", "code": {"a": 1}}]
)
@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_an_error_without_a_known_code_is_the_fault_of_the_service(
    fake: FakeDeepgram, model: str, message: dict[str, Any]
) -> None:
    fake.script(*(Plan(None, Garbage(sent=1, data=json.dumps(message))) for _ in range(3)))

    assert isinstance(await failure(fake, model=model), OverloadedError)


async def test_a_secret_that_comes_back_is_not_told(fake: FakeDeepgram) -> None:
    told = {"type": "Error", "code": "INVALID_AUTH", "description": f"key {fake.api_key} is wrong"}
    fake.script(Plan(None, Garbage(sent=1, data=json.dumps(told))))

    assert "[key]" in str(await failure(fake))


# --- Broken connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1006, 1011, 1001])
@pytest.mark.parametrize("sent", [2, 5, 9])
@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_a_connection_that_dies_loses_and_doubles_nothing(
    fake: FakeDeepgram, model: str, sent: int, code: int
) -> None:
    fake.script(Plan(None, Cut(sent=sent, code=code)))

    assert final(await hear(fake, model=model)) == TEXT
    assert len(fake.exchanges) == 2


@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_audio_that_was_sent_but_not_settled_is_not_lost(fake: FakeDeepgram, model: str) -> None:
    async def at_once() -> AsyncIterator[bytes]:
        yield SPEECH

    lab = provider(fake)
    for sent in range(2, 16):
        fake.script(Plan(None, Cut(sent=sent)))
        async with asyncio.timeout(10):
            events = [event async for event in lab.stt(model).transcribe(at_once(), SttOptions())]
        assert final(events) == TEXT
    await lab.aclose()
    assert len(fake.exchanges) == 2 * 14


@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_a_service_that_keeps_dying_is_given_up(fake: FakeDeepgram, model: str) -> None:
    fake.script(*(Plan(None, Cut(heard=3, code=1011)) for _ in range(9)))

    assert isinstance(await failure(fake, model=model), ConnectionFailedError)
    assert len(fake.exchanges) == 3


@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_what_was_settled_is_not_sent_again(fake: FakeDeepgram, model: str) -> None:
    settled = asyncio.Event()
    first = say("Hello there.", rate=RATE)
    fake.script(Plan(None, Cut(heard=60, code=1011)))
    lab = provider(fake)

    async def audio() -> AsyncIterator[bytes]:
        yield first
        await settled.wait()
        for piece in in_pieces(say("Bye now and then again.", rate=RATE) * 3, rate=RATE, seconds=0.02):
            yield piece
            await asyncio.sleep(0)

    heard: list[SttEvent] = []
    async with asyncio.timeout(10):
        async for event in lab.stt(model).transcribe(audio(), SttOptions()):
            heard.append(event)
            if isinstance(event, TranscriptDelta):
                settled.set()
    await lab.aclose()

    assert final(heard) == "Hello there." + " Bye now and then again." * 3
    assert len((await fake.exchange(1)).audio) < len(first) + 3 * len(
        say("Bye now and then again.", rate=RATE)
    )


async def test_audio_that_comes_while_connecting_is_kept(fake: FakeDeepgram) -> None:
    gate = asyncio.Event()
    fake.script(Plan(None, Hesitate(until=gate)))

    async def audio() -> AsyncIterator[bytes]:
        async for piece in spoken(SPEECH, RATE):
            yield piece
        gate.set()

    lab = provider(fake)
    async with asyncio.timeout(10):
        events = [event async for event in lab.stt(FLUX).transcribe(audio(), SttOptions())]
    await lab.aclose()
    assert final(events) == TEXT


@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_closing_early_leaves_no_task_and_no_socket(fake: FakeDeepgram, model: str) -> None:
    endless = asyncio.Event()

    async def audio() -> AsyncIterator[bytes]:
        yield say("Hello there", rate=RATE)
        await endless.wait()

    lab = provider(fake)
    before = asyncio.all_tasks()
    async with asyncio.timeout(10), aclosing(lab.stt(model).transcribe(audio(), SttOptions())) as events:
        await anext(events)
    await fake.all_closed()
    await lab.aclose()
    await asyncio.sleep(0)
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not {name for name in left if "stt" in name or "alive" in name}


@pytest.mark.parametrize("model", [NOVA, FLUX])
async def test_an_utterance_may_follow_a_warming(fake: FakeDeepgram, model: str) -> None:
    lab = provider(fake)
    await lab.stt(model).warm()  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        events = [event async for event in lab.stt(model).transcribe(spoken(SPEECH, RATE), SttOptions())]
    await lab.aclose()
    assert final(events) == TEXT


async def test_warming_never_raises() -> None:
    lab = DeepgramProvider(ProviderSettings("lab", {"base_url": "http://127.0.0.1:1"}, "k"))
    await lab.stt(NOVA).warm()  # type: ignore[attr-defined]
    await lab.stt(FLUX).warm()  # type: ignore[attr-defined]
    await lab.aclose()
