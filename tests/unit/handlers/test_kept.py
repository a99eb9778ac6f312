"""What is kept of a program's output: its end, bounded, storable and without secrets."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from retryd.domain.limits import ERROR_MESSAGE_BYTES, cut
from retryd.handlers.kept import CUT_MARK, HIDDEN, Kept

CHUNKS = st.lists(
    st.builds(lambda part, times: part * times, st.binary(max_size=8), st.integers(0, 3_000)),
    max_size=6,
)


@given(CHUNKS)
def test_any_output_reads_as_a_text_that_can_be_stored(chunks: list[bytes]) -> None:
    kept = Kept()
    for chunk in chunks:
        kept.add(chunk)
    text = kept.text()
    assert cut(text, ERROR_MESSAGE_BYTES) == text
    whole = b"".join(chunks).decode(errors="replace").replace("\0", "\ufffd").strip()
    assert whole == text or whole.endswith(text.removeprefix(CUT_MARK))


@given(
    st.integers(0, 40_000),
    st.sampled_from([1, 3, 3_000]),
    st.integers(0, 40_000),
    st.sampled_from(["s3cret-word", "päßwörter"]),
)
@example(0, 3_000, 0, "s3cret-word")
def test_no_part_of_a_secret_is_shown_wherever_it_is_cut(
    before: int, times: int, after: int, secret: str
) -> None:
    kept = Kept()
    kept.add(b"." * before + secret.encode() * times + b"." * after)
    text = kept.text([secret, secret[:-1] + "!"])
    assert set(text.removeprefix(CUT_MARK)) <= {".", *HIDDEN}


@given(st.lists(st.binary(max_size=40)), st.integers(1, 50))
def test_the_head_is_kept_where_that_is_asked_for(chunks: list[bytes], limit: int) -> None:
    kept = Kept(limit, head=True)
    for chunk in chunks:
        kept.add(chunk)
    assert kept.bytes == b"".join(chunks)[:limit]
