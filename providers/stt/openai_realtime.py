"""Transcription over OpenAI's realtime endpoint: text while somebody talks, and models of that place only."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from typing import Any

from providers.contracts import SttEvent, SttOptions, SttUsage, TokenLogprob
from providers.errors import BadAnswerError, ProviderError
from providers.http import HttpClient
from providers.problems import problem_from_object
from providers.stt.remote import Details, Done, Reading, Settled, transcribe
from providers.websockets import Socket, connect

__all__ = ["OpenAIRealtimeStt", "is_realtime_only"]

RATE = 24_000  # Hertz; the endpoint takes no other PCM
FRAME_BYTES = (2 * RATE // 10, 2 * RATE // 2)  # it refuses to transcribe less than 100 ms

_TRANSCRIPTION = "conversation.item.input_audio_transcription."


def is_realtime_only(model: str) -> bool:
    """Whether the plain endpoint does not have the model, going by its name."""
    return model.startswith(("gpt-realtime-whisper", "gpt-live-transcribe"))


class OpenAIRealtimeStt:
    """One model behind `wss://.../v1/realtime?intent=transcription`."""

    sample_rate = RATE
    streaming = True

    def __init__(self, http: HttpClient, model: str) -> None:
        self._http = http
        self._model = model

    async def warm(self) -> None:
        """Have the name looked up and the service's certificate checked once."""
        await self._http.warm()

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        """Raises every kind of `ProviderError`."""
        async for event in transcribe(_Wire(self._http, self._model, options), audio, rate=RATE):
            yield event


class _Wire:
    frame_bytes = FRAME_BYTES

    def __init__(self, http: HttpClient, model: str, options: SttOptions) -> None:
        self._http = http
        self._options = options
        self._session = _session(model, options)
        self._told = ""  # text that is out
        self._heard = ""  # text of this connection

    async def open(self) -> Socket:
        self._heard = ""
        socket = await connect(self._http, "/realtime", params={"intent": "transcription"})
        try:
            created = await socket.receive(within=self._http.timeouts.first_byte)
            if not isinstance(created, dict) or not isinstance(created.get("type"), str):
                raise socket.bad("opened a session in words of its own")
            if created["type"] == "error":
                raise self._problem(created)
            await socket.send_json({"type": "session.update", "session": self._session})
        except BaseException:
            await socket.aclose()
            raise
        return socket

    async def send(self, socket: Socket, pcm: bytes) -> None:
        audio = base64.b64encode(pcm).decode()
        await socket.send_json({"type": "input_audio_buffer.append", "audio": audio})

    async def finish(self, socket: Socket) -> None:
        await socket.send_json({"type": "input_audio_buffer.commit"})

    def read(self, message: dict[str, Any] | bytes) -> Iterable[Reading]:
        if not isinstance(message, dict):
            raise self._bad("sent something that is not a JSON object")
        kind = message.get("type")
        if kind == "error" or kind == _TRANSCRIPTION + "failed":
            raise self._problem(message)
        if kind == _TRANSCRIPTION + "delta":
            yield from self._grown(self._heard + _text(message.get("delta")), message)
        elif kind == _TRANSCRIPTION + "completed":
            whole = _text(message.get("transcript"))
            if whole.startswith(self._heard):
                yield from self._grown(whole, {} if self._heard else message)
            yield Details(usage=_usage(message.get("usage")))
            yield Done()

    def _grown(self, heard: str, message: Mapping[str, Any]) -> Iterable[Reading]:
        # A new connection hears everything again, and what is out already is not told twice.
        fresh = heard[max(len(self._told), len(self._heard)) :]
        self._heard = heard
        if fresh:
            self._told += fresh
            yield Settled(fresh, 0.0, _logprobs(message.get("logprobs")))

    def _problem(self, message: Mapping[str, Any]) -> ProviderError:
        return problem_from_object(message, self._http.redactor).to_error(self._http.provider)

    def _bad(self, what: str) -> BadAnswerError:
        return BadAnswerError(f"{self._http.provider} {what}", provider=self._http.provider)


def _session(model: str, options: SttOptions) -> dict[str, Any]:
    """The configuration: the audio's end is ours to tell, so the service detects no turns."""
    transcription: dict[str, Any] = {"model": model}
    if options.language:
        transcription["language"] = options.language
    if options.prompt:
        transcription["prompt"] = options.prompt
    if options.languages:
        transcription["languages"] = list(options.languages)
    if options.keywords:
        transcription["keywords"] = list(options.keywords)
    if options.delay:
        transcription["delay"] = options.delay
    session: dict[str, Any] = {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": RATE},
                "transcription": transcription,
                "turn_detection": None,
            }
        },
    }
    if options.logprobs:
        session["include"] = ["item.input_audio_transcription.logprobs"]
    return session


def _usage(value: Any) -> SttUsage | None:
    if not isinstance(value, Mapping) or value.get("type") != "tokens":
        return None
    details = value.get("input_token_details")
    details = details if isinstance(details, Mapping) else {}
    return SttUsage(
        _count(value.get("input_tokens")),
        _count(value.get("output_tokens")),
        _count(details.get("text_tokens")),
        _count(details.get("audio_tokens")),
    )


def _logprobs(value: Any) -> tuple[TokenLogprob, ...]:
    found = []
    for entry in value if isinstance(value, list) else ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("logprob"), int | float):
            continue
        token, data = _text(entry.get("token")), entry.get("bytes")
        is_bytes = isinstance(data, list) and all(isinstance(b, int) and 0 <= b < 256 for b in data)
        found.append(
            TokenLogprob(token, entry["logprob"], bytes(data) if is_bytes and data else token.encode())
        )
    return tuple(found)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
