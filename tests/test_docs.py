"""The documentation is true: settings exist, code runs, events are understood, links lead somewhere."""

import io
import json
import re
import shlex
import tomllib
import wave
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.core
import typer.main
from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from pipeline.commands import Refuse
from providers.contracts import LlmRequest, TextDelta, TextPart, UserMessage
from providers.llm.echo import EchoLlm
from server.cli import app
from server.protocol.decoding import Decoder
from server.provider_options import OPTIONS
from server.provider_table import markdown, options_markdown
from server.settings import Settings, load_settings
from server.startup import build_registry, load_providers
from tests.dockerfile import ROOT
from tests.markdown import Block, blocks, pages
from tests.speech import recording

CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
UNSET = "unset"
REQUIRED = "required"


def _row(path: str, default: Any) -> str:
    """How the row of a setting must begin."""
    if default is None:
        return f"| `{path}` | {UNSET} |"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"| `{path}` | `{json.dumps(to_jsonable_python(default))}` |"


def _rows(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        members = get_args(field.annotation)
        if members[:1] == (str,) and _is_table(members[1]):  # tables of which the user chooses the names
            yield from _rows(members[1], f"{path}.NAME.")
            continue
        if field.is_required():
            yield f"| `{path}` | {REQUIRED} |"
            continue
        tables = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_table(kind)]
        if tables:
            if len(get_args(field.annotation)) > 1:  # it may also be something else than a table
                yield f"| `{path}` | a table |"
            yield from _rows(tables[0], f"{path}.")
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        assert default is not PydanticUndefined, path
        yield _row(path, default)


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


@pytest.mark.parametrize("row", list(_rows(Settings)))
def test_every_setting_is_documented_with_its_default(row: str) -> None:
    assert row in CONFIGURATION


def _made(page: str) -> str:
    """What a page has between the comments that say how it is made."""
    found = re.search(
        r"<!-- made by `[^`]+` -->\n(.*?)<!-- end -->", (ROOT / "docs" / page).read_text(), re.DOTALL
    )
    assert found is not None
    return found[1].strip()


def test_the_providers_are_documented_as_the_registry_has_them() -> None:
    assert _made("providers.md") == markdown()


def test_the_options_of_every_kind_are_documented() -> None:
    assert _made("provider-options.md") == options_markdown(OPTIONS)


def test_every_kind_of_ours_has_its_options_documented() -> None:
    entries = entry_points(group="openparley.providers")
    kinds = {entry.name for entry in entries if entry.value.startswith("providers.")}

    assert kinds == set(OPTIONS)


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = set(_rows(Settings))
    documented = re.findall(
        r"^\| `[\w.]+` \| (?:`.*?`|unset|required|a table) \|", CONFIGURATION, re.MULTILINE
    )

    assert len(documented) > 40
    assert set(documented) <= known


def _examples() -> list[Block]:
    """All settings, but not those of the example package, which tests/test_docs_provider.py installs."""
    file = ROOT / "parley.example.toml"
    found = [block for block in blocks("toml") if "shout" not in block.text]
    return [*found, Block(file.name, 1, "toml", file.read_text())]


@pytest.mark.parametrize("block", _examples(), ids=str)
def test_settings_in_the_documentation_are_accepted(block: Block) -> None:
    values = tomllib.loads(block.text)
    environment = {"LAB_KEY": "key-of-this-test", "OPENAI_API_KEY": "key-of-this-test"}

    settings = Settings(**values)
    registry, choices = build_registry(settings, load_providers(settings, environment), environment)

    assert registry.providers
    assert {choice.stage for choice in choices} == {"vad", "turn", "stt", "llm", "tts"}


def _commented_settings() -> str:
    """The example file with its commented settings switched on."""
    lines = (ROOT / "parley.example.toml").read_text().splitlines()
    return "\n".join(re.sub(r"^# (?=\[|\w+ = )", "", line) for line in lines)


def test_the_example_file_is_right_with_everything_in_it_switched_on() -> None:
    values = tomllib.loads(_commented_settings())
    settings = Settings(**values)
    environment = {"LAB_KEY": "key-of-this-test"}

    registry, choices = build_registry(settings, load_providers(settings, environment), environment)

    assert "lab" in registry.providers
    assert "lab/llama-3.1-8b" in [choice.chosen for choice in choices]


