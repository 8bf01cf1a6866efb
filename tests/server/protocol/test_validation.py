"""Faults in JSON and how they are told: code, dotted path, and a message that a person understands."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from pipeline.errors import InvalidRequest
from server.protocol.validation import WireModel, check_depth, dotted, validate


class Leaf(WireModel):
    kind: Literal["a", "b"] = "a"
    size: int | None = Field(None, ge=1, le=9)
    share: float | None = Field(None, ge=0.5, le=1.5)
    name: str | None = Field(None, min_length=1, max_length=3)
    flag: bool | None = None


class Cat(WireModel):
    type: Literal["cat"]
    lives: int


class Dog(WireModel):
    type: Literal["dog"]


class Tree(WireModel):
    leaf: Leaf
    leaves: Annotated[list[Leaf], Field(max_length=2)] | None = None
    animal: Annotated[Cat | Dog, Field(discriminator="type")] | None = None


def fault(data: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        validate(Tree, data)
    return caught.value


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        ({}, "missing_required_parameter", "leaf"),
        ([], "invalid_type", ""),
        ({"leaf": 5}, "invalid_type", "leaf"),
        ({"leaf": {"size": "5"}}, "invalid_type", "leaf.size"),
        ({"leaf": {"size": 5.0}}, "invalid_type", "leaf.size"),
        ({"leaf": {"size": 5.5}}, "invalid_type", "leaf.size"),
        ({"leaf": {"size": True}}, "invalid_type", "leaf.size"),
        ({"leaf": {"size": 0}}, "integer_below_min_value", "leaf.size"),
        ({"leaf": {"size": 10**30}}, "integer_above_max_value", "leaf.size"),
        ({"leaf": {"share": 0.1}}, "decimal_below_min_value", "leaf.share"),
        ({"leaf": {"share": 2}}, "decimal_above_max_value", "leaf.share"),
        ({"leaf": {"name": ""}}, "string_below_min_length", "leaf.name"),
        ({"leaf": {"name": "long"}}, "string_above_max_length", "leaf.name"),
        ({"leaf": {"flag": 1}}, "invalid_type", "leaf.flag"),
        ({"leaf": {"kind": "c"}}, "invalid_value", "leaf.kind"),
        ({"leaf": {}, "leaves": [{}, {"size": "x"}]}, "invalid_type", "leaves[1].size"),
        ({"leaf": {}, "leaves": [{}] * 3}, "array_above_max_length", "leaves"),
        ({"leaf": {}, "leaves": {}}, "invalid_type", "leaves"),
        ({"leaf": {}, "animal": {}}, "missing_required_parameter", "animal.type"),
        ({"leaf": {}, "animal": {"type": "cow"}}, "invalid_value", "animal.type"),
        ({"leaf": {}, "animal": {"type": "cat"}}, "missing_required_parameter", "animal.lives"),
        ({"leaf": {}, "animal": {"type": "cat", "lives": "9"}}, "invalid_type", "animal.lives"),
    ],
)
def test_a_fault_has_a_code_and_a_place(data: Any, code: str, param: str) -> None:
    error = fault(data)

    assert (error.code, error.param) == (code, param)
    assert param in error.message or error.message.startswith("Invalid value: ")


def test_an_enumeration_says_what_it_supports() -> None:
    message = fault({"leaf": {"kind": "c"}}).message

    assert all(word in message for word in ("'c'", "'a'", "'b'"))


def test_a_long_value_is_shown_in_part() -> None:
    assert len(fault({"leaf": {"kind": "x" * 10_000}}).message) < 300


def test_unknown_members_are_kept_aside() -> None:
    tree = validate(Tree, {"leaf": {"colour": "green"}})

    assert tree.leaf.model_extra == {"colour": "green"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("item",), "item"),
        (("item", "content", 0, "text"), "item.content[0].text"),
        (("input", 1, 2), "input[1][2]"),
        (("x" * 500,), "x" * 100 + "…"),
    ],
)
def test_paths_are_dotted(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text


def test_depth_is_measured_without_recursion() -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for level in range(depth):
            value = [value] if level % 2 else {"x": value}
        return value

    assert check_depth(nested(10))
    assert not check_depth(nested(100_000))
