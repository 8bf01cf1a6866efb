"""Prompts: a session or a response names its instructions, and the model reads the filled-in template."""

from typing import Any

import pytest
from openai import BadRequestError

from tests.conformance.client import Event, Talk, openai_client, talk

CLERK: Any = {"id": "clerk", "variables": {"shop": "Bolt", "name": {"type": "input_text", "text": "Ann"}}}


async def answer(session: Talk, **response: object) -> str:
    """What the instructions tell the model to say, since nobody has typed anything."""
    return (await session.respond(input=[], conversation="none", **response)).text


async def test_a_prompt_becomes_the_instructions_of_the_session(prompts_url: str) -> None:
    async with talk(prompts_url, text=True) as session:
        shown = await session.update(prompt=CLERK)

        assert shown["prompt"] == CLERK
        assert shown["instructions"] == "[[say Welcome to Bolt, Ann.]]"
        assert await answer(session) == "Welcome to Bolt, Ann."


async def test_the_latest_version_is_meant_unless_one_is_named(prompts_url: str) -> None:
    async with talk(prompts_url, text=True, prompt={"id": "greeter"}) as session:
        assert await answer(session) == "Hello there."

        await session.update(prompt={"id": "greeter", "version": "1"})
        assert await answer(session) == "Good day."


async def test_instructions_of_the_same_event_win(prompts_url: str) -> None:
    async with talk(prompts_url, text=True) as session:
        shown = await session.update(prompt=CLERK, instructions="[[say Mine.]]")

        assert (shown["prompt"], shown["instructions"]) == (CLERK, "[[say Mine.]]")
        assert await answer(session) == "Mine."


async def test_null_forgets_the_prompt_and_keeps_what_it_said(prompts_url: str) -> None:
    async with talk(prompts_url, text=True, prompt={"id": "greeter"}) as session:
        shown = await session.update(prompt=None)

        assert shown["prompt"] is None
        assert await answer(session) == "Hello there."


async def test_a_response_can_have_a_prompt_of_its_own(prompts_url: str) -> None:
    async with talk(prompts_url, text=True, prompt={"id": "greeter"}) as session:
        assert await answer(session, prompt=CLERK) == "Welcome to Bolt, Ann."
        assert await answer(session) == "Hello there."
        assert await answer(session, prompt=CLERK, instructions="[[say Mine.]]") == "Mine."


async def test_a_client_secret_can_carry_a_prompt(prompts_url: str) -> None:
    async with openai_client(prompts_url) as client:
        made = await client.realtime.client_secrets.create(session={"type": "realtime", "prompt": CLERK})
        with pytest.raises(BadRequestError) as refused:
            await client.realtime.client_secrets.create(session={"type": "realtime", "prompt": {"id": "no"}})

    assert made.session.type == "realtime"
    assert made.session.instructions == "[[say Welcome to Bolt, Ann.]]"
    assert refused.value.param == "session.prompt.id"


@pytest.mark.parametrize(
    ("prompt", "code", "member"),
    [
        ({"id": "nobody"}, "invalid_value", "id"),
        ({"id": "../clerk"}, "invalid_value", "id"),
        ({"id": "greeter", "version": "3"}, "invalid_value", "version"),
        ({"id": "clerk"}, "missing_required_parameter", "variables.shop"),
        ({"id": "greeter", "variables": {"x": "y"}}, "unknown_parameter", "variables.x"),
    ],
)
async def test_a_prompt_that_cannot_be_had_changes_nothing(
    prompts_url: str, prompt: Event, code: str, member: str
) -> None:
    async with talk(prompts_url, text=True) as session:
        before = session.session
        await session.send("session.update", session={"type": "realtime", "prompt": prompt})
        of_session = await session.error()
        await session.send("response.create", response={"prompt": prompt})
        of_response = await session.error()

        assert (of_session["code"], of_session["param"]) == (code, f"session.prompt.{member}")
        assert (of_response["code"], of_response["param"]) == (code, f"response.prompt.{member}")
        assert await session.update() == before


async def test_a_server_without_prompts_says_how_to_have_some(server_url: str) -> None:
    async with talk(server_url) as session:
        await session.send("session.update", session={"type": "realtime", "prompt": {"id": "greeter"}})
        error = await session.error()

        assert (error["code"], error["param"]) == ("invalid_value", "session.prompt")
        assert "server.prompts_dir" in error["message"]
        assert (await session.update(prompt=None))["prompt"] is None