def _commands() -> list[Any]:
    found = []
    for block in blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if "parley" in words and "docker" not in words:
                found.append(pytest.param(words[words.index("parley") + 1 :], id=f"{block}: {line[:60]}"))
    return found


@pytest.mark.parametrize("words", _commands())
def test_every_documented_command_is_understood(words: list[str]) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    if words[0].startswith("-"):
        assert words[0] in {option for parameter in group.params for option in parameter.opts}
        return

    command = group.commands[words[0]]

    command.make_context(words[0], words[1:])  # parses the arguments and runs nothing


def _variables() -> list[dict[str, str]]:
    """The settings that commands of the documentation make in the environment."""
    lines = [line for block in blocks("sh") for line in block.text.splitlines()]
    found = [dict(re.findall(r"\b(PARLEY_[A-Z_]+)=([\w.,/-]+)", line)) for line in lines]
    return [variables for variables in found if variables]


@pytest.mark.parametrize("variables", _variables(), ids=lambda variables: ",".join(variables))
def test_settings_in_documented_commands_are_accepted(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert load_settings() != Settings()


def _client_events() -> list[Any]:
    found = []
    for block in blocks("json"):
        text = block.text.strip()
        events = [json.loads(line) for line in text.splitlines()] if "\n{" in text else [json.loads(text)]
        found += [pytest.param(event, id=f"{block} {event.get('type')}") for event in events]
    return found


@pytest.mark.parametrize("event", _client_events())
def test_every_documented_client_event_is_understood(event: dict[str, Any]) -> None:
    session_type = event.get("session", {}).get("type", "realtime")
    decoder = Decoder(max_append_bytes=1_000_000, max_item_bytes=1_000_000, session_type=session_type)

    command = decoder.decode(json.dumps(event))

    assert not isinstance(command, Refuse), command


def test_the_protocol_page_lists_every_event_of_either_side() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    decoder = Decoder(max_append_bytes=1, max_item_bytes=1)
    refusal = decoder.decode('{"type": "?"}')
    assert isinstance(refusal, Refuse)
    client = re.findall(r"'([a-z_]+\.[a-z_.]+)'", refusal.error.message)
    encoding = (ROOT / "server" / "protocol" / "encoding.py").read_text()
    names = r'"((?:session|conversation|input_audio_buffer|response|rate_limits)\.[a-z_.]+)"'
    server = set(re.findall(names, encoding))

    assert len(client) == 10
    assert [event for event in client if f"| `{event}` |" not in page] == []
    assert len(server) > 25
    assert [event for event in server if f"`{event}`" not in page] == []


ECHO_ROWS = re.findall(
    r"^\| `(.+?)` \| (?!answers|waits|calls|fails|stops)(.+) \|$",
    (ROOT / "docs" / "echo.md").read_text(),
    re.MULTILINE,
)


@pytest.mark.parametrize(("said", "answer"), ECHO_ROWS)
async def test_the_stage_directions_give_the_documented_answers(said: str, answer: str) -> None:
    request = LlmRequest((UserMessage((TextPart(said),)),))

    events = [event async for event in EchoLlm().generate(request)]

    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == answer


def _programs() -> list[Block]:
    """Programs that need nothing but a server; the README's has a test of its own."""
    return [block for block in blocks("python") if "http://127.0.0.1:8000" in block.text]


# The SDK's blocking connection is opened in a way that the newest websockets package regrets.
@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context:DeprecationWarning")
@pytest.mark.parametrize("block", _programs(), ids=str)
def test_every_documented_program_runs(
    block: Block, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hello.wav").write_bytes(_recording())
    host = server_url.removeprefix("http://")

    exec(compile(block.text.replace("127.0.0.1:8000", host), str(block), "exec"), {"__name__": "__main__"})


def _recording() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(recording("clone-test", 24_000))
    return out.getvalue()


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\[[^\]]*\]\((?!https?:)([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        file = page if not name else (page.parent / name).resolve()
        assert file.exists(), target
        if anchor:
            assert anchor in _anchors(file), target
