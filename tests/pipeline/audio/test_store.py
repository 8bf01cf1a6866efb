"""The store of items' audio: its budget, cuts and rates."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.store import AudioStore, ClipKey
from tests.chance import examples


def test_a_clip_grows_and_comes_back_at_any_rate() -> None:
    store = AudioStore(1000)
    store.append(("a", 0), b"\1\0\2\0", 8_000)
    store.append(("a", 0), b"\3\0", 8_000)

    assert store.get(("a", 0), 8_000) == b"\1\0\2\0\3\0"
    assert len(store.get(("a", 0), 16_000)) == 12
    assert store.get(("a", 1), 8_000) == store.get(("b", 0), 8_000) == b""


def test_over_the_budget_the_oldest_clips_go() -> None:
    store = AudioStore(100)
    for name in "abc":
        store.append((name, 0), bytes(40), 8_000)

    assert [len(store.get((name, 0), 8_000)) for name in "abc"] == [0, 40, 40]


def test_a_clip_is_whole_or_gone() -> None:
    store = AudioStore(100)
    for _ in range(3):
        store.append(("long", 0), bytes(60), 8_000)

    assert store.get(("long", 0), 8_000) == b""
    store.forget("long")
    store.append(("long", 0), bytes(60), 8_000)
    assert len(store.get(("long", 0), 8_000)) == 60


def test_a_clip_is_cut_at_a_moment_of_its_own_rate() -> None:
    store = AudioStore(1000)
    store.append(("a", 0), bytes(160), 8_000)  # 10 ms

    store.cut(("a", 0), 4)
    store.cut(("gone", 0), 4)

    assert len(store.get(("a", 0), 8_000)) == 64
    store.cut(("a", 0), 100)
    assert len(store.get(("a", 0), 8_000)) == 64


def test_forgetting_an_item_forgets_all_its_parts_and_frees_their_room() -> None:
    store = AudioStore(100)
    store.append(("a", 0), bytes(40), 8_000)
    store.append(("a", 1), bytes(40), 8_000)
    store.forget("a")
    store.append(("b", 0), bytes(100), 8_000)

    assert store.get(("a", 0), 8_000) == store.get(("a", 1), 8_000) == b""
    assert len(store.get(("b", 0), 8_000)) == 100


steps = st.tuples(
    st.sampled_from(["append", "cut", "forget"]),
    st.sampled_from("abc"),
    st.integers(0, 1),
    st.integers(0, 40),
)


@examples(100)
@given(st.lists(steps, max_size=30))
def test_it_never_holds_more_than_its_budget(script: list[tuple[str, str, int, int]]) -> None:
    store, budget = AudioStore(100), 100
    keys: set[ClipKey] = {(name, index) for name in "abc" for index in (0, 1)}

    for step, name, index, amount in script:
        match step:
            case "append":
                store.append((name, index), bytes(2 * amount), 1_000)
            case "cut":
                store.cut((name, index), amount)
            case "forget":
                store.forget(name)
        held = sum(len(store.get(key, 1_000)) for key in keys)
        assert held == store._size <= budget
