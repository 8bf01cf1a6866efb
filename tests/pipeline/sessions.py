"""Whole sessions for tests, with scripted engines; nothing of them may be left afterwards."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np

from pipeline.config import Patch
from pipeline.core.reconfiguring import Rules
from pipeline.core.state import EngineLimits
from pipeline.detection import SpeechDetector
from pipeline.judging import TurnJudge
from pipeline.quota import Quota
from pipeline.session import Player, Session
from pipeline.stages.contracts import Host, Stage
from pipeline.turn_taking import TurnTaking
from providers.contracts import TurnModel, Vad
from providers.tools.contracts import Toolbox
from tests.pipeline.playbook import PLAIN, session_config
from tests.pipeline.scripted import GUARD_S, Engines, Heard, LoudnessVad

__all__ = ["RATE", "opened", "tone"]

RATE = 24_000


def tone(ms: int, level: int, rate: int = RATE) -> bytes:
    return np.full(ms * rate // 1000, level, "<i2").tobytes()


@asynccontextmanager
async def opened(
    engines: Engines,
    patch: Patch | None = None,
    *,
    vad: Vad | None = None,
    limits: EngineLimits | None = None,
    max_kept_audio: int = 1 << 20,
    quota: Quota | None = None,
    judge: TurnModel | None = None,
    turn_taking: TurnTaking = PLAIN,
    player: Player | None = None,
    rules: Rules | None = None,
    stages: Sequence[Callable[[Host], Stage]] = (),
    toolbox: Toolbox | None = None,
) -> AsyncIterator[tuple[Session, Heard]]:
    """A session with one client; afterwards nothing may be left of it."""
    before = asyncio.all_tasks()
    turns = TurnJudge(judge)
    async with (
        SpeechDetector(vad or LoudnessVad()) as detector,
        asyncio.timeout(3 * GUARD_S),
        Session(
            "sess",
            session_config(patch),
            engines,
            detector,
            turns,
            default_stt="lab/stt",
            limits=limits,
            max_kept_audio=max_kept_audio,
            quota=quota,
            turn_taking=turn_taking,
            rules=rules,
            stages=stages,
            toolbox=toolbox,
        ) as session,
    ):
        client = Heard()
        session.join(client, player)
        yield session, client
    turns.__exit__()
    left = asyncio.all_tasks() - before
    assert not left, left
