"""One short line per effect of the engine, for playbooks: its name on the wire and what matters of it."""

from collections.abc import Sequence
from typing import assert_never

from pipeline.effects import (
    CheckEcho,
    Configure,
    CutAudio,
    DropAudio,
    DropUtterance,
    Effect,
    Emit,
    EndSegment,
    EndUtterance,
    FinishSpeaking,
    ForgetItem,
    JudgeTurn,
    KeepClip,
    ListTools,
    ReportDismissal,
    ReportFirstOutput,
    ReportRoute,
    ReportSpeculation,
    ReportToolCall,
    ReportTruncation,
    ReportTurnDecision,
    RunTool,
    SetDeadline,
    Speak,
    StartGeneration,
    StartUtterance,
    StopGeneration,
    StopPlayback,
    TranscribeClip,
)
from pipeline.events import (
    AudioDelta,
    AudioDone,
    BackchannelAudio,
    BackchannelDone,
    BackchannelSkipped,
    BufferCleared,
    BufferCommitted,
    CallArgumentsDelta,
    CallArgumentsDone,
    ErrorRaised,
    Event,
    IdleTimeout,
    ItemAdded,
    ItemDeleted,
    ItemDone,
    ItemRetrieved,
    ItemTruncated,
    McpArgumentsDelta,
    McpArgumentsDone,
    McpCallProgress,
    McpListingProgress,
    OutputItemAdded,
    OutputItemDone,
    PartAdded,
    PartDone,
    RateLimitsUpdated,
    ResponseCreated,
    ResponseDone,
    ResponseState,
    SessionCreated,
    SessionUpdated,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    TextDone,
    TranscriptDelta,
    TranscriptDone,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionFailed,
    TranscriptionSegment,
    TurnSuggested,
    TurnSuggestionRevoked,
)
from pipeline.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    MessageItem,
    OutputAudio,
    OutputText,
)
from pipeline.tools import WebSearch
from providers.contracts import TokenLogprob

__all__ = ["line_of"]


def line_of(effect: Effect) -> str:
    """Events by their names on the wire; everything else with a leading `>`. Positions are in ms."""
    match effect:
        case Emit(event):
            return _event_line(event)
        case Configure():
            return "> configure"
        case StartUtterance(item_id, start, model, segment=segment):
            return f"> listen {item_id}{_segment(segment)} from {start // 16} with {model}"
        case EndSegment(item_id, segment, end):
            return f"> finish segment {item_id}{_segment(segment)} at {end // 16}"
        case JudgeTurn(item_id, start, end):
            return f"> judge {item_id} {start // 16}-{end // 16}"
        case CheckEcho(start, end):
            return f"> check echo {start // 16}-{end // 16}"
        case SetDeadline(at):
            return "> no deadline" if at is None else f"> deadline at {at:.3f} s"
        case ReportTurnDecision(item_id, detection, outcome, at_ms):
            return f"> decide {item_id} {detection} {outcome} at {at_ms}"
        case EndUtterance(item_id, start, end):
            return f"> finish listening {item_id} {start // 16}-{end // 16}"
        case DropUtterance(item_id):
            return f"> stop listening {item_id}"
        case DropAudio(before):
            return f"> drop audio before {before // 16}"
        case KeepClip(item_id, index, pcm):
            return f"> keep clip {item_id}[{index}] {len(pcm)} bytes"
        case TranscribeClip(item_id, index, _, model):
            return f"> transcribe clip {item_id}[{index}] with {model}"
        case CutAudio(item_id, _, milliseconds):
            return f"> cut audio {item_id} at {milliseconds}"
        case ForgetItem(item_id):
            return f"> forget {item_id}"
        case ReportDismissal(reason, start_ms, end_ms):
            return f"> dismiss {start_ms}-{end_ms} as {reason}"
        case StartGeneration(response_id, model, _, speech, speculative):
            kind = "speculate" if speculative else "generate"
            return f"> {kind} {response_id} with {model}" + (f", speak as {speech.voice}" if speech else "")
        case Speak(response_id, text):
            return f"> speak {response_id} {text!r}"
        case FinishSpeaking(response_id):
            return f"> finish speaking {response_id}"
        case StopGeneration(response_id):
            return f"> stop {response_id}"
        case StopPlayback():
            return "> stop playback"
        case ReportSpeculation(response_id, outcome):
            return f"> speculation {response_id} {outcome}"
        case ReportRoute(stage, subject_id, route):
            return f"> {stage} of {subject_id} by {route.model}"
        case ReportFirstOutput(response_id, seconds):
            return f"> first output {response_id} after {seconds:.3f} s"
        case ReportTruncation(response_id, items, tokens):
            return f"> truncate {response_id} by {items} items to {tokens} tokens"
        case ListTools(item_id, server):
            return f"> list tools {item_id} of {server.label} at {server.url}"
        case RunTool(response_id, call_id, target, name, arguments):
            where = "" if isinstance(target, WebSearch) else f" at {target.label}"
            return f"> run {response_id} {call_id} {name}({arguments}){where}"
        case ReportToolCall(response_id, tool, outcome):
            return f"> tool {response_id} {tool} {outcome}"
        case _:
            assert_never(effect)


