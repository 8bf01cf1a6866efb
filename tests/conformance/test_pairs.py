"""Every kind of transcription with every kind of language model and of voice, two by two, in spoken turns."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import combinations, product

import pytest
import pytest_asyncio

from server.background import running_server
from server.settings import ProviderTable, Settings
from tests.conformance.client import RATE, Event, Talk, talk
from tests.conformance.hearing import VOICE_WORDS, loudness, seconds, voice, words
from tests.fakes.upstreams import HEARD, SAID, UPSTREAMS
from tests.speech import silence

Row = tuple[str, ...]

TRANSCRIPTION = "conversation.item.input_audio_transcription"
SILENCE_MS = 300  # that ends a turn
AT_ONCE = 4  # sessions

# What runs in this process.
EARS, MODEL, VOICE = "local/moonshine-tiny-en", "builtin/echo", "local/espeak"

# How fast the fakes speak.
MS_PER_CHARACTER = {"openai-compatible": 10, "deepgram": 2, "elevenlabs": 40, "cartesia": 40, "inworld": 20}


def names(kind: str) -> dict[str, str]:
    """The models of a kind as sessions name them, and the upstreams that they are: one table for each."""
    tables = {label: label.replace("/", "-").replace(".", "-") for label in UPSTREAMS}
    return {
        f"{tables[label]}/{upstream.model}": label
        for label, upstream in UPSTREAMS.items()
        if upstream.kind == kind
    }


STT, LLM, TTS = names("stt"), names("llm"), names("tts")


def pairwise_rows(*columns: Sequence[str]) -> list[Row]:
    """Few rows in which any two values of different columns meet, chosen greedily."""
    missing = {
        ((a, x), (b, y))
        for a, b in combinations(range(len(columns)), 2)
        for x, y in product(columns[a], columns[b])
    }

    def news(row: Row) -> set[tuple[tuple[int, str], tuple[int, str]]]:
        return missing.intersection(combinations(enumerate(row), 2))

    rows = []
    while missing:
        rows.append(max(product(*columns), key=lambda row: len(news(row))))
        missing -= news(rows[-1])
    return rows


ROWS = pairwise_rows([EARS, *STT], [MODEL, *LLM], [VOICE, *TTS])


@dataclass(frozen=True)
class House:
    """A server that knows every upstream."""

    url: str
    fakes: Mapping[str, object]  # by the name of the upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        fakes, tables = {}, {}
        for model, label in (STT | LLM | TTS).items():
            upstream = UPSTREAMS[label]
            fakes[label] = fake = await stack.enter_async_context(upstream.fake())
            base_url = fake.base_url.removesuffix("/v1") + upstream.path
            table = {"kind": upstream.provider_kind, "api_key": fake.api_key, "base_url": base_url}
            tables[model.partition("/")[0]] = ProviderTable.model_validate(table)
        server = running_server(Settings(providers=tables), environ={})
        url = await asyncio.to_thread(server.__enter__)
        try:
            yield House(url, fakes)
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


async def converse(url: str, rows: Sequence[Row]) -> None:
    """One session in which everything is exchanged between any two turns."""
    detection = {"type": "server_vad", "silence_duration_ms": SILENCE_MS}
    async with talk(url, audio={"input": {"turn_detection": detection}}) as session:
        for row in rows:
            try:
                await one_turn(session, *row)
            except Exception as error:
                error.add_note(f"in the turn of {' and '.join(row)}")
                raise


async def one_turn(session: Talk, stt: str, llm: str, tts: str) -> None:
    shown = await session.update(
        model=llm, audio={"input": {"transcription": {"model": stt}}, "output": {"model": tts}}
    )
    assert (shown["model"], shown["audio"]["input"]["transcription"]["model"]) == (llm, stt)

    before = len(session.events)
    await session.append(voice() + silence(SILENCE_MS + 400, RATE))
    reply = await session.reply()

    heard = transcript(session.events[before:])
    assert words(heard) == VOICE_WORDS if stt == EARS else heard == HEARD
    said = f"You said: {heard}" if llm == MODEL else SAID
    assert (reply.status, reply.text) == ("completed", said), reply.response["status_details"]
    if tts == VOICE:
        assert 0.8 < seconds(reply.audio, RATE) < 4
    else:
        spoken = len(said) * MS_PER_CHARACTER[UPSTREAMS[TTS[tts]].provider_kind] / 1000
        assert seconds(reply.audio, RATE) == pytest.approx(spoken, rel=0.1)
    assert loudness(reply.audio) > 0.01
    usage = reply.response["usage"]
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def transcript(events: Sequence[Event]) -> str:
    (completed,) = (event for event in events if event["type"] == f"{TRANSCRIPTION}.completed")
    text: str = completed["transcript"]
    return text


def test_the_turns_cover_every_pair() -> None:
    columns = ([EARS, *STT], [MODEL, *LLM], [VOICE, *TTS])
    for a, b in combinations(range(3), 2):
        assert {(row[a], row[b]) for row in ROWS} == set(product(columns[a], columns[b]))
    assert len(ROWS) <= 1.3 * len(columns[0]) * len(columns[2])


@pytest.mark.asyncio(loop_scope="module")
async def test_every_pair_of_kinds_holds_spoken_turns(house: House) -> None:
    async with asyncio.TaskGroup() as tasks:
        for start in range(AT_ONCE):
            tasks.create_task(converse(house.url, ROWS[start::AT_ONCE]))
