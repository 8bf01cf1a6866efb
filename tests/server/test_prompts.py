"""Prompt templates in a directory: versions, blanks, and everything that is refused."""

from pathlib import Path

import pytest

from pipeline.config import Prompt
from pipeline.errors import InvalidRequest
from pipeline.items import InputText
from server.prompts import PromptLibrary
from server.settings import SettingsError, load_settings

PLACE = "session.prompt"


@pytest.fixture
def library(tmp_path: Path) -> PromptLibrary:
    def write(name: str, text: str | bytes) -> None:
        file = tmp_path / "prompts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    write("plain.md", "\ufeffBe brief.\n")
    write("clerk.md", "You sell {{goods}} at {{ shop }}. {{goods}}! { {x} } {{}} {x}\n")
    for version in ("1", "2", "10", "draft"):
        write(f"many/{version}.md", f"Version {version}.")
    write("named/v2.md", "Old.")
    write("named/v10.md", "New.")
    write("named/.hidden.md", "Hidden.")
    write("v1.2_final.md", "Dots.")
    write("empty.md", "")
    write("long.md", "x" * (64 * 1024 + 1))
    write("longest.md", "x" * (64 * 1024))
    write("latin.md", "caf\u00e9".encode("latin-1"))
    write("hungry.md", "{{a}}" * 10_000)
    write("folder.md/inner.md", "A folder.")
    write("../secret.md", "Secret.")
    (tmp_path / "prompts" / "hollow").mkdir()
    return PromptLibrary(tmp_path / "prompts")


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (Prompt("plain"), "Be brief."),
        (Prompt("plain", "1"), "Be brief."),
        (Prompt("plain", variables={}), "Be brief."),
        (Prompt("many"), "Version 10."),
        (Prompt("many", "2"), "Version 2."),
        (Prompt("many", "draft"), "Version draft."),
        (Prompt("named"), "New."),
        (Prompt("v1.2_final"), "Dots."),
        (Prompt("empty"), ""),
        (Prompt("longest"), "x" * (64 * 1024)),
        (
            Prompt("clerk", variables={"goods": "nails", "shop": InputText("Bolt")}),
            "You sell nails at Bolt. nails! { {x} } {{}} {x}",
        ),
        (
            Prompt("clerk", variables={"goods": "{{shop}} \\1", "shop": ""}),
            "You sell {{shop}} \\1 at . {{shop}} \\1! { {x} } {{}} {x}",
        ),
    ],
)
def test_a_prompt_becomes_text(library: PromptLibrary, prompt: Prompt, text: str) -> None:
    assert library.render(prompt, PLACE) == text


@pytest.mark.parametrize(
    ("prompt", "code", "param"),
    [
        (Prompt("nothing"), "invalid_value", "id"),
        (Prompt("hollow"), "invalid_value", "id"),
        (Prompt("folder"), "invalid_value", "id"),
        (Prompt("../secret"), "invalid_value", "id"),
        (Prompt(".."), "invalid_value", "id"),
        (Prompt("."), "invalid_value", "id"),
        (Prompt("many/1"), "invalid_value", "id"),
        (Prompt("/etc/hostname"), "invalid_value", "id"),
        (Prompt("plain\0"), "invalid_value", "id"),
        (Prompt("plain\n"), "invalid_value", "id"),
        (Prompt(""), "invalid_value", "id"),
        (Prompt("x" * 256), "invalid_value", "id"),
        (Prompt("long"), "invalid_value", "id"),
        (Prompt("latin"), "invalid_value", "id"),
        (Prompt("plain", "2"), "invalid_value", "version"),
        (Prompt("many", "3"), "invalid_value", "version"),
        (Prompt("many", "../plain"), "invalid_value", "version"),
        (Prompt("many", ""), "invalid_value", "version"),
        (Prompt("named", ".hidden"), "invalid_value", "version"),
        (Prompt("clerk"), "missing_required_parameter", "variables.goods"),
        (Prompt("clerk", variables={"goods": "x"}), "missing_required_parameter", "variables.shop"),
        (Prompt("plain", variables={"goods": "x"}), "unknown_parameter", "variables.goods"),
        (Prompt("hungry", variables={"a": "x" * 1000}), "string_above_max_length", "variables"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(
    library: PromptLibrary, prompt: Prompt, code: str, param: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        library.render(prompt, PLACE)

    assert (refused.value.code, refused.value.param) == (code, f"{PLACE}.{param}")


@pytest.mark.parametrize("id", ["nothing", "long", "latin", "../secret"])
def test_a_refusal_tells_nothing_about_the_machine(library: PromptLibrary, tmp_path: Path, id: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        library.render(Prompt(id), PLACE)

    assert str(tmp_path) not in refused.value.message
    assert "plain" not in refused.value.message, "other prompts are none of the client's business"


def test_a_template_that_changes_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "p.md").write_text("One.")
    library = PromptLibrary(tmp_path)
    assert library.render(Prompt("p"), PLACE) == "One."

    (tmp_path / "p.md").write_text("Two.")

    assert library.render(Prompt("p"), PLACE) == "Two."


def test_a_directory_that_is_none_is_noticed_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "p.md"
    file.write_text("")

    for wrong in (file, tmp_path / "missing"):
        with pytest.raises(SettingsError, match="prompts-dir: path does not point to a directory"):
            load_settings(overrides={"server": {"prompts_dir": wrong}})