def _event_line(event: Event) -> str:
    match event:
        case SessionCreated():
            return "session.created"
        case SessionUpdated():
            return "session.updated"
        case ErrorRaised(error, client_event_id):
            words = ["error", error.code or "-", error.param or "-", client_event_id or ""]
            return " ".join(words).rstrip()
        case SpeechStarted(item_id, at):
            return f"speech_started {item_id} at {at}"
        case SpeechStopped(item_id, at):
            return f"speech_stopped {item_id} at {at}"
        case TurnSuggested(item_id, index, probability, silence):
            return f"turn_suggestion {item_id} #{index} {probability:.2f} after {silence} of silence"
        case TurnSuggestionRevoked(item_id, index):
            return f"turn_suggestion_revoked {item_id} #{index}"
        case IdleTimeout(item_id, start, end):
            return f"timeout_triggered {item_id} {start}-{end}"
        case BufferCommitted(item_id, previous):
            return f"committed {item_id} after {previous}"
        case BufferCleared():
            return "cleared"
        case TranscriptionDelta(item_id, delta, logprobs):
            return f"transcription.delta {item_id} {delta!r}{_tokens(logprobs)}"
        case TranscriptionSegment(item_id, segment):
            return f"transcription.segment {item_id} {segment.speaker} {segment.text!r}"
        case TranscriptionCompleted(item_id, transcript, seconds, logprobs, languages, usage):
            counted = (
                f"{seconds:.3f} s" if usage is None else f"{usage.input_tokens}+{usage.output_tokens} tokens"
            )
            spoken = "" if languages is None else f" in {','.join(languages)}"
            return f"transcription.completed {item_id} {transcript!r} {counted}{spoken}{_tokens(logprobs)}"
        case TranscriptionFailed(item_id, code):
            return f"transcription.failed {item_id} {code}"
        case ItemAdded(item, previous):
            return f"item.added {_item(item)} after {previous}"
        case ItemDone(item, previous):
            return f"item.done {_item(item)} after {previous}"
        case ItemRetrieved(item):
            return f"item.retrieved {_item(item)}"
        case ItemDeleted(item_id):
            return f"item.deleted {item_id}"
        case ItemTruncated(item_id, _, at):
            return f"item.truncated {item_id} at {at}"
        case ResponseCreated(response):
            return f"response.created {_response(response)}"
        case ResponseDone(response):
            return f"response.done {_response(response)}"
        case RateLimitsUpdated(limits):
            left = [f"{limit.remaining}/{limit.limit} {limit.name}" for limit in limits]
            return f"rate_limits.updated {', '.join(left)}"
        case OutputItemAdded(response_id, index, item):
            return f"output_item.added {response_id}[{index}] {_item(item)}"
        case OutputItemDone(response_id, index, item):
            return f"output_item.done {response_id}[{index}] {_item(item)}"
        case PartAdded(part, kind):
            return f"part.added {part.item_id} {kind}"
        case PartDone(part, kind, text):
            return f"part.done {part.item_id} {kind} {text!r}"
        case TextDelta(part, delta):
            return f"text.delta {part.item_id} {delta!r}"
        case TextDone(part, text):
            return f"text.done {part.item_id} {text!r}"
        case TranscriptDelta(part, delta):
            return f"transcript.delta {part.item_id} {delta!r}"
        case TranscriptDone(part, transcript):
            return f"transcript.done {part.item_id} {transcript!r}"
        case AudioDelta(part, pcm, format):
            return f"audio.delta {part.item_id} {len(pcm) * 500 // format.rate} ms"
        case AudioDone(part):
            return f"audio.done {part.item_id}"
        case CallArgumentsDelta(part, call_id, delta):
            return f"arguments.delta {part.item_id} {call_id} {delta!r}"
        case CallArgumentsDone(part, call_id, name, arguments):
            return f"arguments.done {part.item_id} {call_id} {name}({arguments})"
        case McpListingProgress(item_id, stage):
            return f"mcp.list {item_id} {stage}"
        case McpArgumentsDelta(part, delta):
            return f"mcp.arguments.delta {part.item_id} {delta!r}"
        case McpArgumentsDone(part, arguments):
            return f"mcp.arguments.done {part.item_id} {arguments}"
        case McpCallProgress(part, stage):
            return f"mcp.call {part.item_id} {stage}"
        case BackchannelAudio(id, pcm):
            return f"backchannel.delta {id} {len(pcm) * 500 // 24_000} ms"
        case BackchannelDone(id, phrase):
            return f"backchannel.done {id} {phrase!r}"
        case BackchannelSkipped(id, reason):
            return f"backchannel.skipped {id} {reason}"
        case _:
            assert_never(event)


