"""`local/whisper-...`: Whisper in many languages through faster-whisper, in a small pool of threads."""

import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from math import log as natural_log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from providers.contracts import SttOptions, TokenLogprob
from providers.errors import ProviderError
from providers.extras import optional_import
from providers.stt.moonshine_model import SAMPLE_RATE, Hypothesis
from providers.stt.windowed import Ear, WindowedStt

__all__ = ["WhisperSettings", "WhisperStt", "whisper_language"]

log = logging.getLogger(__name__)

# The decoder reads 448 tokens, of which twelve seconds of speech need some 80. These leave it twice that.
MAX_PROMPT, MAX_HOTWORDS = 150, 90  # tokens
# Greedy at first; then with chance, for text that repeats itself or that the model itself finds unlikely.
TEMPERATURES = (0.0, 0.4, 0.8)
# From so much speech on, and if so sure, a language is not asked for again in the same utterance.
SURE_SECONDS, SURE_PROBABILITY = 2.0, 0.7
LOWEST = 1e-7  # a probability that stands for none
MAX_WARNINGS = 50  # languages are what clients write, and a client must not fill the log

# Codes that Whisper knows by others.
_SAME = {"nb": "no", "fil": "tl", "cmn": "zh", "iw": "he", "in": "id", "jv": "jw"}


@dataclass(frozen=True, slots=True)
class WhisperSettings:
    """How to compute."""

    device: str = "auto"  # auto, cpu or cuda
    compute_type: str = "auto"  # as CTranslate2 names it, such as int8 or float16; auto: the fastest there is
    beam_size: int = 1  # how many readings are followed at once: 5 costs half as much again
    threads: int | None = None  # per inference on a CPU; None: half of the cores, at most four


class WhisperStt(WindowedStt):
    """Implements `contracts.Stt`. The language is found by the model unless it is given.

    The prompt and the keywords go before what the decoder writes, cut to what it can read. An inference
    cannot be broken off, so a pool of two lets a final begin while a partial is still being computed. Of
    logarithmic probabilities it has one for each word.

    An inference reads half a minute, however short the speech: on two busy cores some 1.4 s (tiny), 2 s
    (base) or 9 s (small). Where that is slow there are fewer partials, so that they take half of the time at
    most. Larger models are for GPUs.
    """

    def __init__(self, folder: Path, name: str, settings: WhisperSettings | None = None) -> None:
        """Load the model in `folder`, a conversion for CTranslate2.

        Raises `ProviderError` when faster-whisper is not installed or the files cannot be used. `aclose` ends
        the threads.
        """
        super().__init__("whisper", 2)
        self._name = name
        self._settings = settings or WhisperSettings()
        self._model, self._seconds = _load(folder, name, self._settings)
        self._languages = frozenset(self._model.supported_languages)
        self._warned: set[str] = set()

    def begin(self, options: SttOptions) -> Ear:
        """Prepare for an utterance with its hints."""
        known = [self._language(hint) for hint in (options.language, *options.languages) if hint]
        hints = tuple(dict.fromkeys(language for language in known if language))
        if options.language:
            hints = hints[:1]
        if self._languages == {"en"}:
            hints = ("en",)
        return _Utterance(
            self._model,
            hints,
            _last_tokens(self._model, options.prompt or "", MAX_PROMPT),
            _hotwords(self._model, options.keywords),
            self._settings.beam_size,
        )

    def step(self, options: SttOptions) -> int:
        """As `delay` asks, but at least twice what an inference takes."""
        return max(super().step(options), round(2 * self._seconds * SAMPLE_RATE))

    def _language(self, hint: str) -> str:
        """The model's code for a language; empty, with one warning, where it has none."""
        language = whisper_language(hint)
        if language in self._languages:
            return language
        if hint[:16] not in self._warned and len(self._warned) < MAX_WARNINGS:
            self._warned.add(hint[:16])
            log.warning("%s does not know the language %r, and goes by what it hears", self._name, hint[:16])
        return ""


