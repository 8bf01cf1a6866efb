"""The sessions of this process: how new ones are made, and how many there may be."""

import time

from fastapi import FastAPI

from pipeline.config import (
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    SessionConfig,
    Transcription,
    merge,
)
from pipeline.core.state import EngineLimits
from pipeline.detection import SpeechDetector
from pipeline.ids import new_id
from pipeline.session import Session
from providers.registry import Registry
from server.settings import Settings

__all__ = ["Hub", "hub_of"]

# Spoken replies want to be short, and marks such as lists or headings cannot be heard.
DEFAULT_INSTRUCTIONS = (
    "You are a helpful, friendly assistant in a voice conversation. Answer in one to three short sentences "
    "of plain spoken language, in the language of the user, without lists, headings, emoji or other "
    "formatting. What the user said was transcribed automatically and may contain errors; ask when it makes "
    "no sense."
)


class Hub:
    """Holds what all sessions share. One per application."""

    def __init__(self, settings: Settings, registry: Registry, detector: SpeechDetector) -> None:
        self._settings = settings
        self._registry = registry
        self._detector = detector
        self._count = 0

    @property
    def is_full(self) -> bool:
        return self._count >= self._settings.server.limits.max_sessions

    def resolve_model(self, name: str) -> str:
        """The canonical language model for the `model` of a URL; raises `UnknownModelError`."""
        return self._registry.resolve_llm(name)

    def new_session(self, model: str) -> Session:
        """A session with the configured defaults, not started yet. `model` is canonical."""
        limits = self._settings.server.limits
        return Session(
            new_id("sess"),
            self._config(model),
            self._registry,
            self._detector,
            default_stt=self._registry.defaults.stt,
            limits=EngineLimits(
                max_items=limits.max_items, max_buffer_seconds=round(limits.max_buffer_seconds)
            ),
            max_kept_audio=limits.max_session_audio_bytes,
        )

    def expiry(self) -> int:
        """When a session that starts now will be too old, in unix seconds."""
        return int(time.time() + self._settings.server.limits.session_seconds)

    def __enter__(self) -> None:
        """Count a session while it lasts."""
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1

    def _config(self, model: str) -> SessionConfig:
        chosen, defaults = self._settings.defaults, self._registry.defaults
        config = SessionConfig(
            model=model,
            audio=AudioConfig(
                AudioInputConfig(Transcription(defaults.stt)),
                AudioOutputConfig(voice=chosen.voice, model=defaults.tts),
            ),
            instructions=chosen.instructions or DEFAULT_INSTRUCTIONS,
            temperature=chosen.temperature,
        )
        configured: SessionConfig = merge(
            config, {"audio": {"input": {"turn_detection": chosen.turn_detection}}}
        )
        return configured


def hub_of(app: FastAPI) -> Hub:
    """The hub of a running application."""
    hub = app.state.hub
    assert isinstance(hub, Hub)
    return hub