def _segment(number: int) -> str:
    return f".{number}" if number else ""


def _tokens(logprobs: Sequence[TokenLogprob]) -> str:
    return f" {[token.token for token in logprobs]}" if logprobs else ""


def _item(item: Item) -> str:
    status = getattr(item, "status", "completed")
    status = "" if status == "completed" else f" {status}"
    match item:
        case McpListTools(id, label, tools, error):
            return " ".join([id, label, *(tool.name for tool in tools), *([repr(error)] if error else [])])
        case McpCall(id, label, name, arguments, output, error):
            came = "" if output is None else f" -> {output!r}"
            came += "" if error is None else f" failed {error.message!r}"
            return f"{id} {label}/{name}({arguments}){came}"
        case McpApprovalRequest(id, label, name, arguments):
            return f"{id} may {label}/{name}({arguments})?"
        case McpApprovalResponse(id, request_id, approve):
            return f"{id} {'yes' if approve else 'no'} to {request_id}"
        case MessageItem(id, role, content):
            words = [id, role, *(_part(part) for part in content)]
            return " ".join(words) + status
        case FunctionCall(id, call_id, name, arguments):
            return f"{id} {call_id} {name}({arguments}){status}"
        case FunctionCallOutput(id, call_id, output):
            return f"{id} output {call_id} {output!r}{status}"


def _part(part: object) -> str:
    match part:
        case InputText(text) | OutputText(text):
            return repr(text)
        case InputAudio(transcript):
            return f"heard {transcript!r}"
        case OutputAudio(transcript):
            return f"spoken {transcript!r}"
        case InputImage():
            return "image"
    raise AssertionError(part)


def _response(response: ResponseState) -> str:
    words = [response.id]
    if response.status != "in_progress":
        words.append(response.status)
    if response.conversation_id is None:
        words.append("out-of-band")
    if response.metadata is not None:
        words.append(f"{dict(response.metadata)}")
    if response.details is not None:
        words.append(f"({response.details.reason or response.details.code})")
    if response.output:
        words.append("[" + " ".join(item.id for item in response.output) + "]")
    if response.usage is not None:
        words.append(f"{response.usage.input_tokens}+{response.usage.output_tokens} tokens")
    return " ".join(words)
