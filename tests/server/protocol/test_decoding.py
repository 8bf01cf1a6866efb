"""Client events become commands, and nothing that a client sends becomes an exception."""

import copy
import json
import logging
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands import (
    CancelResponse,
    ClearAudio,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    Refuse,
    RetrieveItem,
    StartSession,
    TruncateItem,
    UpdateSession,
)
from pipeline.config import AudioFormat
from pipeline.core.engine import Engine
from pipeline.effects import Emit, StartGeneration
from pipeline.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    ItemReference,
    MessageItem,
    OutputText,
)
from providers.contracts import FunctionTool, NamedToolChoice
from server.protocol.decoding import AppendAudio, Decoder
from server.protocol.encoding import Encoder
from tests.chance import examples
from tests.pipeline.playbook import FakeCatalog, counting_ids, session_config
from tests.server.protocol.samples import AUDIO, EVENTS, ITEMS, TOOL


def decoder() -> Decoder:
    return Decoder(max_append_bytes=10_000, max_item_bytes=20_000)


def decode(event: Any) -> Any:
    return decoder().decode(json.dumps(event))


def update(**session: Any) -> Any:
    command = decode({"type": "session.update", "session": {"type": "realtime", **session}})
    assert isinstance(command, UpdateSession)
    return command.patch


def respond(**response: Any) -> Any:
    command = decode({"type": "response.create", "response": response})
    assert isinstance(command, CreateResponse)
    return command.params


def refusal(event: Any) -> tuple[str | None, str | None]:
    """Code and param of the error for it."""
    command = decode(event)
    assert isinstance(command, Refuse)
    return command.error.code, command.error.param


# --- events ------------------------------------------------------------------------------------------


def test_orders_without_members() -> None:
    assert decode({"type": "input_audio_buffer.commit"}) == CommitAudio()
    assert decode({"type": "input_audio_buffer.clear", "event_id": "e"}) == ClearAudio("e")
    assert decode({"type": "response.create", "event_id": "e"}) == CreateResponse(event_id="e")
    assert decode({"type": "response.create", "response": None}) == CreateResponse()
    assert decode({"type": "response.cancel"}) == CancelResponse()
    assert decode({"type": "response.cancel", "response_id": "r"}) == CancelResponse("r")


def test_orders_about_an_item() -> None:
    assert decode({"type": "conversation.item.retrieve", "item_id": "a"}) == RetrieveItem("a")
    assert decode({"type": "conversation.item.delete", "item_id": "a", "event_id": "e"}) == DeleteItem(
        "a", "e"
    )
    assert decode(
        {"type": "conversation.item.truncate", "item_id": "a", "content_index": 0, "audio_end_ms": 7}
    ) == TruncateItem("a", 0, 7)


