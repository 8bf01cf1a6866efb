"""Everything wrong that a client can send, and the one error that it has to get for it."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ANCHOR", "BAD_INPUTS", "BadInput"]

ANCHOR = "anchor"  # the id of a typed message that is in the conversation before the bad input comes


@dataclass(frozen=True, slots=True)
class BadInput:
    """A frame and its error. Where several codes would tell a client the same, any of them is right."""

    frame: str | bytes | Mapping[str, Any]  # an event gets an `event_id` that the error has to echo
    code: str | tuple[str, ...]
    param: str | tuple[str, ...] | None = None


RANGE = ("integer_below_min_value", "integer_above_max_value", "invalid_value")
DECIMAL = ("decimal_below_min_value", "decimal_above_max_value", *RANGE)  # a whole number may be either
TYPE = ("invalid_type", "invalid_value")
TOO_LONG = ("string_above_max_length", "invalid_value")


def update(param: str, value: Any, code: str | tuple[str, ...] = TYPE, where: str | None = None) -> BadInput:
    """A session.update with one bad member at this path below `session`."""
    for name in reversed(param.split(".")):
        value = {name: value}
    return BadInput(
        {"type": "session.update", "session": {"type": "realtime"} | value}, code, f"session.{where or param}"
    )


def respond(param: str, value: Any, code: str | tuple[str, ...] = TYPE, where: str | None = None) -> BadInput:
    """A response.create with one bad member."""
    for name in reversed(param.split(".")):
        value = {name: value}
    return BadInput({"type": "response.create", "response": value}, code, f"response.{where or param}")


def item(param: str | None, item: Any, code: str | tuple[str, ...] = TYPE, **members: Any) -> BadInput:
    """A conversation.item.create of a bad item."""
    return BadInput({"type": "conversation.item.create", "item": item} | members, code, param)


def message(*content: Any, role: str = "user", **members: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(content)} | members


def image(url: str) -> BadInput:
    """A message with an image that cannot be seen."""
    content = message({"type": "input_image", "image_url": url})
    return item("item.content[0].image_url", content, "invalid_value")


TEXT = {"type": "input_text", "text": "Hello"}
MISSING = "missing_required_parameter"
TD = "audio.input.turn_detection"

FRAMES = {
    "no JSON": BadInput("hello", "invalid_json"),
    "an empty frame": BadInput("", "invalid_json"),
    "JSON cut off": BadInput('{"type": "response.create"', "invalid_json"),
    "two objects in one frame": BadInput(
        '{"type":"response.cancel"}{"type":"response.cancel"}', "invalid_json"
    ),
    "not a number": BadInput(
        '{"type": "response.create", "response": {"max_output_tokens": NaN}}', "invalid_json"
    ),
    "half a surrogate pair": BadInput(
        '{"type": "session.update", "session": {"instructions": "\\ud800"}}', "invalid_json"
    ),
    "a binary frame": BadInput(b"\x00\x01\x02\x03", "invalid_event"),
    "JSON in a binary frame": BadInput(b'{"type": "response.cancel"}', "invalid_event"),
    "an array": BadInput("[]", ("invalid_event", "invalid_type")),
    "a string": BadInput('"response.create"', ("invalid_event", "invalid_type")),
    "a number": BadInput("17", ("invalid_event", "invalid_type")),
    "null": BadInput("null", ("invalid_event", "invalid_type")),
    "ten thousand levels of arrays": BadInput(
        '{"type": "session.update", "session": {"tools": ' + "[" * 10_000 + "]" * 10_000 + "}}",
        "invalid_json",
    ),
    "a hundred thousand levels of objects": BadInput(
        '{"type": ' * 100_000 + "1" + "}" * 100_000, "invalid_json"
    ),
    "no type": BadInput({"session": {}}, ("invalid_event", MISSING), "type"),
    "a type that is a number": BadInput({"type": 7}, ("invalid_event", *TYPE), "type"),
    "an unknown type": BadInput({"type": "response.frobnicate"}, "invalid_value", "type"),
    "a server event": BadInput({"type": "response.done"}, "invalid_value", "type"),
    "an event that is for WebRTC": BadInput({"type": "output_audio_buffer.clear"}, "invalid_value", "type"),
    "an event of translation sessions": BadInput({"type": "session.close"}, "invalid_value", "type"),
    "an event id that is a number": BadInput(
        json.dumps({"type": "response.cancel", "event_id": 5}), TYPE, "event_id"
    ),
    "an event id that is too long": BadInput(
        json.dumps({"type": "response.cancel", "event_id": "x" * 513}), TOO_LONG, "event_id"
    ),
}


def append(audio: Any, code: str | tuple[str, ...] = "invalid_value") -> BadInput:
    """An input_audio_buffer.append of something that is no audio."""
    return BadInput({"type": "input_audio_buffer.append", "audio": audio}, code, "audio")


AUDIO = {
    "audio missing": BadInput({"type": "input_audio_buffer.append"}, MISSING, "audio"),
    "audio null": append(None, (*TYPE, MISSING)),
    "audio as a number": append(5, TYPE),
    "audio as an array": append([1, 2], TYPE),
    "no base64": append("*!?#"),
    "base64 without its padding": append("AAA"),
    "base64 of another alphabet": append("é" * 8),
    "half a sample": append("AAAA"),
    "sixteen mebibytes": append(
        base64.b64encode(bytes(16 * 1024 * 1024)).decode(), ("string_above_max_length", "invalid_value")
    ),
    "a commit of nothing": BadInput({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
}

SESSION = {
    "no session": BadInput({"type": "session.update"}, MISSING, "session"),
    "a session that is null": BadInput(
        {"type": "session.update", "session": None}, (*TYPE, MISSING), "session"
    ),
    "a session that is an array": BadInput({"type": "session.update", "session": []}, TYPE, "session"),
    "a session of another type": update("type", "transcription", "invalid_value"),
    "a session of an unknown type": update("type", "seance", "invalid_value"),
    "instructions as a number": update("instructions", 5),
    "an unknown model": update("model", "nobody/nothing", ("model_not_found", "invalid_value")),
    "a model as a number": update("model", 5),
    "unknown modalities": update("output_modalities", ["smell"], "invalid_value", "output_modalities[0]"),
    "no modalities": update("output_modalities", [], ("invalid_value", "array_below_min_length")),
    "modalities as a string": update("output_modalities", "audio"),
    "tools as an object": update("tools", {}),
    "a tool without a name": update("tools", [{"type": "function"}], MISSING, "tools[0].name"),
    "a tool of an unknown type": update("tools", [{"type": "hammer"}], "invalid_value", "tools[0].type"),
    "a tool with a space in its name": update(
        "tools", [{"type": "function", "name": "get weather"}], "invalid_value", "tools[0].name"
    ),
    "two tools of the same name": update(
        "tools",
        [{"type": "function", "name": "f"}, {"type": "function", "name": "f"}],
        "invalid_value",
        "tools",
    ),
    "a voice object without an id": update("audio.output.voice", {}, MISSING, "audio.output.voice.id"),
    "a prompt variable that is a number": update(
        "prompt", {"id": "p", "variables": {"x": 1}}, TYPE, "prompt.variables.x"
    ),
    "a tool with a bad name": update("tools", [{"type": "function", "name": 5}], TYPE, "tools[0].name"),
    "parameters as a string": update(
        "tools", [{"type": "function", "name": "f", "parameters": "none"}], TYPE, "tools[0].parameters"
    ),
    "an unknown tool choice": update("tool_choice", "perhaps", "invalid_value"),
    "a tool choice without a name": BadInput(
        {"type": "session.update", "session": {"tool_choice": {"type": "function"}}},
        (MISSING, "invalid_value"),
        ("session.tool_choice", "session.tool_choice.name"),
    ),
    "no tokens": update("max_output_tokens", 0, RANGE),
    "too many tokens": update("max_output_tokens", 4097, RANGE),
    "a huge number of tokens": update("max_output_tokens", 10**30, (*RANGE, *TYPE)),
    "a fraction of tokens": update("max_output_tokens", 1.5, TYPE),
    "tokens in words": update("max_output_tokens", "many", ("invalid_value", "invalid_type")),
    "tokens as a boolean": update("max_output_tokens", True, TYPE),
    "a temperature out of range": update("temperature", 99, DECIMAL),
    "a temperature in words": update("temperature", "warm"),
    "audio as a string": update("audio", "loud"),
    "audio.input as an array": update("audio.input", []),
    "an unknown format": update(
        "audio.input.format", {"type": "audio/mp3"}, "invalid_value", "audio.input.format.type"
    ),
    "a rate out of range": update(
        "audio.input.format", {"type": "audio/pcm", "rate": 1}, RANGE, "audio.input.format.rate"
    ),
    "a rate that telephones do not have": update(
        "audio.input.format", {"type": "audio/pcmu", "rate": 16_000}, RANGE, "audio.input.format.rate"
    ),
    "a format by a name that nobody has": update("audio.output.format", "opus", "invalid_value"),
    "a rate in words": update(
        "audio.output.format", {"type": "audio/pcm", "rate": "fast"}, TYPE, "audio.output.format.rate"
    ),
    "an unknown kind of turn detection": update(TD, {"type": "psychic"}, "invalid_value", f"{TD}.type"),
    "turn detection as a string": update(TD, "server_vad"),
    "a threshold above one": update(f"{TD}.threshold", 1.01, DECIMAL),
    "a threshold below zero": update(f"{TD}.threshold", -0.1, DECIMAL),
    "a threshold in words": update(f"{TD}.threshold", "low"),
    "a negative silence": update(f"{TD}.silence_duration_ms", -1, RANGE),
    "a fraction of a millisecond": update(f"{TD}.silence_duration_ms", 0.5),
    "a negative padding": update(f"{TD}.prefix_padding_ms", -1, RANGE),
    "an idle timeout too short": update(f"{TD}.idle_timeout_ms", 4999, RANGE),
    "an idle timeout too long": update(f"{TD}.idle_timeout_ms", 30001, RANGE),
    "a boolean as a number": update(f"{TD}.create_response", 1),
    "an unknown eagerness": update(
        TD, {"type": "semantic_vad", "eagerness": "frantic"}, "invalid_value", f"{TD}.eagerness"
    ),
    "transcription as a string": update("audio.input.transcription", "whisper-1"),
    "an unknown transcription model": update(
        "audio.input.transcription.model", "nobody/nothing", ("model_not_found", "invalid_value")
    ),
    "a language as a number": update("audio.input.transcription.language", 5),
    "an unknown noise reduction": update(
        "audio.input.noise_reduction", {"type": "magic"}, "invalid_value", "audio.input.noise_reduction.type"
    ),
    "an unknown voice": update("audio.output.voice", "nobody at all", ("invalid_value", "voice_not_found")),
    "a voice as a number": update("audio.output.voice", 5),
    "too slow": update("audio.output.speed", 0.1, DECIMAL),
    "too fast": update("audio.output.speed", 1.6, DECIMAL),
    "an unknown truncation": update("truncation", "sometimes", "invalid_value"),
    "a truncation of an unknown type": update(
        "truncation", {"type": "shears"}, "invalid_value", "truncation.type"
    ),
    "a truncation without its ratio": update(
        "truncation", {"type": "retention_ratio"}, MISSING, "truncation.retention_ratio"
    ),
    "a truncation to more than all": update(
        "truncation", {"type": "retention_ratio", "retention_ratio": 2}, DECIMAL, "truncation.retention_ratio"
    ),
    "tracing as a number": update("tracing", 5),
    "a workflow name as a number": update("tracing", {"workflow_name": 5}, TYPE, "tracing.workflow_name"),
    "an unknown effort": update("reasoning", {"effort": "heroic"}, "invalid_value", "reasoning.effort"),
    "a prompt without an id": update("prompt", {"version": "1"}, MISSING, "prompt.id"),
    "a prompt of a server without any": update("prompt", {"id": "greeter"}, "invalid_value"),
    "an effort without a word": update(
        "reasoning", {"effort": 3}, ("invalid_value", *TYPE), "reasoning.effort"
    ),
    "reasoning in words": update("reasoning", "hard"),
    "fewer tokens than none": update(
        "truncation",
        {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": -1}},
        RANGE,
        "truncation.token_limits.post_instructions",
    ),
    "parallel calls in words": update("parallel_tool_calls", "yes"),
    "seventeen pairs in a trace": update(
        "tracing",
        {"metadata": {f"k{n}": "v" for n in range(17)}},
        ("object_above_max_properties", "array_above_max_length", "invalid_value"),
        "tracing.metadata",
    ),
    "a long value in a trace": update(
        "tracing", {"metadata": {"k": "v" * 513}}, TOO_LONG, "tracing.metadata.k"
    ),
    "an unknown include": update("include", ["everything"], "invalid_value", "include[0]"),
}

ITEMS = {
    "no item": BadInput({"type": "conversation.item.create"}, MISSING, "item"),
    "an item that is a string": item("item", "hello"),
    "an item without a type": item("item.type", {"role": "user", "content": [TEXT]}, MISSING),
    "an item of an unknown type": item("item.type", {"type": "poem"}, "invalid_value"),
    "an item that only the server makes": item(
        "item.type", {"type": "mcp_list_tools", "server_label": "x", "tools": []}, "invalid_value"
    ),
    "a reference outside a response": item(
        "item.type", {"type": "item_reference", "id": ANCHOR}, "invalid_value"
    ),
    "a message without a role": item("item.role", {"type": "message", "content": [TEXT]}, MISSING),
    "a message of an unknown role": item("item.role", message(TEXT, role="ghost"), "invalid_value"),
    "a message without content": item("item.content", {"type": "message", "role": "user"}, MISSING),
    "content as a string": item("item.content", {"type": "message", "role": "user", "content": "hello"}),
    "a part that is a string": item("item.content[0]", message("hello")),
    "a part without a type": item("item.content[0].type", message({"text": "hello"}), MISSING),
    "a part of an unknown type": item("item.content[0].type", message({"type": "smell"}), "invalid_value"),
    "a part without its text": item("item.content[0].text", message({"type": "input_text"}), MISSING),
    "text as a number": item("item.content[0].text", message({"type": "input_text", "text": 5})),
    "the second part": item(
        "item.content[1].text", message(TEXT, {"type": "input_text", "text": None}), (*TYPE, MISSING)
    ),
    "an answer's part in a user's message": item(
        "item.content[0].type", message({"type": "output_text", "text": "x"}), "invalid_value"
    ),
    "a user's part in an answer": item(
        "item.content[0].type", message(TEXT, role="assistant"), "invalid_value"
    ),
    "a spoken answer without its words": item(
        "item.content[0].transcript", message({"type": "output_audio"}, role="assistant"), MISSING
    ),
    "speech of the system": item(
        "item.content[0].type",
        message({"type": "input_audio", "audio": "AAAA"}, role="system"),
        "invalid_value",
    ),
    "a recording that is no base64": item(
        "item.content[0].audio", message({"type": "input_audio", "audio": "***"}), "invalid_value"
    ),
    "a recording of half a sample": item(
        "item.content[0].audio", message({"type": "input_audio", "audio": "AAAA"}), "invalid_value"
    ),
    "an image without an address": item(
        "item.content[0].image_url", message({"type": "input_image"}), MISSING
    ),
    "an image that is no base64": image("data:image/png;base64,***"),
    "an image that is none": image("data:image/png;base64,SGVsbG8="),
    "an image of a kind that models do not see": image("data:image/gif;base64,R0lGODlhAQABAAAAACw="),
    "an image that is named otherwise": image("data:image/gif;base64,iVBORw0KGgo="),
    "an image somewhere else": image("http://127.0.0.1/image.png"),
    "an image without its data": image("data:image/png;base64,"),
    "an unknown detail": item(
        "item.content[0].detail",
        message(
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "crisp"}
        ),
        "invalid_value",
    ),
    "an id as a number": item("item.id", message(TEXT, id=5)),
    "an id that is too long": item("item.id", message(TEXT, id="x" * 33), "string_above_max_length"),
    "an id that is taken": item(None, message(TEXT, id=ANCHOR), "item_create_duplicate_item_id"),
    "a status that does not exist": item("item.status", message(TEXT, status="maybe"), "invalid_value"),
    "a previous item that does not exist": item(
        "previous_item_id",
        message(TEXT),
        "item_create_invalid_previous_item_id",
        previous_item_id="item_nobody",
    ),
    "a previous item as a number": item("previous_item_id", message(TEXT), previous_item_id=5),
    "a call without a name": item("item.name", {"type": "function_call", "arguments": "{}"}, MISSING),
    "a call without arguments": item("item.arguments", {"type": "function_call", "name": "f"}, MISSING),
    "arguments as an object": item("item.arguments", {"type": "function_call", "name": "f", "arguments": {}}),
    "a call id that is too long": item(
        "item.call_id",
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "x" * 33},
        "string_above_max_length",
    ),
    "an output without a call id": item(
        "item.call_id", {"type": "function_call_output", "output": "x"}, MISSING
    ),
    "an output without output": item(
        "item.output", {"type": "function_call_output", "call_id": "c"}, MISSING
    ),
    "an output as an object": item(
        "item.output", {"type": "function_call_output", "call_id": "c", "output": {}}
    ),
    "an output of no call": item(
        "item.call_id",
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        "invalid_tool_call_id",
    ),
    "delete without an id": BadInput({"type": "conversation.item.delete"}, MISSING, "item_id"),
    "delete of a number": BadInput({"type": "conversation.item.delete", "item_id": 5}, TYPE, "item_id"),
    "delete of nothing": BadInput(
        {"type": "conversation.item.delete", "item_id": "item_nobody"},
        "item_delete_invalid_item_id",
        "item_id",
    ),
    "retrieve without an id": BadInput({"type": "conversation.item.retrieve"}, MISSING, "item_id"),
    "retrieve of nothing": BadInput(
        {"type": "conversation.item.retrieve", "item_id": "item_nobody"},
        "item_retrieve_invalid_item_id",
        "item_id",
    ),
    "truncate of nothing": BadInput(
        {
            "type": "conversation.item.truncate",
            "item_id": "item_nobody",
            "content_index": 0,
            "audio_end_ms": 0,
        },
        "item_truncate_invalid_item_id",
        "item_id",
    ),
    "truncate of typed text": BadInput(
        {"type": "conversation.item.truncate", "item_id": ANCHOR, "content_index": 0, "audio_end_ms": 0},
        ("unsupported_content_type", "invalid_value"),
    ),
    "truncate without an end": BadInput(
        {"type": "conversation.item.truncate", "item_id": ANCHOR, "content_index": 0}, MISSING, "audio_end_ms"
    ),
    "truncate without an index": BadInput(
        {"type": "conversation.item.truncate", "item_id": ANCHOR, "audio_end_ms": 0}, MISSING, "content_index"
    ),
    "truncate before the beginning": BadInput(
        {"type": "conversation.item.truncate", "item_id": ANCHOR, "content_index": 0, "audio_end_ms": -1},
        RANGE,
        "audio_end_ms",
    ),
    "truncate at half a millisecond": BadInput(
        {"type": "conversation.item.truncate", "item_id": ANCHOR, "content_index": 0, "audio_end_ms": 0.5},
        TYPE,
        "audio_end_ms",
    ),
}

RESPONSES = {
    "a response that is a string": BadInput({"type": "response.create", "response": "now"}, TYPE, "response"),
    "an unknown conversation": respond("conversation", "another", "invalid_value"),
    "instructions of a response as a number": respond("instructions", 5),
    "modalities of a response": respond(
        "output_modalities", ["smell"], "invalid_value", "output_modalities[0]"
    ),
    "tokens of a response": respond("max_output_tokens", 0, RANGE),
    "a tool choice of a response": respond("tool_choice", "perhaps", "invalid_value"),
    "a tool choice that is not among the tools": respond(
        "tool_choice", {"type": "function", "name": "nobody"}, "invalid_value"
    ),
    "a voice of a response": respond(
        "audio.output.voice", "nobody at all", ("invalid_value", "voice_not_found")
    ),
    "a format of a response": respond(
        "audio.output.format", {"type": "audio/mp3"}, "invalid_value", "audio.output.format.type"
    ),
    "input that is a string": respond("input", "hello"),
    "a bad item in the input": respond(
        "input", [message(TEXT), {"type": "poem"}], "invalid_value", "input[1].type"
    ),
    "a bad part in the input": respond(
        "input", [message({"type": "smell"})], "invalid_value", "input[0].content[0].type"
    ),
    "a reference to nothing": respond(
        "input", [{"type": "item_reference", "id": "item_nobody"}], "invalid_value", "input[0].id"
    ),
    "a reference without an id": respond("input", [{"type": "item_reference"}], MISSING, "input[0].id"),
    "metadata that is a string": respond("metadata", "x"),
    "metadata that holds a number": respond("metadata", {"n": 1}, TYPE, "metadata.n"),
    "seventeen pairs of metadata": respond(
        "metadata",
        {f"k{n}": "v" for n in range(17)},
        ("object_above_max_properties", "array_above_max_length", "invalid_value"),
    ),
    "a long metadata key": respond("metadata", {"k" * 65: "v"}, TOO_LONG, "metadata"),
    "a long metadata value": respond("metadata", {"k": "v" * 513}, TOO_LONG, "metadata.k"),
    "a prompt for a response of a server without any": respond("prompt", {"id": "p"}, "invalid_value"),
    "an unknown effort of a response": respond(
        "reasoning", {"effort": "heroic"}, "invalid_value", "reasoning.effort"
    ),
    "an image in the input that is none": respond(
        "input",
        [message({"type": "input_image", "image_url": "data:image/png;base64,AAAA"})],
        "invalid_value",
        "input[0].content[0].image_url",
    ),
    "cancel of nothing": BadInput({"type": "response.cancel"}, "response_cancel_not_active"),
    "cancel of an unknown response": BadInput(
        {"type": "response.cancel", "response_id": "resp_nobody"}, "response_cancel_not_active"
    ),
    "cancel of a number": BadInput({"type": "response.cancel", "response_id": 5}, TYPE, "response_id"),
}

BAD_INPUTS: Mapping[str, BadInput] = FRAMES | AUDIO | SESSION | ITEMS | RESPONSES
