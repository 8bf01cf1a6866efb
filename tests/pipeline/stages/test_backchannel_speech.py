"""Phrases as speech: made once, at 24 kHz, and kept within bounds."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np
import pytest

from pipeline.events import BACKCHANNEL_RATE as RATE
from pipeline.stages.backchannel_speech import SpokenPhrases, pieces
from providers.contracts import Caller, SpeechChunk, TtsOptions
from providers.errors import BadAnswerError
from tests.pipeline.scripted import Engines, ScriptedTts


async def get(speech: SpokenPhrases, tts: ScriptedTts, phrase: str, speed: float = 1.0) -> bytes:
    return await speech.get(Engines(tts_engine=tts), "lab/tts", "Ann", speed, phrase, Caller("sess"))


async def test_a_phrase_is_spoken_once() -> None:
    speech, tts = SpokenPhrases(), ScriptedTts()
    first = await get(speech, tts, "I see")
    assert await get(speech, tts, "I see") == first == b"\x10\x10" * 240 * len("I see. ")
    assert tts.segments == ["I see. "]
    assert (tts.options[0].voice, tts.options[0].caller.session_id) == ("ann", "sess")

    await get(speech, tts, "I see", 1.5)
    await get(speech, tts, "Right")
    other = ScriptedTts()
    await get(speech, other, "I see")
    assert (tts.opened, other.opened) == (3, 1)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
async def test_it_has_the_rate_that_clients_expect(rate: int) -> None:
    pcm = await get(SpokenPhrases(), ScriptedTts(rate), "Right")
    assert len(pcm) == pytest.approx(2 * RATE * 0.07, abs=4)
    middle = np.frombuffer(pcm, "<i2")[200:-200]
    assert np.abs(middle - 0x1010).max() < 50


async def test_what_was_not_said_for_longest_goes_first() -> None:
    tts = ScriptedTts()
    size = len(await get(SpokenPhrases(), tts, "one"))
    speech = SpokenPhrases(max_bytes=2 * size)
    for phrase in ("one", "two", "one", "six", "one", "two"):
        await get(speech, tts, phrase)
    assert tts.segments[1:] == ["one. ", "two. ", "six. ", "two. "]


async def test_two_that_ask_at_once_do_not_count_twice() -> None:
    tts = ScriptedTts()
    size = len(await get(SpokenPhrases(), tts, "one"))
    speech = SpokenPhrases(max_bytes=2 * size)
    await asyncio.gather(*[get(speech, tts, "one") for _ in range(2)])
    assert tts.opened == 3  # neither waited for the other
    await get(speech, tts, "two")
    opened = tts.opened
    await get(speech, tts, "one")
    assert tts.opened == opened


async def test_a_phrase_has_an_end() -> None:
    with pytest.raises(BadAnswerError, match="longer than 4 s"):
        await get(SpokenPhrases(), ScriptedTts(), "x" * 500)


async def test_a_voice_that_says_nothing_has_failed() -> None:
    class Mute(ScriptedTts):
        async def speak(
            self, text: AsyncIterator[str], options: TtsOptions
        ) -> AsyncGenerator[SpeechChunk, None]:
            async for _ in text:
                yield SpeechChunk(b"")

    with pytest.raises(BadAnswerError, match="said nothing"):
        await get(SpokenPhrases(), Mute(), "Right")


def test_pieces_are_as_loud_as_wanted_and_no_longer_than_200_ms() -> None:
    pcm = np.array([1000, -1000, 30_000, -30_000] * 3_000, "<i2").tobytes()
    assert [len(piece) for piece in pieces(pcm, 1.0)] == [9600, 9600, 4800]
    assert b"".join(pieces(pcm, 1.0)) == pcm
    softer = np.frombuffer(b"".join(pieces(pcm, 0.6)), "<i2")
    assert softer[:4].tolist() == [600, -600, 18_000, -18_000]
    louder = np.frombuffer(b"".join(pieces(pcm, 2.0)), "<i2")
    assert louder[:4].tolist() == [2000, -2000, 32_767, -32_768]
    assert list(pieces(pcm, 0.0)) == []
