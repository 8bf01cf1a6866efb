"""Deepgram's transcription for conversations (`/v2/listen`): whole turns, and how finished they sound."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from providers.client_settings import flag, integer, texts
from providers.client_settings import number as setting
from providers.contracts import EndOfTurn, SttEvent, SttOptions
from providers.deepgram_socket import CLOSE_STATUSES, CLOSED, ListenSocket, failure, languages, number
from providers.errors import BadAnswerError, TimedOutError
from providers.http import HttpClient
from providers.stt.deepgram_words import Joint, keyterms
from providers.stt.remote import Details, Done, Guessed, Reading, Settled, transcribe
from providers.websockets import Socket, connect

__all__ = ["DeepgramFluxStt", "FluxSettings", "flux_query"]

RATE = 24_000  # Hertz; what most clients send, so that nothing is resampled
FRAME_S = 0.08  # as Deepgram recommends
FRAME_BYTES = (round(RATE * FRAME_S) * 2, round(RATE * FRAME_S) * 2)

# Languages that flux-general-multi can be told to expect (November 2026); others would be refused.
_HINTS = frozenset(("de", "en", "es", "fr", "hi", "it", "ja", "nl", "pt", "ru"))


@dataclass(frozen=True, slots=True)
class FluxSettings:
    """What holds for all utterances of one provider."""

    eot_threshold: float = 0.7  # 0.5..0.9; how sure the service must be to end a turn
    eager_eot_threshold: float | None = 0.5  # 0.3..0.9; how sure to suggest it; None: no suggestions
    eot_timeout_ms: int = 5000  # 500..60000; of silence that end a turn however it sounds
    query: tuple[tuple[str, str], ...] = ()  # added as it is


class DeepgramFluxStt:
    """One of the models behind `/v2/listen`."""

    sample_rate = RATE
    streaming = True

    def __init__(
        self,
        http: HttpClient,
        model: str,
        settings: FluxSettings | None = None,
        *,
        done_within: float = 10.0,
    ) -> None:
        """`done_within` is the time in seconds from the end of the audio to the text."""
        self._http = http
        self._done_within = done_within
        self._model = model
        self._settings = settings or FluxSettings()

    async def warm(self) -> None:
        """Have a connection to the service ready. Each utterance opens a socket of its own."""
        await self._http.warm()

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        """Raises every kind of `ProviderError`. Closing the stream closes its socket."""
        wire = _Wire(self._http, flux_query(self._model, self._settings, options))
        events = transcribe(wire, audio, rate=RATE, done_within=self._done_within)
        async with aclosing(events):
            async for event in events:
                yield event


def flux_query(model: str, settings: FluxSettings, options: SttOptions) -> list[tuple[str, str]]:
    """The query of one utterance. `prompt` and `delay` have no counterpart.

    Client settings, in either spelling: `end_of_turn_confidence_threshold`, `max_turn_silence` in
    milliseconds, `language_hints`, `numerals`, `profanity_filter`.
    """
    asked = options.settings
    sure = setting(asked, "end_of_turn_confidence_threshold", 0.0, 1.0)
    sure = settings.eot_threshold if sure is None else min(0.9, max(0.5, sure))
    silence = integer(asked, "max_turn_silence", 500, 60_000) or settings.eot_timeout_ms
    query = [
        ("model", model),
        ("encoding", "linear16"),
        ("sample_rate", str(RATE)),
        ("eot_threshold", f"{sure:g}"),
        ("eot_timeout_ms", str(silence)),
    ]
    if settings.eager_eot_threshold is not None:
        query.append(("eager_eot_threshold", f"{min(sure, settings.eager_eot_threshold):g}"))
    query += [(name, "true") for name in ("numerals", "profanity_filter") if flag(asked, name, default=False)]
    if model == "flux-general-multi":
        named = (
            [options.language] if options.language else options.languages or texts(asked, "language_hints")
        )
        hints = dict.fromkeys(name.split("-")[0].lower() for name in named)
        query += [("language_hint", hint) for hint in hints if hint in _HINTS]
    query += [("keyterm", term) for term in keyterms(options.keywords)]
    return [*query, *settings.query]


class _Wire:
    """One utterance, which the service may hear as several turns."""

    frame_bytes = FRAME_BYTES

    def __init__(self, http: HttpClient, query: list[tuple[str, str]]) -> None:
        self._http = http
        self._query = query
        self._joint = Joint()
        self._ended = False  # whether the turn was said to have ended, or to do so perhaps
        self._languages: tuple[str, ...] = ()
        self._reset()

    def _reset(self) -> None:
        self._leaving = False
        self._sent = 0.0  # seconds of this connection's audio
        self._heard = 0.0  # of which so many are transcribed
        self._guess = ""

    async def open(self) -> Socket:
        self._reset()
        opened = await connect(self._http, "/v2/listen", params=self._query, close_statuses=CLOSE_STATUSES)
        self._socket = socket = ListenSocket(opened, is_complete=self._is_complete)
        try:
            # A parameter that the service does not take may show by nothing but its silence.
            async with asyncio.timeout(self._http.timeouts.connect):
                while not self._is_welcome(await socket.receive(within=float("inf"))):
                    pass
        except TimeoutError:
            await socket.aclose()
            raise TimedOutError(
                f"{socket.provider} did not begin in time", provider=socket.provider
            ) from None
        except BaseException:
            await socket.aclose()
            raise
        return socket

    async def send(self, socket: Socket, pcm: bytes) -> None:
        await socket.send_bytes(pcm)
        self._sent += len(pcm) / 2 / RATE

    async def finish(self, socket: Socket) -> None:
        # The first ends the turn on what was transcribed so far; the second has the rest transcribed.
        self._leaving = True
        await socket.send_json({"type": "ForceEndTurn"})
        await self._socket.leave()

    def read(self, message: dict[str, Any] | bytes) -> Iterator[Reading]:
        if isinstance(message, bytes):
            raise self._bad("sent binary data among its transcripts")
        self._refuse(message)
        kind = message.get("type")
        if kind == "TurnInfo":
            yield from self._turn(message)
        elif kind == CLOSED:
            yield Done()

    def _turn(self, message: dict[str, Any]) -> Iterator[Reading]:
        text, until = message.get("transcript"), number(message.get("audio_window_end"))
        if not isinstance(text, str) or until is None:
            raise self._bad("sent a turn without a text or a time")
        text = text.strip()
        self._heard = max(self._heard, until)
        event = message.get("event")
        if found := languages(message.get("languages")):
            self._joint.language = found[0]
            if event == "EndOfTurn" or self._leaving:
                self._languages = tuple(dict.fromkeys((*self._languages, *found)))
                yield Details(languages=self._languages)
        if event == "EndOfTurn":
            yield Settled(self._joint.before(text), until)
            self._joint.settle(text)
            self._guess = ""
        elif text != self._guess:
            self._guess = text
            yield Guessed(self._joint.before(text))
        if not self._leaving:
            yield from self._ending(event, message.get("end_of_turn_confidence"))
        elif event == "EndOfTurn" and self._is_complete():
            yield Done()

    def _ending(self, event: Any, confidence: Any) -> Iterator[Reading]:
        if event in ("EagerEndOfTurn", "EndOfTurn"):
            self._ended = True
            sure = number(confidence)
            yield EndOfTurn(0.5 if sure is None else min(1.0, sure))
        elif event in ("TurnResumed", "StartOfTurn") and self._ended:
            self._ended = False
            yield EndOfTurn(0.0)

    def _is_complete(self) -> bool:
        """Whether all audio is transcribed, as far as a frame makes no word."""
        return self._heard >= self._sent - FRAME_S

    def _is_welcome(self, message: dict[str, Any] | bytes) -> bool:
        if isinstance(message, bytes):
            return False
        self._refuse(message)
        return message.get("type") == "Connected"

    def _refuse(self, message: dict[str, Any]) -> None:
        if message.get("type") == "Error" or "err_code" in message or "error_code" in message:
            raise failure(self._socket, message)

    def _bad(self, what: str) -> BadAnswerError:
        return self._socket.bad(what)
