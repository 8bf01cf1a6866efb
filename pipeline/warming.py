"""Has the engines of a session ready before its first turn: models loaded, connections open."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from pipeline.config import SessionConfig
from pipeline.engines import Engines, load
from providers.contracts import Warmable
from providers.errors import ProviderError, UnknownModelError

__all__ = ["Warmer"]

log = logging.getLogger(__name__)


class Warmer:
    """Warms each engine that the session is configured for once, in the background."""

    def __init__(
        self, engines: Engines, spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    ) -> None:
        """`spawn` starts a task that ends with the session."""
        self._engines = engines
        self._spawn = spawn
        self._warmed: set[tuple[str, str]] = set()

    def configure(self, config: SessionConfig) -> None:
        """Begin with what is new in that configuration. Returns at once."""
        stt = config.audio.input.transcription
        wanted: list[tuple[str, str, Callable[[str], Any]]] = [("llm", config.model, self._engines.llm)]
        if stt is not None:
            wanted.append(("stt", stt.model, self._engines.stt))
        if "audio" in config.output_modalities:
            wanted.append(("tts", config.audio.output.model, self._engines.tts))
        for kind, model, get in wanted:
            if (kind, model) not in self._warmed:
                self._warmed.add((kind, model))
                if self._may_need_it(get, model):
                    self._spawn(self._warm(get, model), f"warming {model}")

    def _may_need_it(self, get: Callable[[str], Any], model: str) -> bool:
        """Whether it is not loaded yet, or has something to prepare; most local engines have not."""
        try:
            return not self._engines.is_loaded(model) or isinstance(get(model), Warmable)
        except (ProviderError, UnknownModelError):
            return False

    async def _warm(self, get: Callable[[str], Any], model: str) -> None:
        try:
            engine = await load(self._engines, get, model)
            if isinstance(engine, Warmable):
                await engine.warm()
        except Exception as error:  # noqa: BLE001 - whoever asks the engine for something is told what is wrong
            log.debug("%s could not be warmed: %s", model, error)
