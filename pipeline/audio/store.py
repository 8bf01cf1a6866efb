"""The audio of conversation items, kept for clients that retrieve it, within a budget."""

from dataclasses import dataclass, field

from pipeline.audio.resample import resample

__all__ = ["AudioStore", "ClipKey"]

ClipKey = tuple[str, int]  # item id and content index


@dataclass(slots=True)
class _Clip:
    rate: int  # Hertz
    pcm: bytearray = field(default_factory=bytearray)


class AudioStore:
    """Clips of PCM16 mono by item part, each whole or gone. Over the budget the oldest go."""

    def __init__(self, max_bytes: int) -> None:
        self._clips: dict[ClipKey, _Clip] = {}  # oldest first
        self._gone: set[ClipKey] = set()  # went over the budget; what is still to come of them goes as well
        self._size = 0
        self._max_bytes = max_bytes

    def get(self, key: ClipKey, rate: int) -> bytes:
        """The clip at that rate, empty when there is none (any more)."""
        clip = self._clips.get(key)
        return b"" if clip is None else resample(bytes(clip.pcm), clip.rate, rate)

    def append(self, key: ClipKey, pcm: bytes, rate: int) -> None:
        """Add to a clip, which begins if it does not exist; a clip keeps the rate it began with."""
        if key in self._gone:
            return
        clip = self._clips.setdefault(key, _Clip(rate))
        clip.pcm += pcm
        self._size += len(pcm)
        while self._size > self._max_bytes:
            oldest = next(iter(self._clips))
            self._size -= len(self._clips.pop(oldest).pcm)
            self._gone.add(oldest)

    def cut(self, key: ClipKey, milliseconds: int) -> None:
        """Keep only the beginning of a clip."""
        if (clip := self._clips.get(key)) is not None:
            length = 2 * (milliseconds * clip.rate // 1000)
            self._size -= max(0, len(clip.pcm) - length)
            del clip.pcm[length:]

    def forget(self, item_id: str) -> None:
        """Remove every clip of an item."""
        for key in [key for key in self._clips if key[0] == item_id]:
            self._size -= len(self._clips.pop(key).pcm)
        self._gone = {key for key in self._gone if key[0] != item_id}
