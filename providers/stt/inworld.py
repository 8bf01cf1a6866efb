"""Inworld's transcription over WebSocket: turns that change until they end, and how a voice sounds."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from providers.client_settings import flag, integer, number, texts
from providers.contracts import EndOfTurn, SttEvent, SttOptions, TranscriptDelay
from providers.errors import BadAnswerError
from providers.grpc_problems import grpc_error
from providers.http import HttpClient
from providers.stt.remote import Details, Done, Guessed, Reading, Settled, transcribe
from providers.websockets import Socket, connect

__all__ = ["InworldStt", "transcribe_config"]

PATH = "/stt/v1/transcribe:streamBidirectional"
RATE = 16_000  # Hertz; the service's default, and the only rate that is known to work
FRAME_BYTES = (RATE // 20 * 2, RATE // 10 * 2)  # 50 to 100 ms; Inworld's own clients send 100
MAX_DONE_S = 10.0  # how long the text may take once the audio has ended
TAIL_S = 1.0  # so much audio behind the last word is taken for silence
OVERLAP_S = 0.5  # by how much reported times may contradict each other and still count

# How long a pause ends a turn that sounds finished, in milliseconds: only then its text stays as it is.
_PAUSE_MS: Mapping[TranscriptDelay, int] = {"minimal": 160, "low": 240, "high": 600, "xhigh": 1000}


class InworldStt:
    """One of the models behind Inworld's endpoint: its own, and those of others that it hosts."""

    sample_rate = RATE
    streaming = True

    def __init__(self, http: HttpClient, model: str) -> None:
        """`model` as the service spells it, such as "inworld/inworld-stt-1"."""
        self._http = http
        self._model = model

    async def warm(self) -> None:
        """Have the way to the service known. Each utterance opens a socket of its own."""
        await self._http.warm()

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        """Raises every kind of `ProviderError`. Closing the stream closes its socket."""
        wire = _Wire(self._http, transcribe_config(self._model, options))
        seconds = min(MAX_DONE_S, self._http.timeouts.gap)
        async with aclosing(transcribe(wire, audio, rate=RATE, done_within=seconds)) as events:
            async for event in events:
                yield event


def transcribe_config(model: str, options: SttOptions) -> dict[str, Any]:
    """The message that comes first, without its envelope.

    Settings are those of `providerData.stt`, in either spelling; values out of range are left out.
    """
    settings = options.settings
    config: dict[str, Any] = {
        "modelId": model,
        "audioEncoding": "LINEAR16",
        "sampleRateHertz": RATE,
        "numberOfChannels": 1,
        "includeWordTimestamps": True,
    }
    hints = list(options.languages) or texts(settings, "language_hints")
    if language := options.language or (hints[0] if len(hints) == 1 else None):
        config["language"] = language
    if prompts := [*([options.prompt] if options.prompt else []), *options.keywords]:
        config["prompts"] = prompts
    confidence = number(settings, "end_of_turn_confidence_threshold", 0.0, 1.0)
    if confidence is not None:
        config["endOfTurnConfidenceThreshold"] = confidence
    if (profile := _profile(settings)) is not None:
        config["voiceProfileConfig"] = profile
    maker = model.partition("/")[0]
    if maker == "soniox":
        if own := _soniox(options, hints):
            config["sonioxConfig"] = own
    elif maker in ("inworld", "assemblyai") and (own := _turns(options)):
        config["inworldSttV1Config" if maker == "inworld" else "assemblyaiConfig"] = own
    return config


def _turns(options: SttOptions) -> dict[str, Any]:
    settings = options.settings
    pause = integer(settings, "min_end_of_turn_silence", 0, 5000)
    if pause is None and options.delay is not None:
        pause = _PAUSE_MS.get(options.delay)
    values = {
        "vadThreshold": number(settings, "vad_threshold", 0.0, 1.0),
        "minEndOfTurnSilenceWhenConfident": pause,
        "maxTurnSilence": integer(settings, "max_turn_silence", 20, 5000),
    }
    return {name: value for name, value in values.items() if value is not None}


def _soniox(options: SttOptions, hints: list[str]) -> dict[str, Any]:
    own: dict[str, Any] = {}
    if hints:
        own["languageHints"] = hints
    context: dict[str, Any] = {}
    if options.prompt:
        context["text"] = options.prompt
    if options.keywords:
        context["terms"] = list(options.keywords)
    return own | ({"context": context} if context else {})


