"""The sessions of this process: how new ones are made, and how many there may be."""

import time

from fastapi import FastAPI

from pipeline.config import (
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    Patch,
    SessionConfig,
    SessionType,
    Transcription,
    merge,
)
from pipeline.core.reconfiguring import reconfigure
from pipeline.core.state import EngineLimits
from pipeline.detection import SpeechDetector
from pipeline.ids import new_id
from pipeline.judging import TurnJudge
from pipeline.session import Session
from pipeline.stages.standard import STAGES
from providers.registry import Registry
from providers.tools.contracts import Toolbox
from server.prompts import PromptLibrary
from server.protocol.profiles import Profile
from server.quotas import KeyQuota, Quotas
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

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        detector: SpeechDetector,
        quotas: Quotas,
        judge: TurnJudge | None = None,
        toolbox: Toolbox | None = None,
    ) -> None:
        self.quotas = quotas
        self._toolbox = toolbox
        self._settings = settings
        self._registry = registry
        self._detector = detector
        self._judge = judge or TurnJudge(None)
        self._turn_taking = settings.turn_taking.with_model(self._judge.has_model)
        directory = settings.server.prompts_dir
        self._prompts = None if directory is None else PromptLibrary(directory)
        self._count = 0

    @property
    def is_full(self) -> bool:
        return self._count >= self._settings.server.limits.max_sessions

    def configure(
        self, session_type: SessionType, profile: Profile, patch: Patch, model: str | None = None
    ) -> SessionConfig:
        """What a session of that kind starts with, changed by `patch`; raises `InvalidRequest`.

        `model` is that of the URL: a language model, or in a transcription session a transcription model.
        """
        config: SessionConfig = merge(self._defaults(session_type), profile.defaults)
        from_url: Patch = {}
        if model is not None:
            heard = session_type == "transcription"
            from_url = (
                {"audio": {"input": {"transcription": {"model": model}}}} if heard else {"model": model}
            )
        for change in (from_url, patch):
            config = reconfigure(
                config,
                change,
                self._registry,
                prompts=self._prompts,
                default_stt=self._registry.defaults.stt,
                rules=profile.rules,
                root="session",
            )
        return config

    def new_session(self, config: SessionConfig, profile: Profile, quota: KeyQuota) -> Session:
        """A session, not started yet, that uses the quota of its key."""
        limits = self._settings.server.limits
        return Session(
            new_id("sess"),
            config,
            self._registry,
            self._detector,
            self._judge,
            default_stt=self._registry.defaults.stt,
            prompts=self._prompts,
            limits=EngineLimits(
                max_items=limits.max_items,
                max_conversation_size=limits.max_conversation_bytes,
                max_buffer_seconds=round(limits.max_buffer_seconds),
            ),
            rules=profile.rules,
            turn_taking=self._turn_taking,
            max_kept_audio=limits.max_session_audio_bytes,
            quota=quota,
            stages=STAGES,
            toolbox=self._toolbox,
        )

    def expiry(self) -> int:
        """When a session that starts now will be too old, in unix seconds."""
        return int(time.time() + self._settings.server.limits.session_seconds)

    def __enter__(self) -> None:
        """Count a session while it lasts."""
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1

    def _defaults(self, session_type: SessionType) -> SessionConfig:
        chosen, defaults = self._settings.defaults, self._registry.defaults
        config = SessionConfig(
            type=session_type,
            model=defaults.llm,
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
