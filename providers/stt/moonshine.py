"""Moonshine: streaming transcription of English in a small pool of threads."""

import logging
import os
from pathlib import Path

from providers.contracts import SttOptions
from providers.stt.moonshine_model import MoonshineModel
from providers.stt.windowed import STEPS, Ear, WindowedStt

__all__ = ["STEPS", "MoonshineStt"]

log = logging.getLogger(__name__)

MAX_WARNINGS = 50  # languages are what clients write, and a client must not fill the log


class MoonshineStt(WindowedStt):
    """Implements `contracts.Stt` for English; languages, keywords and the prompt have no effect.

    See `WindowedStt` for when deltas come.
    """

    def __init__(
        self, threads: int | None = None, *, folder: Path | None = None, name: str = "local/moonshine-tiny-en"
    ) -> None:
        """Load the model from `folder`, or from the wheel that brings the smallest.

        Raises `ProviderError` when its files are missing. `aclose` ends the threads.
        """
        super().__init__("moonshine", threads or min(2, os.cpu_count() or 1))
        self._name = name
        self._model = MoonshineModel(folder)
        self._model.transcribe(bytes(2 * self.sample_rate))  # the first run costs more
        self._warned: set[str] = set()
        self._hints_noted = False

    def begin(self, options: SttOptions) -> Ear:
        """The model itself, which keeps nothing of an utterance."""
        self._note_useless_hints(options)
        return self._model

    def _note_useless_hints(self, options: SttOptions) -> None:
        """Say once, and per language, what somebody who reads nonsense wants to know."""
        if (options.prompt or options.keywords) and not self._hints_noted:
            self._hints_noted = True
            log.debug("%s has no use for prompts and keywords", self._name)
        hints = (options.language,) if options.language else options.languages
        if not hints or any(hint.lower().startswith("en") for hint in hints):
            return
        language = hints[0][:16]
        if language not in self._warned and len(self._warned) < MAX_WARNINGS:
            self._warned.add(language)
            log.warning(
                "%s knows only English, but was asked for %r; choose another model", self._name, language
            )
