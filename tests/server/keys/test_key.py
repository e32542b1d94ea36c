from __future__ import annotations

import pytest

from server.keys.key import SCOPES, BadKeyError, Key, check_scopes, check_user, digest_of, new_key


def test_a_secret_is_long_and_its_key_does_not_hold_it() -> None:
    key, secret = new_key("ann")
    other, another = new_key("ann")
    assert len(secret) >= 43
    assert (secret == another, key.id == other.id) == (False, False)
    assert secret not in repr(key)
    assert key.digest == digest_of(secret)
    assert (key.user, key.scopes, key.live) == ("ann", ("infer", "mods", "traces"), True)


def test_a_revoked_key_stays_revoked() -> None:
    key, _ = new_key("ann")
    gone = key.revoked()
    assert not gone.live
    assert gone.revoked() is gone
    assert isinstance(gone, Key)


@pytest.mark.parametrize("name", ["ann", "a", "Ann.B-c_d@example.org", "7" * 64])
def test_ordinary_names_are_names_of_users(name: str) -> None:
    assert check_user(name) == name


@pytest.mark.parametrize("name", ["", "\0", "a\n", "a b", "../x", "é", "-a", "a" * 65, "a\0"])
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(BadKeyError, match="no user's name"):
        check_user(name)


def test_scopes_are_brought_into_one_order() -> None:
    assert check_scopes(["admin", "infer", "infer"]) == ("infer", "admin")
    assert check_scopes(SCOPES) == SCOPES


@pytest.mark.parametrize("scopes", [[], ["root"], ["infer", "root"]])
def test_scopes_that_there_are_not_are_refused_with_those_there_are(scopes: list[str]) -> None:
    with pytest.raises(BadKeyError, match="expected scopes out of infer, mods, traces, admin"):
        check_scopes(scopes)
