"""Everything that is refused: a row per client event and reason, with the code and the param of its error."""

from typing import Any

from tests.conformance.client import Event, Talk
from tests.conformance.scenarios.registry import (
    ANCHOR,
    BETA,
    BOTH,
    GA,
    STRICT,
    Refusal,
    Variant,
    cases,
    refused_events,
    scenario,
)
from tests.conformance.scenarios.steps import TOOL, message

EVERY = (*BOTH, BETA)
ONLY_STRICT, ONLY_BETA = (STRICT,), (BETA,)
MISSING, UNKNOWN, VALUE, TYPE = (
    "missing_required_parameter",
    "unknown_parameter",
    "invalid_value",
    "invalid_type",
)


def _nested(path: str, value: Any) -> Event:
    for name in reversed(path.split(".")):
        value = {name: value}
    members: Event = value
    return members


def update(
    what: str,
    path: str,
    value: Any,
    code: str,
    where: str | None = None,
    variants: tuple[Variant, ...] = BOTH,
) -> Refusal:
    """A session.update with one member at this path below `session`."""
    session = {"type": "realtime"} | _nested(path, value)
    return Refusal(
        what, {"type": "session.update", "session": session}, code, f"session.{where or path}", variants
    )


def flat(what: str, path: str, value: Any, code: str, where: str | None = None) -> Refusal:
    """A session.update of the beta dialect."""
    event = {"type": "session.update", "session": _nested(path, value)}
    return Refusal(what, event, code, f"session.{where or path}", ONLY_BETA)


def respond(
    what: str,
    path: str,
    value: Any,
    code: str,
    where: str | None = None,
    variants: tuple[Variant, ...] = BOTH,
) -> Refusal:
    """A response.create with one member at this path below `response`."""
    event = {"type": "response.create", "response": _nested(path, value)}
    return Refusal(what, event, code, f"response.{where or path}", variants)


def item(
    what: str,
    item: Any,
    code: str,
    param: str | None,
    variants: tuple[Variant, ...] = EVERY,
    **members: Any,
) -> Refusal:
    """A conversation.item.create of this item."""
    return Refusal(what, {"type": "conversation.item.create", "item": item} | members, code, param, variants)


def bare(
    what: str, type: str, code: str, param: str | None, variants: tuple[Variant, ...] = EVERY, **members: Any
) -> Refusal:
    return Refusal(what, {"type": type} | members, code, param, variants)


def user(part: Event) -> Event:
    return {"type": "message", "role": "user", "content": [part]}


def call(call_id: str) -> Event:
    return {"type": "function_call", "name": "f", "arguments": "{}", "call_id": call_id}


def truncate(what: str, code: str, param: str | None, **members: Any) -> Refusal:
    """A conversation.item.truncate to nothing of the typed message."""
    event = {"type": "conversation.item.truncate", "item_id": ANCHOR, "content_index": 0, "audio_end_ms": 0}
    return Refusal(what, event | members, code, param, EVERY)


INPUT, OUTPUT = "audio.input", "audio.output"
VAD, HEARD = f"{INPUT}.turn_detection", f"{INPUT}.transcription"

refused_events(
    "refused_events",
    "Events that do not exist are refused",
    bare("an unknown type", "response.frobnicate", VALUE, "type"),
    bare("an event of the server", "response.done", VALUE, "type"),
    bare("an event that is for WebRTC", "output_audio_buffer.clear", VALUE, "type"),
)

refused_events(
    "refused_updates",
    "session.update: what is refused",
    bare("no session", "session.update", MISSING, "session", BOTH),
    bare("a session that is an array", "session.update", TYPE, "session", BOTH, session=[]),
    update("the other type of session", "type", "transcription", VALUE),
    update("a number as instructions", "instructions", 5, TYPE),
    update("a model that does not exist", "model", "nobody/nothing", "model_not_found", variants=BOTH[:1]),
    update("unknown modalities", "output_modalities", ["smell"], VALUE, "output_modalities[0]"),
    update("a tool without a name", "tools", [{"type": "function"}], MISSING, "tools[0].name"),
    update("two tools of one name", "tools", [TOOL, TOOL], VALUE, "tools"),
    update("an unknown tool choice", "tool_choice", "perhaps", VALUE),
    update("no tokens", "max_output_tokens", 0, "integer_below_min_value"),
    update("too many tokens", "max_output_tokens", 4097, "integer_above_max_value"),
    update("tokens in words", "max_output_tokens", "many", TYPE),
    update("an unknown prompt", "prompt", {"id": "nobody"}, VALUE, "prompt.id"),
    update("an unknown include", "include", ["everything"], VALUE, "include[0]"),
    update("an unknown truncation", "truncation", "sometimes", VALUE),
    update(
        "a ratio above one",
        "truncation",
        {"type": "retention_ratio", "retention_ratio": 2.0},
        "decimal_above_max_value",
        "truncation.retention_ratio",
    ),
    update(
        "too long a name of a trace",
        "tracing",
        {"group_id": "x" * 600},
        "string_above_max_length",
        "tracing.group_id",
    ),
    update("an unknown format", f"{INPUT}.format.type", "audio/mp3", VALUE),
    update("a rate of one Hertz", f"{INPUT}.format.rate", 1, VALUE),
    update("an unknown turn detection", f"{VAD}.type", "psychic", VALUE),
    update("a threshold above one", f"{VAD}.threshold", 1.5, "decimal_above_max_value"),
    update("too short an idle timeout", f"{VAD}.idle_timeout_ms", 100, "integer_below_min_value"),
    update("an unknown eagerness", f"{VAD}.eagerness", "frantic", VALUE),
    update(
        "two ways to name a language",
        HEARD,
        {"language": "en", "languages": ["en"]},
        VALUE,
        f"{HEARD}.languages",
    ),
    update("no languages", f"{HEARD}.languages", [], "array_below_min_length"),
    update("a keyword with markup", f"{HEARD}.keywords", ["<b>"], VALUE, f"{HEARD}.keywords[0]"),
    update("too fast a voice", f"{OUTPUT}.speed", 2.0, "decimal_above_max_value"),
    update("too slow a voice", f"{OUTPUT}.speed", 0.1, "decimal_below_min_value"),
)

