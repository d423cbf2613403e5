"""Accounts, keys, signatures, and what was used before."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.exchange.accounts import (
    MAIN,
    MAX_KEYS,
    MAX_NAME,
    STEP_NS,
    Accounts,
    BadAccount,
    Key,
    ReplayGuard,
    Table,
    hmac_hex,
    signed,
)
from engine.exchange.desk import FIRST_CLIENT

S = 1_000_000_000


def test_the_main_account_is_always_the_first() -> None:
    accounts = Accounts(32)
    assert accounts.numbers == {MAIN: FIRST_CLIENT}
    other = accounts.create("other", "", 1)
    assert other.account == FIRST_CLIENT + 1
    # Its keys alone were kept.
    assert Accounts(32, (other,)).numbers == {MAIN: FIRST_CLIENT, "other": FIRST_CLIENT + 1}
    # The first number is another's: no account is given away.
    taken = Key("k", "s", FIRST_CLIENT, "other", "", True, 1)
    assert Accounts(32, (taken,)).numbers == {"other": FIRST_CLIENT, MAIN: FIRST_CLIENT + 1}


def test_names_have_one_number_each_until_all_are_taken() -> None:
    accounts = Accounts(FIRST_CLIENT + 3)
    assert accounts.room == 2
    assert [accounts.account(name) for name in ("a", "b", "a", MAIN)] == [
        FIRST_CLIENT + 1, FIRST_CLIENT + 2, FIRST_CLIENT + 1, FIRST_CLIENT,
    ]  # fmt: skip
    with pytest.raises(BadAccount, match="account: all 3 accounts are taken"):
        accounts.account("c")
    assert accounts.room == 0
    assert (accounts.name(FIRST_CLIENT + 2), accounts.name(5)) == ("b", "")


def test_a_name_keeps_its_number_when_its_last_key_is_gone() -> None:
    accounts = Accounts(64, passing_from=40)
    bob = accounts.create("bob", "", 1)
    accounts.revoke(bob.api_key)
    kept = Accounts(64, accounts.keys, accounts.table, passing_from=40)
    assert kept.account("alice") == bob.account + 1
    assert kept.account("bob") == bob.account
    assert kept.name(bob.account) == "bob"


def test_passing_accounts_are_apart_and_not_kept() -> None:
    accounts = Accounts(44, passing_from=40)
    numbers = [accounts.account(f"load {at}", passing=True) for at in range(3)]
    assert numbers == [40, 41, 42]
    assert accounts.account("one") == FIRST_CLIENT + 1
    assert accounts.table.numbers == {MAIN: FIRST_CLIENT, "one": FIRST_CLIENT + 1}
    assert accounts.account("load 1") == 41  # a person's from now on
    assert accounts.table.numbers["load 1"] == 41
    assert accounts.passing_room == 1
    accounts.account("last", passing=True)
    with pytest.raises(BadAccount, match="all 4 passing accounts are taken"):
        accounts.account("more", passing=True)
    again = Accounts(44, (), accounts.table, passing_from=40)
    assert [again.account(name, passing=True) for name in ("a", "b")] == [40, 42]


def test_numbers_of_a_former_run_that_nobody_reaches_are_passing_accounts_again_and_no_persons() -> None:
    table = Table(20, {MAIN: FIRST_CLIENT, "bob": FIRST_CLIENT + 1})
    accounts = Accounts(44, (), table, passing_from=40)
    assert accounts.go_on([3, FIRST_CLIENT, FIRST_CLIENT + 1, 25, 41, 43]) == [25, 41, 43]
    assert accounts.account("alice") == 26  # after the one that somebody had before there was a table
    assert accounts.passing_room == 4
    assert [accounts.account(name, passing=True) for name in "abcd"] == [41, 43, 40, 42]
    assert accounts.table.next == 27


def test_where_names_are_not_known_nothing_of_a_former_run_is_given_away() -> None:
    accounts = Accounts(44, passing_from=40, complete=False)
    assert accounts.go_on([FIRST_CLIENT, FIRST_CLIENT + 1, 40, 42]) == []
    assert accounts.account("a") == FIRST_CLIENT + 2
    assert [accounts.account(name, passing=True) for name in "bc"] == [41, 43]


def test_a_new_account_can_be_taken_back() -> None:
    accounts = Accounts(44, passing_from=40)
    before = accounts.table
    accounts.account("a")
    accounts.account("b", passing=True)
    for name in ("a", "b", "unknown"):
        accounts.forget(name)
    assert accounts.table == before
    assert (accounts.account("c"), accounts.account("d", passing=True)) == (FIRST_CLIENT + 1, 40)


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "a\n", "\x00", "a" * (MAX_NAME + 1), "\u200b"])
def test_names_that_are_no_names_are_refused_and_nothing_is_made(name: str) -> None:
    accounts = Accounts(32)
    with pytest.raises(BadAccount, match="account: "):
        accounts.create(name, "", 1)
    assert (accounts.numbers, accounts.keys) == ({MAIN: FIRST_CLIENT}, ())


@pytest.mark.parametrize("label", ["x" * (MAX_NAME + 1), "a\tb", "\x07"])
def test_labels_that_cannot_be_shown_are_refused_and_no_account_is_made(label: str) -> None:
    accounts = Accounts(32)
    with pytest.raises(BadAccount, match="label: "):
        accounts.create("new", label, 1)
    assert (accounts.numbers, accounts.keys) == ({MAIN: FIRST_CLIENT}, ())


def test_keys_are_found_until_they_are_revoked() -> None:
    accounts = Accounts(32)
    first, second = accounts.create(MAIN, "one", 5), accounts.create(MAIN, "", 6, trade=False)
    assert (first.account, first.name, first.label, first.trade, first.created_ns) == (
        FIRST_CLIENT, MAIN, "one", True, 5,
    )  # fmt: skip
    assert len({first.api_key, second.api_key, first.secret, second.secret}) == 4
    assert accounts.find(first.api_key) == first
    assert accounts.keys == (first, second)
    assert accounts.revoke(first.api_key)
    assert not accounts.revoke(first.api_key)
    assert accounts.find(first.api_key) is None
    assert accounts.keys == (second,)


def test_whoever_asked_hears_of_each_key_that_is_no_more_and_of_no_other() -> None:
    accounts = Accounts(32)
    key, kept = accounts.create(MAIN, "", 1), accounts.create(MAIN, "", 1)
    heard: list[Key] = []

    def hear(gone: Key) -> None:
        assert accounts.find(gone.api_key) is None
        heard.append(gone)

    accounts.on_revoke = hear
    assert accounts.revoke(key.api_key)
    assert not accounts.revoke(key.api_key)
    assert heard == [key]
    assert accounts.find(kept.api_key) == kept


def test_a_keys_use_is_noted_until_it_is_revoked() -> None:
    accounts = Accounts(32)
    key, idle = accounts.create(MAIN, "", 1), accounts.create(MAIN, "", 1)
    accounts.find(key.api_key)
    accounts.find("unknown")
    accounts.note_use(7)
    accounts.note_use(8)
    assert accounts.used_ns == {key.api_key: 7}
    accounts.find(key.api_key)
    accounts.revoke(key.api_key)
    accounts.note_use(9)
    assert accounts.used_ns == {}
    assert accounts.find(idle.api_key) == idle


def test_there_are_so_many_keys_and_no_more() -> None:
    rows = tuple(Key(str(at), "s", FIRST_CLIENT, MAIN, "", True, 1) for at in range(MAX_KEYS))
    accounts = Accounts(32, rows)
    with pytest.raises(BadAccount, match="key: there are 5,000 keys already; revoke some"):
        accounts.create("new", "", 1)
    assert "new" not in accounts.numbers
    accounts.revoke("0")
    assert accounts.create(MAIN, "", 1)


@given(st.text(max_size=20), st.binary(max_size=50), st.text(max_size=70))
def test_only_the_hmac_of_the_payload_signs_it(secret: str, payload: bytes, other: str) -> None:
    good = hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
    assert hmac_hex(secret, payload) == good
    assert signed(secret, payload, good)
    assert signed(secret, payload, good.upper())
    assert signed(secret, payload, other) is (other.lower() == good)
    assert not signed(secret, payload + b"x", good)
    assert not signed(secret + "x", payload, good)


def test_a_signature_is_admitted_once_until_it_is_too_old() -> None:
    guard = ReplayGuard()
    assert guard.admit("key", "sign", 0, S)
    assert not guard.admit("key", "sign", S // 2, 2 * S)
    assert not guard.admit("key", "sign", S, 2 * S)
    assert guard.admit("other", "sign", S // 2, S)
    assert guard.admit("key", "sign", S + STEP_NS, 2 * S)


def test_however_many_signatures_come_none_is_forgotten_before_its_time() -> None:
    guard = ReplayGuard(most=6, most_of_key=4)
    assert [guard.admit("busy", str(at), 0, 10 * S + at) for at in range(6)] == [True] * 4 + [False] * 2
    assert [guard.admit("other", str(at), 0, S) for at in range(3)] == [True] * 2 + [False]
    assert guard.refused == 3
    assert not any(guard.admit("other", str(at), S, S) for at in range(2))
    assert guard.admit("other", "3", 2 * S, 3 * S)  # its own are too old by now
    assert not any(guard.admit("busy", str(at), 10 * S, 20 * S) for at in range(4))
    assert guard.admit("busy", "0", 11 * S, 12 * S)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 3), st.integers(0, 8)),
        max_size=60,
    )
)
def test_no_signature_is_admitted_twice_within_its_time(steps: list[tuple[str, int, int, int]]) -> None:
    guard = ReplayGuard(most=12, most_of_key=5)
    good: dict[tuple[str, str], int] = {}
    now = 0
    for key, number, past, lasts in steps:
        now += past * STEP_NS
        good = {mark: until for mark, until in good.items() if until + STEP_NS > now}
        admitted = guard.admit(key, str(number), now, now + lasts * STEP_NS)
        if (key, str(number)) in good:
            assert not admitted
        elif sum(mark[0] == key for mark in good) < 5 and len(good) < 12:
            assert admitted
        if admitted:
            good[key, str(number)] = now + lasts * STEP_NS
    guard.admit("last", "", now + 100 * STEP_NS, now + 100 * STEP_NS)
    assert list(guard._seen) == ["last"]
