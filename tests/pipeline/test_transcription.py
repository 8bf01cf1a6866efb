"""One utterance on its way through a transcription engine."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pytest

from pipeline.commands import SpeakerHeard, TranscriptGrew, TranscriptionBroke, TranscriptReady
from pipeline.transcription import Transcription
from providers.contracts import (
    SttEvent,
    SttOptions,
    SttUsage,
    TokenLogprob,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptSegment,
)
from providers.errors import OverloadedError
from tests.pipeline.scripted import GUARD_S, Engines, Heard, ScriptedStt

Script = Callable[[AsyncIterator[bytes]], AsyncGenerator[SttEvent, None]]


HINTS = SttOptions("de", "Namen")


def transcription(stt: ScriptedStt, heard: Heard, options: SttOptions = HINTS) -> Transcription:
    return Transcription(
        Engines(stt_engine=stt),
        heard.dispatch,
        item_id="item",
        content_index=2,
        model="lab/stt",
        options=options,
    )


async def run(work: Transcription) -> None:
    async with asyncio.timeout(GUARD_S):
        await work.run()


async def failing(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
    async for _ in audio:
        raise OverloadedError("too many")
    yield TranscriptFinal("")


async def crashing(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
    yield TranscriptDelta("Hel")
    raise ValueError("secret details")


async def silent(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
    yield TranscriptDelta("Hel")
    await asyncio.Event().wait()


async def hasty(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
    yield TranscriptFinal("Hel")


async def wordless(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
    async for _ in audio:
        yield TranscriptDelta("x")


async def growing(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
    async for chunk in audio:
        yield TranscriptDelta(f"{len(chunk)} ")
    yield TranscriptFinal(" all of it \n")


async def test_text_grows_while_audio_comes_and_ends_once() -> None:
    heard, stt = Heard(), ScriptedStt(growing)
    work = transcription(stt, heard)
    task = asyncio.create_task(work.run())

    work.push(bytes(320), 16_000)
    assert await heard.wait(TranscriptGrew) == TranscriptGrew("item", "320 ")
    work.push(b"", 16_000)
    work.push(bytes(640), 16_000)
    assert await heard.wait(TranscriptGrew, 2) == TranscriptGrew("item", "640 ")
    work.finish()
    assert await heard.wait(TranscriptReady) == TranscriptReady("item", "all of it", 2)

    await task
    assert stt.options == [HINTS]
    assert len(heard.all) == 3


PROFILE = {"age": [{"label": "adult", "confidence": 0.9}]}
SURE = (TokenLogprob("Hi", -0.1, b"Hi"),)
SEGMENT = TranscriptSegment("seg_1", "Hi", "A", 0.0, 0.4)


async def telling(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
    yield TranscriptDelta("Hi", SURE)
    yield SEGMENT
    async for _ in audio:
        pass
    yield TranscriptFinal("Hi", SURE, ("en",), SttUsage(9, 1), PROFILE)


@pytest.mark.parametrize("wanted", [True, False])
async def test_all_that_an_engine_tells_is_reported_and_probabilities_where_they_are_wanted(
    wanted: bool,
) -> None:
    heard = Heard()
    work = transcription(ScriptedStt(telling), heard, SttOptions(logprobs=wanted))
    work.finish()

    await run(work)

    sure = SURE if wanted else ()
    assert heard.all == [
        TranscriptGrew("item", "Hi", sure),
        SpeakerHeard("item", SEGMENT),
        TranscriptReady("item", "Hi", 2, sure, ("en",), SttUsage(9, 1), voice_profile=PROFILE),
    ]


async def test_a_profile_of_a_voice_that_would_fill_a_frame_is_dropped() -> None:
    async def chatty(audio: AsyncIterator[bytes]) -> AsyncGenerator[SttEvent, None]:
        async for _ in audio:
            pass
        yield TranscriptFinal("Hi", voice_profile={"age": ["adult"] * 20_000})

    heard = Heard()
    work = transcription(ScriptedStt(chatty), heard)
    work.finish()

    await run(work)

    assert heard.all == [TranscriptReady("item", "Hi", 2)]


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100, 48_000])
async def test_audio_reaches_the_engine_at_its_rate_and_whole(rate: int) -> None:
    heard, stt = Heard(), ScriptedStt()
    work = transcription(stt, heard)
    for _ in range(10):
        work.push(bytes(2 * rate // 10), rate)
    work.finish()

    await run(work)

    assert len(stt.heard[0]) == 2 * 16_000


async def test_the_rate_may_change_in_mid_utterance() -> None:
    heard, stt = Heard(), ScriptedStt()
    work = transcription(stt, heard)
    work.push(bytes(2 * 24_000), 24_000)
    work.push(bytes(2 * 8_000), 8_000)
    work.finish()

    await run(work)

    assert abs(len(stt.heard[0]) / 2 - 32_000) < 64  # the last moment at the old rate may be lost


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (failing, "provider_overloaded"),
        (crashing, "server_error"),
        (hasty, "provider_bad_answer"),
        (wordless, "provider_bad_answer"),
    ],
)
async def test_an_engine_that_fails_is_told_once(
    script: Script, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard, stt = Heard(), ScriptedStt(script)
    work = transcription(stt, heard)
    work.push(bytes(320), 16_000)
    if script is wordless:
        work.finish()

    await run(work)

    (broke,) = heard.of(TranscriptionBroke)
    assert (broke.item_id, broke.code, broke.content_index) == ("item", code, 2)
    assert not heard.of(TranscriptReady)
    assert "secret" not in broke.message
    assert stt.closed.is_set()
    work.push(bytes(320), 16_000)
    work.finish()  # whoever speaks on has not heard of it yet


@pytest.mark.parametrize("complete_before", [True, False])
async def test_an_engine_that_never_answers_is_given_up(
    complete_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.transcription._FINAL_DEADLINE_S", 0.05)
    heard, stt = Heard(), ScriptedStt(silent)
    work = transcription(stt, heard)
    if complete_before:
        work.finish()
    task = asyncio.create_task(work.run())
    if not complete_before:
        await heard.wait(TranscriptGrew)
        work.finish()

    broke = await heard.wait(TranscriptionBroke)

    assert broke.code == "provider_timeout"
    await task
    assert stt.closed.is_set() or not stt.options


async def test_a_long_utterance_has_no_deadline_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.transcription._FINAL_DEADLINE_S", 0.02)
    heard, stt = Heard(), ScriptedStt()
    work = transcription(stt, heard)
    task = asyncio.create_task(work.run())

    done, _ = await asyncio.wait([task], timeout=0.06)  # three times the deadline
    assert not done
    work.finish()

    await task
    assert heard.all == [TranscriptReady("item", "0 samples", 2)]


async def test_cancelling_closes_the_engine_and_tells_nothing() -> None:
    heard, stt = Heard(), ScriptedStt(silent)
    task = asyncio.create_task(transcription(stt, heard).run())
    await heard.wait(TranscriptGrew)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert stt.closed.is_set()
    assert len(heard.all) == 1
