"""Recordings on their way in: what a client put into items becomes PCM before the engine sees it."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pipeline.audio.codecs import bytes_per_sample, check_whole_samples, decode
from pipeline.audio.recordings import decode_recording, recognise, too_long
from pipeline.commands import ClientCommand, CreateItem, CreateResponse
from pipeline.config import AudioFormat
from pipeline.items import ContentPart, InputAudio, Item, ItemReference, MessageItem

__all__ = ["with_recordings_decoded"]

# Bytes of samples that are decoded where they arrive, in less than a millisecond; more go to a thread.
_SHORT = 64 * 1024

# Of the whole process: ten minutes of Opus take some seconds, and live speech must not wait for many of them.
_WORKERS = ThreadPoolExecutor(2, thread_name_prefix="recordings")


async def with_recordings_decoded(
    command: ClientCommand, format: AudioFormat, max_seconds: float
) -> ClientCommand:
    """The command with the `data` of its recordings made into `pcm` at the format's rate.

    A recording is a file, or samples in that format. Raises `InvalidRequest` with the path of one that cannot
    be understood, or with which the command has more than `max_seconds` of audio. Safe to cancel.
    """
    recordings = [part.data for part in _recordings(command)]
    if not recordings:
        return command
    decoder = _Decoder(format, max_seconds)
    plain = format.type == "audio/pcm" or sum(map(len, recordings)) <= _SHORT
    if plain and not any(map(recognise, recordings)):
        return decoder.command(command)
    return await asyncio.get_running_loop().run_in_executor(_WORKERS, decoder.command, command)


def _recordings(command: ClientCommand) -> Iterator[InputAudio]:
    items: Sequence[Item | ItemReference] = ()
    match command:
        case CreateItem():
            items = [command.item]
        case CreateResponse(params):
            items = params.input or ()
    for item in items:
        if isinstance(item, MessageItem):
            yield from (part for part in item.content if isinstance(part, InputAudio) and part.data)


@dataclass(slots=True)
class _Decoder:
    """Decodes the recordings of one command."""

    format: AudioFormat
    seconds_left: float  # shared by all of them, or many small files would decode to any amount

    def command(self, command: ClientCommand) -> ClientCommand:
        match command:
            case CreateItem(item):
                return replace(command, item=self._item(item, "item"))
            case CreateResponse(params) if params.input is not None:
                entries = tuple(
                    entry
                    if isinstance(entry, ItemReference)
                    else self._item(entry, f"response.input[{index}]")
                    for index, entry in enumerate(params.input)
                )
                return replace(command, params=replace(params, input=entries))
        return command

    def _item(self, item: Item, path: str) -> Item:
        if not isinstance(item, MessageItem):
            return item
        content = tuple(
            self._part(part, f"{path}.content[{index}].audio") for index, part in enumerate(item.content)
        )
        return replace(item, content=content)

    def _part(self, part: ContentPart, param: str) -> ContentPart:
        if not isinstance(part, InputAudio) or not part.data:
            return part
        if recognise(part.data):
            pcm = decode_recording(part.data, self.format.rate, self.seconds_left, param)
        else:
            pcm = self._samples(part.data, param)
        self.seconds_left -= len(pcm) / 2 / self.format.rate
        return InputAudio(part.transcript, pcm)

    def _samples(self, data: bytes, param: str) -> bytes:
        check_whole_samples(data, self.format.type, param)
        if len(data) / bytes_per_sample(self.format.type) / self.format.rate > self.seconds_left:
            raise too_long(self.seconds_left, param)
        return decode(data, self.format.type)
