"""Partial updates of a session's configuration."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import (
    AudioFormat,
    NoiseReduction,
    SemanticVad,
    ServerVad,
    SessionConfig,
    Transcription,
    TurnDetection,
    merge,
)
from pipeline.errors import InvalidRequest
from tests.chance import examples
from tests.pipeline.playbook import session_config


def hearing(config: SessionConfig, starts: Any = None, **input: Any) -> Any:
    """The input half of the configuration after an update of it."""
    return merge(config, {"audio": {"input": input}}, starts).audio.input


def detection(current: TurnDetection | None, patch: Any) -> TurnDetection | None:
    config = session_config({"audio": {"input": {"turn_detection": None}}})
    if current is not None:
        members = {name: getattr(current, name) for name in type(current).__dataclass_fields__}
        config = merge(config, {"audio": {"input": {"turn_detection": members}}})
    result = hearing(config, turn_detection=patch).turn_detection
    assert result is None or isinstance(result, TurnDetection)
    return result


def test_only_what_is_named_changes() -> None:
    before = session_config({"instructions": "Be kind."})

    after = merge(before, {"audio": {"output": {"speed": 1.5}}})

    assert after.audio.output.speed == 1.5
    assert merge(after, {"audio": {"output": {"speed": 1.0}}}) == before
    assert merge(before, {}) == before


@pytest.mark.parametrize(
    ("current", "patch", "result"),
    [
        (
            ServerVad(threshold=0.9),
            {"silence_duration_ms": 5},
            ServerVad(threshold=0.9, silence_duration_ms=5),
        ),
        (ServerVad(threshold=0.9), {"type": "server_vad"}, ServerVad(threshold=0.9)),
        (ServerVad(create_response=False), {"type": "semantic_vad"}, SemanticVad()),
        (SemanticVad(eagerness="low"), {"type": "server_vad", "threshold": 0.1}, ServerVad(threshold=0.1)),
        (SemanticVad(eagerness="low"), {"threshold": 0.1}, ServerVad(threshold=0.1)),
        (
            SemanticVad(eagerness="low"),
            {"create_response": False},
            SemanticVad(eagerness="low", create_response=False),
        ),
        (ServerVad(), None, None),
        (None, None, None),
        (None, {}, ServerVad()),
        (None, {"type": "semantic_vad", "eagerness": "high"}, SemanticVad(eagerness="high")),
        (None, {"threshold": 0.3, "eagerness": "high"}, ServerVad(threshold=0.3)),
    ],
)
def test_turn_detection_keeps_its_members_until_its_type_changes(
    current: TurnDetection | None, patch: Any, result: TurnDetection | None
) -> None:
    assert detection(current, patch) == result


def test_what_is_switched_on_starts_where_it_is_told_to() -> None:
    off = session_config({"audio": {"input": {"turn_detection": None}}})
    start = {ServerVad: ServerVad(silence_duration_ms=200)}

    on = hearing(off, start, turn_detection={"threshold": 0.7}).turn_detection

    assert on == ServerVad(threshold=0.7, silence_duration_ms=200)


def test_transcription_switched_on_needs_a_model_from_somewhere() -> None:
    off = session_config({"audio": {"input": {"transcription": None}}})

    start = {Transcription: Transcription("lab/d")}
    assert hearing(off, start, transcription={"language": "de"}).transcription == Transcription("lab/d", "de")
    with pytest.raises(InvalidRequest) as caught:
        hearing(off, transcription={"language": "de"})
    assert caught.value.param == "session.audio.input.transcription.model"


def test_noise_reduction_comes_with_defaults_and_keeps_its_strength() -> None:
    on = merge(session_config(), {"audio": {"input": {"noise_reduction": {"strength": 0.3}}}})

    assert on.audio.input.noise_reduction == NoiseReduction("near_field", 0.3)
    assert hearing(on, noise_reduction={"type": "far_field"}).noise_reduction == NoiseReduction(
        "far_field", 0.3
    )


def test_opaque_objects_are_replaced_whole() -> None:
    config = session_config({"tracing": {"workflow_name": "a", "group_id": "b"}})

    assert merge(config, {"tracing": {"group_id": "c"}}).tracing == {"group_id": "c"}


def test_unknown_members_change_nothing() -> None:
    assert merge(session_config(), {"colour": 1, "audio": {"input": {"smell": {}}}}) == session_config()


patches = st.fixed_dictionaries(
    {},
    optional={
        "instructions": st.text(max_size=3),
        "max_output_tokens": st.none() | st.integers(1, 9),
        "audio": st.fixed_dictionaries(
            {},
            optional={
                "input": st.fixed_dictionaries(
                    {},
                    optional={
                        "format": st.sampled_from([AudioFormat(rate=8_000), AudioFormat(rate=16_000)]),
                        "turn_detection": st.none()
                        | st.fixed_dictionaries({"type": st.sampled_from(["server_vad", "semantic_vad"])}),
                    },
                ),
                "output": st.fixed_dictionaries({}, optional={"speed": st.floats(0.25, 1.5)}),
            },
        ),
    },
)


@examples(100)
@given(patches, patches)
def test_the_same_update_twice_is_the_same_as_once(first: Any, second: Any) -> None:
    config = merge(merge(session_config(), first), second)

    assert merge(config, second) == config
