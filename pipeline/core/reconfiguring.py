"""How a partial update becomes a session's next configuration, and what a session may not change."""

from dataclasses import dataclass, field, replace

from pipeline.catalog import Catalog, Prompts
from pipeline.config import Patch, ServerVad, SessionConfig, Transcription, merge
from pipeline.errors import InvalidRequest
from pipeline.tools import McpToolChoice, McpTools
from providers.contracts import FunctionTool, NamedToolChoice
from providers.errors import UnknownModelError

__all__ = ["Rules", "check_change", "reconfigure"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a running session may change, and what it changes to. The defaults are the generous ones."""

    model_changes: bool = True
    voice_changes: bool = True  # once the assistant has spoken; before, it always may
    tracing_changes: bool = True  # once it is on
    suggestion_events: bool = True  # whether a session may ask for events that OpenAI does not have
    quiet_cancels: bool = False  # whether a cancel with nothing to cancel is passed over in silence
    route_metadata: bool = True  # whether a response's metadata tells what routers decided
    server_vad: ServerVad = field(default_factory=ServerVad)  # what turn detection of that type starts with


def check_change(old: SessionConfig, new: SessionConfig, rules: Rules, *, has_spoken: bool) -> None:
    """Raise `InvalidRequest` where a session of those rules may not become `new`."""
    if new.model != old.model and not rules.model_changes:
        raise InvalidRequest(
            "Cannot update a conversation's model; open another session for it.",
            code="cannot_update_model",
            param="session.model",
        )
    if has_spoken and not rules.voice_changes and new.audio.output.voice != old.audio.output.voice:
        raise InvalidRequest(
            "Cannot update a conversation's voice if assistant audio is present.", code="cannot_update_voice"
        )
    if old.tracing is not None and new.tracing != old.tracing and not rules.tracing_changes:
        raise InvalidRequest(
            "Cannot update tracing once it is enabled for a session.",
            code="cannot_update_tracing",
            param="session.tracing",
        )


def reconfigure(
    old: SessionConfig,
    patch: Patch,
    catalog: Catalog,
    *,
    prompts: Prompts | None,
    default_stt: str,
    rules: Rules,
    root: str,
) -> SessionConfig:
    """`old` with `patch` applied and every name in it resolved; raises `InvalidRequest`.

    `root` is the member of the client event that holds the patch: "session" or "response".
    """
    new: SessionConfig = merge(
        old, patch, {Transcription: Transcription(default_stt), ServerVad: rules.server_vad}, root=root
    )
    output = new.audio.output
    try:
        if new.model != old.model:
            param, code = f"{root}.model", "model_not_found"
            new = replace(new, model=catalog.resolve_llm(new.model))
        heard = new.audio.input.transcription
        if heard is not None and heard != old.audio.input.transcription:
            param, code = f"{root}.audio.input.transcription.model", "invalid_value"
            new = _with_transcription(new, replace(heard, model=catalog.resolve_stt(heard.model)))
        if output.model != old.audio.output.model:
            param, code = f"{root}.audio.output.model", "invalid_value"
            output = replace(output, model=catalog.resolve_tts(output.model))
        if (output.model, output.voice) != (old.audio.output.model, old.audio.output.voice):
            param, code = f"{root}.audio.output.voice", "invalid_value"
            catalog.resolve_voice(output.model, output.voice)
    except UnknownModelError as error:
        raise InvalidRequest(str(error), code=code, param=param) from error
    if patch.get("prompt") is not None:
        new = _with_prompt(new, prompts, f"{root}.prompt", keep_instructions="instructions" in patch)
    if (fault := _choice_fault(new)) is not None:
        if "tool_choice" in patch:
            # Refused here, or every turn that the configuration answers by itself would fail.
            raise InvalidRequest(
                f"The tool_choice names {fault}, which is not among the tools.", param=f"{root}.tool_choice"
            )
        new = replace(new, tool_choice="auto")  # what it named went with the old tools
    return replace(new, audio=replace(new.audio, output=output))


def _choice_fault(config: SessionConfig) -> str | None:
    """What the tool choice names without its being there."""
    match config.tool_choice:
        case NamedToolChoice(name):
            names = {tool.name for tool in config.tools if isinstance(tool, FunctionTool)}
            return None if name in names else f"the function '{name}'"
        case McpToolChoice(label):
            labels = {tool.label for tool in config.tools if isinstance(tool, McpTools)}
            return None if label in labels else f"the server '{label}'"
    return None


def _with_prompt(
    config: SessionConfig, prompts: Prompts | None, param: str, *, keep_instructions: bool
) -> SessionConfig:
    assert config.prompt is not None
    if prompts is None:
        raise InvalidRequest(
            "This server has no prompts: its setting server.prompts_dir names no directory.", param=param
        )
    instructions = prompts.render(config.prompt, param)
    return config if keep_instructions else replace(config, instructions=instructions)


def _with_transcription(config: SessionConfig, transcription: Transcription) -> SessionConfig:
    heard = replace(config.audio.input, transcription=transcription)
    return replace(config, audio=replace(config.audio, input=heard))
