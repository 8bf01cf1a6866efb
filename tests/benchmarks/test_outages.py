"""The benchmark of outages: one service, one trial of each fault."""

from pathlib import Path

import orjson
import pytest

from benchmarks.outages import TIMEOUT_MS, main
from tests.fakes.upstreams import FAULTS


@pytest.mark.parametrize("service", ["anthropic/claude-haiku-4-5", "cartesia/sonic-3"])
def test_what_a_fault_adds_is_told_and_bounded(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "outages.json"
    main(["--trials", "1", "--only", service, "--json", str(file)])

    (run,) = orjson.loads(file.read_bytes())["runs"]
    assert run["service"] == service
    assert set(run["added_ms"]) == {"refused", *FAULTS}
    # Who gives no sign at all is waited for, and nobody else is.
    assert run["added_ms"]["mute"]["p50"] >= TIMEOUT_MS - 50
    assert run["added_ms"]["throttled"]["p50"] < run["added_ms"]["mute"]["p50"]
    assert f" {service} |" in capsys.readouterr().out