refused_events(
    "refused_updates_strictly",
    "session.update: what only OpenAI's service refuses",
    Refusal(
        "no session.type", {"type": "session.update", "session": {}}, MISSING, "session.type", ONLY_STRICT
    ),
    update("an unknown member", "speed", 1.0, UNKNOWN, variants=ONLY_STRICT),
    update("an unknown member further down", f"{INPUT}.gain", 1.0, UNKNOWN, variants=ONLY_STRICT),
    update("another model", "model", "other/echo", "cannot_update_model", variants=ONLY_STRICT),
    update("both modalities", "output_modalities", ["audio", "text"], VALUE, variants=ONLY_STRICT),
    update("a temperature", "temperature", 0.8, UNKNOWN, variants=ONLY_STRICT),
    update("a speech model", f"{OUTPUT}.model", "local/espeak", UNKNOWN, variants=ONLY_STRICT),
    update("modelId", "modelId", "builtin/echo", UNKNOWN, variants=ONLY_STRICT),
    update("a flat voice", "voice", "alloy", UNKNOWN, variants=ONLY_STRICT),
    update("flat modalities", "modalities", ["text"], UNKNOWN, variants=ONLY_STRICT),
    update("another rate of PCM", f"{INPUT}.format.rate", 16000, VALUE, variants=ONLY_STRICT),
    update("floats", f"{OUTPUT}.format.type", "audio/float32", VALUE, variants=ONLY_STRICT),
    update("a format as a string", f"{INPUT}.format", "pcm16", TYPE, variants=ONLY_STRICT),
)

refused_events(
    "refused_flat_updates",
    "Settings in the beta dialect: what is refused, by the names that its clients use",
    flat("a threshold above one", "turn_detection.threshold", 1.5, "decimal_above_max_value"),
    flat("an unknown turn detection", "turn_detection.type", "psychic", VALUE),
    flat("an unknown format", "input_audio_format", "opus", VALUE),
    flat("no tokens", "max_response_output_tokens", 0, "integer_below_min_value"),
    flat("unknown modalities", "modalities", ["smell"], VALUE, "modalities[0]"),
    flat("a number as a voice", "voice", 5, TYPE),
    flat("too fast a voice", "speed", 2.0, "decimal_above_max_value"),
    bare("no session", "session.update", MISSING, "session", ONLY_BETA),
    respond("a voice that is a number", "voice", 5, TYPE, variants=ONLY_BETA),
    bare(
        "an update of the other type of session",
        "transcription_session.update",
        VALUE,
        "session.type",
        ONLY_BETA,
        session={},
    ),
)

refused_events(
    "refused_audio",
    "input_audio_buffer: what is refused",
    bare("no audio", "input_audio_buffer.append", MISSING, "audio"),
    bare("audio that is a number", "input_audio_buffer.append", TYPE, "audio", audio=5),
    bare("audio that is no base64", "input_audio_buffer.append", VALUE, "audio", audio="*!?#"),
    bare("half a sample", "input_audio_buffer.append", VALUE, "audio", audio="AAAA"),
    bare("a commit of nothing", "input_audio_buffer.commit", "input_audio_buffer_commit_empty", None),
    bare("an unknown member", "input_audio_buffer.clear", UNKNOWN, "why", ONLY_STRICT, why="x"),
)

