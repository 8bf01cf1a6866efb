"""How many examples property tests try."""

import os

from hypothesis import HealthCheck, settings

__all__ = ["examples"]

_FACTOR = int(os.environ.get("TEST_EXAMPLES", "0"))


def examples(count: int, *, steps: int = 50) -> settings:
    """`count` examples that are the same on every run, so that a gate never fails by chance.

    With `TEST_EXAMPLES=20` in the environment it is twenty times as many, and others on every run.
    """
    return settings(
        max_examples=count * max(1, _FACTOR),
        stateful_step_count=steps,
        derandomize=not _FACTOR,
        deadline=None,  # shared machines stall
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        print_blob=True,
    )
