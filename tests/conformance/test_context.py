"""Long conversations, images, reasoning and parallel calls: what of a session reaches its model."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from server.background import running_server
from server.settings import ProviderTable, Settings
from tests.conformance.client import ECHO, Event, Talk, talk
from tests.fakes.openai_api import ChatReply, FakeOpenAI

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
JPEG = "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(40)).decode()
TOOL: Event = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
HOLDS = 400  # tokens


@dataclass(frozen=True)
class Lab:
    """A server whose providers `lab` and `blind` are a fake of the OpenAI API."""

    url: str
    fake: FakeOpenAI

    def read(self) -> list[Any]:
        """The contents of the user messages in the latest request."""
        messages = self.fake.chat.requests[-1].body["messages"]
        return [message["content"] for message in messages if message["role"] == "user"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with FakeOpenAI() as fake:
        table = {"kind": "openai-compatible", "base_url": fake.base_url, "api_key": fake.api_key}
        providers = {
            "lab": ProviderTable.model_validate({**table, "context_tokens": HOLDS}),
            "blind": ProviderTable.model_validate({**table, "vision": False}),
        }
        server = running_server(Settings(providers=providers), environ={})
        url = await asyncio.to_thread(server.__enter__)
        try:
            yield Lab(url, fake)
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


@pytest.fixture(scope="module")
def forgetful_url() -> Iterator[str]:
    """A server whose echo holds little."""
    tables = {"builtin": ProviderTable.model_validate({"context_tokens": 200})}
    with running_server(Settings(providers=tables), environ={}) as url:
        yield url


def words(letter: str) -> str:
    """Fifty tokens, by our own estimate: 46 of text, and 4 for being a message."""
    return f"{letter} " * 92


def letters(contents: list[Any]) -> str:
    return "".join(content[0] for content in contents)


async def fill(session: Talk, text: str) -> None:
    for letter in text:
        await session.type(words(letter))


# --- truncation --------------------------------------------------------------------------------------


async def test_a_long_conversation_goes_on_without_its_beginning(lab: Lab) -> None:
    async with talk(lab.url, "lab/chat", text=True, instructions="") as session:
        # 400 tokens, an eighth of them for the answer, four for no instructions: six messages fit.
        await fill(session, "abcdef")
        first = await session.respond(conversation="none")
        all_of_it = letters(lab.read())
        await fill(session, "gh")
        second = await session.respond(conversation="none")

        assert (first.status, all_of_it) == ("completed", "abcdef")
        assert (second.status, letters(lab.read())) == ("completed", "cdefgh")
        assert len(await session.items()) == 8, "the conversation itself keeps everything"


async def test_a_retention_ratio_makes_room_for_several_turns(lab: Lab) -> None:
    ratio = {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 260}}
    async with talk(lab.url, "lab/chat", text=True, instructions="", truncation=ratio) as session:
        read = []
        for turn in ("abcde", "f", "g", "h", "i"):
            await fill(session, turn)
            await session.respond(conversation="none")
            read.append(letters(lab.read()))

        assert read == ["abcde", "ef", "efg", "efgh", "efghi"]


async def test_without_truncation_the_response_fails_until_items_are_deleted(lab: Lab) -> None:
    async with talk(lab.url, "lab/chat", text=True, instructions="", truncation="disabled") as session:
        await fill(session, "abcdefg")
        asked = len(lab.fake.chat.requests)
        failed = await session.respond()
        error = failed.response["status_details"]["error"]

        assert failed.status == "failed"
        assert (error["type"], error["code"]) == ("invalid_request_error", "context_length_exceeded")
        assert failed.response["output"] == []
        assert len(lab.fake.chat.requests) == asked, "the model was not asked"

        await session.send("conversation.item.delete", item_id=(await session.items())[0])
        assert (await session.respond()).status == "completed"
        assert letters(lab.read()) == "bcdefg"


async def test_a_shorter_answer_leaves_room_for_a_longer_conversation(lab: Lab) -> None:
    async with talk(lab.url, "lab/chat", text=True, instructions="") as session:
        await fill(session, "abcdefg")
        await session.respond(conversation="none", max_output_tokens=20)
        assert letters(lab.read()) == "abcdefg"

        await session.respond(conversation="none")
        assert letters(lab.read()) == "bcdefg"


async def test_a_call_leaves_together_with_its_output(lab: Lab) -> None:
    async with talk(lab.url, "lab/chat", text=True, instructions="", tools=[TOOL]) as session:
        await session.add({"type": "function_call", "name": "look", "call_id": "c", "arguments": "{}"})
        await session.type("x")
        await session.add({"type": "function_call_output", "call_id": "c", "output": words("y")})
        await fill(session, "abcdef")
        reply = await session.respond()

        assert reply.status == "completed"
        messages = lab.fake.chat.requests[-1].body["messages"]
        assert {message["role"] for message in messages} == {"user"}


async def test_echo_can_be_made_to_forget(forgetful_url: str) -> None:
    async with talk(forgetful_url, ECHO, text=True, instructions="") as session:
        await fill(session, "abc")
        short = await session.respond(conversation="none")
        await fill(session, "def")
        long = await session.respond(conversation="none")

        assert short.response["usage"]["input_tokens"] == 3 * 92
        assert long.response["usage"]["input_tokens"] == 3 * 92
        assert long.text.startswith("You said: f")


# --- what is passed on -------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [PNG, JPEG, JPEG.replace("jpeg", "jpg")])
async def test_models_are_sent_the_images_of_the_user(lab: Lab, url: str) -> None:
    async with talk(lab.url, "lab/chat", text=True) as session:
        look = {"type": "input_text", "text": "What is this?"}
        image = {"type": "input_image", "image_url": url, "detail": "low"}
        await session.add({"type": "message", "role": "user", "content": [look, image]})
        await session.respond()

    assert lab.read() == [
        [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        ]
    ]


async def test_a_model_without_eyes_is_told_that_there_was_an_image(lab: Lab) -> None:
    async with talk(lab.url, "blind/chat", text=True) as session:
        image = {"type": "input_image", "image_url": PNG}
        await session.add({"type": "message", "role": "user", "content": [image]})
        reply = await session.respond()

    assert reply.status == "completed"
    (content,) = lab.read()
    assert "cannot see" in content


async def test_effort_and_parallel_calls_reach_the_model_and_a_response_has_its_own(lab: Lab) -> None:
    session_has: dict[str, Any] = {
        "reasoning": {"effort": "low"},
        "parallel_tool_calls": False,
        "tools": [TOOL],
    }
    async with talk(lab.url, "lab/chat", text=True, **session_has) as session:
        await session.ask("Hello")
        of_session = lab.fake.chat.requests[-1].body
        await session.respond(reasoning={"effort": "high"}, parallel_tool_calls=True)
        of_response = lab.fake.chat.requests[-1].body
        await session.update(reasoning=None, parallel_tool_calls=None)
        await session.respond()
        of_nobody = lab.fake.chat.requests[-1].body

        assert (of_session["reasoning_effort"], of_session["parallel_tool_calls"]) == ("low", False)
        assert (of_response["reasoning_effort"], of_response["parallel_tool_calls"]) == ("high", True)
        assert not {"reasoning_effort", "parallel_tool_calls"} & of_nobody.keys()


async def test_an_effort_that_the_model_does_not_know_is_left_out(lab: Lab) -> None:
    lab.fake.unsupported = {"reasoning_effort"}
    lab.fake.chat.script(ChatReply(text="Anyway."))
    async with talk(lab.url, "lab/plain", text=True, reasoning={"effort": "xhigh"}) as session:
        reply = await session.ask("Hello")
    lab.fake.unsupported = set()

    assert (reply.status, reply.text) == ("completed", "Anyway.")
    assert "reasoning_effort" not in lab.fake.chat.requests[-1].body
