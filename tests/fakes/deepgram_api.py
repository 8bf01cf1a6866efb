"""A fake of Deepgram over WebSocket: transcription by Nova (`/v1/listen`) and Flux (`/v2/listen`), speech.

    async with FakeDeepgram() as fake:
        fake.script(Plan(None, Cut(heard=3, code=1011)))    # the next connection dies
        ... use fake.base_url and fake.api_key, and audio from `hearing.say` ...
        (await fake.exchange(0)).texts                      # what the client said besides audio

For transcription a plan's reply is None to hear what `say` has hidden in the audio, a tuple of sentences to
hear these in any audio, or a code of an error to be told at once; for speech see `deepgram_speech`. The fake
refuses what the service refuses: a wrong key, parameters that are missing, unknown or do not go together,
messages of no known type, too much text, and too many flushes.
"""

import re
import uuid
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMsgType, web
from multidict import MultiMapping

from tests.fakes.deepgram_speech import converse
from tests.fakes.hearing import Ear, Word, in_pieces, plain
from tests.fakes.websocket import FakeSockets, GoneError, Line, Refusal

__all__ = ["FakeDeepgram", "query_problem"]

NOVA = ("nova-3", "nova-3-general", "nova-3-medical", "nova-2", "nova-2-general")
FLUX = ("flux-general-en", "flux-general-multi")
VOICE = re.compile(r"aura(-2)?-[a-z]+-[a-z]{2}")

_COMMON = {"model", "encoding", "sample_rate", "keyterm", "language_hint", "numerals", "profanity_filter"}
_COMMON |= {"mip_opt_out", "tag"}
_ALLOWED = {
    "/v1/listen": _COMMON
    | {"channels", "language", "interim_results", "smart_format", "punctuate", "endpointing"}
    | {"utterance_end_ms", "vad_events", "keywords", "no_delay", "filler_words", "diarize", "redact"},
    "/v2/listen": _COMMON | {"eot_threshold", "eager_eot_threshold", "eot_timeout_ms"},
    "/v1/speak": {"model", "encoding", "sample_rate", "speed", "mip_opt_out"},
}
_SEGMENT_WORDS = 5  # after so many words a segment settles without a pause


class FakeDeepgram(FakeSockets):
    """`lag_s`: transcription lags behind the audio by so much, until it is forced. `idle_s`: Nova closes a
    socket that hears nothing for so long. `flux_end`: the code that Flux closes with; None: a closing frame
    without a code. `language`: what it detects."""

    lag_s = 0.0
    idle_s = 10.0
    flux_end: int | None = None
    language = "en"

    def __init__(self, *, api_key: str = "fake-key-0123456789abcdef", default: Any = None) -> None:
        super().__init__(api_key=api_key, default=default)
        self.queries: list[MultiMapping[str]] = []  # of all connections, with every value of a name

    def routes(self) -> list[web.RouteDef]:
        return [
            self.socket("/v1/listen", self._nova),
            self.socket("/v2/listen", self._flux),
            self.socket("/v1/speak", converse),
        ]

    def refusal(self, http: web.Request) -> Refusal | None:
        self.queries.append(http.query)
        scheme, _, key = http.headers.get("Authorization", "").partition(" ")
        if key != self.api_key or scheme.lower() not in ("token", "bearer"):
            return _refused(401, "INVALID_AUTH", "Invalid credentials.")
        problem = query_problem(http.path, http.query)
        return _refused(400, "INVALID_QUERY_PARAMETER", problem) if problem else None

    async def _nova(self, line: Line) -> None:
        if isinstance(line.reply, str):
            await line.send({"type": "Error", "variant": line.reply, "description": "as the script wants"})
            await line.close(1011, "NET-0000")
        await _Nova(self, line).serve()

    async def _flux(self, line: Line) -> None:
        await _Flux(self, line).serve()


def _refused(status: int, code: str, message: str) -> Refusal:
    return Refusal(status, {"err_code": code, "err_msg": message, "request_id": str(uuid.uuid4())})


def query_problem(path: str, query: MultiMapping[str]) -> str:
    """What is wrong with the parameters of an address, if anything is."""
    for name, value in query.items():
        if name not in _ALLOWED.get(path, ()):
            return f"{name} is not a parameter of {path}."
        if not value:
            return f"{name} is empty."
    model = query.get("model", "")
    is_flux = path == "/v2/listen"
    if not (VOICE.fullmatch(model) if path == "/v1/speak" else model in (FLUX if is_flux else NOVA)):
        return "No such model/language/tier combination found."
    if query.get("encoding") != "linear16" or not query.get("sample_rate", "").isdecimal():
        return "Raw audio needs an encoding and a sample_rate."
    if is_flux:
        return _flux_problem(model, query)
    if path == "/v1/listen":
        return _nova_problem(model, query)
    return "" if 0.7 <= float(query.get("speed", 1.0)) <= 1.5 else "speed is out of range."


