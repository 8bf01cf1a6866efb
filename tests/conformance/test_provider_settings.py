"""What `providerData` says of writing and speaking, as the services get it."""

from typing import Any

import pytest

from tests.conformance.client import Event, talk
from tests.conformance.test_provider_data import REPLY, Lab, lab

__all__ = ["lab"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAMPLING = {
    "maxNewTokens": 60,
    "temperature": 0.4,
    "topP": 0.9,
    "frequencyPenalty": 0.5,
    "presencePenalty": -0.5,
    "repetitionPenalty": 1.1,
    "stopSequences": ["END"],
    "seed": 7,
    "logitBias": {"50256": -100},
}
WRITTEN = {
    "temperature": 0.4,
    "top_p": 0.9,
    "frequency_penalty": 0.5,
    "presence_penalty": -0.5,
    "stop": ["END"],
    "seed": 7,
    "logit_bias": {"50256": -100},
}


async def asked(lab: Lab, model: str, session_members: Event, **response: Any) -> Event:
    """The body of the request that a reply of that model was asked for with."""
    async with talk(lab.url, model, text=True, **session_members) as session:
        assert (await session.ask("Hello", **response)).text == REPLY
    maker = model.partition("/")[0]
    fake: Any = {"openai": lab.openai.chat, "inworld": lab.inworld.chat}.get(maker, lab.google.contents)
    body: Event = fake.requests[-1].body
    return body


async def test_openai_gets_the_sampling_that_it_knows(lab: Lab) -> None:
    body = await asked(lab, "openai/gpt-4o-mini", {"providerData": {"text_generation_config": SAMPLING}})

    assert {name: body.get(name) for name in WRITTEN} == WRITTEN
    assert body["max_completion_tokens"] == 60
    assert "repetition_penalty" not in body


async def test_inworld_gets_all_of_it(lab: Lab) -> None:
    body = await asked(lab, "inworld/shop", {"providerData": {"text_generation_config": SAMPLING}})

    wanted = WRITTEN | {"max_completion_tokens": 60, "repetition_penalty": 1.1}
    assert {name: body.get(name) for name in wanted} == wanted


async def test_gemini_gets_what_it_has_and_thinks_as_told(lab: Lab) -> None:
    config = {**SAMPLING, "reasoning": {"effort": "LOW", "maxTokens": 700}}

    body = await asked(
        lab, "google-ai-studio/gemini-2.5-flash", {"providerData": {"text_generation_config": config}}
    )

    assert body["generationConfig"] == {
        "temperature": 0.4,
        "topP": 0.9,
        "maxOutputTokens": 60,
        "frequencyPenalty": 0.5,
        "presencePenalty": -0.5,
        "stopSequences": ["END"],
        "seed": 7,
        "thinkingConfig": {"thinkingBudget": 700},
    }


async def test_the_own_members_of_a_session_and_of_a_response_go_first(lab: Lab) -> None:
    provider_data = {"text_generation_config": {"temperature": 0.4, "max_new_tokens": 60, "seed": 7}}
    own = {"providerData": provider_data, "temperature": 1.0, "max_output_tokens": 50}

    of_session = await asked(lab, "openai/gpt-4o-mini", own)
    of_response = await asked(lab, "openai/gpt-4o-mini", own, temperature=0.1, max_output_tokens=40)

    names = ("temperature", "max_completion_tokens", "seed")
    assert [of_session[name] for name in names] == [1.0, 50, 7]
    assert [of_response[name] for name in names] == [0.1, 40, 7]


async def test_a_response_may_have_its_own_which_holds_for_it_alone(lab: Lab) -> None:
    provider_data = {"text_generation_config": {"seed": 7, "topP": 0.9}}
    async with talk(lab.url, "openai/gpt-4o-mini", text=True, providerData=provider_data) as session:
        await session.ask("Hello", providerData={"text_generation_config": {"seed": 8, "topP": None}})
        await session.ask("Hello")
        assert (await session.update())["providerData"] == provider_data

    first, second = (request.body for request in lab.openai.chat.requests[-2:])
    assert (first["seed"], first.get("top_p")) == (8, None)
    assert (second["seed"], second["top_p"]) == (7, 0.9)


async def test_too_much_of_it_is_refused_with_the_name_of_the_event(lab: Lab) -> None:
    async with talk(lab.url, text=True, providerData={"mine": "x" * 40_000}) as session:
        await session.send("response.create", response={"providerData": {"more": "x" * 40_000}})
        error = await session.error()

        assert (error["code"], error["param"]) == ("string_above_max_length", "response.providerData")


REST = ["Yes.", "That is good, and so we talk.", "Bye."]


@pytest.mark.parametrize(
    ("strategy", "pieces"),
    [
        ("auto", ["Well, my dear friend,", "I can hear you.", *REST]),
        ("sentence", ["Well, my dear friend, I can hear you.", *REST]),
        ("full_turn", [REPLY]),
    ],
)
async def test_a_reply_is_cut_as_the_client_wants(lab: Lab, strategy: str, pieces: list[str]) -> None:
    audio = {"output": {"model": "inworld-tts-2", "voice": "Dennis"}}
    asks = {"tts": {"segmenter_strategy": strategy}}
    async with talk(lab.url, "inworld/shop", audio=audio, providerData=asks) as session:
        reply = await session.ask("Hello")

    texts = [message["send_text"]["text"] for message in lab.spoken() if "send_text" in message]
    assert reply.text == REPLY
    assert [text.strip() for text in texts] == pieces


async def test_the_voice_is_told_how_to_speak(lab: Lab) -> None:
    audio = {"output": {"model": "inworld-tts-2", "voice": "Dennis"}}
    asks = {"tts": {"delivery_mode": "creative", "language": "en-GB"}}
    async with talk(lab.url, "inworld/shop", audio=audio, providerData=asks) as session:
        assert (await session.ask("Hello")).audio
        created = next(message["create"] for message in lab.spoken() if "create" in message)
        await session.ask("Hello", providerData={"tts": {"delivery_mode": "STABLE"}})
        again = next(message["create"] for message in lab.spoken() if "create" in message)

    assert (created["deliveryMode"], created["language"]) == ("CREATIVE", "en-GB")
    assert (again["deliveryMode"], again["language"]) == ("STABLE", "en-GB")
