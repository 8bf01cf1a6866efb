"""Items as clients get them back when they ask for one: with the sound that was kept of it."""

from dataclasses import replace

from pipeline.audio.store import AudioStore
from pipeline.config import AudioConfig
from pipeline.items import ContentPart, InputAudio, MessageItem, OutputAudio

__all__ = ["with_audio"]


def with_audio(item: MessageItem, audio: AudioConfig, store: AudioStore) -> MessageItem:
    """The message with the sound of its parts, at the rates of those formats."""
    rate_in, rate_out = audio.input.format.rate, audio.output.format.rate
    content: list[ContentPart] = []
    for index, part in enumerate(item.content):
        match part:
            case InputAudio():
                part = replace(part, pcm=store.get((item.id, index), rate_in))
            case OutputAudio():
                part = replace(part, pcm=store.get((item.id, index), rate_out))
        content.append(part)
    return replace(item, content=tuple(content))
