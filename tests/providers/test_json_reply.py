"""JSON objects in what models write around them."""

import json
from time import thread_time

import pytest

from providers.json_reply import read_object

NAMES = ("facts", "summary")
WANTED = {"facts": ["Ann"], "summary": "Hello {there}."}
PLAIN = json.dumps(WANTED)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(PLAIN, id="alone"),
        pytest.param(f"```json\n{json.dumps(WANTED, indent=2)}\n```", id="in a fence"),
        pytest.param(f"Sure! Here are the {{notes}}:\n{PLAIN}\nAnything else?", id="explained"),
        pytest.param(f"<think>Maybe {{}} or {json.dumps({'facts': []})}?</think>{PLAIN}", id="thought over"),
        pytest.param(f'{{"result": {PLAIN}}}', id="in another object"),
        pytest.param(f'{{"result": {PLAIN}', id="in another that is not closed"),
        pytest.param(f'{{"mood": "good"}}\n{PLAIN}', id="behind another object"),
        pytest.param(PLAIN + PLAIN.replace("Ann", "Bea"), id="twice"),
    ],
)
def test_the_object_is_found(text: str) -> None:
    assert read_object(text, NAMES) == WANTED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "They said hello.",
        '["facts"]',
        '"facts"',
        '{"facts": ["Ann"',
        "{'facts': ['Ann']}",
        '{"other": 1}',
        '{"facts": ' + "9" * 5000 + "}",
        '{"facts": ' + "[" * 16_000,
        "x" * 20_000 + PLAIN,
    ],
    ids=lambda text: text[:16] or "nothing",
)
def test_where_there_is_none_nothing_is_found(text: str) -> None:
    assert read_object(text, NAMES) is None


@pytest.mark.parametrize(
    "text", ["{" * 20_000, '{"' * 10_000, '{"a":[' * 8 + "1," * 8_000, '{"a":"b"}' * 2_000, "<think>" * 3_000]
)
def test_no_answer_takes_long_to_read(text: str) -> None:
    began = thread_time()

    assert read_object(text, NAMES) is None
    # It takes 4 ms at most; a search that is quadratic takes longer than this.
    assert thread_time() - began < 0.2
