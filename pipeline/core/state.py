"""What the parts of the engine share: configuration, conversation, and the effects gathered so far."""

from dataclasses import dataclass, field, replace

from pipeline.catalog import Catalog
from pipeline.config import Patch, SessionConfig, Transcription, merge
from pipeline.core.conversation import Conversation
from pipeline.effects import Effect, Emit
from pipeline.errors import InvalidRequest
from pipeline.events import Event
from pipeline.ids import NewId
from providers.contracts import NamedToolChoice
from providers.errors import UnknownModelError

__all__ = ["EngineLimits", "State"]


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds on what one client can make the engine hold."""

    max_items: int = 1000  # in the conversation
    max_buffer_seconds: int = 600  # of input audio in one turn
    max_pending_transcripts: int = 64  # of committed audio; more wait nowhere, they are refused
    max_parallel_responses: int = 8  # running at once, out-of-band ones included
    max_reply_chars: int = 200_000  # of one response; a model that never stops is stopped here
    max_output_items: int = 128  # of one response


@dataclass(slots=True)
class State:
    config: SessionConfig
    conversation: Conversation
    catalog: Catalog
    default_stt: str  # canonical; transcribes for the model where the client wants no transcription events
    limits: EngineLimits
    new_id: NewId
    effects: list[Effect] = field(default_factory=list)

    def do(self, effect: Effect) -> None:
        self.effects.append(effect)

    def emit(self, event: Event) -> None:
        self.effects.append(Emit(event))

    def patched(self, patch: Patch, root: str) -> SessionConfig:
        """The configuration with `patch` applied and every name in it resolved; raises `InvalidRequest`.

        `root` is the member of the client event that holds the patch: "session" or "response".
        """
        old = self.config
        new: SessionConfig = merge(old, patch, {"transcription_model": self.default_stt})
        output = new.audio.output
        try:
            if new.model != old.model:
                param, code = f"{root}.model", "model_not_found"
                new = replace(new, model=self.catalog.resolve_llm(new.model))
            heard = new.audio.input.transcription
            if heard is not None and heard != old.audio.input.transcription:
                param, code = f"{root}.audio.input.transcription.model", "invalid_value"
                new = _with_transcription(new, replace(heard, model=self.catalog.resolve_stt(heard.model)))
            if output.model != old.audio.output.model:
                param, code = f"{root}.audio.output.model", "invalid_value"
                output = replace(output, model=self.catalog.resolve_tts(output.model))
            if (output.model, output.voice) != (old.audio.output.model, old.audio.output.voice):
                param, code = f"{root}.audio.output.voice", "invalid_value"
                self.catalog.resolve_voice(output.model, output.voice)
        except UnknownModelError as error:
            raise InvalidRequest(str(error), code=code, param=param) from error
        choice = new.tool_choice
        if isinstance(choice, NamedToolChoice) and choice.name not in {tool.name for tool in new.tools}:
            if "tool_choice" in patch:
                # Refused here, or every turn that the configuration answers by itself would fail.
                raise InvalidRequest(
                    f"The tool_choice names the function '{choice.name}', which is not among the tools.",
                    param=f"{root}.tool_choice",
                )
            new = replace(new, tool_choice="auto")  # its function went with the old tools
        return replace(new, audio=replace(new.audio, output=output))


def _with_transcription(config: SessionConfig, transcription: Transcription) -> SessionConfig:
    heard = replace(config.audio.input, transcription=transcription)
    return replace(config, audio=replace(config.audio, input=heard))
