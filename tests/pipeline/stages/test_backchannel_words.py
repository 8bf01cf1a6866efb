"""The words of the turn that is being spoken, put together from what the transcription tells."""

from pipeline.commands import TranscriptGrew, TranscriptGuessed, TranscriptReady
from pipeline.stages.backchannel_words import WordsSoFar


def words(*commands: TranscriptGrew | TranscriptGuessed | TranscriptReady) -> str:
    so_far = WordsSoFar()
    so_far.begin("item_1")
    for command in commands:
        so_far.took(command)
    return so_far.text


def test_deltas_are_joined() -> None:
    assert words(TranscriptGrew("item_1", "I went"), TranscriptGrew("item_1", " home")) == "I went home"
    assert words() == ""


def test_a_guess_stands_for_the_whole_segment() -> None:
    grew, guessed = TranscriptGrew("item_1", "I went"), TranscriptGuessed("item_1", "I went out")
    assert words(guessed) == words(grew, guessed) == "I went out"
    assert words(TranscriptGuessed("item_1", "I"), grew) == "I went"


def test_segments_follow_each_other() -> None:
    assert (
        words(
            TranscriptGrew("item_1", "I wen"),
            TranscriptGuessed("item_1", "because", 1),
            TranscriptReady("item_1", "I went home.", segment=0),
        )
        == "I went home. because"
    )


def test_other_turns_do_not_mix_in() -> None:
    assert words(TranscriptReady("item_0", "Before."), TranscriptGrew("item_1", "Now")) == "Now"


def test_a_turn_that_is_still_the_same_keeps_its_words() -> None:
    so_far = WordsSoFar()
    for item_id, text in (("item_1", "I went"), ("item_1", " home"), ("item_2", "And")):
        so_far.begin(item_id)
        so_far.took(TranscriptGrew(item_id, text))
        if text == " home":
            assert so_far.text == "I went home"
    assert so_far.text == "And"
    so_far.end()
    so_far.took(TranscriptGrew("item_2", " then"))
    assert so_far.text == ""


def test_only_the_end_of_a_long_turn_is_kept() -> None:
    text = words(*[TranscriptGrew("item_1", f" word{n}") for n in range(10_000)])
    assert text.endswith(" word9999")
    assert len(text) <= 2000
