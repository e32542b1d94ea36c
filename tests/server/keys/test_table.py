from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from server.keys.key import Key, new_key
from server.keys.table import KeyTable

MADE = [new_key(name) for name in ("ann", "bob", "cid")]


def test_a_key_is_known_by_its_secret_alone() -> None:
    table = KeyTable(key for key, _ in MADE)
    for key, secret in MADE:
        assert table.check(secret) == key
    for wrong in ("", "ck_", MADE[0][1][:-1], MADE[0][1] + "x", MADE[0][0].digest, "\ud800"):
        assert table.check(wrong) is None


def test_a_revoked_key_opens_nothing() -> None:
    key, secret = MADE[0]
    table = KeyTable([key])
    assert table.add([key.revoked()])
    assert table.check(secret) is None
    assert (len(table), table.any_live) == (1, False)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=12), st.randoms())
def test_the_order_in_which_keys_come_and_go_does_not_matter(
    news: list[tuple[int, bool]], random: object
) -> None:
    told = [_as_told(number, live) for number, live in news]
    one, other = KeyTable(told), KeyTable()
    random.shuffle(told)  # type: ignore[attr-defined]
    for key in told:
        other.add([key])
    assert {(key.id, key.live) for key in one.all()} == {(key.id, key.live) for key in other.all()}
    gone = {MADE[number][0].id for number, live in news if not live}
    assert {key.id for key in one.all() if not key.live} == gone


def _as_told(number: int, live: bool) -> Key:
    key = MADE[number][0]
    return key if live else key.revoked()