refused_events(
    "refused_items",
    "conversation.item.create: what is refused",
    bare("no item", "conversation.item.create", MISSING, "item"),
    item("an unknown type", {"type": "poem"}, VALUE, "item.type"),
    item(
        "an item that only the server makes",
        {"type": "mcp_list_tools", "server_label": "x"},
        VALUE,
        "item.type",
    ),
    item("an id that is taken", message("Hi", id=ANCHOR), "item_create_duplicate_item_id", None),
    item("too long an id", message("Hi", id="x" * 33), "string_above_max_length", "item.id"),
    item(
        "an unknown place",
        message("Hi"),
        "item_create_invalid_previous_item_id",
        "previous_item_id",
        previous_item_id="nobody",
    ),
    item("an unknown role", message("Hi", "robot"), VALUE, "item.role"),
    item("a part of an unknown type", user({"type": "input_smell"}), VALUE, "item.content[0].type"),
    item("a text part without text", user({"type": "input_text"}), MISSING, "item.content[0].text"),
    item(
        "an image from elsewhere",
        user({"type": "input_image", "image_url": "https://x/y.png"}),
        VALUE,
        "item.content[0].image_url",
    ),
    item(
        "an output of no call",
        {"type": "function_call_output", "call_id": "nobody", "output": ""},
        "invalid_tool_call_id",
        "item.call_id",
    ),
    item("too long a call id", call("x" * 33), "string_above_max_length", "item.call_id"),
    item("a call id with a space", call("a b"), VALUE, "item.call_id"),
    item(
        "speech of the assistant",
        {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": "Hi"}]},
        VALUE,
        "item.content[0].type",
        ONLY_STRICT,
    ),
    item(
        "a short name of a type",
        user({"type": "text", "text": "Hi"}),
        VALUE,
        "item.content[0].type",
        ONLY_STRICT,
    ),
    item("an unknown member", message("Hi", providerData={}), UNKNOWN, "item.providerData", ONLY_STRICT),
)

refused_events(
    "refused_lookups",
    "conversation.item.retrieve, delete and truncate: what is refused",
    bare("no id", "conversation.item.retrieve", MISSING, "item_id"),
    bare(
        "retrieve nothing",
        "conversation.item.retrieve",
        "item_retrieve_invalid_item_id",
        "item_id",
        item_id="nobody",
    ),
    bare(
        "delete nothing",
        "conversation.item.delete",
        "item_delete_invalid_item_id",
        "item_id",
        item_id="nobody",
    ),
    truncate("truncate nothing", "item_truncate_invalid_item_id", "item_id", item_id="nobody"),
    truncate("truncate what was typed", "unsupported_content_type", None),
    truncate("truncate to before the start", "integer_below_min_value", "audio_end_ms", audio_end_ms=-1),
    truncate("truncate no part", "integer_below_min_value", "content_index", content_index=-1),
)

refused_events(
    "refused_responses",
    "response.create and response.cancel: what is refused",
    respond("an unknown conversation", "conversation", "other", VALUE),
    respond("input that is no array", "input", "Hello", TYPE),
    respond(
        "a reference to nothing", "input", [{"type": "item_reference", "id": "nobody"}], VALUE, "input[0].id"
    ),
    respond("unknown modalities", "output_modalities", ["smell"], VALUE, "output_modalities[0]"),
    respond("too many tokens", "max_output_tokens", 5000, "integer_above_max_value"),
    respond("metadata that is a number", "metadata", {"k": 5}, TYPE, "metadata.k"),
    respond("too much metadata", "metadata", {str(n): "" for n in range(17)}, "array_above_max_length"),
    respond(
        "too long a value in metadata", "metadata", {"k": "x" * 513}, "string_above_max_length", "metadata.k"
    ),
    respond(
        "a tool choice without its tool", "tool_choice", {"type": "function"}, MISSING, "tool_choice.name"
    ),
    bare("cancel nothing", "response.cancel", "response_cancel_not_active", None),
    bare(
        "cancel an unknown response",
        "response.cancel",
        "response_cancel_not_active",
        None,
        response_id="nobody",
    ),
    respond("a temperature", "temperature", 0.8, UNKNOWN, variants=ONLY_STRICT),
    respond("a flat voice", "voice", "alloy", UNKNOWN, variants=ONLY_STRICT),
    respond("a speed", f"{OUTPUT}.speed", 1.0, UNKNOWN, variants=ONLY_STRICT),
)

refused_events(
    "refused_when_transcribing",
    "Transcription sessions: what is refused",
    bare("asking for a response", "response.create", VALUE, "type", BOTH),
    bare("cancelling a response", "response.cancel", VALUE, "type", BOTH),
    Refusal(
        "the other type of session",
        {"type": "session.update", "session": {"type": "realtime"}},
        VALUE,
        "session.type",
    ),
    Refusal(
        "instructions",
        {"type": "session.update", "session": {"type": "transcription", "instructions": "Hi"}},
        UNKNOWN,
        "session.instructions",
        ONLY_STRICT,
    ),
    query={"intent": "transcription"},
)


@scenario("What only OpenAI's service refuses is taken or ignored by our own profile", variants=(GA,))
async def taken_all_the_same(session: Talk) -> None:
    rows = [
        row
        for case in cases()
        if case.variant == STRICT and not case.scenario.query
        for row in case.scenario.refusals
        if row.variants == ONLY_STRICT
    ]
    assert len(rows) >= 20
    for row in rows:
        await session.send(**row.event)
        answers = await session.settle()
        assert "error" not in [answer["type"] for answer in answers], (row.what, answers)
        while session.oracle.sequence.finished():  # a response was asked for
            await session.receive()
