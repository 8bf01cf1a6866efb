"""Soniox's real-time transcription: tokens that are settled one after the other, and guesses behind them."""

import asyncio
import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from providers.client_settings import flag, integer, number, texts
from providers.contracts import EndOfTurn, SttEvent, SttOptions, TranscriptDelay
from providers.errors import BadAnswerError, ProviderError
from providers.http import HttpClient
from providers.problems import Problem
from providers.stt.pacing import Pace
from providers.stt.remote import Details, Done, Guessed, Reading, Settled, transcribe
from providers.websockets import Socket, connect

__all__ = ["SonioxStt", "config"]

PATH = "/transcribe-websocket"
RATE = 24_000  # Hertz; what most clients send, so that nothing is resampled
FRAME_BYTES = (RATE // 50 * 2, RATE // 5 * 2)  # 20 to 200 ms; the service sets no bounds
KEEP_ALIVE_S = 8.0  # the service closes after 20 s without audio or a sign of life
MAX_CONTEXT_CHARS = 8000  # of 8000 tokens that the service takes, which are more
MAX_HINTS = 20
TURN_END, FINALIZED = "<end>", "<fin>"

# The longest wait from the end of speech to the sign that the turn has ended, in milliseconds; 2000 if unset.
_END_MS: Mapping[TranscriptDelay, int] = {"minimal": 500, "low": 1000, "high": 2500, "xhigh": 3000}


class SonioxStt:
    """One model of Soniox's."""

    sample_rate = RATE
    streaming = True

    def __init__(
        self,
        http: HttpClient,
        model: str,
        *,
        done_within: float = 10.0,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        """`done_within`: seconds from the end of the audio to the whole text."""
        self._http = http
        self._model = model
        self._done_within = done_within
        self._keep_alive_s = keep_alive_s

    async def warm(self) -> None:
        """Have the way to the service known. Each utterance opens a socket of its own; few may be open."""
        await self._http.warm()

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        """Raises every kind of `ProviderError`. Closing the stream closes its socket."""
        wire = _Wire(self._http, config(self._model, options), self._keep_alive_s)
        async with aclosing(transcribe(wire, audio, rate=RATE, done_within=self._done_within)) as events:
            async for event in events:
                yield event


def config(model: str, options: SttOptions) -> dict[str, Any]:
    """The message that comes first.

    Settings are those of `providerData.stt`, in either spelling; values out of range are left out.
    """
    settings = options.settings
    hints = _languages(options)
    values: dict[str, Any] = {
        "model": model,
        "audio_format": "pcm_s16le",
        "sample_rate": RATE,
        "num_channels": 1,
        "enable_endpoint_detection": True,
        "enable_language_identification": len(hints) != 1,
    }
    if hints:
        values["language_hints"] = hints
        # Who names one language means it; several may be all that the client can think of.
        values["language_hints_strict"] = flag(settings, "language_hints_strict", default=len(hints) == 1)
    end_ms = integer(settings, "max_turn_silence", 500, 3000)
    if end_ms is None and options.delay is not None:
        end_ms = _END_MS.get(options.delay)
    if end_ms is not None:
        values["max_endpoint_delay_ms"] = end_ms
    confidence = number(settings, "end_of_turn_confidence_threshold", 0.0, 1.0)
    if confidence is not None and _generation(model) >= 5:  # earlier models refuse it
        values["endpoint_sensitivity"] = round(1 - 2 * confidence, 3)
    if context := _context(options):
        values["context"] = context
    return values


def _languages(options: SttOptions) -> list[str]:
    """Codes of two letters, which are all that the service takes."""
    wanted = options.languages or ((options.language,) if options.language else ())
    codes = [
        re.split("[-_]", language)[0].lower()
        for language in wanted or texts(options.settings, "language_hints")
    ]
    return list(dict.fromkeys(code for code in codes if re.fullmatch("[a-z]{2}", code)))[:MAX_HINTS]


def _generation(model: str) -> int:
    number = re.search(r"-v(\d{1,3})", model)
    return int(number[1]) if number else 0


def _context(options: SttOptions) -> dict[str, Any]:
    """What may be said, and about what; terms first, as each of them counts."""
    room, terms = MAX_CONTEXT_CHARS, []
    for term in options.keywords:
        if term and len(term) <= room:
            terms.append(term)
            room -= len(term) + 1
    text = (options.prompt or "")[: max(0, room)]
    return ({"text": text} if text else {}) | ({"terms": terms} if terms else {})


class _Wire:
    """One utterance, which the service may hear as several turns."""

    frame_bytes = FRAME_BYTES

    def __init__(self, http: HttpClient, config: dict[str, Any], keep_alive_s: float) -> None:
        self._http = http
        self._config = config
        self._keep_alive_s = keep_alive_s
        self._last = ""  # the last character settled, over all connections
        self._border = False  # whether what comes next was not heard in one piece with that
        self._ended = False  # whether the turn ended, and nothing was heard since
        self._languages: tuple[str, ...] = ()
        self._pace = Pace()
        self._finishing = False

    async def open(self) -> Socket:
        self._border = True
        self._pace = Pace()
        self._finishing = False
        socket = await connect(self._http, PATH)
        try:
            await socket.send_json(self._config)
        except BaseException:
            await socket.aclose()
            raise

        async def keep_alive() -> None:
            await socket.send_json({"type": "keepalive"})

        socket.keep_alive(keep_alive, self._keep_alive_s)
        return socket

    async def send(self, socket: Socket, pcm: bytes) -> None:
        await asyncio.sleep(self._pace.delay(len(pcm) / 2 / RATE, asyncio.get_running_loop().time()))
        await socket.send_bytes(pcm)

    async def finish(self, socket: Socket) -> None:
        self._finishing = True
        await socket.send_json({"type": "finalize"})
        await socket.send_text("")

    def read(self, message: dict[str, Any] | bytes) -> Iterator[Reading]:
        if isinstance(message, bytes):
            raise self._bad("sent binary data among its transcripts")
        if message.get("error_code") is not None or message.get("error_message"):
            raise self._problem(message)
        known = self._languages
        tokens = message.get("tokens", [])
        if not isinstance(tokens, list):
            raise self._bad("sent tokens that are no list")
        until = _seconds(message.get("final_audio_proc_ms"))
        settled, guessed, marks = "", "", set()
        for token in tokens:
            text, is_final = self._token(token)
            if text in (TURN_END, FINALIZED):
                marks.add(text)
                # What follows may begin without a space, even where it is a new sentence.
                yield from self._settle(settled, until)
                settled, self._border, self._ended = "", True, text == TURN_END
            elif is_final:
                settled += text
            else:
                guessed += text
        yield from self._settle(settled, until)
        if self._languages != known:
            yield Details(languages=self._languages)
        if guessed and self._ended:
            yield from self._resume()
        yield Guessed(self._joined(guessed))
        if TURN_END in marks and self._ended and not self._finishing:
            yield EndOfTurn(1.0)
        if message.get("finished") is True or (self._finishing and FINALIZED in marks):
            yield Done()

    def _token(self, token: Any) -> tuple[str, bool]:
        if not isinstance(token, Mapping) or not isinstance(token.get("text"), str):
            raise self._bad("sent a token without a text")
        if token.get("translation_status") == "translation":
            return "", False
        text, is_final, language = token["text"], token.get("is_final") is True, token.get("language")
        if is_final and isinstance(language, str) and language and language not in self._languages:
            self._languages += (language,)
        return text, is_final

    def _settle(self, text: str, until: float) -> Iterator[Reading]:
        if not text:
            return
        if self._ended:
            yield from self._resume()
        text = self._joined(text)
        self._last, self._border = text[-1], False
        yield Settled(text, until)

    def _resume(self) -> Iterator[Reading]:
        """The speaker went on after the end of a turn."""
        self._ended = False
        if not self._finishing:
            yield EndOfTurn(0.0)

    def _joined(self, text: str) -> str:
        if text and self._border and self._last and _wants_space(self._last, text[0]):
            return f" {text}"
        return text

    def _problem(self, message: Mapping[str, Any]) -> ProviderError:
        code, text = message.get("error_code"), message.get("error_message")
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        if status == 402:
            status = 403  # an account without money is as good as no key; another provider may have one
        text = self._http.redactor.clean(text) if isinstance(text, str) else ""
        return Problem(status, text).to_error(self._http.provider)

    def _bad(self, what: str) -> ProviderError:
        return BadAnswerError(f"{self._http.provider} {what}", provider=self._http.provider)


def _wants_space(before: str, after: str) -> bool:
    """Whether two pieces of text that were heard apart are written apart: not in Chinese and Japanese."""
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in (before, after))
    hangul = any("\uac00" <= character <= "\ud7a3" for character in (before, after))
    return not (before.isspace() or after.isspace()) and (hangul or not wide)


def _seconds(milliseconds: Any) -> float:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return 0.0
    return milliseconds / 1000 if 0 <= milliseconds < 1e9 else 0.0
