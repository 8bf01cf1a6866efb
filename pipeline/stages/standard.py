"""The stages that every session of the server has; each does nothing until its session asks for it."""

from collections.abc import Callable

from pipeline.stages.contracts import Host, Stage
from pipeline.stages.filler import FillerStage
from pipeline.stages.guarded import guarded
from pipeline.stages.memory import MemoryStage

__all__ = ["STAGES"]

STAGES: tuple[Callable[[Host], Stage], ...] = (guarded(FillerStage), guarded(MemoryStage))
