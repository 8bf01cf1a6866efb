"""What clients put into items is decoded before it is handed on: in any format, in place, within bounds."""

import asyncio
from typing import get_args

import numpy as np
import pytest

from pipeline.audio.codecs import encode
from pipeline.commands import ClientCommand, CommitAudio, CreateItem, CreateResponse, ResponseParams
from pipeline.config import AudioFormat, FormatType
from pipeline.errors import InvalidRequest
from pipeline.intake import with_recordings_decoded
from pipeline.items import FunctionCallOutput, InputAudio, InputText, Item, ItemReference, MessageItem
from server.talk.wav import encode_wav
from tests.speech import recording

FORMATS: tuple[FormatType, ...] = get_args(FormatType)
PCM = np.arange(0, 8000, 4, dtype="<i2").tobytes()  # a quarter of a second at 8 kHz


def message(*recordings: bytes, transcript: str | None = None) -> MessageItem:
    parts = (InputAudio(transcript, data=data) for data in recordings)
    return MessageItem("m", "user", (InputText("Listen:"), *parts))


def sounds(item: Item | ItemReference) -> list[bytes]:
    assert isinstance(item, MessageItem)
    parts = [part for part in item.content if isinstance(part, InputAudio)]
    assert not any(part.data for part in parts)
    return [part.pcm for part in parts]


async def decoded(
    command: ClientCommand, type: FormatType = "audio/pcm", rate: int = 8_000, max_seconds: float = 60
) -> ClientCommand:
    return await with_recordings_decoded(command, AudioFormat(type, rate), max_seconds)


async def item_with(
    *recordings: bytes, type: FormatType = "audio/pcm", max_seconds: float = 60
) -> list[bytes]:
    command = await decoded(CreateItem(message(*recordings), "before", "e"), type, max_seconds=max_seconds)
    assert isinstance(command, CreateItem)
    assert (command.previous_item_id, command.event_id) == ("before", "e")
    return sounds(command.item)


@pytest.mark.parametrize("type", FORMATS)
@pytest.mark.parametrize("repeats", [1, 50])
async def test_samples_are_in_the_sessions_format(type: FormatType, repeats: int) -> None:
    (pcm,) = await item_with(encode(PCM * repeats, type), type=type)

    assert len(pcm) == len(PCM) * repeats
    assert np.allclose(np.frombuffer(pcm, "<i2"), np.frombuffer(PCM * repeats, "<i2"), rtol=1 / 32, atol=8)


@pytest.mark.parametrize("type", FORMATS)
async def test_a_file_is_a_file_whatever_the_format(type: FormatType) -> None:
    first, second = await item_with(encode_wav(PCM, 8_000), encode(PCM, type), type=type)

    assert first == PCM
    assert len(second) == len(PCM)


async def test_a_file_comes_at_the_sessions_rate() -> None:
    command = await decoded(CreateItem(message(encode_wav(PCM, 8_000))), rate=24_000)

    assert isinstance(command, CreateItem)
    assert abs(len(sounds(command.item)[0]) - 3 * len(PCM)) <= 12


async def test_the_input_of_a_response_is_decoded_as_well() -> None:
    entries = (ItemReference("r"), FunctionCallOutput("", "c", "5"), message(encode_wav(PCM, 8_000)))
    params = ResponseParams(input=entries, metadata={"a": "b"})

    command = await decoded(CreateResponse(params, "e"))

    assert isinstance(command, CreateResponse)
    assert command.params.input is not None
    assert command.params.input[:2] == entries[:2]
    assert sounds(command.params.input[2]) == [PCM]
    assert (command.params.metadata, command.event_id) == ({"a": "b"}, "e")


async def test_the_transcript_that_came_with_a_recording_stays() -> None:
    command = await decoded(CreateItem(message(PCM, transcript="Hi")))

    assert command == CreateItem(MessageItem("m", "user", (InputText("Listen:"), InputAudio("Hi", PCM))))


@pytest.mark.parametrize(
    "command",
    [
        CommitAudio("e"),
        CreateResponse(),
        CreateItem(MessageItem("m", "user", (InputText("Hi"), InputAudio("said")))),
        CreateItem(FunctionCallOutput("", "c", "5")),
        CreateResponse(ResponseParams(input=())),
    ],
)
async def test_what_holds_no_recording_is_handed_on_as_it_is(command: ClientCommand) -> None:
    assert await decoded(command) is command


@pytest.mark.parametrize(("data", "type"), [(b"abc", "audio/pcm"), (b"abcdef", "audio/float32")])
async def test_half_a_sample_is_refused_where_it_stands(data: bytes, type: FormatType) -> None:
    with pytest.raises(InvalidRequest, match=r"has (3|6)\.") as refusal:
        await item_with(encode(PCM, type), data, type=type)
    assert refusal.value.param == "item.content[2].audio"

    with pytest.raises(InvalidRequest) as refusal:
        await decoded(CreateResponse(ResponseParams(input=(ItemReference("r"), message(data)))), type)
    assert refusal.value.param == "response.input[1].content[1].audio"


async def test_a_broken_file_is_refused_where_it_stands() -> None:
    with pytest.raises(InvalidRequest, match="could not be decoded") as refusal:
        await item_with(PCM, encode_wav(PCM, 8_000)[:30])
    assert refusal.value.param == "item.content[2].audio"


async def test_all_recordings_of_one_event_share_its_bound() -> None:
    file = encode_wav(PCM, 8_000)
    assert len(await item_with(file, PCM, file, max_seconds=0.75)) == 3

    for recordings in ((file, PCM, file), (file, file, PCM)):
        with pytest.raises(InvalidRequest, match=r"longer than the 0\.2 s") as refusal:
            await item_with(*recordings, max_seconds=0.7)
        assert refusal.value.param == "item.content[3].audio"


async def finished_at_once(data: bytes, type: FormatType = "audio/pcm") -> bool:
    """Whether a recording is decoded without giving anybody else a turn."""
    decoding = asyncio.create_task(item_with(data, type=type))
    await asyncio.sleep(0)
    at_once = decoding.done()
    await decoding
    return at_once


async def test_only_much_work_leaves_the_event_loop() -> None:
    long = recording("two_cities", 8_000)

    assert await finished_at_once(PCM)
    assert await finished_at_once(encode(PCM, "audio/pcmu"), "audio/pcmu")
    assert await finished_at_once(long)  # there is nothing to compute
    assert not await finished_at_once(encode(long, "audio/pcmu"), "audio/pcmu")
    assert not await finished_at_once(encode_wav(PCM, 8_000))
