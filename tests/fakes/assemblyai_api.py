"""A fake of AssemblyAI's streaming transcription, version 3, over WebSocket.

    async with FakeAssemblyAI() as fake:
        fake.script(Plan(None, Cut(heard=3, code=3005)))    # the next connection dies
        ... use fake.base_url and fake.api_key, and audio from `hearing.say` ...
        (await fake.exchange(0)).texts                      # what the client said besides audio

A plan's reply is None to hear what `say` has hidden in the audio, a tuple of sentences to hear these in any
audio, or a code of an error to be told at once. It refuses what the service refuses: a wrong key, parameters
that are missing, unknown or not for the model, pieces of audio that are too short or too long, messages that
are no JSON or of no known type.
"""

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.fakes.hearing import STOPS, Ear, Word, in_pieces, plain
from tests.fakes.websocket import FakeSockets, Line, Refusal

__all__ = ["FakeAssemblyAI"]

UNIVERSAL = ("universal-streaming-english", "universal-streaming-multilingual")
LATER = ("u3-rt-pro", "u3-rt-pro-beta-1", "universal-3-5-pro", "universal-3-6", "universal-3-6-pro")
MODELS = (*UNIVERSAL, *LATER, "whisper-rt")

_ANY = {
    *("sample_rate", "encoding", "speech_model", "format_turns", "min_turn_silence", "max_turn_silence"),
    *("vad_threshold", "keyterms_prompt", "inactivity_timeout", "filter_profanity", "session_heartbeat"),
}
_FOR_UNIVERSAL = {"end_of_turn_confidence_threshold", "language_detection"}
_FOR_LATER = {
    "prompt",
    "agent_context",
    "language_codes",
    "continuous_partials",
    "interruption_delay",
    "mode",
}
_UPDATABLE = (_ANY | _FOR_UNIVERSAL | _FOR_LATER) - {"sample_rate", "encoding", "speech_model", "mode"}

MESSAGES = {
    1008: "Unauthorized Connection: Missing Authorization header",
    3005: "Session Cancelled: An error occurred",
    3008: "Session Expired: Maximum session duration exceeded",
    3009: "Unauthorized Connection: Too many concurrent sessions",
    4029: "Client sent audio too fast",
    4031: "Session idle for too long",
    4102: "This account has exceeded the number of allowed streams",
}


class FakeAssemblyAI(FakeSockets):
    """`refuses_late`: a wrong key is told after the handshake. `answers_silence`: a forced end of no speech
    gives an empty turn; the service may do either. `language` is what it detects."""

    refuses_late = False
    answers_silence = False
    language = "en"

    def routes(self) -> list[web.RouteDef]:
        return [self.socket("/v3/ws", self._listen)]

    def refusal(self, http: web.Request) -> Refusal | None:
        return None if self.refuses_late or self._knows(http.headers) else Refusal(401, "Unauthorized")

    def _knows(self, headers: Mapping[str, str]) -> bool:
        return (
            next((headers[name] for name in headers if name.lower() == "authorization"), "") == self.api_key
        )

    async def obey(self, line: Line, message: dict[str, Any]) -> None:
        """Called for each message besides audio, before it is followed; tests may do something else."""

    async def _listen(self, line: Line) -> None:
        if not self._knows(line.exchange.headers):
            await fail(line, 1008)
        if (problem := query_problem(line.query)) is not None:
            await fail(line, 3006, problem)
        await line.send({"type": "Begin", "id": str(uuid.uuid4()), "expires_at": int(time.time()) + 10_800})
        if line.reply in MESSAGES:
            await fail(line, line.reply)
        await _Session(self, line).serve()


async def fail(line: Line, code: int, message: str | None = None) -> None:
    """Say what is wrong, and close."""
    await line.send({"type": "Error", "error_code": code, "error": message or MESSAGES[code]})
    await line.close(code, "See Error message for details")


def query_problem(query: Mapping[str, str]) -> str | None:
    """What is wrong with the parameters of the address, if anything is."""
    model = query.get("speech_model")
    if model not in MODELS:
        return f"Invalid speech_model: {model}"
    allowed = (
        _ANY | (_FOR_UNIVERSAL if model in UNIVERSAL else set()) | (_FOR_LATER if model in LATER else set())
    )
    for name, value in query.items():
        if name not in allowed:
            return f"{name} is not supported for {model}"
        if name in ("keyterms_prompt", "language_codes"):
            entries = json.loads(value)
            if not isinstance(entries, list) or len(entries) > (100 if name == "keyterms_prompt" else 10):
                return f"Invalid {name}"
    if not query.get("sample_rate", "").isdecimal() or query.get("encoding", "pcm_s16le") != "pcm_s16le":
        return "Sample rate must be a positive integer"
    if query.get("mode", "balanced") not in ("max_accuracy", "min_latency", "balanced"):
        return "Invalid mode"
    return None


