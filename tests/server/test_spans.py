"""Spans of one session: the real engine tells the tracer what happens, and the test says when."""

from typing import Any

import pytest

from pipeline.commands import (
    AudioAppended,
    CancelResponse,
    Command,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    GenerationFailed,
    GenerationFinished,
    StartSession,
    TextGenerated,
    ToolAnswered,
    ToolCallGenerated,
    ToolCallOpened,
    TranscriptGrew,
    TranscriptionBroke,
    TranscriptReady,
    UpdateSession,
)
from pipeline.config import Patch
from pipeline.core.engine import Engine
from pipeline.items import FunctionCallOutput
from pipeline.ticks import TICK_RATE
from pipeline.tools import ServerTools, WebSearch
from providers.contracts import LlmUsage
from server.spans import SessionTracer
from tests.pipeline.playbook import FakeCatalog, counting_ids, session_config, user

START = 1_793_246_400.0
PUSH_TO_TALK: Patch = {"turn_detection": None}
WITHOUT_CONTENT = {
    "trace_id",
    "workflow_name",
    "metadata",
    "session_id",
    "kind",
    "id",
    "model",
    "status",
    "reason",
    "start",
    "end",
    "duration_ms",
    "first_output_ms",
    "usage",
    "item_ids",
}


class Traced:
    """A session that writes instead of speaking and listens when it is told to."""

    def __init__(
        self, tracing: Any = "auto", *, content: bool = False, server_tools: ServerTools | None = None
    ) -> None:
        patch: Patch = {
            "tracing": tracing,
            "output_modalities": ("text",),
            "audio": {"input": {"turn_detection": None}},
        }
        self.spans: list[Any] = []
        self.now = START
        self._engine = Engine(
            session_config(patch),
            FakeCatalog(),
            default_stt="lab/stt",
            server_tools=server_tools,
            new_id=counting_ids(),
        )
        self.tracer = SessionTracer("sess_1", self.spans.append, content=content, clock=lambda: self.now)
        self.tell(StartSession())

    def tell(self, *commands: Command, after: float = 0.0) -> None:
        """Handle commands, `after` seconds later."""
        self.now += after
        for command in commands:
            for effect in self._engine.handle(command, self.now):
                self.tracer.saw(effect)

    def hear(self, seconds: int = 1) -> None:
        """A spoken turn; its item is item_1 in a new session."""
        self.tell(AudioAppended(seconds * TICK_RATE))
        self.tell(CommitAudio(), after=seconds)


def test_a_response_is_a_span() -> None:
    traced = Traced()
    traced.tell(CreateItem(user("Hi")), CreateResponse())
    traced.tell(TextGenerated("resp_1", "Hel"), after=0.25)
    traced.tell(TextGenerated("resp_1", "lo"), after=0.25)
    traced.tell(GenerationFinished("resp_1", "stop", LlmUsage(7, 2, 5)), after=0.5)

    assert traced.spans == [
        {
            "trace_id": "sess_1",
            "workflow_name": "realtime",
            "metadata": None,
            "session_id": "sess_1",
            "kind": "response",
            "id": "resp_1",
            "model": "lab/llm",
            "status": "completed",
            "reason": None,
            "start": START,
            "end": START + 1,
            "duration_ms": 1000,
            "first_output_ms": 250,
            "usage": {"input_tokens": 7, "output_tokens": 2, "cached_tokens": 5},
            "item_ids": ["item_2"],
            "prepared_ms": None,
        }
    ]


def test_a_tool_that_the_server_runs_is_a_span() -> None:
    traced = Traced(server_tools=ServerTools(search_engines=("exa",)))
    traced.tell(UpdateSession({"tools": (WebSearch(),)}), CreateResponse())
    traced.tell(ToolCallOpened("resp_1", 0, "call_1", "web_search"))
    traced.tell(GenerationFinished("resp_1", "tool_calls"))
    traced.tell(ToolAnswered("resp_1", "call_1", "1. Rain"), after=0.5)

    (span,) = traced.spans
    assert (span["kind"], span["id"]) == ("tool", "resp_1")
    assert (span["tool"], span["status"]) == ("web_search", "completed")
    assert (span["start"], span["duration_ms"]) == (START, 500)


def test_a_response_that_did_not_complete_says_why() -> None:
    traced = Traced()
    traced.tell(CreateResponse(), GenerationFailed("resp_1", "provider_timeout", "A secret"))
    traced.tell(CreateResponse(), CancelResponse())
    traced.tell(CreateResponse(), GenerationFinished("resp_3", "length"))

    assert [(span["status"], span["reason"]) for span in traced.spans] == [
        ("failed", "provider_timeout"),
        ("cancelled", "client_cancelled"),
        ("incomplete", "max_output_tokens"),
    ]
    assert [span["first_output_ms"] for span in traced.spans] == [None] * 3


