"""Inworld's speech over both transports: sound and marks, what goes out, and how it can fail."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from providers.contracts import SpeechChunk, TextMark, Tts, TtsOptions
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.inworld import InworldProvider
from providers.provider import ProviderSettings
from providers.tts.inworld_shape import TAGS, chunk_pcm, chunk_words, pieces, speech_settings
from tests.fakes.inworld_api import FakeInworld, Spoken, SpokenReply, failure, sound, status
from tests.fakes.openai_replies import CUT, HANG, Reply, Step
from tests.fakes.websocket import Cut, Exchange, Fault, Garbage, Hesitate, Plan, Refusal, Stall
from tests.providers.speaking import marks_of, pcm_of, segments

DENNIS = TtsOptions("Dennis")
Make = Callable[..., Tts]


@pytest.fixture
async def fake() -> AsyncGenerator[FakeInworld, None]:
    async with FakeInworld() as server:
        yield server


@pytest.fixture
async def make(fake: FakeInworld) -> AsyncGenerator[Make, None]:
    made: list[InworldProvider] = []

    def tts(model: str = "inworld-tts-2", *, key: str | None = None, **options: Any) -> Tts:
        settings = {"base_url": fake.base_url, "first_byte_timeout": 2.0, "gap_timeout": 2.0, **options}
        made.append(InworldProvider(ProviderSettings("inworld", settings, key or fake.api_key)))
        return made[-1].tts(model)

    yield tts
    for provider in made:
        await provider.aclose()


async def collect(tts: Tts, *texts: str, options: TtsOptions = DENNIS) -> list[SpeechChunk]:
    async with asyncio.timeout(10):
        return [chunk async for chunk in tts.speak(segments(*texts), options)]


def requests(exchange: Exchange) -> list[str]:
    return [next(name for name in message if name != "contextId") for message in exchange.texts]


both = pytest.mark.parametrize("transport", ["websocket", "http"])


# --- Sound and marks ---------------------------------------------------------------------------------


@both
async def test_segments_are_spoken_one_after_the_other(make: Make, transport: str) -> None:
    segments = ("Hello there, ", "my friend. ", "Bye.")

    chunks = await collect(make(transport=transport), *segments)

    expected = b"".join(sound(segment) for segment in segments)
    assert pcm_of(chunks) == expected
    assert marks_of(chunks)[-1] == TextMark(len("".join(segments)), len(expected) // 2)


@both
@pytest.mark.parametrize("model", ["inworld-tts-1.5-mini", "inworld-tts-1.5-max", "inworld-tts-2"])
async def test_times_of_words_run_on_over_segments(make: Make, transport: str, model: str) -> None:
    chunks = await collect(make(model, transport=transport), "Hello there, ", "my friend.")

    per_char = 480  # samples, as the fake speaks
    before = len("Hello there,") * per_char
    words = [
        TextMark(5, 5 * per_char),
        TextMark(12, before),
        TextMark(15, before + 2 * per_char),
        TextMark(23, before + 10 * per_char),
    ]
    marks = marks_of(chunks)
    assert set(words) <= set(marks)
    assert {mark.chars for mark in marks} == {5, 12, 13, 15, 23}


@both
async def test_without_times_the_segments_are_marked(fake: FakeInworld, make: Make, transport: str) -> None:
    fake.script(Plan(Spoken(timed=False)))
    fake.speech.default = SpokenReply(spoken=Spoken(timed=False))

    chunks = await collect(make(transport=transport), "Hello there, ", "my friend.")

    assert marks_of(chunks) == [TextMark(13, 12 * 480), TextMark(23, 22 * 480)]


@both
async def test_headers_of_chunks_are_no_sound(fake: FakeInworld, make: Make, transport: str) -> None:
    fake.script(Plan(Spoken(headers=True)))
    fake.speech.default = SpokenReply(spoken=Spoken(headers=True))

    assert pcm_of(await collect(make(transport=transport), "Hello there.")) == sound("Hello there.")


@both
async def test_tags_pass_and_take_no_time(fake: FakeInworld, make: Make, transport: str) -> None:
    text = "[speak softly] Come in. [laugh]"

    chunks = await collect(make(transport=transport), text)

    assert pcm_of(chunks) == sound("Come in.")
    assert TextMark(len("[speak softly] Come"), 4 * 480) in marks_of(chunks)
    sent = fake.speech.requests[0].body["text"] if transport == "http" else _spoken(fake.exchanges[0])
    assert sent.strip() == text


@both
async def test_a_direction_goes_with_the_text_behind_it(
    fake: FakeInworld, make: Make, transport: str
) -> None:
    chunks = await collect(make(transport=transport), "[speak softly] ", "Come in. ", "Sit. ", "[laugh]")

    if transport == "http":
        sent = [request.body["text"] for request in fake.speech.requests]
    else:
        texts_ = fake.exchanges[0].texts
        sent = [message["send_text"]["text"].strip() for message in texts_ if "send_text" in message]
    assert sent == ["[speak softly] Come in.", "Sit.", "[laugh]"]
    assert pcm_of(chunks) == sound("Come in.") + sound("Sit.")
    assert marks_of(chunks)[-1] == TextMark(36, len("Come in.Sit.") * 480)


def _spoken(exchange: Exchange) -> str:
    return "".join(message["send_text"]["text"] for message in exchange.texts if "send_text" in message)


def said(fake: FakeInworld, transport: str) -> list[str]:
    """The texts that were sent, piece by piece."""
    if transport == "http":
        return [request.body["text"] for request in fake.speech.requests]
    texts = [message["send_text"]["text"] for message in fake.exchanges[-1].texts if "send_text" in message]
    return [text.strip() for text in texts]


@both
@pytest.mark.parametrize(
    ("handling", "directed"),
    [("repeat_each_chunk", "[speak softly] "), ("emit_once", ""), (None, ""), (5, "")],
)
async def test_a_direction_may_hold_for_the_whole_reply(
    fake: FakeInworld, make: Make, transport: str, handling: Any, directed: str
) -> None:
    options = TtsOptions("Dennis", settings={"steering_handling": handling})
    reply = ("[speak softly] ", "Hello there. ", "[laugh] Bye. ", "[speak loudly] Wait! ", "Really.")

    chunks = await collect(make(transport=transport), *reply, options=options)

    assert said(fake, transport) == [
        "[speak softly] Hello there.",
        f"{directed}[laugh] Bye.",
        "[speak loudly] Wait!",
        f"{directed and '[speak loudly] '}Really.",
    ]
    assert marks_of(chunks)[-1].chars == len("".join(reply))  # of the text as it was written


@both
async def test_a_direction_has_room_in_every_message(fake: FakeInworld, make: Make, transport: str) -> None:
    options = TtsOptions("Dennis", settings={"steeringHandling": "repeat_each_chunk"})
    direction = f"[speak {'s' * 190}]"
    reply = (direction, " Hi. ", "word " * 500)

    await collect(make(transport=transport), *reply, options=options)

    texts = said(fake, transport)
    assert max(map(len, texts)) <= 1000
    assert all(text.startswith(f"{direction} ") for text in texts)
    assert " ".join(text.removeprefix(direction) for text in texts).split() == "".join(reply[1:]).split()


@both
async def test_only_white_space_is_silence(fake: FakeInworld, make: Make, transport: str) -> None:
    chunks = await collect(make(transport=transport), "  ", "\n")

    assert pcm_of(chunks) == b""
    assert marks_of(chunks) in ([TextMark(3, 0)], [TextMark(2, 0), TextMark(3, 0)])
    assert fake.speech.requests == []


@both
async def test_no_text_gives_no_sound(make: Make, transport: str) -> None:
    assert pcm_of(await collect(make(transport=transport))) == b""


@both
async def test_long_texts_are_cut_at_spaces(fake: FakeInworld, make: Make, transport: str) -> None:
    text = "seven up " * 300

    chunks = await collect(make(transport=transport), text)

    assert marks_of(chunks)[-1].chars == len(text)
    if transport == "http":
        assert " ".join(request.body["text"] for request in fake.speech.requests) == text.strip()
    else:
        assert _spoken(fake.exchanges[0]) == text


# --- What goes out -----------------------------------------------------------------------------------


async def test_a_context_is_created_flushed_and_closed(fake: FakeInworld, make: Make) -> None:
    await collect(make(), "One. ", "Two.")

    exchange = fake.exchanges[0]
    assert requests(exchange) == ["create", "send_text", "send_text", "close_context"]
    assert len({message["contextId"] for message in exchange.texts}) == 1
    assert exchange.texts[1]["send_text"] == {"text": "One. ", "flush_context": {}}
    assert exchange.headers["authorization"] == f"Basic {fake.api_key}"


def test_options_go_to_the_fields_of_the_service() -> None:
    options = TtsOptions(
        "dennis",
        speed=1.7,
        language="de-DE",
        settings={"temperature": 0.8, "delivery_mode": "creative"},
    )

    assert speech_settings("inworld-tts-2", options, temperature=1.2) == {
        "voiceId": "Dennis",
        "modelId": "inworld-tts-2",
        "audioConfig": {"audioEncoding": "PCM", "sampleRateHertz": 24_000, "speakingRate": 1.5},
        "timestampType": "WORD",
        "timestampTransportStrategy": "ASYNC",
        "language": "de-DE",
        "deliveryMode": "CREATIVE",
    }
    assert speech_settings("inworld-tts-1.5-max", options)["temperature"] == 0.8
    assert "deliveryMode" not in speech_settings("inworld-tts-1.5-max", options)


def test_defaults_of_the_settings_give_way_to_the_client() -> None:
    plain = speech_settings("inworld-tts-2", DENNIS, delivery_mode="STABLE")
    own = speech_settings("inworld-tts-1.5-mini", DENNIS, temperature=1.2)
    wrong = TtsOptions("Dennis", settings={"temperature": 3, "deliveryMode": "LOUD", "language": 5})

    assert plain["deliveryMode"] == "STABLE"
    assert own["temperature"] == 1.2
    for model in ("inworld-tts-2", "inworld-tts-1.5-mini"):
        assert speech_settings(model, wrong) == speech_settings(model, DENNIS)


@both
async def test_speed_is_the_services_own(make: Make, transport: str) -> None:
    tts = make(transport=transport)
    assert tts.speeds == (0.5, 1.5)

    chunks = await collect(tts, "Hello there.", options=TtsOptions("Dennis", speed=1.25))

    assert pcm_of(chunks) == sound("Hello there.", 1.25)


def test_pieces_join_to_the_text() -> None:
    for text in ("", "short", "x" * 2500, "word " * 700, " " * 1001):
        parts = list(pieces(text))
        assert "".join(parts) == text
        assert all(0 < len(part) <= 1000 for part in parts)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[laugh] so", ["[laugh]"]),
        ("say [clear throat] and [speak very softly]", ["[clear throat]", "[speak very softly]"]),
        ("a [link](https://x.example)", []),
        ("as shown [1]", []),
        ("[never\nclosed", []),
    ],
)
def test_tags_are_told_from_links_and_footnotes(text: str, found: list[str]) -> None:
    assert re.findall(TAGS, text) == found


@pytest.mark.parametrize(
    ("voice", "known"),
    [
        ("Dennis", True),
        ("dennis", True),
        ("my-space__my_voice", True),
        ("alloy", False),  # OpenAI's
        ("en-us+f2", False),  # eSpeak's
        ("", False),
    ],
)
@both
async def test_any_voice_that_may_be_an_accounts_own(
    make: Make, transport: str, voice: str, known: bool
) -> None:
    tts = make(transport=transport)

    assert tts.knows_voice(voice) is known
    assert tts.voices is not None
    assert {"Dennis", "Clive", "Olivia", "Sarah", "Ashley"} <= {listed.id for listed in tts.voices}


# --- Odd chunks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunk",
    [
        {"timestampInfo": 5},
        {"timestampInfo": {"wordAlignment": []}},
        {"timestampInfo": {"wordAlignment": {"words": "a", "wordEndTimeSeconds": [1]}}},
        {"timestampInfo": {"wordAlignment": {"words": [5, None], "wordEndTimeSeconds": [1, 2]}}},
        {"timestampInfo": {"wordAlignment": {"words": ["a"], "wordEndTimeSeconds": ["1"]}}},
        {"timestampInfo": {"wordAlignment": {"words": ["a"], "wordEndTimeSeconds": [-1]}}},
        {"timestampInfo": {"wordAlignment": {"words": ["a"]}}},
    ],
)
def test_times_that_make_no_sense_are_none(chunk: dict[str, Any]) -> None:
    assert list(chunk_words(chunk)) == []


def test_audio_is_base64_or_nothing() -> None:
    assert chunk_pcm({}) == b""
    assert chunk_pcm({"audioContent": None}) == b""
    assert chunk_pcm({"audioContent": "AAAA"}) == b"\0\0\0"
    assert chunk_pcm({"audioContent": "?"}) is None
    assert chunk_pcm({"audioContent": 5}) is None
    assert chunk_pcm({"audioContent": "UklGRgAAAABXQVZF"}) == b""  # a header and no samples


# --- Failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Refusal(401, status(16, "no")), AuthenticationError),
        (Refusal(429, status(8, "slow down"), retry_after=7), RateLimitError),
        (Refusal(500, ""), OverloadedError),
        (Garbage(2, "{"), BadAnswerError),
        (Garbage(2, b"\0\0"), BadAnswerError),
        (Garbage(2, '{"result": []}'), BadAnswerError),
        (Garbage(2, '{"result": {"audioChunk": {"audioContent": "?"}}}'), BadAnswerError),
        (Garbage(2, '{"error": {"code": 14, "message": "overloaded"}}'), OverloadedError),
        (
            Garbage(2, '{"error": {"code": 8, "message": "x", "details": [{"retryDelay": "7s"}]}}'),
            RateLimitError,
        ),
        (Garbage(2, '{"result": {"status": {"code": 3, "message": "bad"}}}'), InvalidRequestError),
        (Stall(0), TimedOutError),
        (Stall(2), TimedOutError),
        (Cut(sent=3), ConnectionFailedError),
        (Cut(sent=3, code=1011), ConnectionFailedError),
    ],
)
async def test_failures_over_websocket(
    fake: FakeInworld, make: Make, fault: Fault, error: type[ProviderError]
) -> None:
    fake.script(Plan(None, fault))
    tts = make(connect_timeout=0.3, first_byte_timeout=0.3, gap_timeout=0.3)

    with pytest.raises(error) as caught:
        await collect(tts, "Hello there, how are you today?")

    assert fake.api_key not in str(caught.value)
    if isinstance(caught.value, RateLimitError):
        assert caught.value.retry_after == 7


LINE = json.dumps({"result": {"audioContent": "AAAA"}}).encode() + b"\n"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (failure(16, "no"), AuthenticationError),
        (failure(8, "slow down", headers={"retry-after": "7"}), RateLimitError),
        (failure(14, "overloaded"), OverloadedError),
        (failure(3, "bad"), InvalidRequestError),
        (Reply((b"<html>",), 502), OverloadedError),
        (Reply((HANG,)), TimedOutError),
        (Reply((LINE, HANG)), TimedOutError),
        (Reply((LINE, CUT)), ConnectionFailedError),
        (Reply((LINE, b'{"result": {"audio')), BadAnswerError),
        (Reply((b"[]\n",)), BadAnswerError),
        (Reply((b'{"result": 1}\n',)), BadAnswerError),
        (Reply((b'{"result": {"audioContent": "?"}}\n',)), BadAnswerError),
        (Reply((b"",)), BadAnswerError),
        (Reply((LINE, json.dumps({"error": status(8, "x", {"retryDelay": "7s"})}).encode())), RateLimitError),
    ],
)
async def test_failures_over_http(
    fake: FakeInworld, make: Make, reply: Reply, error: type[ProviderError]
) -> None:
    fake.speech.script(reply)
    tts = make(transport="http", first_byte_timeout=0.3, gap_timeout=0.3)

    with pytest.raises(error) as caught:
        await collect(tts, "Hello there, how are you today?")

    assert fake.api_key not in str(caught.value)
    if isinstance(caught.value, RateLimitError):
        assert caught.value.retry_after == 7


@both
async def test_a_voice_or_model_that_is_not_there_is_refused(make: Make, transport: str) -> None:
    with pytest.raises(InvalidRequestError, match="Nobody"):
        await collect(make(transport=transport), "Hello.", options=TtsOptions("Nobody"))
    with pytest.raises(InvalidRequestError, match="tts-9"):
        await collect(make("tts-9", transport=transport), "Hello.")


@both
async def test_a_wrong_key_is_not_repeated(make: Make, transport: str) -> None:
    key = "d3Jvbmcta2V5LTAxOndyb25nLXNlY3JldC0wMQ=="

    with pytest.raises(AuthenticationError) as caught:
        await collect(make(transport=transport, key=key), "Hello.")

    assert key not in str(caught.value)


@both
async def test_silence_where_words_were_sent_is_a_failure(
    fake: FakeInworld, make: Make, transport: str
) -> None:
    fake.script(Plan(Spoken(silent=True)))
    fake.speech.default = SpokenReply(spoken=Spoken(silent=True))

    with pytest.raises(BadAnswerError):
        await collect(make(transport=transport), "Hello.")


@pytest.mark.parametrize(
    "odd",
    [
        {"result": {}},
        {"result": {"contextId": "another", "audioChunk": {"audioContent": "AAAA"}}},
        {"result": {"contextId": "another", "status": {"code": 13, "message": "x"}}},
        {"result": {"contextId": "another", "contextClosed": {}}},
        {"result": {"status": {"code": 5, "message": "Context not found"}}},
        {"result": {"status": "fine", "audioChunk": None}},
        {"result": {"contextUpdated": {}, "somethingNew": 1}},
    ],
)
async def test_odd_shapes_and_other_contexts_are_harmless(
    fake: FakeInworld, make: Make, odd: dict[str, Any]
) -> None:
    fake.script(Plan(None, Garbage(2, json.dumps(odd))))

    assert pcm_of(await collect(make(), "Hello there.")) == sound("Hello there.")


@pytest.mark.parametrize("split", [1, 7, 1000])
async def test_lines_may_be_cut_anywhere(fake: FakeInworld, make: Make, split: int) -> None:
    fake.speech.default = SpokenReply(split=split)

    assert pcm_of(await collect(make(transport="http"), "Oh, ", "no.")) == sound("Oh,") + sound("no.")


# --- Connections -------------------------------------------------------------------------------------


async def test_a_socket_serves_reply_after_reply(fake: FakeInworld, make: Make) -> None:
    tts = make()

    for _ in range(3):
        assert pcm_of(await collect(tts, "Hello there.")) == sound("Hello there.")

    assert len(fake.exchanges) == 1
    assert len({message["contextId"] for message in fake.exchanges[0].texts}) == 3


async def test_warming_opens_the_socket_of_the_first_reply(fake: FakeInworld, make: Make) -> None:
    tts = make()
    await tts.warm()  # type: ignore[attr-defined]
    assert len(fake.exchanges) == 1

    await collect(tts, "Hello.")

    assert len(fake.exchanges) == 1


async def test_closing_early_cancels_the_context_and_keeps_the_socket(fake: FakeInworld, make: Make) -> None:
    fake.script(Plan(Spoken(chunk_bytes=960)))
    tts = make()
    before = asyncio.all_tasks()
    async with aclosing(tts.speak(segments("a sentence of some length. " * 30), DENNIS)) as chunks:
        async for chunk in chunks:
            if chunk.pcm:
                break

    exchange = fake.exchanges[0]
    await exchange.until(lambda: "cancel_context" in requests(exchange))
    assert not {task for task in asyncio.all_tasks() - before if task.get_name().startswith("remote tts")}
    assert pcm_of(await collect(tts, "Hello there.")) == sound("Hello there.")
    assert len(fake.exchanges) == 1


async def test_a_kept_socket_that_has_died_is_replaced(fake: FakeInworld, make: Make) -> None:
    # It dies in the moment in which the second reply begins: its first message is the fifth of all.
    fake.script(Plan(None, Cut(heard=4)))
    tts = make()
    await collect(tts, "Hello.")

    assert pcm_of(await collect(tts, "Hello ", "again.")) == sound("Hello") + sound("again.")
    assert len(fake.exchanges) == 2


async def test_sound_comes_while_the_text_goes_on(fake: FakeInworld, make: Make) -> None:
    heard = asyncio.Event()

    async def thinking() -> AsyncIterator[str]:
        yield "First this. "
        await heard.wait()
        yield "Then that."

    chunks = []
    async with asyncio.timeout(5):
        async for chunk in make().speak(thinking(), DENNIS):
            chunks.append(chunk)
            if len(pcm_of(chunks)) == len(sound("First this.")):
                heard.set()

    assert pcm_of(chunks) == sound("First this.") + sound("Then that.")


async def test_sound_over_http_comes_while_the_text_goes_on(fake: FakeInworld, make: Make) -> None:
    heard = asyncio.Event()

    async def thinking() -> AsyncIterator[str]:
        yield "First this. "
        await heard.wait()
        yield "Then that."

    chunks = []
    async with asyncio.timeout(5):
        async for chunk in make(transport="http").speak(thinking(), DENNIS):
            chunks.append(chunk)
            if len(pcm_of(chunks)) == len(sound("First this.")):
                heard.set()

    assert pcm_of(chunks) == sound("First this.") + sound("Then that.")


async def test_closing_early_over_http_ends_the_request(fake: FakeInworld, make: Make) -> None:
    steps: tuple[Step, ...] = (LINE, HANG)
    fake.speech.script(Reply(steps))

    async with aclosing(make(transport="http", gap_timeout=5.0).speak(segments("Hello."), DENNIS)) as chunks:
        async for _ in chunks:
            break

    async with asyncio.timeout(3):
        await fake.speech.requests[0].finished.wait()
    assert fake.speech.requests[0].aborted


async def test_a_slow_first_sound_is_waited_for(fake: FakeInworld, make: Make) -> None:
    go = asyncio.Event()
    fake.script(Plan(None, Hesitate(1, until=go)))
    task = asyncio.create_task(collect(make(), "Hello."))
    exchange = await fake.exchange(0)
    await exchange.until(lambda: "close_context" in requests(exchange))

    go.set()

    assert pcm_of(await task) == sound("Hello.")
