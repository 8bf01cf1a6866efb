"""Truncation, prompts, reasoning and tracing: typed inside, and shown again as the client sent them."""

from typing import Any

import pytest

from pipeline.config import Prompt, Reasoning, RetentionRatio, merge
from pipeline.errors import InvalidRequest
from pipeline.items import InputText
from server.protocol.objects import session_json
from server.protocol.session_models import read_session, session_patch
from tests.pipeline.playbook import session_config

RATIO = {"type": "retention_ratio", "retention_ratio": 0.8}


@pytest.mark.parametrize(
    ("name", "wire", "value"),
    [
        ("truncation", "disabled", "disabled"),
        ("truncation", RATIO, RetentionRatio(0.8)),
        (
            "truncation",
            {**RATIO, "token_limits": {"post_instructions": 0}},
            RetentionRatio(0.8, post_instructions=0),
        ),
        ("prompt", {"id": "p"}, Prompt("p")),
        ("prompt", {"id": "p", "version": "2", "variables": {}}, Prompt("p", "2", {})),
        (
            "prompt",
            {"id": "p", "variables": {"a": "x", "b": {"type": "input_text", "text": "y"}}},
            Prompt("p", None, {"a": "x", "b": InputText("y")}),
        ),
        ("reasoning", {"effort": "low"}, Reasoning("low")),
        ("reasoning", {}, Reasoning()),
        ("tracing", {"metadata": {"a": 1, "b": {"c": [True]}}}, {"metadata": {"a": 1, "b": {"c": [True]}}}),
    ],
)
def test_what_was_sent_is_shown_again(name: str, wire: Any, value: Any) -> None:
    patch = session_patch(read_session({name: wire}, "realtime"))
    config = merge(session_config(), patch)

    assert patch == {name: value}
    assert session_json("sess_1", config, 0)[name] == wire


def test_another_ratio_replaces_the_old_one_with_its_limit() -> None:
    config = session_config({"truncation": RetentionRatio(0.5, 100)})

    changed = merge(config, session_patch(read_session({"truncation": RATIO}, "realtime")))

    assert changed.truncation == RetentionRatio(0.8)


@pytest.mark.parametrize(
    ("member", "code", "param"),
    [
        ({"workflow_name": "w" * 513}, "string_above_max_length", "tracing.workflow_name"),
        ({"group_id": "g" * 513}, "string_above_max_length", "tracing.group_id"),
        ({"metadata": {"k" * 65: 1}}, "string_above_max_length", "tracing.metadata"),
        ({"metadata": {"k": "v" * 513}}, "string_above_max_length", "tracing.metadata.k"),
        ({"metadata": {"k": ["v" * 600]}}, "string_above_max_length", "tracing.metadata.k"),
        ({"metadata": {f"k{n}": 1 for n in range(17)}}, "array_above_max_length", "tracing.metadata"),
    ],
)
def test_tracing_cannot_be_made_to_hold_much(member: Any, code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_session({"tracing": member}, "realtime")

    assert (refused.value.code, refused.value.param) == (code, f"session.{param}")
