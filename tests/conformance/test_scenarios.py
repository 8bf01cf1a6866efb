"""Every scenario of the protocol, in each dialect and profile that it applies to."""

import pytest

from tests.conformance.scenarios import SCENARIOS
from tests.conformance.scenarios.registry import Case
from tests.conformance.scenarios.runner import Stagehand


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in SCENARIOS])
async def test_a_scenario_goes_as_it_has_to(stagehand: Stagehand, case: Case) -> None:
    await stagehand.record(case)
