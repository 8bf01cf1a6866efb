"""The objects of the GA dialect as JSON data: session, item, response."""

from collections.abc import Sequence
from typing import Any

import orjson
import pybase64

from pipeline.audio.codecs import encode
from pipeline.config import (
    G711,
    AudioConfig,
    AudioFormat,
    AudioInputConfig,
    Prompt,
    RetentionRatio,
    SessionConfig,
    Transcription,
    Truncation,
    TurnDetection,
)
from pipeline.events import ResponseState, StatusDetails, Usage
from pipeline.items import (
    ContentPart,
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
    ToolFailure,
)
from providers.contracts import SttUsage, TokenLogprob
from providers.tools.contracts import RemoteTool
from server.protocol.profiles import PARLEY, Profile
from server.protocol.tool_models import choice_json, tool_json

__all__ = [
    "item_json",
    "logprobs_json",
    "response_json",
    "session_json",
    "transcription_usage_json",
    "usage_json",
]

Json = dict[str, Any]

# Of failed responses, by code; all others are ours or a provider's.
_ERROR_TYPES = {
    "rate_limit_exceeded": "rate_limit_error",
    "context_length_exceeded": "invalid_request_error",
}


def session_json(session_id: str, config: SessionConfig, expires_at: int, profile: Profile = PARLEY) -> Json:
    """The complete session object; `expires_at` in unix seconds."""
    if config.type == "transcription":
        return _transcription_session_json(session_id, config, expires_at)
    spoken = config.audio.output
    session: Json = {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": config.model,
        "output_modalities": list(config.output_modalities),
        "instructions": config.instructions,
        "tools": [tool_json(tool) for tool in config.tools],
        "tool_choice": choice_json(config.tool_choice),
        "max_output_tokens": config.max_output_tokens or "inf",
        "tracing": config.tracing,
        "truncation": _truncation_json(config.truncation),
        "prompt": config.prompt and _prompt_json(config.prompt),
        "expires_at": expires_at,
        "audio": {
            "input": _input_json(config.audio.input),
            "output": {
                "format": _format_json(spoken.format),
                "voice": spoken.voice,
                "speed": spoken.speed,
            },
        },
        "include": None if config.include is None else list(config.include),
    }
    # Members that most sessions do not have are shown only once they are set.
    session |= _without_nulls(
        parallel_tool_calls=config.parallel_tool_calls,
        reasoning=config.reasoning and _without_nulls(effort=config.reasoning.effort),
    )
    if not profile.strict:
        session["audio"]["output"]["model"] = spoken.model
        session |= _without_nulls(temperature=config.temperature, providerData=config.provider_data)
    return session


def _transcription_session_json(session_id: str, config: SessionConfig, expires_at: int) -> Json:
    heard = _input_json(config.audio.input)
    if heard["turn_detection"]:
        for name in ("create_response", "interrupt_response", "idle_timeout_ms"):
            heard["turn_detection"].pop(name, None)
    return {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "id": session_id,
        "expires_at": expires_at,
        "audio": {"input": heard},
        "include": None if config.include is None else list(config.include),
    }


def _input_json(heard: AudioInputConfig) -> Json:
    return {
        "format": _format_json(heard.format),
        "transcription": heard.transcription and _transcription_json(heard.transcription),
        "noise_reduction": heard.noise_reduction
        and _without_nulls(type=heard.noise_reduction.type, strength=heard.noise_reduction.strength),
        "turn_detection": heard.turn_detection and _turn_detection_json(heard.turn_detection),
    }


def _transcription_json(transcription: Transcription) -> Json:
    # Always these three, and more only for a client that has set them: strict ones stop reading at a fourth.
    return {
        "model": transcription.model,
        "language": transcription.language,
        "prompt": transcription.prompt,
        **_without_nulls(
            languages=transcription.languages, keywords=transcription.keywords, delay=transcription.delay
        ),
    }


def _without_nulls(**members: Any) -> Json:
    return {name: value for name, value in members.items() if value is not None}


def _format_json(format: AudioFormat) -> Json:
    if format.type in G711:
        return {"type": format.type}  # their rate is part of the type
    return {"type": format.type, "rate": format.rate}


def _turn_detection_json(detection: TurnDetection) -> Json:
    return {name: getattr(detection, name) for name in type(detection).__dataclass_fields__}


def _truncation_json(truncation: Truncation) -> str | Json:
    if not isinstance(truncation, RetentionRatio):
        return truncation
    json: Json = {"type": "retention_ratio", "retention_ratio": truncation.retention_ratio}
    if truncation.post_instructions is not None:
        json["token_limits"] = {"post_instructions": truncation.post_instructions}
    return json


def _prompt_json(prompt: Prompt) -> Json:
    json: Json = {"id": prompt.id, **_without_nulls(version=prompt.version)}
    if prompt.variables is not None:
        json["variables"] = {
            name: value if isinstance(value, str) else _content_json(value, None)
            for name, value in prompt.variables.items()
        }
    return json


