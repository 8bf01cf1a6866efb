"""Ids: their shape, and that they do not repeat."""

import re

import pytest

from pipeline.ids import new_id


@pytest.mark.parametrize("prefix", ["item", "resp", "call", "conv", "sess", "event"])
def test_an_id_fits_where_clients_send_it_back(prefix: str) -> None:
    id = new_id(prefix)

    assert re.fullmatch(prefix + "_[0-9a-zA-Z]{21}", id)
    assert len(id) <= 32


def test_ids_do_not_repeat_and_use_every_character() -> None:
    ids = {new_id("item") for _ in range(5_000)}

    assert len(ids) == 5_000
    assert len(set("".join(id[5:] for id in ids))) == 62
