"""AssemblyAI's streaming transcription, version 3: one socket for each utterance, turns that end in it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import orjson

from providers.client_settings import integer, number
from providers.contracts import EndOfTurn, SttEvent, SttOptions, TranscriptDelay
from providers.errors import BadAnswerError, ProviderError
from providers.http import HttpClient
from providers.problems import Problem
from providers.stt.assemblyai_turns import Turns
from providers.stt.pacing import Pace
from providers.stt.remote import Details, Done, Reading, transcribe
from providers.websockets import Socket, connect

__all__ = ["AssemblyAIStt", "query"]

PATH = "/v3/ws"
RATE = 24_000  # Hertz; what most clients send, so that nothing is resampled
FRAME_BYTES = (RATE // 20 * 2, RATE * 2)  # 50 to 1000 ms; others are refused
MAX_TERMS, MAX_TERM_CHARS = 100, 50
MAX_LANGUAGES = 10
MAX_PROMPT_CHARS = 1500  # it travels in the address
MAX_BEFORE_BEGIN = 8  # messages, such as warnings
TOLD_ANEW = 0.1  # by how much an opinion on the end of the turn must differ to be told

# The service's defaults for the longest pause inside a turn, in milliseconds.
_LONGEST_PAUSE_MS, _LONGEST_PAUSE_LATER_MS = 1280, 1000

# How long a pause ends a turn that sounds finished, in milliseconds: only then its text stays as it is.
_PAUSE_MS: Mapping[TranscriptDelay, int] = {"minimal": 160, "low": 240, "high": 600, "xhigh": 1000}
_MODE: Mapping[TranscriptDelay, str] = {
    "minimal": "min_latency",
    "low": "min_latency",
    "medium": "balanced",
    "high": "max_accuracy",
    "xhigh": "max_accuracy",
}

# What the codes of errors and closing frames mean, as HTTP statuses. A session that the service gave up, for
# its age or for its own reasons, is worth another try.
_STATUSES: Mapping[int, int] = {
    1008: 401,
    1013: 503,
    3005: 500,
    3006: 400,
    3007: 400,
    3008: 503,
    3009: 429,
    4000: 400,
    4001: 401,
    4002: 403,
    4003: 403,
    4004: 503,
    4008: 503,
    4010: 503,
    4029: 429,
    4030: 503,
    4031: 503,
    4032: 400,
    4033: 400,
    4034: 400,
    4100: 400,
    4101: 400,
    4102: 429,
    4103: 503,
}


class AssemblyAIStt:
    """One model of AssemblyAI's."""

    sample_rate = RATE
    streaming = True

    def __init__(
        self, http: HttpClient, model: str, *, formats: bool = True, done_within: float = 10.0
    ) -> None:
        """`formats`: whether Universal-Streaming adds punctuation; its text then waits until a turn ends.

        `done_within`: seconds from the end of the audio to the whole text.
        """
        self._http = http
        self._model = model
        self._formats = formats
        self._done_within = done_within

    async def warm(self) -> None:
        """Have the way to the service known. A session is paid for as long as it is open, so none is held."""
        await self._http.warm()

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        """Raises every kind of `ProviderError`. Closing the stream closes its socket."""
        wire = _Wire(self._http, self._model, options, formats=self._formats)
        async with aclosing(transcribe(wire, audio, rate=RATE, done_within=self._done_within)) as events:
            async for event in events:
                yield event


def _is_universal(model: str) -> bool:
    return model.startswith("universal-streaming")


def _is_later(model: str) -> bool:
    """Whether a model is of the third generation, which takes a prompt and has no unformatted text."""
    return model.startswith(("u3-", "universal-3-"))


def query(model: str, options: SttOptions, *, formats: bool = True) -> dict[str, str]:
    """The parameters of the address. What a model does not know is left out: the service would refuse it.

    Settings are those of `providerData.stt`, in either spelling; values out of range are left out.
    """
    settings = options.settings
    values: dict[str, Any] = {
        "sample_rate": RATE,
        "encoding": "pcm_s16le",
        "speech_model": model,
        "vad_threshold": number(settings, "vad_threshold", 0.0, 1.0),
        "min_turn_silence": integer(settings, "min_end_of_turn_silence", 0, 5000),
        "max_turn_silence": integer(settings, "max_turn_silence", 20, 5000),
        "keyterms_prompt": [term for term in options.keywords if 0 < len(term) <= MAX_TERM_CHARS][:MAX_TERMS],
    }
    if _is_universal(model):
        values["format_turns"] = formats
        confidence = number(settings, "end_of_turn_confidence_threshold", 0.0, 1.0)
        values["end_of_turn_confidence_threshold"] = confidence
        values["language_detection"] = True if model.endswith("multilingual") else None
        if values["min_turn_silence"] is None and options.delay is not None:
            values["min_turn_silence"] = _PAUSE_MS.get(options.delay)
    elif _is_later(model):
        values["prompt"] = (options.prompt or "")[:MAX_PROMPT_CHARS] or None
        values["language_codes"] = _languages(options)
        values["continuous_partials"] = True
        values["mode"] = _MODE[options.delay] if options.delay is not None else None
    longest = _LONGEST_PAUSE_LATER_MS if _is_later(model) else _LONGEST_PAUSE_MS
    if (values["min_turn_silence"] or 0) > (values["max_turn_silence"] or longest):
        values["max_turn_silence"] = values["min_turn_silence"]
    return {name: _written(value) for name, value in values.items() if value is not None and value != []}


