"""Scripts for the fake Inworld API: what is heard in the audio, how speech comes, how chats are routed."""

import array
import base64
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_replies import ChatReply, Reply, SpeechReply, frame

__all__ = [
    "HTTP_STATUS",
    "Heard",
    "RoutedReply",
    "Spoken",
    "SpokenReply",
    "Turn",
    "failure",
    "sound",
    "status",
    "timings",
]

# The HTTP status in which the gateway wraps each of gRPC's codes.
HTTP_STATUS = {3: 400, 5: 404, 7: 403, 8: 429, 9: 400, 13: 500, 14: 503, 16: 401}
SAMPLES_PER_CHARACTER = 480  # of speech at 24 kHz
PROFILE = {
    "age": ("adult", "young", "old"),
    "gender": ("female", "male"),
    "emotion": ("calm", "happy", "sad"),
    "vocalStyle": ("normal", "whispering"),
    "accent": ("en-US", "en-GB"),
    "pitch": ("high", "low"),
}


def status(code: int, message: str, *details: Any) -> dict[str, Any]:
    """A failure as gRPC's gateway writes it."""
    return {"code": code, "message": message, "details": list(details)}


def failure(code: int, message: str, *details: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """An HTTP answer that reports a failure."""
    body = json.dumps(status(code, message, *details)).encode()
    return Reply((body,), HTTP_STATUS[code], headers=headers or {})


# --- Transcription ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn in the audio."""

    text: str = "hello there"  # empty: noise that was taken for speech
    starts: float = 0.0  # seconds of silence before it
    seconds: float = 1.0
    pause: float = 0.4  # seconds of silence behind it, after which the service calls it finished
    guesses: Sequence[str] | None = None  # the interim transcripts; None: word after word


@dataclass(frozen=True, slots=True)
class Heard:
    """What the service hears. Its clock is the audio that has come in."""

    turns: Sequence[Turn] = (Turn(),)
    speech_events: bool = True
    usage: bool = True
    last_final: bool = True  # whether the end of the stream is a final where no turn is under way
    closes: bool = True  # once all is said

    def timeline(self, config: Mapping[str, Any]) -> Iterator[tuple[float, dict[str, Any]]]:
        """What is sent once so many seconds of audio were heard, for a `transcribeConfig`."""
        at = 0.0
        for turn in self.turns:
            at += turn.starts
            if self.speech_events:
                started = {"startTimeMs": round(at * 1000), "confidence": 0.93}
                yield at + 0.01, {"speechStarted": started}
            guesses = turn.guesses
            if guesses is None:
                words = turn.text.split()
                guesses = [" ".join(words[: count + 1]) for count in range(len(words))]
            for number, guess in enumerate(guesses, 1):
                yield at + turn.seconds * number / len(guesses), {"transcription": _transcript(guess, False)}
            if self.speech_events:
                stopped = {"silenceDurationMs": round(turn.pause * 500)}
                yield at + turn.seconds + turn.pause / 2, {"speechStopped": stopped}
            final = _transcript(turn.text, True)
            if config.get("includeWordTimestamps"):
                final["wordTimestamps"] = _times(turn, at)
            if (profile := config.get("voiceProfileConfig") or {}).get("enableVoiceProfile"):
                final["voiceProfile"] = _profile(profile.get("topN", 10))
            at += turn.seconds + turn.pause
            yield at, {"transcription": final}


def _transcript(text: str, is_final: bool) -> dict[str, Any]:
    return {"transcript": text, "isFinal": is_final}


def _times(turn: Turn, at: float) -> list[dict[str, Any]]:
    words = turn.text.split()
    step = turn.seconds / max(1, len(words))
    return [
        {
            "word": word,
            "confidence": 0.98,
            "startTimeMs": round((at + step * number) * 1000),
            "endTimeMs": round((at + step * (number + 1)) * 1000),
        }
        for number, word in enumerate(words)
    ]


def _profile(most: int) -> dict[str, Any]:
    return {
        kind: [{"label": label, "confidence": 0.9 / (rank + 1)} for rank, label in enumerate(labels[:most])]
        for kind, labels in PROFILE.items()
    }


# --- Speech ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spoken:
    """How text becomes sound."""

    chunk_bytes: int = 4801  # odd on purpose; 0.1 s of PCM and a byte
    headers: bool = False  # each chunk has a WAV header of its own, as LINEAR16 does
    timed: bool = True
    silent: bool = False  # no audio at all

    def chunks(self, text: str, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunks of one generation: the audio, then its times where these may come later."""
        audio = settings.get("audioConfig") or {}
        rate = audio.get("speakingRate", 1.0)
        pcm = b"" if self.silent else sound(text, rate)
        times = {"timestampInfo": timings(text, rate)} if self.timed and settings.get("timestampType") else {}
        late = settings.get("timestampTransportStrategy") == "ASYNC"
        wrapped = self.headers or audio.get("audioEncoding") == "LINEAR16"
        for at in range(0, len(pcm), self.chunk_bytes):
            piece = pcm[at : at + self.chunk_bytes]
            if wrapped:
                piece = _header(len(piece), audio.get("sampleRateHertz", 48_000)) + piece
            usage = {"processedCharactersCount": len(text), "modelId": settings["modelId"]}
            yield {
                "audioContent": base64.b64encode(piece).decode(),
                "usage": usage,
                **(times if at == 0 and not late else {}),
            }
        if times and late:
            yield {"audioContent": "", **times}


@dataclass(frozen=True, slots=True)
class SpokenReply(SpeechReply):
    """Speech as lines of JSON over HTTP."""

    spoken: Spoken = field(default_factory=Spoken)

    def render(self, body: Mapping[str, Any]) -> Reply:
        chunks = self.spoken.chunks(body["text"], body)
        lines = [json.dumps({"result": chunk}).encode() + b"\n" for chunk in chunks]
        return Reply(tuple(self.steps(lines)), delay_s=self.delay_s)


_RAMP = array.array("h", range(-1000, 1000)).tobytes()


def sound(text: str, rate: float = 1.0) -> bytes:
    """The PCM of a text at 24 kHz: as long as the text, tags not counted."""
    samples = round(len(_untagged(text).strip()) * SAMPLES_PER_CHARACTER / rate)
    return (_RAMP * (samples * 2 // len(_RAMP) + 1))[: samples * 2]


def timings(text: str, rate: float = 1.0) -> dict[str, Any]:
    """When each word of a text is spoken, counted from its beginning; tags are no words."""
    plain = _untagged(text).strip()
    second = SAMPLES_PER_CHARACTER / rate / 24_000
    words = list(re.finditer(r"\S+", plain))
    alignment = {
        "words": [word[0] for word in words],
        "wordStartTimeSeconds": [round(word.start() * second, 6) for word in words],
        "wordEndTimeSeconds": [round(word.end() * second, 6) for word in words],
        "phoneticDetails": [],
    }
    return {"wordAlignment": alignment}


def _untagged(text: str) -> str:
    return re.sub(r"\s*\[[^\]]*\]", "", text)


def _header(size: int, rate: int) -> bytes:
    layout = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + size)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + layout
        + b"data"
        + (struct.pack("<I", size))
    )


# --- Chat ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoutedReply(ChatReply):
    """A completion that says where a router sent its request: in the first chunk, or in the last one."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    late: bool = False

    def _chunks(self, body: Mapping[str, Any], calls: list[Any], finish: str) -> Iterator[bytes]:
        chunks = list(ChatReply._chunks(self, body, calls, finish))
        at = -1 if self.late else 0
        chunk = json.loads(chunks[at].decode().removeprefix("data: "))
        chunks[at] = frame({**chunk, "metadata": dict(self.metadata)})
        yield from chunks

    def _completion(self, body: Mapping[str, Any], calls: list[Any], finish: str) -> dict[str, Any]:
        return {**ChatReply._completion(self, body, calls, finish), "metadata": dict(self.metadata)}
