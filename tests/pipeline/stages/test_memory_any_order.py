"""Turns, notes and states of clients in any order: the memory keeps its limits, and the session its peace."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands import CancelResponse, CreateItem, CreateResponse, DeleteItem, UpdateSession
from pipeline.core.standing import standing_instructions
from pipeline.events import ResponseDone, SessionUpdated
from pipeline.extensions import MemoryState, extensions_of
from pipeline.items import FunctionCall, FunctionCallOutput
from providers.contracts import AssistantMessage, LlmRequest, ToolMessage
from providers.errors import OverloadedError
from tests.chance import examples
from tests.pipeline.playbook import user
from tests.pipeline.stages.remembering import TwoHanded, notes, remembering, sent_back, state_of, turn
from tests.virtual_time import in_virtual_time

FACTS = ("The user is called Ann.", "She lives in Rome.", "she lives in rome", "A dog. " * 60)

answers = st.one_of(
    st.builds(
        lambda facts, summary: notes(*facts, summary=summary), st.lists(st.sampled_from(FACTS)), st.text()
    ),
    st.sampled_from(["They met.", '{"facts": [', "", '{"facts": null}']),
    st.sampled_from([0.5, 25.0]).map(lambda seconds: [seconds, notes("Late.")]),
    st.just([OverloadedError("busy")]),
)
states = st.none() | st.builds(
    MemoryState,
    version=st.integers(0, 6),
    facts=st.lists(st.sampled_from(FACTS), max_size=3).map(tuple),
    summary=st.sampled_from(["", "Before."]),
    turns_since_gen=st.integers(0, 9),
    total_turns=st.integers(0, 50),
).map(sent_back)
updates = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "turn_interval": st.integers(1, 4),
        "max_memory_length": st.sampled_from([1, 60, 2000]),
        "max_transcript_items": st.sampled_from([1, 6, 50]),
        "max_facts": st.sampled_from([0, 2, 20]),
        "trim_after_summarize": st.booleans(),
        "state": states,
    },
)
steps = st.one_of(
    st.sampled_from(["turn", "turn", "turn", "turn", "cancel", "call", "delete", "wait", "wait long"]),
    updates,
)


@examples(60)
@given(st.lists(answers, max_size=8), st.lists(steps, max_size=24))
def test_any_order(answers: Sequence[Any], steps: Sequence[str | dict[str, Any]]) -> None:
    @in_virtual_time
    async def story() -> None:
        llm = TwoHanded(*answers)
        async with remembering(llm, {"turn_interval": 2, "trim_after_summarize": True}) as (session, client):
            for number, step in enumerate(steps):
                before = state_of(session)
                match step:
                    case "turn":
                        done = await turn(session, client, f"Turn {number}")
                        assert done.response.status == "completed"
                        check_context(llm.requests[-1], f"Turn {number}")
                    case "cancel":
                        session.dispatch(CreateItem(user(f"Turn {number}")))
                        session.dispatch(CreateResponse())
                        session.dispatch(CancelResponse())
                    case "call":
                        call = f"call_{number}"
                        session.dispatch(CreateItem(FunctionCall("", call, "look", "{}")))
                        session.dispatch(CreateItem(FunctionCallOutput("", call, "blue")))
                    case "delete":
                        for item in list(session.items)[:1]:
                            session.dispatch(DeleteItem(item.id))
                    case "wait":
                        await asyncio.sleep(1)  # on the virtual clock
                    case "wait long":
                        await asyncio.sleep(30)
                    case dict():
                        session.dispatch(UpdateSession({"provider_data": {"memory": step}}))
                memory = extensions_of(session.config.provider_data).memory
                if memory.enabled and isinstance(step, str):
                    assert memory.state.version >= before.version
                assert llm.most_at_once <= 1
                held = standing_instructions(session.config).partition("<memory>\n")[2]
                assert len(held.removesuffix("\n</memory>")) <= memory.max_memory_length
            told = client.of(SessionUpdated)
            if told:
                assert state_of(told[-1]) == state_of(session)
            assert len(client.of(ResponseDone)) == sum(step in ("turn", "cancel") for step in steps)

    story()


def check_context(request: LlmRequest, last: str) -> None:
    """The newest message is there, and every output stands behind the call that it answers."""
    assert getattr(request.messages[-1], "text", "") == last
    open_calls: set[str] = set()
    for message in request.messages:
        if isinstance(message, ToolMessage):
            assert message.call_id in open_calls
        elif isinstance(message, AssistantMessage):
            open_calls = {call.id for call in message.tool_calls}
