"""A refused order gets one error, with the client's id, and leaves the engine exactly as it was."""

from typing import Any

import pytest

from pipeline.commands import (
    CancelResponse,
    ClientCommand,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    Refuse,
    ResponseParams,
    RetrieveItem,
    SpeechSynthesized,
    TextGenerated,
    TruncateItem,
    UpdateSession,
)
from pipeline.core.state import EngineLimits
from pipeline.effects import Emit
from pipeline.errors import InvalidRequest
from pipeline.events import ErrorRaised
from pipeline.items import FunctionCallOutput, InputAudio, ItemReference, MessageItem
from providers.contracts import NamedToolChoice
from tests.pipeline.playbook import Playbook, snapshot, user

CLIP = MessageItem("", "user", (InputAudio(pcm=bytes(100)),))


def audio(**members: Any) -> UpdateSession:
    return UpdateSession({"audio": members, "instructions": "never applied"}, "e")


def aside(**params: Any) -> CreateResponse:
    return CreateResponse(ResponseParams(in_conversation=False, **params), "e")


REFUSED = {
    "nonsense": Refuse(InvalidRequest("what?"), "e"),
    "unknown model": UpdateSession({"instructions": "never applied", "model": "x"}, "e"),
    "unknown transcription": audio(input={"transcription": {"model": "x"}, "turn_detection": None}),
    "unknown speech model": audio(output={"model": "x", "speed": 1.5}),
    "unknown voice": audio(output={"voice": "nobody"}),
    "unknown tool": UpdateSession(
        {"instructions": "never applied", "tool_choice": NamedToolChoice("x")}, "e"
    ),
    "early commit": CommitAudio("e"),
    "unknown place": CreateItem(CLIP, "gone", "e"),
    "known id": CreateItem(MessageItem("a", "user", CLIP.content), None, "e"),
    "output of nothing": CreateItem(FunctionCallOutput("", "gone", ""), None, "e"),
    "delete unknown": DeleteItem("gone", "e"),
    "retrieve unknown": RetrieveItem("gone", "e"),
    "truncate unknown": TruncateItem("gone", 0, 0, "e"),
    "truncate the user": TruncateItem("a", 0, 0, "e"),
    "truncate another part": TruncateItem("item_2", 1, 0, "e"),
    "second response": CreateResponse(event_id="e"),
    "dangling reference": aside(input=(CLIP, ItemReference("gone"))),
    "unknown model of a response": aside(input=(CLIP,), overrides={"model": "x"}),
    "unknown tool of a response": aside(input=(CLIP,), overrides={"tool_choice": NamedToolChoice("x")}),
    "cancel unknown": CancelResponse("gone", "e"),
}


@pytest.fixture
def busy() -> Playbook:
    """An engine in the middle of everything: speech heard, a reply half spoken, clips waiting."""
    script = Playbook()
    script.tell(CreateItem(user("hello", "a")), CreateItem(MessageItem("clip", "user", CLIP.content)))
    script.tell(aside(input=(CLIP,)), DeleteItem("clip"))
    script.tell(CreateResponse(), TextGenerated("resp_2", "One two three. Fo"))
    script.tell(SpeechSynthesized("resp_2", bytes(4800)))
    return script.append(64)


@pytest.mark.parametrize("order", REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_order_changes_nothing(busy: Playbook, order: ClientCommand) -> None:
    before = snapshot(busy.engine)

    effects = busy.engine.handle(order, 1.0)

    assert len(effects) == 1
    effect = effects[0]
    assert isinstance(effect, Emit)
    assert isinstance(effect.event, ErrorRaised)
    assert effect.event.client_event_id == "e"
    assert effect.event.error.message
    assert snapshot(busy.engine) == before


def test_a_full_house_changes_nothing() -> None:
    limits = EngineLimits(max_items=1, max_pending_transcripts=1, max_parallel_responses=1)
    script = Playbook(limits=limits).tell(CreateItem(MessageItem("a", "user", CLIP.content)), aside())
    before = snapshot(script.engine)

    for order in (
        CreateItem(CLIP),
        CreateItem(user("b")),
        aside(),
        aside(input=(CLIP, CLIP)),
        CreateResponse(),
    ):
        (effect,) = script.engine.handle(order, 1.0)
        assert isinstance(effect, Emit)
        assert isinstance(effect.event, ErrorRaised)

    assert snapshot(script.engine) == before


def test_a_snapshot_sees_what_an_order_changes(busy: Playbook) -> None:
    for order in (
        UpdateSession({"instructions": "applied"}),
        CreateItem(user("b", "b"), "root"),
        DeleteItem("b"),
        TruncateItem("item_2", 0, 10),
        CancelResponse(),
    ):
        before = snapshot(busy.engine)
        busy.tell(order)
        assert snapshot(busy.engine) != before, order