def _profile(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `voice_profile` asks for: true, or an object that may say how many labels of a kind it wants."""
    wanted = settings.get("voice_profile", settings.get("voiceProfile"))
    if isinstance(wanted, Mapping):
        profile: dict[str, Any] = {"enableVoiceProfile": flag(wanted, "enabled", default=True)}
        most = integer(wanted, "top_n", 1, 20)
        return profile | ({"topN": most} if most is not None else {})
    return {"enableVoiceProfile": True} if wanted is True else None


class _Wire:
    """One utterance, which the service may hear as several turns."""

    frame_bytes = FRAME_BYTES

    def __init__(self, http: HttpClient, config: dict[str, Any]) -> None:
        self._http = http
        self._config = config
        self._anything = False  # whether any text is settled, over all connections
        self._reset()

    def _reset(self) -> None:
        self._open_turn = False  # whether the service has heard speech that it has not settled
        self._start: float | None = None  # of that speech, in seconds of this connection's audio
        self._sent = 0.0  # seconds of audio
        self._until = 0.0  # what is settled of this connection's audio, as far as that is known
        self._closing = False
        self._closed_turn = False  # whether a final came after `finish`
        self._counted = False  # whether the usage came after `finish`

    async def open(self) -> Socket:
        self._reset()
        socket = await connect(self._http, PATH)
        try:
            await socket.send_json({"transcribeConfig": self._config})
        except BaseException:
            await socket.aclose()
            raise
        return socket

    async def send(self, socket: Socket, pcm: bytes) -> None:
        self._sent += len(pcm) / 2 / RATE
        await socket.send_json({"audioChunk": {"content": base64.b64encode(pcm).decode()}})

    async def finish(self, socket: Socket) -> None:
        # Not after an `endTurn`: the service would then answer with one final too many.
        self._closing = True
        await socket.send_json({"closeStream": {}})

    def read(self, message: dict[str, Any] | bytes) -> Iterator[Reading]:
        if isinstance(message, bytes):
            raise self._bad("sent binary data among its transcripts")
        if message.get("error"):
            raise grpc_error(message["error"], self._http.redactor, self._http.provider)
        result = message.get("result")
        if not isinstance(result, Mapping):
            raise self._bad("sent a message without a result")
        if isinstance(started := result.get("speechStarted"), Mapping):
            self._start = _seconds(started.get("startTimeMs"))
            yield from self._begin_turn()
        if isinstance(heard := result.get("transcription"), Mapping):
            yield from self._transcription(heard)
        if "usage" in result and self._closing:
            self._counted = True
            if not self._open_turn:
                yield Settled("")
        if self._counted and self._closed_turn and not self._open_turn:
            yield Done()

    def _begin_turn(self) -> Iterator[Reading]:
        if not self._open_turn:
            self._open_turn = True
            if self._anything and not self._closing:
                yield EndOfTurn(0.0)

    def _transcription(self, heard: Mapping[str, Any]) -> Iterator[Reading]:
        text = heard.get("transcript", "")
        if not isinstance(text, str):
            raise self._bad("sent a transcript that is not text")
        text = " ".join(text.split())
        if isinstance(profile := heard.get("voiceProfile"), dict) and profile:
            yield Details(voice_profile=profile)
        if not heard.get("isFinal"):
            if text:
                yield from self._begin_turn()
            yield Guessed(self._joined(text))
            return
        yield Settled(self._joined(text), self._end(heard.get("wordTimestamps")))
        self._anything = self._anything or bool(text)
        self._open_turn, self._start = False, None
        if self._closing:
            self._closed_turn = True
        elif self._anything:
            yield EndOfTurn(1.0)

    def _joined(self, text: str) -> str:
        return f" {text}" if text and self._anything else text

    def _end(self, words: Any) -> float | None:
        """How much of the audio a final covers, if its words say so; None: all that was sent.

        Times count only where they are sure to run from the beginning of the audio and not of the turn: then
        a turn starts behind the one before it.
        """
        if not isinstance(words, list) or not words or self._start is None:
            return None
        first, last = words[0], words[-1]
        if not isinstance(first, Mapping) or not isinstance(last, Mapping):
            return None
        begin, end = _seconds(first.get("startTimeMs")), _seconds(last.get("endTimeMs"))
        if begin is None or end is None or end <= self._until:
            return None
        if self._start < self._until - OVERLAP_S or begin < self._start - OVERLAP_S:
            return None
        self._until = end
        return None if self._closing and self._sent - end < TAIL_S else end

    def _bad(self, what: str) -> BadAnswerError:
        return BadAnswerError(f"{self._http.provider} {what}", provider=self._http.provider)


def _seconds(milliseconds: Any) -> float | None:
    if isinstance(milliseconds, str) and milliseconds.isdecimal():  # 64-bit numbers are texts in this JSON
        milliseconds = int(milliseconds[:12])
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    return milliseconds / 1000 if 0 <= milliseconds < 1e9 else None
