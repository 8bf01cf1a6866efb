"""`local/piper-...`: a voice of Piper, in some of forty languages; faster than speech on one core."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from providers.contracts import SpeechChunk, TtsOptions, Voice
from providers.errors import InvalidRequestError, ProviderError
from providers.extras import optional_import
from providers.onnx import open_model
from providers.tts.computed import Computed, Stop, StoppableSession, pcm16, speak_pieces, word_ends
from providers.vad.onnx_file import exposing
from providers.workers import WorkerPool

__all__ = ["PiperTts"]

MARKS = "^$_.,;:!?-()\"'«»¿¡—…" + "\u201c\u201d\u2018\u2019"  # what no word consists of


class PiperTts:
    """Implements `contracts.Tts` for one model, which speaks one language with one speaker or many.

    Where it has one, any name means that speaker. Where it has many, they are its voices. `instructions` have
    no effect. Words are marked where the model tells how long its phonemes are, which nearly all can, and
    where each word has phonemes of its own.
    """

    sample_rate: int
    voices: tuple[Voice, ...] | None
    speeds = (0.5, 2.0)
    tags = ""
    reads_numbers = False  # eSpeak makes its phonemes, and says "dollar five" for $5

    def __init__(self, model: Path, name: str, threads: int | None = None) -> None:
        """Load `model`, an .onnx file with its .onnx.json beside it; `threads` compute one piece.

        Raises `ProviderError` when piper-tts is not installed or the files cannot be used. `aclose` ends the
        threads.
        """
        library = optional_import("piper", "piper", name)
        self._name = name
        self._library = library
        cores = os.cpu_count() or 1
        threads = threads or min(2, cores)
        try:
            settings = json.loads(Path(f"{model}.json").read_text(encoding="utf-8"))
            # How long each phoneme is, in frames, is rounded up inside of every model of this kind.
            content = exposing(model.read_bytes(), "Ceil")
            session = StoppableSession(open_model(model, threads, content=content), str(model))
            config = library.PiperConfig.from_dict(settings)
            self._session = session
            self._voice = library.PiperVoice(session=session, config=config, download_dir=model.parent)
            self.sample_rate = int(config.sample_rate)
            self._speakers = {str(speaker): int(id) for speaker, id in config.speaker_id_map.items()}
            if config.num_speakers <= 1:
                self._speakers = {}
            self.voices = tuple(_voices(model, settings, self._speakers))
            for _ in self._voice.synthesize("a"):  # the first run costs more
                pass
        except ProviderError:
            raise
        except Exception as error:
            raise ProviderError(f"{name} cannot be loaded from {model}: {error!r}") from error
        self._pool = WorkerPool(max(1, cores // threads), "piper")

    def knows_voice(self, voice: str) -> bool:
        """Whether there is such a speaker."""
        return voice in self._speakers if self._speakers else bool(voice)

    async def speak(self, text: AsyncIterator[str], options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Yield speech for each sentence of each segment. Closing it stops the computation.

        Raises `InvalidRequestError` for an unknown voice, `ProviderError` when the library fails.
        """
        if not self.knows_voice(options.voice):
            raise InvalidRequestError(f"{self._name} has no voice '{options.voice[:64]}'")
        slowest, fastest = self.speeds
        speed = min(max(options.speed, slowest), fastest)
        settings = self._library.SynthesisConfig(
            speaker_id=self._speakers.get(options.voice),
            length_scale=self._voice.config.length_scale / speed,
        )

        def compute(piece: str, stop: Stop) -> Iterator[Computed]:
            # Between double brackets the library reads phonemes, which are not for others to write.
            with self._session.until(stop):
                yield from self._sentences(piece.replace("[[", "[ ["), piece, settings)

        stream = speak_pieces(self._name, self._pool, text, compute, rate=self.sample_rate)
        async with aclosing(stream) as speech:
            async for chunk in speech:
                yield chunk

    async def aclose(self) -> None:
        """End the threads; streams that still speak fail with `ProviderError`."""
        await asyncio.to_thread(self._pool.close)

    def _sentences(self, text: str, piece: str, settings: Any) -> Iterator[Computed]:
        """The sentences as they are ready; the words are known once the last one is, and go with it."""
        before = 0  # samples of the sentences that are out already
        ends: list[int] = []
        known = True
        last: bytes | None = None
        for sentence in self._voice.synthesize(text, settings, include_alignments=True):
            if last is not None:
                yield Computed(last)
                before += len(last) // 2
            last = pcm16(sentence.audio_float_array)
            known = known and sentence.phoneme_alignments is not None
            ends += _group_ends(sentence.phoneme_alignments or (), before, len(last) // 2)
        if last is not None:
            words = word_ends(piece, ends) if known else ()
            yield Computed(last, tuple((chars, at - before) for chars, at in words))


def _group_ends(alignments: Any, before: int, samples: int) -> Iterator[int]:
    """Where the words of a sentence end: at the last sound before each space, and before the end."""
    at = 0
    end: int | None = None
    for alignment in alignments:
        at += int(alignment.num_samples)
        if alignment.phoneme == " ":
            if end is not None:
                yield before + end
            end = None
        elif alignment.phoneme not in MARKS:
            end = min(at, samples)
    if end is not None:
        yield before + end


def _voices(model: Path, settings: Any, speakers: dict[str, int]) -> Iterator[Voice]:
    language = settings.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    tag = (code if isinstance(code, str) else str(settings["espeak"]["voice"])).replace("_", "-")
    if not speakers:
        parts = model.stem.split("-")
        name = parts[1] if len(parts) > 1 else model.stem
        yield Voice(name, name, tag)
    for speaker in speakers:
        yield Voice(speaker, speaker, tag)
