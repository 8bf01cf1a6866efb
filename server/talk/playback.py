"""The loudspeaker of `parley talk`: works out what a listener would have heard, without playing anything."""

from dataclasses import dataclass, field

__all__ = ["Playback", "Truncation"]

_BYTES_PER_SECOND = 48_000  # 24 kHz, 16 bits, mono


@dataclass(frozen=True, slots=True)
class Truncation:
    """A reply that was talked over; what `conversation.item.truncate` tells the server."""

    item_id: str
    content_index: int
    heard_ms: int


@dataclass(slots=True)
class _Clip:
    item_id: str
    content_index: int
    begins_at: float  # seconds, when its first sample leaves the loudspeaker
    pcm: bytearray = field(default_factory=bytearray)
    cut: bool = False

    @property
    def ends_at(self) -> float:
        return self.begins_at + len(self.pcm) / _BYTES_PER_SECOND


class Playback:
    """Replies queue up and are played in real time; what arrives after an interruption is not heard."""

    def __init__(self) -> None:
        self._clips: list[_Clip] = []

    def add(self, at: float, item_id: str, content_index: int, pcm: bytes) -> None:
        """Speech arrived at `at` seconds: PCM16 at 24 kHz."""
        clip = next((clip for clip in self._clips if clip.item_id == item_id), None)
        if clip is None:
            begins_at = max([at, *(other.ends_at for other in self._clips)])
            clip = _Clip(item_id, content_index, begins_at)
            self._clips.append(clip)
        if not clip.cut:
            clip.pcm += pcm

    def interrupt(self, at: float) -> list[Truncation]:
        """The user talks: stop playing. Returns every reply that was not heard to its end."""
        unheard = [clip for clip in self._clips if clip.ends_at > at and not clip.cut]
        for clip in unheard:
            heard = max(0, int((at - clip.begins_at) * _BYTES_PER_SECOND) // 2 * 2)
            del clip.pcm[heard:]
            clip.cut = True
        return [
            Truncation(clip.item_id, clip.content_index, len(clip.pcm) * 1000 // _BYTES_PER_SECOND)
            for clip in unheard
        ]

    @property
    def pcm(self) -> bytes:
        """Everything that was heard, reply after reply."""
        return b"".join(bytes(clip.pcm) for clip in self._clips)