def test_a_transcription_is_a_span_from_the_first_audio_to_the_text() -> None:
    traced = Traced()
    traced.hear(seconds=1)
    traced.tell(TranscriptGrew("item_1", "Hello"), after=0.1)
    traced.tell(TranscriptReady("item_1", "Hello there"), after=0.1)

    [span] = traced.spans
    assert (span["kind"], span["id"], span["model"]) == ("transcription", "item_1", "lab/stt")
    assert (span["status"], span["usage"], span["item_ids"]) == ("completed", {"seconds": 1.0}, ["item_1"])
    assert (span["duration_ms"], span["first_output_ms"]) == (1200, 1100)


def test_a_transcription_that_broke_says_why() -> None:
    traced = Traced()
    traced.hear()
    traced.tell(TranscriptionBroke("item_1", "provider_timeout", "Too late"))

    assert [(span["status"], span["reason"]) for span in traced.spans] == [("failed", "provider_timeout")]


def test_a_transcription_of_a_deleted_item_is_no_span() -> None:
    traced = Traced()
    traced.hear()
    traced.tell(DeleteItem("item_1"), TranscriptReady("item_1", "Nobody listens"))

    assert traced.spans == []


def call(traced: Traced) -> None:
    traced.tell(
        CreateResponse(),
        ToolCallOpened("resp_1", 0, "call_1", "look"),
        ToolCallGenerated("resp_1", 0, '{"at":1}'),
        GenerationFinished("resp_1", "tool_calls"),
    )


def test_a_function_call_is_a_span_until_its_output_is_there() -> None:
    traced = Traced(content=True)
    call(traced)
    traced.tell(CreateItem(FunctionCallOutput("", "call_1", "a cat")), after=1.5)
    traced.tracer.close()

    response, answered = traced.spans
    assert response["item_ids"] == ["item_1"]
    assert (answered["kind"], answered["id"], answered["name"]) == ("function_call", "call_1", "look")
    assert (answered["status"], answered["model"], answered["item_ids"]) == (
        "completed",
        "lab/llm",
        ["item_1", "item_2"],
    )
    assert answered["duration_ms"] == 1500
    assert (answered["arguments"], answered["output"]) == ('{"at":1}', "a cat")


def test_a_function_that_never_answers_is_a_span_at_the_end_of_the_session() -> None:
    traced = Traced()
    call(traced)
    traced.tell(after=2)
    traced.tracer.close()

    assert [(span["kind"], span["status"], span["duration_ms"]) for span in traced.spans] == [
        ("response", "completed", 0),
        ("function_call", "unanswered", 2000),
    ]


@pytest.mark.parametrize("content", [False, True])
def test_what_was_said_is_written_only_where_it_is_wanted(content: bool) -> None:
    traced = Traced(content=content)
    traced.hear()
    traced.tell(TranscriptReady("item_1", "who is there"))
    traced.tell(CreateResponse(), TextGenerated("resp_1", "the postman"))
    traced.tell(ToolCallOpened("resp_1", 0, "call_1", "open_door"), ToolCallGenerated("resp_1", 0, '{"n":1}'))
    traced.tell(GenerationFinished("resp_1", "tool_calls"))
    traced.tell(CreateItem(FunctionCallOutput("", "call_1", "it is locked")))

    said = {
        "transcription": {"transcript": "who is there"},
        "response": {"text": "the postman"},
        "function_call": {"arguments": '{"n":1}', "output": "it is locked"},
    }
    for span in traced.spans:
        kind = span["kind"]
        assert {name: span[name] for name in span.keys() - WITHOUT_CONTENT - {"name", "prepared_ms"}} == (
            said[kind] if content else {}
        )
    assert [span["kind"] for span in traced.spans] == ["transcription", "response", "function_call"]


def test_names_and_metadata_of_the_client_are_those_of_the_trace() -> None:
    traced = Traced({"workflow_name": "front desk", "group_id": "caller-17", "metadata": {"shop": "north"}})
    traced.tell(CreateResponse(), GenerationFinished("resp_1", "stop"))

    [span] = traced.spans
    assert (span["trace_id"], span["workflow_name"], span["metadata"]) == (
        "caller-17",
        "front desk",
        {"shop": "north"},
    )
    assert span["session_id"] == "sess_1"


def test_a_session_without_tracing_has_no_spans_until_it_is_switched_on() -> None:
    traced = Traced(None)
    traced.tell(CreateResponse(), GenerationFinished("resp_1", "stop"))
    traced.tell(UpdateSession({"tracing": "auto"}))
    traced.tell(CreateResponse(), GenerationFinished("resp_2", "stop"))
    traced.tell(UpdateSession({"tracing": None}))
    traced.tell(CreateResponse(), GenerationFinished("resp_3", "stop"))

    assert [span["id"] for span in traced.spans] == ["resp_2"]
