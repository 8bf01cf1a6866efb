"""The `play` fixture: makes playbooks, and fails the test if one of them was not read to its end."""

from collections.abc import Callable, Iterator

import pytest

from tests.pipeline.playbook import Playbook

Play = Callable[..., Playbook]


@pytest.fixture
def play() -> Iterator[Play]:
    """`play(patch)`: a playbook with the default configuration changed by `patch`."""
    made: list[Playbook] = []

    def make(*args: object, **options: object) -> Playbook:
        made.append(Playbook(*args, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for playbook in made:
        playbook.close()
