"""Small pieces that adapters of language models share: data: URIs, and JSON objects as text."""

import base64

import pytest

from providers.llm.data_uris import read_data_uri
from providers.llm.json_objects import read_object, write_object


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("data:image/png;base64,AAA=", ("image/png", "AAA=")),
        ("DATA:image/JPG;name=x;BASE64,AAA=", ("image/jpeg", "AAA=")),
        ("data:image/png;base64,AA%2BA", ("image/png", "AA+A")),
        ("data:image/svg+xml,%3Csvg/%3E", ("image/svg+xml", base64.b64encode(b"<svg/>").decode())),
        ("data:;base64,AAA=", ("image/png", "AAA=")),
        ("data:image/png", None),
        ("https://x.example/data:image/png;base64,AAA=", None),
        ("", None),
    ],
)
def test_a_data_uri_is_its_type_and_its_bytes(url: str, read: tuple[str, str] | None) -> None:
    assert read_data_uri(url) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"a": [1]}', {"a": [1]}),
        ("{}", {}),
        ("[1]", None),
        ("", None),
        ('{"a":', None),
        ('{"a":' * 300 + "1" + "}" * 300, None),
        ('{"a":' * 3000 + "1" + "}" * 3000, None),
    ],
)
def test_only_objects_that_can_be_sent_on_are_read(text: str, read: dict[str, object] | None) -> None:
    assert read_object(text) == read


def test_an_object_nested_too_deeply_cannot_be_written() -> None:
    value: dict[str, object] = {}
    for _ in range(300):
        value = {"a": value}

    with pytest.raises(ValueError, match="too deeply"):
        write_object(value)
