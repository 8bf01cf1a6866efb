"""Deepgram's transcription for recordings and dictation (`/v1/listen`): segments that settle one by one."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from providers.client_settings import flag, integer, texts
from providers.contracts import EndOfTurn, SttEvent, SttOptions
from providers.deepgram_socket import (
    CLOSE_STATUSES,
    CLOSED,
    KEEP_ALIVE_S,
    ListenSocket,
    failure,
    languages,
    number,
)
from providers.errors import BadAnswerError
from providers.http import HttpClient
from providers.stt.deepgram_words import Joint, keyterms
from providers.stt.remote import Details, Done, Guessed, Reading, Settled, transcribe
from providers.websockets import Socket, connect

__all__ = ["DeepgramNovaStt", "NovaSettings", "nova_query"]

RATE = 24_000  # Hertz; what most clients send, so that nothing is resampled
FRAME_BYTES = (RATE // 50 * 2, RATE // 4 * 2)  # 20 to 250 ms

# The service tells a pause, not whether the sentence is finished: so a pause weighs little, and one without
# any word for `utterance_end_ms` weighs more. Words behind it make that void, and say nothing of the pause
# that comes next. Our own estimates.
PAUSE_PROBABILITY = 0.6
UTTERANCE_END_PROBABILITY = 0.9
VOID_PROBABILITY = 0.5


@dataclass(frozen=True, slots=True)
class NovaSettings:
    """What holds for all utterances of one provider."""

    language: str = "multi"  # where the session names none; "multi" finds out
    endpointing_ms: int | None = 300  # of silence that settle a segment; None: segments settle by length
    utterance_end_ms: int | None = 1000  # without a word, at least 1000
    smart_format: bool = True
    punctuate: bool = True
    query: tuple[tuple[str, str], ...] = ()  # added as it is
    keep_alive_s: float = KEEP_ALIVE_S


class DeepgramNovaStt:
    """One of the models behind `/v1/listen`."""

    sample_rate = RATE
    streaming = True

    def __init__(
        self,
        http: HttpClient,
        model: str,
        settings: NovaSettings | None = None,
        *,
        done_within: float = 10.0,
    ) -> None:
        """`done_within` is the time in seconds from the end of the audio to the text."""
        self._http = http
        self._done_within = done_within
        self._model = model
        self._settings = settings or NovaSettings()

    async def warm(self) -> None:
        """Have a connection to the service ready. Each utterance opens a socket of its own."""
        await self._http.warm()

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        """Raises every kind of `ProviderError`. Closing the stream closes its socket."""
        query = nova_query(self._model, self._settings, options)
        wire = _Wire(self._http, query, self._settings.keep_alive_s)
        events = transcribe(wire, audio, rate=RATE, done_within=self._done_within)
        async with aclosing(events):
            async for event in events:
                yield event


def nova_query(model: str, settings: NovaSettings, options: SttOptions) -> list[tuple[str, str]]:
    """The query of one utterance. `prompt` has no counterpart.

    Client settings, in either spelling: `min_end_of_turn_silence` and `max_turn_silence` in milliseconds,
    `language_hints`, `smart_format`, `punctuate`, `numerals`, `profanity_filter`, `filler_words`.
    """
    is_nova3 = model.startswith("nova-3")
    asked = options.settings
    pause = integer(asked, "min_end_of_turn_silence", 10, 5000) or settings.endpointing_ms
    silence = integer(asked, "max_turn_silence", 1000, 5000) or settings.utterance_end_ms
    hints = list(options.languages) or texts(asked, "language_hints")
    language = options.language or (hints[0] if len(hints) == 1 else "multi" if hints else settings.language)
    query = [
        ("model", model),
        ("encoding", "linear16"),
        ("sample_rate", str(RATE)),
        ("channels", "1"),
        ("interim_results", "true"),
        ("language", language),
        ("smart_format", _spelled(flag(asked, "smart_format", default=settings.smart_format))),
        ("punctuate", _spelled(flag(asked, "punctuate", default=settings.punctuate))),
        ("endpointing", "false" if pause is None else str(pause)),
    ]
    if silence is not None:
        query.append(("utterance_end_ms", str(silence)))
    query += [
        (name, "true")
        for name in ("numerals", "profanity_filter", "filler_words")
        if flag(asked, name, default=False)
    ]
    if options.delay in ("minimal", "low"):
        query.append(("no_delay", "true"))  # formatting waits for more words otherwise
    if language == "multi" and is_nova3:
        query += [("language_hint", hint) for hint in hints]
    query += [("keyterm" if is_nova3 else "keywords", term) for term in keyterms(options.keywords)]
    return [*query, *settings.query]


def _spelled(value: bool) -> str:
    return "true" if value else "false"


class _Wire:
    """One utterance."""

    frame_bytes = FRAME_BYTES

    def __init__(self, http: HttpClient, query: list[tuple[str, str]], keep_alive_s: float) -> None:
        self._http = http
        self._query = query
        self._keep_alive_s = keep_alive_s
        self._joint = Joint(dict(query)["language"])
        self._spoke = False  # whether any text is settled or guessed, over all connections
        self._paused = False  # whether the turn was said to have ended
        self._leaving = False
        self._languages: tuple[str, ...] = ()

    async def open(self) -> Socket:
        self._leaving = False
        opened = await connect(self._http, "/v1/listen", params=self._query, close_statuses=CLOSE_STATUSES)
        self._socket = socket = ListenSocket(opened)
        socket.keep_alive(lambda: socket.send_json({"type": "KeepAlive"}), self._keep_alive_s)
        return socket

    async def send(self, socket: Socket, pcm: bytes) -> None:
        await socket.send_bytes(pcm)

    async def finish(self, socket: Socket) -> None:
        self._leaving = True
        await socket.send_json({"type": "Finalize"})
        await self._socket.leave()

    def read(self, message: dict[str, Any] | bytes) -> Iterator[Reading]:
        if isinstance(message, bytes):
            raise self._bad("sent binary data among its transcripts")
        kind = message.get("type")
        if kind == "Results":
            yield from self._results(message)
        elif kind == "UtteranceEnd" and self._spoke and not self._leaving:
            self._paused = True
            yield EndOfTurn(UTTERANCE_END_PROBABILITY)
        elif kind in ("Metadata", CLOSED):
            yield Done()
        elif kind == "Error" or "err_code" in message or "error_code" in message:
            raise failure(self._socket, message)

    def _results(self, message: dict[str, Any]) -> Iterator[Reading]:
        heard = self._alternative(message.get("channel"))
        text = heard.get("transcript")
        start, duration = number(message.get("start")), number(message.get("duration"))
        if not isinstance(text, str) or start is None or duration is None:
            raise self._bad("sent results without a text or a time")
        text = text.strip()
        found = languages(heard.get("languages"))
        if found:
            self._joint.language = found[0]
        if text:
            self._spoke = True
            if self._paused and not self._leaving:
                self._paused = False
                yield EndOfTurn(VOID_PROBABILITY)
        finalized = self._leaving and message.get("from_finalize") is True
        if message.get("is_final") is not True:
            if text:  # empty ones come all the time
                yield Guessed(self._joint.before(text))
            return
        if found:
            self._languages = tuple(dict.fromkeys((*self._languages, *found)))
            yield Details(languages=self._languages)
        yield Settled(self._joint.before(text), None if finalized else start + duration)
        self._joint.settle(text)
        if finalized:
            yield Done()
        elif message.get("speech_final") is True and self._spoke and not self._leaving:
            self._paused = True
            yield EndOfTurn(PAUSE_PROBABILITY)

    def _alternative(self, channel: Any) -> dict[str, Any]:
        alternatives = channel.get("alternatives") if isinstance(channel, dict) else None
        first = alternatives[0] if isinstance(alternatives, list) and alternatives else None
        if not isinstance(first, dict):
            raise self._bad("sent results without an alternative")
        return first

    def _bad(self, what: str) -> BadAnswerError:
        return self._socket.bad(what)