def test_audio_is_decoded_once_and_kept_out_of_representations() -> None:
    command = decode({"type": "input_audio_buffer.append", "audio": AUDIO, "event_id": "e"})

    assert command == AppendAudio(bytes(4800), "e")
    assert len(repr(command)) < 100


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (
            ITEMS[0],
            MessageItem(
                "item_a",
                "user",
                (
                    InputText("Hi"),
                    InputAudio(data=bytes(4800)),
                    InputAudio("Hello", data=bytes(4800)),
                    InputImage("data:image/png;base64,iVBORw0KGgo=", "low"),
                ),
            ),
        ),
        (ITEMS[1], MessageItem("", "system", (InputText("Be good."),))),
        (ITEMS[2], MessageItem("", "assistant", (OutputText("Well."),))),
        (ITEMS[3], FunctionCall("item_b", "call_1", "weather", "{}")),
        (ITEMS[4], FunctionCallOutput("", "call_1", "sunny")),
        (
            {"type": "function_call", "name": "f", "arguments": "", "status": "in_progress"},
            FunctionCall("", "", "f", ""),
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "text", "text": "beta"}]},
            MessageItem("", "user", (InputText("beta"),)),
        ),
        (
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_audio", "transcript": "said"}],
            },
            MessageItem("", "assistant", (OutputText("said"),)),
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": "said"}]},
            MessageItem("", "user", (InputAudio("said"),)),
        ),
    ],
)
def test_items_become_values(item: dict[str, Any], value: object) -> None:
    assert decode({"type": "conversation.item.create", "item": item}) == CreateItem(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("previous", [None, "root", "item_x"])
def test_the_place_of_a_new_item_is_kept(previous: str | None) -> None:
    event = {"type": "conversation.item.create", "previous_item_id": previous, "item": ITEMS[1]}

    assert decode(event).previous_item_id == previous


# --- updates -----------------------------------------------------------------------------------------


def test_an_update_holds_what_it_names_and_nothing_else() -> None:
    assert update() == {}
    assert update(instructions="") == {"instructions": ""}
    assert update(audio={"input": {"turn_detection": {"threshold": 0.7}}}) == {
        "audio": {"input": {"turn_detection": {"threshold": 0.7}}}
    }


def test_null_switches_off_what_can_be_off_and_means_absent_elsewhere() -> None:
    assert update(audio={"input": {"turn_detection": None, "transcription": None, "format": None}}) == {
        "audio": {"input": {"turn_detection": None, "transcription": None}}
    }
    assert update(instructions=None, tools=None, model=None, audio=None, temperature=None) == {
        "temperature": None
    }


def test_wire_values_become_the_pipelines_own() -> None:
    assert update(max_output_tokens="inf") == {"max_output_tokens": None}
    assert update(output_modalities=["audio", "text", "audio"]) == {"output_modalities": ("audio", "text")}
    assert update(tools=[TOOL]) == {
        "tools": (FunctionTool("weather", "Says the weather.", TOOL["parameters"]),)  # type: ignore[arg-type]
    }
    assert update(tool_choice={"type": "function", "name": "f"}) == {"tool_choice": NamedToolChoice("f")}
    assert update(audio={"output": {"format": {"type": "audio/pcm", "rate": 8000}}}) == {
        "audio": {"output": {"format": AudioFormat(rate=8000)}}
    }
    assert update(audio={"output": {"voice": {"id": "voice_1"}}}) == {
        "audio": {"output": {"voice": "voice_1"}}
    }


def test_older_spellings_are_understood() -> None:
    assert update(modelId="lab/x") == {"model": "lab/x"}
    assert respond(voice="Bob").overrides == {"audio": {"output": {"voice": "Bob"}}}
    assert respond(voice="Bob", audio={"output": {"voice": "Ann"}}).overrides == {
        "audio": {"output": {"voice": "Ann"}}
    }
    assert respond(modalities=["text"]).overrides == {"output_modalities": ("text",)}


@pytest.mark.parametrize(
    ("format", "value"),
    [
        ({"type": "audio/pcm"}, AudioFormat("audio/pcm", 24_000)),
        ({"type": "audio/pcm", "rate": 44_100}, AudioFormat("audio/pcm", 44_100)),
        ({"rate": 16_000}, AudioFormat("audio/pcm", 16_000)),
        ({"type": "audio/pcmu"}, AudioFormat("audio/pcmu", 8_000)),
        ({"rate": 8_000, "type": "audio/pcma"}, AudioFormat("audio/pcma", 8_000)),
        ({"type": "audio/float32"}, AudioFormat("audio/float32", 24_000)),
        ({"type": "audio/float32", "rate": 48_000}, AudioFormat("audio/float32", 48_000)),
        ("pcm16", AudioFormat("audio/pcm", 24_000)),
        ("g711_ulaw", AudioFormat("audio/pcmu", 8_000)),
        ("g711_alaw", AudioFormat("audio/pcma", 8_000)),
        ("float32", AudioFormat("audio/float32", 24_000)),
    ],
)
def test_formats_have_a_type_and_a_rate(format: Any, value: AudioFormat) -> None:
    assert update(audio={"input": {"format": format}}) == {"audio": {"input": {"format": value}}}
    assert respond(audio={"output": {"format": format}}).overrides == {"audio": {"output": {"format": value}}}


def test_unknown_members_are_ignored_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    same = decoder()
    text = json.dumps(
        {"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"colour": 1}}}}
    )

    with caplog.at_level(logging.WARNING):
        assert same.decode(text) == UpdateSession({"audio": {"input": {}}})
        same.decode(text)

    assert caplog.messages == ["ignoring the unknown member 'session.audio.input.colour'"]


# --- responses ---------------------------------------------------------------------------------------


def test_a_response_with_everything() -> None:
    params = decode(EVENTS[-2]).params

    assert not params.in_conversation
    assert params.metadata == {"topic": "weather"}
    assert params.input[-1] == ItemReference("item_a")
    assert len(params.input) == len(ITEMS) + 1
    assert set(params.overrides) >= {"instructions", "tools", "tool_choice", "audio", "temperature"}
    assert not {"input", "metadata", "conversation"} & set(params.overrides)


def test_no_input_is_something_else_than_empty_input() -> None:
    assert respond(conversation="auto").input is None
    assert respond(input=[]).input == ()


# --- refusals (every other one is tried over the wire by the conformance tests) ------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[" * 5000, "invalid_json"),
        ("[]", "invalid_event"),
        ("null", "invalid_event"),
        ("{}", "invalid_event"),
    ],
)
def test_what_is_no_event_at_all_is_refused(text: str, code: str) -> None:
    command = decoder().decode(text)

    assert isinstance(command, Refuse)
    assert command.error.code == code


