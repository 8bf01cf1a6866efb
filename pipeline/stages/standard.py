"""The stages that every session of the server has; each does nothing until its session asks for it."""

from collections.abc import Callable

from pipeline.stages.backchannel import BackchannelStage
from pipeline.stages.backchannel_speech import SpokenPhrases
from pipeline.stages.contracts import Host, Stage
from pipeline.stages.filler import FillerStage
from pipeline.stages.guarded import guarded
from pipeline.stages.memory import MemoryStage

__all__ = ["STAGES"]

_SPEECH = SpokenPhrases()  # one for the process

STAGES: tuple[Callable[[Host], Stage], ...] = (
    guarded(FillerStage),
    guarded(lambda host: BackchannelStage(host, _SPEECH)),
    guarded(MemoryStage),
)