def _nova_problem(model: str, query: MultiMapping[str]) -> str:
    silence = query.get("utterance_end_ms")
    if silence is not None and (query.get("interim_results") != "true" or int(silence) < 1000):
        return "utterance_end_ms needs interim_results, and at least 1000."
    if "keyterm" in query and not model.startswith("nova-3"):
        return "keyterm needs a Nova-3 model."
    if "language_hint" in query and query.get("language") != "multi":
        return "language_hint needs language=multi."
    return ""


def _flux_problem(model: str, query: MultiMapping[str]) -> str:
    sure, eager = float(query.get("eot_threshold", 0.7)), float(query.get("eager_eot_threshold", 0.3))
    if not 0.5 <= sure <= 0.9 or not 0.3 <= eager <= sure:
        return "eot_threshold or eager_eot_threshold is out of range."
    if not 500 <= int(query.get("eot_timeout_ms", 5000)) <= 60_000:
        return "eot_timeout_ms is out of range."
    if "language_hint" in query and model != "flux-general-multi":
        return "language_hint needs flux-general-multi."
    return ""


class _Listener:
    """What both kinds of transcription share: audio that is heard a little late."""

    def __init__(self, fake: FakeDeepgram, line: Line) -> None:
        self.fake, self.line = fake, line
        self.id = str(uuid.uuid4())
        self.rate = int(line.query["sample_rate"])
        self.ear = Ear(self.rate, line.reply if isinstance(line.reply, tuple) else None)
        self.first = 0  # the word that comes next
        self._late = bytearray()

    @property
    def words(self) -> list[Word]:
        return self.ear.words[self.first :]

    async def take(self, pcm: bytes, *, all_of_it: bool = False) -> None:
        self._late += pcm
        lag = 0 if all_of_it else 2 * round(self.fake.lag_s * self.rate)
        ready = max(0, len(self._late) - lag)
        pcm = bytes(self._late[:ready])
        del self._late[:ready]
        for piece in in_pieces(pcm, rate=self.rate):
            self.ear.hear(piece)
            await self.advance()

    async def advance(self) -> None:
        raise NotImplementedError


