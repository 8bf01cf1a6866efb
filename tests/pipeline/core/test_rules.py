"""What a running session may change under strict rules, and that generous ones let it."""

from dataclasses import replace
from typing import Any

from pipeline.commands import (
    CreateResponse,
    DeleteItem,
    ResponseParams,
    SpeechSynthesized,
    TextGenerated,
    UpdateSession,
)
from pipeline.config import ServerVad
from pipeline.core.reconfiguring import Rules
from tests.pipeline.core.conftest import Play
from tests.pipeline.playbook import Playbook, session_config

STRICT = Rules(model_changes=False, voice_changes=False, tracing_changes=False)


def voice(name: str) -> dict[str, Any]:
    return {"audio": {"output": {"voice": name}}}


def spoken(script: Playbook) -> Playbook:
    """After a reply of which the client has heard something."""
    script.tell(CreateResponse(), TextGenerated("resp_1", "Hello."), SpeechSynthesized("resp_1", bytes(4800)))
    return script.finish("resp_1").skip()


def test_another_model_is_refused_and_the_same_one_taken(play: Play) -> None:
    script = play(rules=STRICT)

    script.tell(UpdateSession({"model": "lab/llm", "instructions": "Sing."})).expect(
        "> configure", "session.updated"
    )
    script.tell(UpdateSession({"model": "lab/other", "instructions": "Hum."}, "e")).expect(
        "error cannot_update_model session.model e"
    )
    assert script.engine.config == replace(session_config(), instructions="Sing.")


def test_the_voice_may_change_until_it_was_heard(play: Play) -> None:
    script = play(rules=STRICT)

    script.tell(UpdateSession(voice("Bob"))).expect("> configure", "session.updated")
    spoken(script)
    script.tell(UpdateSession(voice("Bob"))).expect("> configure", "session.updated")
    script.tell(UpdateSession(voice("Ann") | {"instructions": "Hum."}, "e")).expect(
        "error cannot_update_voice - e"
    )
    assert script.engine.config.instructions == ""
    script.tell(CreateResponse(ResponseParams(voice("Ann")), "e")).expect("error cannot_update_voice - e")
    script.tell(DeleteItem("item_1")).skip()
    script.tell(UpdateSession(voice("Ann"))).expect("> configure", "session.updated")


def test_an_aside_may_have_another_voice(play: Play) -> None:
    script = spoken(play(rules=STRICT))

    script.tell(CreateResponse(ResponseParams(voice("Bob"), in_conversation=False))).expect(
        "response.created resp_2...", "> generate resp_2..."
    )


def test_tracing_is_fixed_once_it_is_on(play: Play) -> None:
    script = play(rules=STRICT)

    for _ in range(2):
        script.tell(UpdateSession({"tracing": "auto"})).expect("> configure", "session.updated")
    for other in (None, {"group_id": "g"}):
        script.tell(UpdateSession({"tracing": other}, "e")).expect(
            "error cannot_update_tracing session.tracing e"
        )


def test_generous_rules_let_everything_change(play: Play) -> None:
    script = spoken(play())

    for change in (voice("Bob"), {"model": "lab/other"}, {"tracing": "auto"}, {"tracing": None}):
        script.tell(UpdateSession(change)).expect("> configure", "session.updated")


def test_server_vad_starts_as_the_rules_say(play: Play) -> None:
    start = ServerVad(prefix_padding_ms=300, silence_duration_ms=200)
    script = play(rules=Rules(server_vad=start))
    script.tell(UpdateSession({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}})).skip()

    script.tell(
        UpdateSession({"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 0.7}}}})
    ).expect("> configure", "session.updated")

    assert script.engine.config.audio.input.turn_detection == replace(start, threshold=0.7)