def test_a_refusal_carries_the_clients_id_when_it_has_one() -> None:
    assert decode({"type": "what?", "event_id": "e"}).event_id == "e"
    assert decode({"type": "what?", "event_id": 5}).event_id is None
    assert refusal({"type": "what?", "event_id": 5}) == ("invalid_type", "event_id")
    assert refusal({"type": "what?", "event_id": "x" * 513}) == ("string_above_max_length", "event_id")


def test_binary_frames_are_refused() -> None:
    assert decoder().refuse_binary().error.code == "invalid_event"


@pytest.mark.parametrize("depth", [60, 5000])
def test_an_order_is_only_so_deep(depth: int) -> None:
    event = '{"type":"response.create","x":' + "[" * depth + "]" * depth + "}"

    assert isinstance(decoder().decode(event), CreateResponse if depth < 64 else Refuse)


# --- anything ----------------------------------------------------------------------------------------

numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = (
    st.none() | st.booleans() | numbers | st.text(max_size=20) | st.sampled_from(["inf", "root", "x" * 600])
)
names = st.sampled_from(
    ["type", "session", "item", "response", "audio", "input", "output", "id", "content", "event_id", "tools"]
)
anything = st.recursive(
    scalars,
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(names | st.text(max_size=9), children, max_size=4)
    ),
    max_leaves=12,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every member and entry inside a JSON value."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in steps:
        yield (*path, step)
        yield from places(child, (*path, step))


@st.composite
def nearly_good(draw: st.DrawFn) -> Any:
    """A good event with up to three faults: a member gone, exchanged or too many."""
    event = copy.deepcopy(draw(st.sampled_from(EVENTS)))
    for _ in range(draw(st.integers(0, 3))):
        *way, last = draw(st.sampled_from(list(places(event)) or [("type",)]))
        owner = event
        for step in way:
            owner = owner[step]
        match draw(st.sampled_from(["gone", "other", "other", "more"])):
            case "gone" if last in owner or isinstance(owner, list):
                del owner[last]
            case "more" if isinstance(owner, dict):
                owner[draw(names | st.text(max_size=9))] = draw(anything)
            case _:
                owner[last] = draw(anything)
    return event


def take(engine: Engine, text: str) -> None:
    """What a server does with a frame; what it says must be JSON with a type and an id."""
    command = decoder().decode(text)
    if isinstance(command, AppendAudio):
        return
    encoder = Encoder("sess_1", 0)
    for effect in engine.handle(command, 0.0):
        if isinstance(effect, StartGeneration):
            orjson.dumps([tool.parameters for tool in effect.request.tools])
        if isinstance(effect, Emit):
            (frame,) = encoder.encode(effect.event)
            event = orjson.loads(frame)
            assert event["type"]
            assert event["event_id"].startswith("event_")
            if event["type"] == "error":
                assert event["error"]["message"]
                assert len(event["error"]["message"]) < 2000
                assert isinstance(event["error"]["param"], str | None)


def fresh_engine() -> Engine:
    engine = Engine(session_config(), FakeCatalog(), default_stt="lab/stt", new_id=counting_ids())
    engine.handle(StartSession(), 0.0)
    return engine


@examples(200)
@given(anything)
def test_any_json_is_understood_or_refused(value: Any) -> None:
    take(fresh_engine(), orjson.dumps(value).decode())


@examples(100)
@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    take(fresh_engine(), text)


@examples(300)
@given(st.lists(nearly_good(), min_size=1, max_size=4))
def test_nearly_good_events_are_understood_or_refused(events: list[Any]) -> None:
    engine = fresh_engine()
    for event in events:
        take(engine, orjson.dumps(event).decode())


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event["type"]))
def test_the_good_events_are_good(event: Any) -> None:
    assert not isinstance(decode(event), Refuse)