def item_json(item: Item, audio: AudioConfig | None = None) -> Json:
    """An item. Absent members are left out, since clients lose items over nulls in them.

    With `audio` it is as in `conversation.item.retrieved`: with `object`, and its sound in those formats.
    """
    head: Json = {"id": item.id}
    if audio is not None:
        head["object"] = "realtime.item"
    match item:
        case MessageItem():
            return head | {
                "type": "message",
                "status": item.status,
                "role": item.role,
                "content": [_content_json(part, audio) for part in item.content],
            }
        case FunctionCall():
            return head | {
                "type": "function_call",
                "status": item.status,
                "call_id": item.call_id,
                "name": item.name,
                "arguments": item.arguments,
            }
        case FunctionCallOutput():
            return head | {
                "type": "function_call_output",
                "status": item.status,
                "call_id": item.call_id,
                "output": item.output,
            }
        case McpListTools():
            return {
                "id": item.id,
                "type": "mcp_list_tools",
                "server_label": item.label,
                "tools": [_remote_tool_json(tool) for tool in item.tools],
                **_without_nulls(error=item.error),
            }
        case McpCall():
            return {
                "id": item.id,
                "type": "mcp_call",
                "server_label": item.label,
                "name": item.name,
                "arguments": item.arguments,
                "output": item.output,  # here null has to be there, or clients fail over its absence
                **_without_nulls(
                    approval_request_id=item.approval_request_id,
                    error=item.error and _failure_json(item.error),
                ),
            }
        case McpApprovalRequest():
            return {
                "id": item.id,
                "type": "mcp_approval_request",
                "server_label": item.label,
                "name": item.name,
                "arguments": _object_text(item.arguments),
            }
        case McpApprovalResponse():
            return {
                "id": item.id,
                "type": "mcp_approval_response",
                "approval_request_id": item.request_id,
                "approve": item.approve,
                **_without_nulls(reason=item.reason),
            }


def _object_text(arguments: str) -> str:
    """A JSON object as text: clients parse it to show it, and fail over anything else that a model wrote."""
    try:
        is_object = isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        is_object = False
    return arguments if is_object else orjson.dumps({"arguments": arguments}).decode()


def _remote_tool_json(tool: RemoteTool) -> Json:
    # Clients drop a list in which a tool has no description.
    json: Json = {"name": tool.name, "description": tool.description or "", "input_schema": tool.input_schema}
    return json | _without_nulls(annotations=tool.annotations)


def _failure_json(failure: ToolFailure) -> Json:
    # The tool's own failure has no code.
    code = {} if failure.kind == "tool_execution_error" else {"code": failure.code}
    return {"type": failure.kind, **code, "message": failure.message}


def _content_json(part: ContentPart, audio: AudioConfig | None) -> Json:
    match part:
        case InputText(text):
            return {"type": "input_text", "text": text}
        case InputAudio(transcript, pcm):
            content: Json = {"type": "input_audio", "transcript": transcript}
            return content | ({"audio": audio_json(pcm, audio.input.format)} if audio and pcm else {})
        case InputImage(url, detail):
            return {"type": "input_image", "image_url": url, "detail": detail}
        case OutputText(text):
            return {"type": "output_text", "text": text}
        case OutputAudio(transcript, pcm):
            content = {"type": "output_audio", "transcript": transcript}
            return content | ({"audio": audio_json(pcm, audio.output.format)} if audio and pcm else {})


def audio_json(pcm: bytes, format: AudioFormat) -> str:
    """PCM16 mono at the format's rate, as it goes over the wire."""
    return pybase64.b64encode_as_string(encode(pcm, format.type))


def response_json(response: ResponseState) -> Json:
    """The response object of `response.created` and `response.done`."""
    return {
        "object": "realtime.response",
        "id": response.id,
        "status": response.status,
        "status_details": response.details and _details_json(response.status, response.details),
        "output": [item_json(item) for item in response.output],
        "conversation_id": response.conversation_id,
        "output_modalities": list(response.output_modalities),
        "max_output_tokens": response.max_output_tokens or "inf",
        "audio": {"output": {"format": _format_json(response.format), "voice": response.voice}},
        "usage": response.usage and usage_json(response.usage),
        "metadata": None if response.metadata is None else dict(response.metadata),
    }


def _details_json(status: str, details: StatusDetails) -> Json:
    if details.code is not None:
        # The type tells a client's retry logic whose fault it was, as HTTP errors of the API do.
        kind = _ERROR_TYPES.get(details.code, "server_error")
        return {"type": status, "error": {"type": kind, "code": details.code, "message": details.message}}
    return {"type": status, "reason": details.reason}


def usage_json(usage: Usage) -> Json:
    """Token counts. The model reads and writes text only, so audio and image tokens are 0."""
    cached = usage.cached_tokens
    return {
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "input_token_details": {
            "text_tokens": usage.input_tokens,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": cached,
            "cached_tokens_details": {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": usage.output_tokens, "audio_tokens": 0},
    }


def logprobs_json(logprobs: Sequence[TokenLogprob]) -> list[Json]:
    """Tokens of a transcript, each with its natural logarithm and its UTF-8 bytes."""
    return [{"token": token.token, "logprob": token.logprob, "bytes": list(token.data)} for token in logprobs]


def transcription_usage_json(usage: SttUsage | None, seconds: float) -> Json:
    """What the transcription model counted: tokens, or else the length of the audio."""
    if usage is None:
        return {"type": "duration", "seconds": round(seconds, 3)}
    return {
        "type": "tokens",
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "input_token_details": {"text_tokens": usage.text_tokens, "audio_tokens": usage.audio_tokens},
    }
