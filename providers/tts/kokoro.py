"""`local/kokoro`: Kokoro 82M, 54 voices in eight languages, through kokoro-onnx; wants two cores or more."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from providers.contracts import SpeechChunk, TtsOptions, Voice
from providers.errors import InvalidRequestError, ProviderError
from providers.extras import optional_import
from providers.onnx import open_model
from providers.tts.computed import Computed, Stop, StoppableSession, pcm16, speak_pieces, word_ends
from providers.workers import WorkerPool

__all__ = ["SAMPLE_RATE", "KokoroTts"]

SAMPLE_RATE = 24_000
# The first letter of a voice says what it speaks: BCP 47, and what eSpeak NG calls it.
LANGUAGES = {
    "a": ("en-US", "en-us"),
    "b": ("en-GB", "en-gb"),
    "e": ("es", "es"),
    "f": ("fr-FR", "fr-fr"),
    "h": ("hi", "hi"),
    "i": ("it", "it"),
    "j": ("ja", "ja"),
    "p": ("pt-BR", "pt-br"),
    "z": ("zh", "cmn"),
}
# The library cuts the silence around each piece, so this goes between them, in seconds.
SENTENCE_PAUSE, CLAUSE_PAUSE = 0.25, 0.1
CLOSING = " \t\n\"'\u201d\u2019)]}\u00bb"
MARKS = ";:,.!?¡¿—…\"«»()'" + "\u201c\u201d"  # what no word consists of

# It warns of every text in which two languages meet.
_quiet = logging.getLogger("openparley.phonemizer")
_quiet.setLevel(logging.CRITICAL)


class KokoroTts:
    """Implements `contracts.Tts`.

    A voice speaks its own language, or another of the eight that `language` asks for, with an accent.
    `instructions` have no effect. Words are marked where the model has a second output that says how long
    each phoneme is, and where each word has phonemes of its own; else the ends of segments are.
    """

    sample_rate = SAMPLE_RATE
    voices: tuple[Voice, ...] | None
    speeds = (0.5, 2.0)
    tags = ""
    reads_numbers = False  # eSpeak makes its phonemes, and says "dollar five" for $5

    def __init__(self, folder: Path, name: str, threads: int | None = None) -> None:
        """Load the model (.onnx) and the voices (.bin) in `folder`; `threads` compute one piece.

        Raises `ProviderError` when kokoro-onnx is not installed or the files cannot be used. `aclose` ends
        the threads.
        """
        library = optional_import("kokoro_onnx", "kokoro", name)
        phonemizer = optional_import("phonemizer.backend", "kokoro", name)
        self._name = name
        cores = os.cpu_count() or 1
        threads = threads or min(4, cores)
        model, styles = _file(folder, ".onnx"), _file(folder, ".bin")
        try:
            self._session = StoppableSession(open_model(model, threads), str(model))
            self._model = library.Kokoro.from_session(self._session, str(styles))
            self._styles = {str(voice): self._model.voices[voice] for voice in self._model.get_voices()}
            self._phonemes = _Phonemes(phonemizer.EspeakBackend, self._model.tokenizer.vocab)
            self.voices = tuple(_voice(voice) for voice in self._styles)
            # The first run costs more.
            self._model.create(
                self._phonemes.of("a", "en-us"), next(iter(self._styles.values())), is_phonemes=True
            )
        except ProviderError:
            raise
        except Exception as error:
            raise ProviderError(f"{name} cannot be loaded from {folder}: {error!r}") from error
        self._pool = WorkerPool(max(1, cores // threads), "kokoro")

    def knows_voice(self, voice: str) -> bool:
        """Whether there is a voice of that name."""
        return voice in self._styles

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Yield speech for each segment, as long ones for pieces of it. Closing it stops the computation.

        Raises `InvalidRequestError` for an unknown voice, `ProviderError` when the library fails.
        """
        style = self._styles.get(options.voice)
        if style is None:
            raise InvalidRequestError(f"{self._name} has no voice '{options.voice[:64]}'")
        slowest, fastest = self.speeds
        speed = min(max(options.speed, slowest), fastest)
        language = _language(options)

        def compute(piece: str, stop: Stop) -> Iterator[Computed]:
            phonemes = self._phonemes.of(piece, language)
            if not phonemes or stop.is_set():
                return
            with self._session.until(stop):
                audio, _, timings = self._model.create_timed(phonemes, style, speed, is_phonemes=True)
            yield Computed(pcm16(audio), word_ends(piece, list(_group_ends(timings))))

        stream = speak_pieces(
            self._name, self._pool, text, compute, rate=SAMPLE_RATE, pause=lambda piece: _pause(piece) / speed
        )
        async with aclosing(stream) as speech:
            async for chunk in speech:
                yield chunk

    async def aclose(self) -> None:
        """End the threads; streams that still speak fail with `ProviderError`."""
        await asyncio.to_thread(self._pool.close)


class _Phonemes:
    """Turns text into the phonemes that the model knows.

    The library has a way of its own, which loads eSpeak NG anew for each text.
    """

    def __init__(self, backend: Any, known: Any) -> None:
        self._backend = backend
        self._known = known
        self._backends: dict[str, Any] = {}
        self._lock = threading.Lock()  # eSpeak NG has global state

    def of(self, text: str, language: str) -> str:
        with self._lock:
            if language not in self._backends:
                self._backends[language] = self._backend(
                    language,
                    preserve_punctuation=True,
                    with_stress=True,
                    language_switch="remove-flags",
                    logger=_quiet,
                )
            lines = self._backends[language].phonemize([" ".join(text.split())])
        return "".join(phoneme for phoneme in " ".join(lines) if phoneme in self._known).strip()


def _voice(name: str) -> Voice:
    language, _ = LANGUAGES.get(name[:1], ("", ""))
    return Voice(name, name.partition("_")[2].capitalize() or name, language)


def _language(options: TtsOptions) -> str:
    """What eSpeak NG calls the language: the voice's own, unless another is asked for."""
    own_tag, own = LANGUAGES.get(options.voice[:1], ("en-US", "en-us"))
    wanted = (options.language or own_tag).lower()
    if wanted.split("-")[0] == own_tag.split("-")[0].lower():
        return own
    tags = {tag.lower(): espeak for tag, espeak in LANGUAGES.values()}
    families = {tag.split("-")[0]: espeak for tag, espeak in reversed(tags.items())}
    return tags.get(wanted) or families.get(wanted.split("-")[0]) or own


def _group_ends(timings: Any) -> Iterator[int]:
    """Where words end, in samples: at the last sound before each space, and before the end."""
    end: float | None = None
    for timing in timings:
        if timing.phoneme == " ":
            if end is not None:
                yield round(end * SAMPLE_RATE)
            end = None
        elif timing.phoneme not in MARKS:
            end = timing.end
    if end is not None:
        yield round(end * SAMPLE_RATE)


def _pause(piece: str) -> float:
    last = piece.rstrip(CLOSING)[-1:]
    if last and last in ".?!…。？！":
        return SENTENCE_PAUSE
    return CLAUSE_PAUSE if last and last in ",;:，、；：" else 0.0


def _file(folder: Path, suffix: str) -> Path:
    files = sorted(folder.glob(f"*{suffix}"))
    if not files:
        raise ProviderError(f"{folder} has no {suffix} file, which Kokoro needs")
    return files[0]
