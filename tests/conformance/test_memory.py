"""Memory on the wire: what clients are told, what a model reads, and how it reaches the next session."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from server.background import running_server
from server.settings import ProviderTable, Settings
from tests.conformance.client import FENCE, RATE, Event, Talk, talk
from tests.conformance.hearing import VOICE_WORDS, voice, words
from tests.fakes.openai_api import HANG, ChatReply, FakeOpenAI, RecordedRequest, Reply, Script, error
from tests.speech import silence

pytestmark = pytest.mark.asyncio(loop_scope="module")

FACTS = ["The user is called Ann.", "She lives in Rome."]
MODEL = "lab/chat"


@dataclass
class Lab:
    """A server whose model is a fake: it answers the user, and `notes` when it is asked for those."""

    url: str
    fake: FakeOpenAI
    notes: Script | None = None

    def answer(self, request: RecordedRequest) -> Script:
        if not is_for_notes(request):
            return ChatReply(text="I see.")
        return self.notes or ChatReply(text=json.dumps({"facts": FACTS, "summary": "They met."}))

    def asked(self, *, notes: bool) -> list[list[Any]]:
        """The messages of every request of that kind."""
        return [r.body["messages"] for r in self.fake.chat.requests if is_for_notes(r) is notes]

    def read(self) -> list[str]:
        """What the latest reply was made of."""
        return [f"{message['role']}: {message['content']}" for message in self.asked(notes=False)[-1]]


def is_for_notes(request: RecordedRequest) -> bool:
    return str(request.body["messages"][0]["content"]).startswith("You keep the notes")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Lab]:
    async with FakeOpenAI() as fake:
        table = {
            "kind": "openai-compatible",
            "base_url": fake.base_url,
            "api_key": fake.api_key,
            "first_byte_timeout": 0.5,
        }
        settings = Settings(providers={"lab": ProviderTable.model_validate(table)})
        server = running_server(settings, environ={})
        url = await asyncio.to_thread(server.__enter__)
        try:
            yield Lab(url, fake)
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


@pytest.fixture
def lab(running: Lab) -> Lab:
    running.notes = None
    running.fake.chat.default = running.answer
    running.fake.chat.requests.clear()
    return running


def remembering(**memory: Any) -> Event:
    return {"providerData": {"memory": {"enabled": True, "turn_interval": 2, **memory}}}


async def until_remembered(session: Talk) -> Event:
    """The state that the server tells of without being asked."""
    event = (await session.until("session.updated"))[-1]
    state: Event = event["session"]["providerData"]["memory"]["state"]
    return state


async def test_the_state_is_told_and_a_second_session_goes_on_from_it(lab: Lab) -> None:
    async with talk(lab.url, MODEL, text=True, instructions="Be kind.", **remembering()) as session:
        await session.ask("I am Ann")
        await session.ask("I live in Rome")
        before = session.session
        state = await until_remembered(session)
        after = session.session

    assert state == {
        "version": 1,
        "facts": FACTS,
        "summary": "They met.",
        "context_text": "- The user is called Ann.\n- She lives in Rome.\n\nThey met.",
        "turns_since_gen": 0,
        "total_turns": 2,
        "items_trimmed": 0,
    }
    assert after["providerData"]["memory"] == {"enabled": True, "turn_interval": 2, "state": state}
    unchanged = {"expires_at", "providerData"} ^ after.keys()
    assert {name: before[name] for name in unchanged} == {name: after[name] for name in unchanged}
    assert lab.asked(notes=True)[0][1]["content"].endswith(
        "<conversation>\nUser: I am Ann\nAssistant: I see.\nUser: I live in Rome\nAssistant: I see.\n"
        "</conversation>"
    )

    wanted = remembering(state=state)
    async with talk(lab.url, MODEL, text=True, instructions="Be brief.", **wanted) as session:
        assert session.session["providerData"]["memory"]["state"] == state
        await session.ask("Where do I live?")
        system, question = lab.read()
        assert system.startswith("system: Be brief.\n\n")
        assert f"<memory>\n{state['context_text']}\n</memory>" in system
        assert question == "user: Where do I live?"

        await session.ask("Thanks")
        renewed = await until_remembered(session)
        assert (renewed["version"], renewed["total_turns"]) == (2, 4)
        assert "<facts>\n- The user is called Ann.\n" in lab.asked(notes=True)[1][1]["content"]


async def test_nothing_is_remembered_unless_a_client_wants_it(lab: Lab) -> None:
    async with talk(lab.url, MODEL, text=True, instructions="Be kind.") as session:
        for text in ("I am Ann", "I live in Rome", "Goodbye"):
            await session.ask(text)
        assert lab.read()[0] == "system: Be kind."
        assert "providerData" not in session.session

    assert lab.asked(notes=True) == []


async def test_a_spoken_conversation_is_remembered(lab: Lab) -> None:
    detection = {"type": "server_vad", "silence_duration_ms": 300}
    async with talk(
        lab.url,
        MODEL,
        text=True,
        audio={"input": {"turn_detection": detection}},
        **remembering(turn_interval=1),
    ) as session:
        await session.append(voice() + silence(800, RATE))
        await session.reply()
        state = await until_remembered(session)

    assert state["total_turns"] == 1
    (notes,) = lab.asked(notes=True)
    spoken = notes[1]["content"].partition("<conversation>\n")[2].splitlines()
    assert words(spoken[0].removeprefix("User: ")) == VOICE_WORDS
    assert spoken[1] == "Assistant: I see."


async def test_what_is_summarized_leaves_the_context_and_can_be_retrieved(lab: Lab) -> None:
    wanted = remembering(turn_interval=4, trim_after_summarize=True)
    async with talk(lab.url, MODEL, text=True, instructions="", **wanted) as session:
        for text in ("One", "Two", "Three", "Four"):
            await session.ask(text)
        state = await until_remembered(session)
        await session.ask("Five")

        assert state["items_trimmed"] == 4
        assert lab.read()[1:] == [
            "user: Three",
            "assistant: I see.",
            "user: Four",
            "assistant: I see.",
            "user: Five",
        ]
        assert len(await session.items()) == 10, "all of them can be retrieved"


async def test_a_state_that_is_older_is_put_right_and_a_newer_one_taken(lab: Lab) -> None:
    newer = {"version": 7, "facts": ["She moved to Oslo."], "summary": "", "total_turns": 30}
    async with talk(lab.url, MODEL, text=True, **remembering(turn_interval=1)) as session:
        await session.ask("I am Ann")
        state = await until_remembered(session)

        older = {"memory": {"state": {"version": 0, "facts": ["She lives in Paris."]}}}
        await session.update(providerData=older)
        assert session.session["providerData"]["memory"]["state"] == state

        await session.update(providerData={"memory": {"state": newer}})
        told = session.session["providerData"]["memory"]["state"]
        assert {name: told[name] for name in newer} == newer
        await session.update(providerData={"memory": {"turn_interval": 5}})
        await session.ask("Where do I live?")
        assert "<memory>\n- She moved to Oslo.\n</memory>" in lab.read()[0]

        await session.update(providerData={"memory": {"state": None}})
        assert "state" not in session.session["providerData"]["memory"]
        await session.ask("Who am I?")
        assert "<memory>" not in lab.read()[0]


@pytest.mark.parametrize(
    "notes",
    [
        pytest.param(error(500, "The server had an error"), id="failure"),
        pytest.param(error(401, "Incorrect API key provided"), id="refusal"),
        pytest.param(Reply((HANG,)), id="silence"),
        pytest.param(ChatReply(text='{"facts": ["half'), id="garbage"),
    ],
)
async def test_trouble_with_the_notes_is_not_the_clients(lab: Lab, notes: Script) -> None:
    lab.notes = notes
    async with talk(lab.url, MODEL, text=True, **remembering()) as session:
        for text in ("One", "Two", "Three"):
            assert (await session.ask(text)).status == "completed"
        told = [event["error"]["message"] for event in session.events if event["type"] == "error"]
        assert [text for text in told if FENCE not in text] == []
        assert "state" not in session.session["providerData"]["memory"]
    assert lab.asked(notes=True), "the model was asked, and nothing came of it"


@pytest.mark.parametrize(
    ("memory", "param"),
    [
        ({"turn_interval": 0}, "turn_interval"),
        ({"max_facts": "many"}, "max_facts"),
        ({"state": {"facts": [7]}}, "state.facts[0]"),
        ({"state": []}, "state"),
    ],
)
async def test_members_of_the_wrong_kind_are_refused(lab: Lab, memory: Event, param: str) -> None:
    async with talk(lab.url, MODEL, text=True, **remembering()) as session:
        wanted = {"type": "realtime", "providerData": {"memory": memory}}
        await session.send("session.update", session=wanted)
        problem = await session.error()

        assert problem["type"] == "invalid_request_error"
        assert problem["param"] == f"session.providerData.memory.{param}"
        assert session.session["providerData"]["memory"] == {"enabled": True, "turn_interval": 2}