def _languages(options: SttOptions) -> list[str]:
    """Codes without their regions, of which the service knows none."""
    wanted = options.languages or ((options.language,) if options.language else ())
    codes = [language.replace("_", "-").partition("-")[0].lower() for language in wanted]
    return list(dict.fromkeys(code for code in codes if code))[:MAX_LANGUAGES]


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return orjson.dumps(value).decode() if isinstance(value, list) else str(value)


class _Wire:
    """One utterance, which the service may hear as several turns."""

    frame_bytes = FRAME_BYTES

    def __init__(self, http: HttpClient, model: str, options: SttOptions, *, formats: bool) -> None:
        self._http = http
        self._query = query(model, options, formats=formats)
        self._universal, self._formats = _is_universal(model), formats
        self._turns = self._new_turns(continues=False)
        self._languages: tuple[str, ...] = ()
        self._opinion = 0.0  # on the end of the turn, as told last
        self._pace = Pace()
        self._finishing = False

    def _new_turns(self, *, continues: bool) -> Turns:
        return Turns(universal=self._universal, formats=self._formats, continues=continues)

    async def open(self) -> Socket:
        self._turns = self._new_turns(continues=self._turns.has_text)
        self._pace = Pace()
        self._finishing = False
        socket = await connect(self._http, PATH, params=self._query, close_statuses=_STATUSES)
        try:
            await self._begin(socket)
        except BaseException:
            await socket.aclose()
            raise
        return socket

    async def _begin(self, socket: Socket) -> None:
        for _ in range(MAX_BEFORE_BEGIN):
            message = await socket.receive(within=self._http.timeouts.first_byte)
            list(self.read(message))  # raises what an error says
            if isinstance(message, dict) and message.get("type") == "Begin":
                return
        raise self._bad("does not begin its session")

    async def send(self, socket: Socket, pcm: bytes) -> None:
        await asyncio.sleep(self._pace.delay(len(pcm) / 2 / RATE, asyncio.get_running_loop().time()))
        await socket.send_bytes(pcm)

    async def finish(self, socket: Socket) -> None:
        self._finishing = True
        await socket.send_json({"type": "ForceEndpoint"})
        await socket.send_json({"type": "Terminate"})

    def read(self, message: dict[str, Any] | bytes) -> Iterator[Reading]:
        if isinstance(message, bytes):
            raise self._bad("sent binary data among its transcripts")
        kind = message.get("type")
        if kind == "Error" or (kind is None and "error" in message):
            raise self._problem(message)
        if kind == "Turn":
            yield from self._turn(message)
        elif kind == "SpeechStarted":
            yield from self._tell(0.0)
        elif kind == "Termination":
            yield from self._turns.end()
            yield Done()

    def _turn(self, message: Mapping[str, Any]) -> Iterator[Reading]:
        ended = message.get("end_of_turn") is True
        language = message.get("language_code")
        if ended and isinstance(language, str) and language and language not in self._languages:
            self._languages += (language,)
            yield Details(languages=self._languages)
        try:
            yield from self._turns.hear(message)
        except ValueError as error:
            raise self._bad(f"sent {error}") from None
        confidence = message.get("end_of_turn_confidence")
        if isinstance(confidence, bool) or not isinstance(confidence, int | float):
            confidence = 0.0
        confidence = min(1.0, max(0.0, float(confidence)))
        if ended:
            # Silence alone may have ended it; then, too, it is over rather than not.
            yield from self._tell(max(confidence, 0.5))
        elif self._universal:
            yield from self._tell(confidence)
        else:
            yield from self._tell(0.0)

    def _tell(self, probability: float) -> Iterator[Reading]:
        """An opinion, if it is one: what we force to end tells nothing about the speaker."""
        if not self._finishing and abs(probability - self._opinion) >= TOLD_ANEW:
            self._opinion = probability
            yield EndOfTurn(probability)

    def _problem(self, message: Mapping[str, Any]) -> ProviderError:
        code, text = message.get("error_code"), message.get("error")
        status = 500
        if isinstance(code, int):
            status = code if 400 <= code < 600 else _STATUSES.get(code, 500)
        text = self._http.redactor.clean(text) if isinstance(text, str) else ""
        return Problem(status, text, str(code or "")).to_error(self._http.provider)

    def _bad(self, what: str) -> ProviderError:
        return BadAnswerError(f"{self._http.provider} {what}", provider=self._http.provider)