class _Utterance:
    """Hears one utterance; remembers its language once that is sure."""

    def __init__(
        self, model: Any, hints: tuple[str, ...], prompt: list[int], hotwords: str | None, beam_size: int
    ) -> None:
        self._model = model
        self._hints = hints
        self._language = hints[0] if len(hints) == 1 else None
        self._prompt = prompt
        self._hotwords = hotwords
        self._beam_size = beam_size

    def transcribe(
        self, pcm: bytes, stop: Callable[[], bool] = lambda: False, *, logprobs: bool = False
    ) -> Hypothesis | None:
        """The words in `pcm` (16 kHz); None when `stop` was true before the inference."""
        if stop():
            return None
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
        language = self._language
        if language is None and self._hints:
            language = self._choose(samples)
        segments, info = self._model.transcribe(
            samples,
            language=language,
            beam_size=self._beam_size,
            best_of=1,
            temperature=TEMPERATURES,
            initial_prompt=self._prompt or None,
            hotwords=self._hotwords,
            condition_on_previous_text=False,
            without_timestamps=True,
            word_timestamps=logprobs,
        )
        if language is None:
            self._remember(info.language, info.language_probability, len(samples))
        if stop():
            return None
        # Here it computes. Where words have times it goes on behind the last one, and hears it again in what
        # is only the margin of the speech.
        heard = list(takewhile(lambda segment: segment.seek == 0, segments))
        text = "".join(segment.text for segment in heard)
        words = tuple(_word_logprobs(heard)) if logprobs else ()
        return Hypothesis(" ".join(text.split()), words, info.language)

    def _choose(self, samples: NDArray[Any]) -> str:
        """The likeliest of the languages that may be spoken."""
        _, _, found = self._model.detect_language(samples)
        probabilities = {code: probability for code, probability in found if code in self._hints}
        language = max(self._hints, key=lambda code: probabilities.get(code, 0.0))
        total = sum(probabilities.values()) or 1.0
        self._remember(language, probabilities.get(language, 0.0) / total, len(samples))
        return language

    def _remember(self, language: str, probability: float, samples: int) -> None:
        if probability >= SURE_PROBABILITY and samples >= SURE_SECONDS * SAMPLE_RATE:
            self._language = language


def whisper_language(tag: str) -> str:
    """The code that Whisper has for a BCP 47 tag; it may not know that language."""
    code = re.split("[-_]", tag.strip().lower(), maxsplit=1)[0]
    return _SAME.get(code, code)


def _word_logprobs(segments: Iterable[Any]) -> Iterable[TokenLogprob]:
    for segment in segments:
        for word in segment.words or ():
            likely = min(1.0, max(LOWEST, float(word.probability)))
            yield TokenLogprob(word.word, natural_log(likely), word.word.encode())


def _last_tokens(model: Any, text: str, count: int) -> list[int]:
    """The end of a text as tokens: what is nearest to the speech says most about it."""
    text = text.strip()[-8 * count :]
    if not text:
        return []
    tokens: list[int] = model.hf_tokenizer.encode(" " + text, add_special_tokens=False).ids
    return tokens[-count:]


def _hotwords(model: Any, keywords: Iterable[str]) -> str | None:
    """As many of the keywords as the decoder has room for."""
    chosen: list[str] = []
    room = MAX_HOTWORDS
    for keyword in keywords:
        word = " ".join(keyword.split())
        if not word or len(word) > 4 * MAX_HOTWORDS:
            continue
        room -= len(model.hf_tokenizer.encode(f", {word}", add_special_tokens=False).ids)
        if room < 0:
            break
        chosen.append(word)
    return ", ".join(chosen) or None


def _load(folder: Path, name: str, settings: WhisperSettings) -> tuple[Any, float]:
    """The model, and how many seconds an inference takes."""
    library = optional_import("faster_whisper", "whisper", name)
    threads = settings.threads or max(1, min(4, (os.cpu_count() or 1) // 2))
    devices = [settings.device, *(["cpu"] if settings.device == "auto" else [])]
    for device in devices:
        try:
            model = library.WhisperModel(
                str(folder),
                device=device,
                compute_type=settings.compute_type,
                cpu_threads=threads,
                num_workers=2,
                local_files_only=True,
            )
            # The first inference costs more, and shows whether what a GPU needs is installed.
            start = time.monotonic()
            segments, _ = model.transcribe(
                np.zeros(SAMPLE_RATE, np.float32), language="en", beam_size=1, temperature=0.0
            )
            list(segments)
        except Exception as error:
            if device == devices[-1]:
                raise ProviderError(f"{name} cannot be loaded from {folder}: {error}") from error
            log.warning("%s cannot use the GPU, and goes on without it: %s", name, error)
            continue
        return model, time.monotonic() - start
    raise AssertionError("unreachable")