class _Session:
    """One connection after its `Begin`."""

    def __init__(self, fake: FakeAssemblyAI, line: Line) -> None:
        self.fake, self.line = fake, line
        query = line.query
        self.rate = int(query["sample_rate"])
        self.later = query["speech_model"] in LATER
        self.formats = query.get("format_turns", "false").lower() == "true" and not self.later
        self.shortest = int(query.get("min_turn_silence", 100 if self.later else 400)) / 1000
        self.longest = int(query.get("max_turn_silence", 1000 if self.later else 1280)) / 1000
        self.threshold = float(query.get("end_of_turn_confidence_threshold", 0.4))
        self.idle = float(query["inactivity_timeout"]) if "inactivity_timeout" in query else None
        self.ear = Ear(self.rate, line.reply)
        self.order = 0
        self.first = 0  # the word that the turn begins with
        self.told = ""  # what was said of the turn last
        self.started = False

    async def serve(self) -> None:
        try:
            while (message := await self.line.receive(self.idle)) is not None:
                if isinstance(message, bytes):
                    await self.hear(message)
                elif isinstance(message, str):
                    await fail(self.line, 3006, f"Invalid JSON: {message}")
                elif await self.obey(message):
                    return
        except TimeoutError:
            await fail(self.line, 4031)

    async def hear(self, pcm: bytes) -> None:
        milliseconds = len(pcm) / 2 / self.rate * 1000
        if not 50 <= milliseconds <= 1000:
            message = f"Input duration violation: {milliseconds} ms. Expected between 50 and 1000 ms"
            await fail(self.line, 3007, message)
        for piece in in_pieces(pcm, rate=self.rate):
            self.ear.hear(piece)
            await self.advance()

    async def obey(self, message: dict[str, Any]) -> bool:
        """Follow a message; True when the conversation is over."""
        await self.fake.obey(self.line, message)
        match message.get("type"):
            case "ForceEndpoint":
                self.ear.finish()
                await self.force()
            case "Terminate":
                self.ear.finish()
                if self.words:
                    await self.end()
                seconds = round(self.ear.seconds)
                await self.line.send(
                    {
                        "type": "Termination",
                        "audio_duration_seconds": seconds,
                        "session_duration_seconds": seconds,
                    }
                )
                return True
            case "UpdateConfiguration" if set(message) - {"type"} <= _UPDATABLE:
                self.shortest = message.get("min_turn_silence", self.shortest * 1000) / 1000
                self.longest = message.get("max_turn_silence", self.longest * 1000) / 1000
            case "KeepAlive":
                pass
            case kind:
                await fail(self.line, 3006, f"Invalid Message Type: {kind}")
        return False

    @property
    def words(self) -> list[Word]:
        return self.ear.words[self.first :]

    @property
    def confidence(self) -> float:
        """That the turn is over, by how it reads."""
        return 0.9 if self.words and self.words[-1].text.endswith(STOPS) else 0.05

    async def advance(self) -> None:
        if not self.words:
            return
        if self.later and not self.started:
            self.started = True
            start = round(self.words[0].start * 1000)
            await self.line.send({"type": "SpeechStarted", "timestamp": start})
        pause = self.ear.pause
        if pause >= self.longest or (pause >= self.shortest and self.confidence >= self.threshold):
            await self.end()
        elif self.later:
            if self.ear.seconds - self.words[0].start >= 0.75 or pause >= 0.1:
                await self.partial()
        else:
            await self.partial()

    async def partial(self) -> None:
        spoken = " ".join(word.text if word.is_complete else word.so_far for word in self.words)
        if spoken != self.told:
            self.told = spoken
            sure = [] if self.later else [word for word in self.words if word.is_complete]
            text = spoken if self.later else plain(" ".join(word.text for word in sure))
            await self.say(text, ended=False, formatted=self.later, sure=len(sure))

    async def force(self) -> None:
        if self.words or self.fake.answers_silence:
            await self.end()

    async def end(self) -> None:
        text, count = " ".join(word.text for word in self.words), len(self.words)
        if self.later:
            await self.say(text, ended=True, formatted=True, sure=count)
        else:
            await self.say(plain(text), ended=True, formatted=False, sure=count)
            if self.formats:
                await self.say(text, ended=True, formatted=True, sure=count)
        self.order += 1
        self.first, self.told, self.started = len(self.ear.words), "", False

    async def say(self, text: str, *, ended: bool, formatted: bool, sure: int) -> None:
        words = [
            {
                "start": round(word.start * 1000),
                "end": round(word.end * 1000),
                "text": word.text if formatted else plain(word.text if index < sure else word.so_far),
                "confidence": 0.98,
                "word_is_final": index < sure,
            }
            for index, word in enumerate(self.words)
        ]
        message = {
            "type": "Turn",
            "turn_order": self.order,
            "turn_is_formatted": formatted,
            "end_of_turn": ended,
            "transcript": text,
            "utterance": text if ended else "",
            "end_of_turn_confidence": self.confidence if ended or not self.later else 0.0,
            "words": words,
        }
        if self.line.query.get("language_detection", "").lower() == "true" and ended:
            message |= {"language_code": self.fake.language, "language_confidence": 0.99}
        await self.line.send(message)
