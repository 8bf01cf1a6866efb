"""Routers of transcription and speech models: whoever takes over is given everything from the beginning."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from providers.contracts import (
    Caller,
    EndOfTurn,
    RouteTaken,
    SpeechChunk,
    SttEvent,
    SttOptions,
    TextMark,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptGuess,
    TtsOptions,
)
from providers.errors import ConnectionFailedError, InvalidRequestError, OverloadedError, TimedOutError
from providers.routing import stt as stt_module
from providers.routing.stt import RouterStt
from providers.routing.tape import Tape
from providers.routing.tts import RouterTts
from tests.providers.routing.bench import Bench, FakeStt, FakeTts, about, pause
from tests.providers.routing.test_llm import one_after_the_other
from tests.virtual_time import in_virtual_time

NEVER = pause(10_000)
AUDIO = [bytes([number]) * 640 for number in range(1, 6)]
FINAL = TranscriptFinal("hello there")


async def given(*items: Any, every: float = 0.02) -> AsyncIterator[Any]:
    """Items in time, as a session gives them."""
    for item in items:
        await asyncio.sleep(every)
        yield item


def stt_bench(*models: str, engines: dict[str, FakeStt], **fallback: str) -> Bench:
    bench = Bench(dict(engines))
    bench.define(kind="stt", **one_after_the_other(*models, **fallback))
    return bench


async def hear(bench: Bench, *audio: bytes) -> list[SttEvent]:
    stt = RouterStt("r", bench.routers, bench)
    return [event async for event in stt.transcribe(given(*(audio or AUDIO)), SttOptions(language="en"))]


class TestTranscribing:
    @in_virtual_time
    async def test_the_route_is_told_first_and_the_transcript_passes_through(self) -> None:
        events = [TranscriptGuess("hel"), TranscriptDelta("hello"), EndOfTurn(0.9), FINAL]
        bench = stt_bench("a/one", engines={"a/one": FakeStt(*events)})

        told = await hear(bench)

        assert told[1:] == events
        assert isinstance(told[0], RouteTaken)
        assert bench.engines["a/one"].heard == [b"".join(AUDIO)]
        assert bench.engines["a/one"].options == [SttOptions(language="en")]

    @in_virtual_time
    async def test_whoever_takes_over_hears_everything_from_the_beginning(self) -> None:
        first = FakeStt(ConnectionFailedError("gone"), hears=3)
        bench = stt_bench("a/one", "b/two", engines={"a/one": first, "b/two": FakeStt(FINAL)})
        began = asyncio.get_running_loop().time()

        told = await hear(bench)

        assert told[1:] == [FINAL]
        assert first.heard == [b"".join(AUDIO[:3])]
        assert bench.engines["b/two"].heard == [b"".join(AUDIO)]
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.1)  # of the audio, no more
        assert isinstance(told[0], RouteTaken)
        assert told[0].attempts[0] == about("a/one", "provider_connection_failed", 0.06)

    @in_virtual_time
    async def test_time_counts_from_the_end_of_the_audio(self) -> None:
        bench = stt_bench(
            "a/one",
            "b/two",
            engines={"a/one": FakeStt(NEVER), "b/two": FakeStt(FINAL)},
            ttft_timeout="300ms",
        )
        began = asyncio.get_running_loop().time()

        told = await hear(bench, *AUDIO * 20)

        assert told[1:] == [FINAL]
        assert asyncio.get_running_loop().time() - began == pytest.approx(2.0 + 0.3)
        assert bench.engines["b/two"].heard == [b"".join(AUDIO * 20)]

    @in_virtual_time
    async def test_a_sign_without_text_is_held_back(self) -> None:
        bench = stt_bench(
            "a/one",
            "b/two",
            engines={"a/one": FakeStt(EndOfTurn(0.9), OverloadedError("busy")), "b/two": FakeStt(FINAL)},
        )

        assert (await hear(bench))[1:] == [FINAL]

    @in_virtual_time
    async def test_nobody_takes_over_once_there_was_text(self) -> None:
        first = FakeStt(TranscriptDelta("hel"), ConnectionFailedError("gone"), hears=2)
        bench = stt_bench("a/one", "b/two", engines={"a/one": first, "b/two": FakeStt(FINAL)})

        with pytest.raises(ConnectionFailedError, match=r"^gone$"):
            await hear(bench)

        assert bench.engines["b/two"].begun == []

    @in_virtual_time
    async def test_the_latency_is_that_of_the_whole_transcript(self) -> None:
        quick = FakeStt(TranscriptDelta("hel"), pause(0.5), FINAL, hears=2)
        bench = stt_bench("a/one", engines={"a/one": quick})
        slow = FakeStt(TranscriptDelta("hel"), pause(0.5), FINAL)
        other = stt_bench("b/two", engines={"b/two": slow})

        await hear(bench)
        await hear(other)

        assert bench.routers.boards["stt"].latency("a/one") is None  # it did not wait for the end
        assert other.routers.boards["stt"].latency("b/two") == pytest.approx(0.5)

    @in_virtual_time
    async def test_an_empty_transcript_is_an_answer(self) -> None:
        bench = stt_bench(
            "a/one", "b/two", engines={"a/one": FakeStt(TranscriptFinal("")), "b/two": FakeStt()}
        )

        assert (await hear(bench))[1:] == [TranscriptFinal("")]

    @in_virtual_time
    async def test_what_is_kept_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stt_module, "MAX_KEPT_BYTES", 2000)
        first = FakeStt(ConnectionFailedError("gone"), hears=4)
        bench = stt_bench("a/one", "b/two", engines={"a/one": first, "b/two": FakeStt(FINAL)})

        with pytest.raises(ConnectionFailedError, match=r"b/two .*: too much was sent"):
            await hear(bench)

    @in_virtual_time
    async def test_an_engine_with_another_rate_gets_the_same_sound(self) -> None:
        time = np.arange(16_000) / 16_000
        tone = (8000 * np.sin(2 * np.pi * 440 * time)).astype("<i2").tobytes()
        chunks = [tone[start : start + 640] for start in range(0, len(tone), 640)]
        bench = stt_bench("a/one", engines={"a/one": FakeStt(FINAL, rate=24_000)})

        await hear(bench, *chunks)

        (heard,) = bench.engines["a/one"].heard
        samples = np.frombuffer(heard, "<i2").astype(float)
        assert len(samples) == pytest.approx(24_000, abs=2)
        spectrum = np.abs(np.fft.rfft(samples[:24_000]))
        assert np.argmax(spectrum) == pytest.approx(440, abs=1)
        assert np.sqrt(np.mean(samples**2)) == pytest.approx(8000 / np.sqrt(2), rel=0.02)

    @in_virtual_time
    async def test_the_audio_is_read_no_faster_than_it_is_wanted(self) -> None:
        bench = stt_bench("a/one", engines={"a/one": FakeStt(TranscriptDelta("x"), FINAL, hears=2)})
        taken: list[bytes] = []

        async def audio() -> AsyncIterator[bytes]:
            for chunk in AUDIO:
                taken.append(chunk)
                yield chunk

        async for _ in RouterStt("r", bench.routers, bench).transcribe(audio(), SttOptions()):
            pass

        assert taken == AUDIO[:2]

    @in_virtual_time
    async def test_closing_stops_everything_at_once(self) -> None:
        bench = stt_bench("a/one", engines={"a/one": FakeStt(TranscriptDelta("x"), NEVER, hears=1)})
        stream = RouterStt("r", bench.routers, bench).transcribe(given(*AUDIO, every=50), SttOptions())
        await anext(stream)
        await anext(stream)

        await stream.aclose()

        assert bench.engines["a/one"].closed == 1

    @in_virtual_time
    async def test_it_streams_when_all_of_its_models_do(self) -> None:
        bench = stt_bench("a/one", "b/two", engines={"a/one": FakeStt(), "b/two": FakeStt()})
        router = RouterStt("r", bench.routers, bench)
        assert router.streaming

        bench.engines["b/two"].streaming = False

        assert not router.streaming


@in_virtual_time
async def test_what_nobody_needs_again_is_forgotten() -> None:
    chunks = [bytearray([number]) * 640 for number in range(50)]
    tape = Tape(given(*map(bytes, chunks)), 1_000_000)
    reader = tape.read()
    async with aclosing(reader):
        for _ in range(10):
            await anext(reader)
        tape.settle()
        rest = [chunk async for chunk in reader]

    assert b"".join(rest) == b"".join(chunks[10:])
    with pytest.raises(ConnectionFailedError, match="too much was sent"):
        await anext(tape.read())
    await tape.aclose()


PCM = b"\1\0" * 240
SPOKEN = (SpeechChunk(PCM), SpeechChunk(b"", (TextMark(6, 240),)))


def tts_bench(*models: str, engines: dict[str, FakeTts], **fallback: str) -> Bench:
    bench = Bench(dict(engines))
    bench.define(kind="tts", **one_after_the_other(*models, **fallback))
    return bench


async def say(bench: Bench, *text: str, voice: str = "Ann", **more: Any) -> list[SpeechChunk]:
    tts = RouterTts("r", bench.routers, bench)
    options = TtsOptions(voice, caller=Caller("sess"), **more)
    return [chunk async for chunk in tts.speak(given(*(text or ("Hello ", "there."))), options)]


class TestSpeaking:
    @in_virtual_time
    async def test_the_first_chunk_has_the_route(self) -> None:
        bench = tts_bench("a/one", engines={"a/one": FakeTts(*SPOKEN)})

        first, second = await say(bench)

        assert first.route is not None
        assert first.route.model == "a/one"
        assert (first.pcm, second) == (PCM, SPOKEN[1])

    @in_virtual_time
    async def test_whoever_takes_over_reads_everything_from_the_beginning(self) -> None:
        first = FakeTts(ConnectionFailedError("gone"), reads=1)
        bench = tts_bench("a/one", "b/two", engines={"a/one": first, "b/two": FakeTts(*SPOKEN)})

        chunks = await say(bench)

        assert chunks[0].route is not None
        assert [tried.error for tried in chunks[0].route.attempts] == ["provider_connection_failed", None]
        assert first.read == [["Hello "]]
        assert bench.engines["b/two"].read == [["Hello ", "there."]]

    @in_virtual_time
    async def test_time_counts_from_the_first_text(self) -> None:
        engines = {"a/one": FakeTts(NEVER, reads=2), "b/two": FakeTts(*SPOKEN, reads=2)}
        bench = tts_bench("a/one", "b/two", engines=engines, ttft_timeout="300ms")
        tts = RouterTts("r", bench.routers, bench)

        async def text() -> AsyncIterator[str]:
            await asyncio.sleep(60)  # the language model thinks
            yield "  "
            await asyncio.sleep(1)
            yield "Hello."

        began = asyncio.get_running_loop().time()
        chunks = [chunk async for chunk in tts.speak(text(), TtsOptions("Ann"))]

        assert chunks[0].pcm == PCM
        assert asyncio.get_running_loop().time() - began == pytest.approx(61.3)

    @in_virtual_time
    async def test_nobody_takes_over_once_something_was_heard(self) -> None:
        first = FakeTts(SpeechChunk(PCM), TimedOutError("late"))
        bench = tts_bench("a/one", "b/two", engines={"a/one": first, "b/two": FakeTts()})

        with pytest.raises(TimedOutError, match=r"^late$"):
            await say(bench)

    @in_virtual_time
    async def test_silence_that_was_asked_for_is_no_failure(self) -> None:
        bench = tts_bench("a/one", "b/two", engines={"a/one": FakeTts(*SPOKEN), "b/two": FakeTts(*SPOKEN)})

        assert await say(bench, " ", "\n") == []
        assert bench.engines["b/two"].read == []

    @in_virtual_time
    async def test_silence_for_text_is_a_failure(self) -> None:
        bench = tts_bench("a/one", "b/two", engines={"a/one": FakeTts(), "b/two": FakeTts(*SPOKEN)})

        assert (await say(bench))[0].pcm == PCM

    @in_virtual_time
    async def test_other_rates_are_brought_to_one_with_their_marks(self) -> None:
        second = SpeechChunk(b"\1\0" * 8_000), SpeechChunk(b"\1\0" * 8_000, (TextMark(5, 16_000),))
        bench = tts_bench("a/one", engines={"a/one": FakeTts(*second, rate=16_000)})

        chunks = await say(bench)

        assert sum(len(chunk.pcm) for chunk in chunks) // 2 == pytest.approx(24_000, abs=2)
        assert [mark for chunk in chunks for mark in chunk.marks] == [TextMark(5, 24_000)]

    @in_virtual_time
    async def test_each_model_speaks_with_its_own_word_for_the_voice(self) -> None:
        engines = {"a/one": FakeTts(voices=["Bob"]), "b/two": FakeTts(*SPOKEN, voices=["v-17"])}
        bench = tts_bench("a/one", "b/two", engines=engines)
        bench.voices["b/two", "Ann"] = "v-17"

        chunks = await say(bench, speed=9.0)

        assert chunks[0].route is not None
        assert chunks[0].route.attempts[0].error == "provider_refused_request"
        assert bench.engines["b/two"].options[0].voice == "v-17"
        assert bench.engines["b/two"].options[0].speed == 2.0

    @in_virtual_time
    async def test_a_variant_may_have_its_own_voice(self) -> None:
        bench = Bench({"a/one": FakeTts(*SPOKEN, voices=["Ann", "Eve"])})
        bench.define(
            kind="tts", default_route={"variants": [{"variant": {"model_id": "a/one", "voice": "Eve"}}]}
        )

        await say(bench)

        assert bench.engines["a/one"].options[0].voice == "Eve"
        assert RouterTts("r", bench.routers, bench).knows_voice("anything")

    @in_virtual_time
    async def test_it_can_do_what_all_of_its_models_can(self) -> None:
        engines = {
            "a/one": FakeTts(speeds=(0.5, 2.0), tags="<a>"),
            "b/two": FakeTts(voices=["Eve"], speeds=(0.7, 1.2), tags="<b>"),
        }
        bench = tts_bench("a/one", "b/two", engines=engines)
        router = RouterTts("r", bench.routers, bench)

        assert [voice.id for voice in router.voices or ()] == ["Ann", "Eve"]
        assert router.speeds == (0.7, 1.2)
        assert router.tags == ""
        assert [router.knows_voice(voice) for voice in ("Ann", "Eve", "Zoe", "")] == [
            True,
            True,
            False,
            False,
        ]

        engines["b/two"].tags, engines["b/two"].speeds = "<a>", (1.0, 1.0)

        assert (router.speeds, router.tags) == ((1.0, 1.0), "<a>")

        engines["b/two"].voices = None

        assert router.voices is None

    @in_virtual_time
    async def test_a_router_that_was_deleted_can_still_be_looked_at(self) -> None:
        bench = tts_bench("a/one", engines={"a/one": FakeTts()})
        tts, stt = RouterTts("r", bench.routers, bench), RouterStt("gone", bench.routers, bench)
        bench.routers.remove("r")

        assert (tts.speeds, tts.tags, tts.knows_voice("Ann"), stt.streaming) == ((1.0, 1.0), "", False, True)

    @in_virtual_time
    async def test_a_router_of_another_kind_is_not_found(self) -> None:
        bench = stt_bench("a/one", engines={"a/one": FakeStt()})

        with pytest.raises(InvalidRequestError, match="no router 'r' of kind tts"):
            await say(bench)