class _Nova(_Listener):
    def __init__(self, fake: FakeDeepgram, line: Line) -> None:
        super().__init__(fake, line)
        query = line.query
        pause = query.get("endpointing", "10")
        self.pause = float("inf") if pause == "false" else int(pause) / 1000
        self.silence = int(query["utterance_end_ms"]) / 1000 if "utterance_end_ms" in query else float("inf")
        self.interims = query.get("interim_results") == "true"
        self.formats = query.get("punctuate") == "true" or query.get("smart_format") == "true"
        self.start = 0.0  # of the segment
        self.told_at = 0.0
        self.speaking = False

    async def serve(self) -> None:
        try:
            while (message := await self.line.receive(self.fake.idle_s)) is not None:
                if message == b"":
                    break
                if isinstance(message, bytes):
                    await self.take(message)
                elif not await self.obey(message):
                    break
            else:
                return
        except TimeoutError:
            await self.line.close(1011, "NET-0001")
        await self.finish()
        await self.line.send(
            {
                "type": "Metadata",
                "transaction_key": "deprecated",
                "request_id": self.id,
                "sha256": "0" * 64,
                "created": datetime.now(UTC).isoformat(),
                "duration": self.ear.seconds,
                "channels": 1,
            }
        )

    async def obey(self, message: dict[str, Any] | str) -> bool:
        match message:
            case {"type": "KeepAlive"}:
                pass
            case {"type": "Finalize"}:
                await self.finish(from_finalize=True)
            case {"type": "CloseStream"}:
                return False
            case {"type": "Configure"}:
                await self.line.send({"type": "ConfigureSuccess", "request_id": self.id})
            case _:
                problem = {"variant": "SchemaError", "description": "Could not deserialize last text message"}
                await self.line.send({"type": "Error", **problem})
        return True

    async def finish(self, *, from_finalize: bool = False) -> None:
        await self.take(b"", all_of_it=True)
        self.ear.finish()
        if self.words:
            await self.settle(len(self.words), speech_final=True, from_finalize=from_finalize)

    async def advance(self) -> None:
        complete = [word for word in self.words if word.is_complete]
        pause = self.ear.pause
        if self.words and pause >= self.pause:
            await self.settle(len(self.words), speech_final=True)
        elif len(complete) >= _SEGMENT_WORDS:
            await self.settle(len(complete))
        elif self.interims and self.ear.seconds - self.told_at >= 0.15:
            self.told_at = self.ear.seconds
            await self.results(self.words, self.ear.seconds)
        if self.speaking and not self.words and pause >= self.silence:
            self.speaking = False
            end = self.ear.words[-1].end
            await self.line.send({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": end})

    async def settle(self, count: int, *, speech_final: bool = False, from_finalize: bool = False) -> None:
        words = self.words[:count]
        end = self.ear.seconds if count == len(self.words) else words[-1].end
        self.first += count
        self.speaking = True
        await self.results(words, end, is_final=True, speech_final=speech_final, from_finalize=from_finalize)
        self.start = self.told_at = end

    async def results(
        self,
        words: list[Word],
        end: float,
        *,
        is_final: bool = False,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> None:
        texts = [word.text if is_final or word.is_complete else word.so_far for word in words]
        written = texts if self.formats else [plain(text) for text in texts]
        alternative: dict[str, Any] = {
            "transcript": " ".join(written),
            "confidence": 0.98 if words else 0.0,
            "words": [
                {
                    "word": plain(text),
                    "punctuated_word": text,
                    "start": word.start,
                    "end": word.end,
                    "confidence": 0.98,
                }
                for word, text in zip(words, texts, strict=True)
            ],
        }
        if self.line.query.get("language") == "multi":
            alternative |= {"languages": [self.fake.language] if words else [], "languages_hinted": []}
        await self.line.send(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "duration": end - self.start,
                "start": self.start,
                "is_final": is_final,
                "speech_final": speech_final,
                "from_finalize": from_finalize,
                "channel": {"alternatives": [alternative]},
                "metadata": {
                    "request_id": self.id,
                    "model_info": {"name": "fake", "version": "1", "arch": self.line.query["model"]},
                    "model_uuid": self.id,
                },
            }
        )


class _Flux(_Listener):
    EAGER_PAUSE_S, PAUSE_S, UPDATE_S = 0.2, 0.4, 0.25

    def __init__(self, fake: FakeDeepgram, line: Line) -> None:
        super().__init__(fake, line)
        query = line.query
        self.sure = float(query.get("eot_threshold", 0.7))
        self.eager = float(query["eager_eot_threshold"]) if "eager_eot_threshold" in query else 2.0
        self.timeout = int(query.get("eot_timeout_ms", 5000)) / 1000
        self.sequence = self.turn = 0
        self.start = self.told_at = 0.0
        self.state = "ready"  # or "speaking", "awaiting"

    async def serve(self) -> None:
        if isinstance(self.line.reply, str):
            await self.fail(self.line.reply, "as the script wants")
        await self.tell("Connected")
        while (message := await self.line.receive()) is not None:
            match message:
                case bytes():
                    await self.take(message)
                case {"type": "ForceEndTurn"}:
                    if self.state != "ready":
                        await self.end(0.4, "manual")
                case {"type": "CloseStream"}:
                    await self.close()
                case {"type": "Configure"}:
                    await self.tell("ConfigureSuccess", thresholds={}, keyterms=[])
                case _:
                    await self.fail("UNPARSABLE_CLIENT_MESSAGE", "The message could not be parsed.")

    async def close(self) -> None:
        """No turn is ended: the last update is all there is."""
        await self.take(b"", all_of_it=True)
        self.ear.finish()
        if self.words and self.state == "ready":
            await self.event("StartOfTurn", 0.1)
            self.state = "speaking"
        await self.event("Update", 0.1)
        await self.line.linger()
        if self.fake.flux_end is not None:
            await self.line.close(self.fake.flux_end)
        writer = self.line._socket._writer  # its owner would close with a code
        assert writer is not None
        await writer.send_frame(b"", WSMsgType.CLOSE)
        await self.line.receive()
        raise GoneError

    async def fail(self, code: str, description: str) -> None:
        await self.tell("Error", code=code, description=description)
        await self.line.close(1011)

    async def advance(self) -> None:
        pause = self.ear.pause
        speaks = bool(self.words) and not self.words[-1].is_complete
        if self.state == "ready" and self.words:
            self.state = "speaking"
            await self.event("StartOfTurn", 0.1)
        elif self.state == "awaiting" and speaks:
            self.state = "speaking"
            await self.event("TurnResumed", 0.1)
        elif self.state != "ready" and pause >= self.PAUSE_S and self.sure <= 0.8:
            await self.end(0.8, "model")
        elif self.state != "ready" and pause >= self.timeout:
            await self.end(0.3, "timeout")
        elif self.state == "speaking" and pause >= self.EAGER_PAUSE_S and self.eager <= 0.6:
            self.state = "awaiting"
            await self.event("EagerEndOfTurn", 0.6)
        elif self.ear.seconds - self.told_at >= self.UPDATE_S:
            await self.event("Update", 0.1)

    async def end(self, confidence: float, trigger: str) -> None:
        await self.event("EndOfTurn", confidence, trigger=trigger)
        self.state = "ready"
        self.turn += 1
        self.first = len(self.ear.words)
        self.start = self.ear.seconds

    async def event(self, name: str, confidence: float, **more: Any) -> None:
        sure = name in ("EagerEndOfTurn", "EndOfTurn")
        texts = [word.text if sure or word.is_complete else word.so_far for word in self.words]
        if self.line.query["model"] == "flux-general-multi":
            more |= {"languages": [self.fake.language] if texts else []}
        self.told_at = self.ear.seconds
        await self.tell(
            "TurnInfo",
            event=name,
            turn_index=self.turn,
            audio_window_start=self.start,
            audio_window_end=self.ear.seconds,
            transcript=" ".join(texts),
            words=[{"word": text, "confidence": 0.97} for text in texts],
            end_of_turn_confidence=confidence,
            **more,
        )

    async def tell(self, kind: str, **members: Any) -> None:
        """All messages are numbered."""
        own = {} if kind == "Error" else {"request_id": self.id}
        await self.line.send({"type": kind, "sequence_id": self.sequence, **own, **members})
        self.sequence += 1
