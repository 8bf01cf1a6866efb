"""What both of Inworld's ways to speech have in common: the settings of a request, the shape of a chunk."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from providers.client_settings import choice, number
from providers.contracts import TtsOptions, Voice
from providers.tts import words
from providers.tts.openai_speech import OPENAI_VOICES

__all__ = [
    "MAX_PIECE_CHARS",
    "SAMPLE_RATE",
    "SPEEDS",
    "TAGS",
    "VOICES",
    "Steering",
    "chunk_pcm",
    "chunk_words",
    "is_direction",
    "is_voice",
    "own_name",
    "pieces",
    "speech_settings",
]

SAMPLE_RATE = 24_000  # Hertz
SPEEDS = (0.5, 1.5)
MAX_PIECE_CHARS = 1000  # of one message; one request over HTTP may have twice as many
MAX_DIRECTION_CHARS = 207  # "[speak", what follows it, and "]"
DELIVERY_MODES = ("STABLE", "BALANCED", "CREATIVE")

# Sounds such as [laugh] and directions such as [speak softly]; not the text of a link, nor a footnote.
TAGS = r"\[[A-Za-z][^\[\]()\n]{0,199}\](?!\()"

_STEERING = re.compile(r"\s*(\[speak\b[^\[\]()\n]{0,199}\])(?!\()", re.IGNORECASE)

_NAMES = (
    "Alex Ashley Clive Craig Deborah Dennis Edward Elizabeth Hades Jason Julia Luna Mark Olivia Priya Ronald"
    " Sarah Shaun Theodore Timothy Wendy"
)
VOICES = tuple(Voice(name, name, "en") for name in _NAMES.split())
_BY_LOWER = {voice.id.lower(): voice.id for voice in VOICES}
# No voices of Inworld: whoever asks for one of them means another service, and is given a substitute.
_FOREIGN = frozenset(voice.id for voice in OPENAI_VOICES)


def is_voice(voice: str) -> bool:
    """Whether the service may have it: accounts have voices of their own, which no list here can hold."""
    plain = voice.replace("_", "").replace("-", "").replace(" ", "").replace(".", "")
    return plain.isalnum() and voice.lower() not in _FOREIGN


def is_direction(text: str) -> bool:
    """Whether a text holds nothing but tags: they say how to speak what comes behind them."""
    return not re.sub(TAGS, "", text).strip()


class Steering:
    """Has a reply spoken to its end as the direction at its beginning says, where the client wants that.

    `steering_handling` among the client's settings: "repeat_each_chunk", or else it holds for its own piece.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._repeats = choice(settings, "steering_handling", ("REPEAT_EACH_CHUNK",)) is not None
        self._direction = ""

    @property
    def max_chars(self) -> int:
        """Of a piece, so that the direction has room in its message."""
        return MAX_PIECE_CHARS - (MAX_DIRECTION_CHARS + 1 if self._repeats else 0)

    def applied(self, piece: str) -> str:
        """The piece as it is sent. A direction of its own replaces the one before."""
        if not self._repeats:
            return piece
        if own := _STEERING.match(piece):
            self._direction = own[1]
            return piece
        return f"{self._direction} {piece.lstrip()}" if self._direction and piece.strip() else piece


def own_name(voice: str) -> str:
    """The voice as the service spells it."""
    return _BY_LOWER.get(voice.lower(), voice)


def speech_settings(
    model: str, options: TtsOptions, *, temperature: float | None = None, delivery_mode: str | None = None
) -> dict[str, Any]:
    """The body of a request without its text. What the client's settings say goes before the defaults here.

    Settings are those of `providerData.tts`, in either spelling; values out of range are left out.
    """
    audio: dict[str, Any] = {"audioEncoding": "PCM", "sampleRateHertz": SAMPLE_RATE}
    if options.speed != 1.0:
        slowest, fastest = SPEEDS
        audio["speakingRate"] = min(max(options.speed, slowest), fastest)
    body: dict[str, Any] = {
        "voiceId": own_name(options.voice),
        "modelId": model,
        "audioConfig": audio,
        "timestampType": "WORD",
        # Sound need not wait for its times.
        "timestampTransportStrategy": "ASYNC",
    }
    language = options.language or options.settings.get("language")
    if isinstance(language, str) and language:
        body["language"] = language
    if model.startswith("inworld-tts-1"):
        asked = number(options.settings, "temperature", 0.01, 2.0)
        if (heat := temperature if asked is None else asked) is not None:
            body["temperature"] = heat
    elif mode := choice(options.settings, "delivery_mode", DELIVERY_MODES) or delivery_mode:
        body["deliveryMode"] = mode
    return body


def pieces(text: str, longest: int = MAX_PIECE_CHARS) -> Iterator[str]:
    """The text in pieces that one message may hold, cut at spaces where there are any."""
    while len(text) > longest:
        cut = text.rfind(" ", 1, longest) + 1 or longest
        yield text[:cut]
        text = text[cut:]
    if text:
        yield text


def chunk_pcm(chunk: Mapping[str, Any]) -> bytes | None:
    """The samples of a chunk, none where it holds only times; None where it does not hold base64."""
    content = chunk.get("audioContent")
    if content is None or content == "":
        return b""
    data = words.audio_from(content)
    return None if data is None else _without_header(data)


def chunk_words(chunk: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The words that a chunk reports, each with the second in which it ends, counted from the last flush."""
    timings = chunk.get("timestampInfo")
    alignment = timings.get("wordAlignment") if isinstance(timings, Mapping) else None
    if not isinstance(alignment, Mapping):
        return
    told, ends = alignment.get("words"), alignment.get("wordEndTimeSeconds")
    if not isinstance(told, list) or not isinstance(ends, list):
        return
    for word, end in zip(told, ends, strict=False):
        seconds = words.number(end)
        if isinstance(word, str) and seconds is not None and seconds >= 0:
            yield word, seconds


def _without_header(data: bytes) -> bytes:
    """The samples of a WAV, whose header some chunks have each for itself; anything else as it is."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return data
    position = 12
    while len(data) >= position + 8:
        if data[position : position + 4] == b"data":
            return data[position + 8 :]
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + (size & 1)
    return b""
