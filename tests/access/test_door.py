"""The door: wrong, expired, revoked and lesser credentials, and what callers may spend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from engine.access.door import FAILURES, Door
from engine.access.identity import Identity, Role, may
from engine.access.keys import LOOK_EVERY_NS, KeyRing
from engine.access.tokens import LIFE_S, Tokens
from engine.api.access_routes import TokenAnswer, TokenOrder, WhoAnswer, routes
from engine.api.problems import Problem
from engine.api.route import Call

SECOND_NS = 10**9
NOW_NS = 1_795_000_000 * SECOND_NS
SECRET = bytes(range(32))
HERE = "192.0.2.7"


class Rig:
    """A door with a clock of its own over a folder of keys."""

    def __init__(self, folder: Path, *, demanded: bool = True, rate: int = 100, connections: int = 3) -> None:
        self.steady_ns = 0
        self.keys = KeyRing(folder, lambda: self.steady_ns)
        self.door = Door(
            self.keys,
            Tokens(lambda: SECRET, self.keys),
            demanded=demanded,
            rate=rate,
            connections=connections,
        )

    def key(self, role: Role = "admin", expires_ns: int = 0) -> tuple[str, str]:
        """A new key's id and text."""
        made, text = self.keys.create(role, "", NOW_NS, expires_ns)
        return made.id, text

    def identify(self, credential: str | None = None, now_ns: int = NOW_NS, address: str = HERE) -> Identity:
        headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        return self.door.identify(headers, address, now_ns)

    def refused(self, credential: str | None, now_ns: int = NOW_NS, address: str = HERE) -> str:
        """The code of the problem; nothing of a credential is in it."""
        with pytest.raises(Problem) as caught:
            self.identify(credential, now_ns, address)
        if credential:
            assert credential[-12:] not in repr(caught.value) + str(caught.value) + str(caught.value.more)
        return caught.value.code

    def call(self, method: str, credential: str, body: Any = None, now_ns: int = NOW_NS) -> Any:
        """What the route of that method answers."""
        route = next(each for each in routes(self.door) if each.method == method)
        caller = self.identify(credential, now_ns)
        return route.handler(Call({}, body, caller, HERE, "r", now_ns))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def forged(secret: bytes = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    now_s = NOW_NS // SECOND_NS
    claims = {"iss": "venuescope", "sub": "x", "role": "read", "exp": now_s + 900, "iat": now_s, "jti": "1"}
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(claims, secret, algorithm)


def test_a_key_is_taken_from_either_header(rig: Rig) -> None:
    key_id, text = rig.key("trade")
    expected = Identity(f"key {key_id}", "trade", "key", key_id)
    for headers in (
        {"Authorization": f"Bearer {text}"},
        {"Authorization": f"bearer  {text} "},
        {"X-Api-Key": text},
    ):
        for _ in range(2):  # known by then
            assert rig.door.identify(headers, HERE, NOW_NS) == expected
    assert rig.door.view().failures == 0


def test_without_credentials_only_those_are_let_in_whom_nothing_is_demanded_of(tmp_path: Path) -> None:
    assert Rig(tmp_path).refused(None) == "unauthenticated"
    assert Rig(tmp_path).door.view().failures == 0
    open_door = Rig(tmp_path, demanded=False)
    assert open_door.identify() == Identity(HERE, "admin", "nobody")
    assert open_door.refused("vsk_wrong_wrong") == "bad_credentials"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer vsk_"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Bearer " + "x" * 70_000},
        {"X-Api-Key": ""},
        {"X-Api-Key": "\ud800"},
        {"X-Api-Key": "vsk_0_0", "Authorization": "Bearer vsk_0_0"},
    ],
)
@pytest.mark.parametrize("demanded", [True, False])
def test_what_is_no_credential_is_refused(tmp_path: Path, headers: dict[str, str], demanded: bool) -> None:
    with pytest.raises(Problem) as caught:
        Rig(tmp_path, demanded=demanded).door.identify(headers, HERE, NOW_NS)
    assert caught.value.code == "bad_credentials"


def test_a_key_is_refused_once_it_has_expired(rig: Rig) -> None:
    _, text = rig.key(expires_ns=NOW_NS + 60 * SECOND_NS)
    caller = rig.identify(text, NOW_NS + 59 * SECOND_NS)
    assert rig.door.still_good(caller, NOW_NS + 59 * SECOND_NS)
    assert not rig.door.still_good(caller, NOW_NS + 60 * SECOND_NS)
    assert rig.refused(text, NOW_NS + 60 * SECOND_NS) == "expired"


def test_a_revoked_key_is_refused_at_once_with_all_its_tokens(rig: Rig, tmp_path: Path) -> None:
    key_id, text = rig.key()
    token = rig.call("POST", text).token
    callers = [rig.identify(text), rig.identify(token)]
    assert KeyRing(tmp_path).revoke(key_id)  # by another program
    rig.steady_ns += LOOK_EVERY_NS
    assert [rig.door.still_good(caller, NOW_NS) for caller in callers] == [False, False]
    assert [rig.refused(each) for each in (text, token)] == ["bad_credentials"] * 2
    with pytest.raises(Problem, match="revoked or gone"):
        rig.identify(token)


def test_a_token_is_good_for_a_quarter_of_an_hour(rig: Rig) -> None:
    key_id, text = rig.key("trade")
    answer = rig.call("POST", text)
    assert isinstance(answer, TokenAnswer)
    ends_ns = NOW_NS + LIFE_S * SECOND_NS
    assert (answer.role, answer.expires_ms) == ("trade", ends_ns // 10**6)
    assert answer.expires == "2026-11-18T11:21:40.000Z"
    caller = rig.identify(answer.token, ends_ns - 1)
    assert caller == Identity(f"key {key_id}", "trade", "token", key_id, ends_ns)
    assert rig.refused(answer.token, ends_ns) == "expired"
    assert not rig.door.still_good(caller, ends_ns)


def test_a_token_does_not_outlive_its_key(rig: Rig) -> None:
    _, text = rig.key(expires_ns=NOW_NS + 60 * SECOND_NS)
    assert rig.call("POST", text).expires_ms == (NOW_NS + 60 * SECOND_NS) // 10**6


def test_a_token_has_the_keys_role_or_a_lesser_one(rig: Rig) -> None:
    _, text = rig.key("trade")
    assert rig.identify(rig.call("POST", text, TokenOrder(role="read")).token).role == "read"
    with pytest.raises(Problem) as caught:
        rig.call("POST", text, TokenOrder(role="admin"))
    assert caught.value.code == "forbidden"


def test_a_token_is_not_exchanged_for_another(rig: Rig) -> None:
    _, text = rig.key()
    token = rig.call("POST", text).token
    with pytest.raises(Problem) as caught:
        rig.call("POST", token)
    assert caught.value.code == "forbidden"


def test_who_calls_is_told(rig: Rig) -> None:
    key_id, text = rig.key("read")
    assert rig.call("GET", text) == WhoAnswer(
        name=f"key {key_id}", role="read", way="key", key=key_id, label="", expires=None, expires_ms=None
    )
    token = rig.call("POST", text)
    told = rig.call("GET", token.token)
    assert (told.way, told.expires, told.expires_ms) == ("token", token.expires, token.expires_ms)


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
@pytest.mark.parametrize(
    "changes",
    [
        {"role": "root"},
        {"role": None},
        {"role": "admin"},  # above its key's
        {"sub": "another"},
        {"sub": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 2**80},
        {"iat": NOW_NS // SECOND_NS + 3_600},
        {"jti": None},
        {"iss": "elsewhere"},
        {"secret": bytes(32)},
        {"algorithm": "HS512"},
    ],
)
def test_a_forged_token_is_refused(rig: Rig, changes: dict[str, Any]) -> None:
    key_id, _ = rig.key("read")
    assert rig.identify(forged(sub=key_id)).role == "read"
    told = {"sub": key_id} | changes
    assert rig.refused(forged(**told)) == "bad_credentials"


def test_a_token_without_a_signature_is_refused(rig: Rig) -> None:
    key_id, _ = rig.key("read")
    signed = forged(sub=key_id)
    head, claims, signature = signed.split(".")
    unsigned = jwt.encode(jwt.decode(signed, options={"verify_signature": False}), None, "none")
    for text in (unsigned, f"{head}.{claims}.", f"{head}.{claims}", f"{head}.{claims}.{signature[:-4]}AAAA"):
        assert rig.refused(text) == "bad_credentials"


def test_failed_logins_of_an_address_are_limited_and_its_known_callers_stay(rig: Rig) -> None:
    _, known = rig.key()
    _, fresh = rig.key()
    rig.identify(known)
    told = [rig.refused("vsk_wrong_wrong") for _ in range(FAILURES + 2)]
    assert told == ["bad_credentials"] * FAILURES + ["too_many_failures"] * 2
    assert rig.refused(fresh) == "too_many_failures"
    assert rig.identify(known).role == "admin"
    assert rig.identify(fresh, address="192.0.2.8").role == "admin"
    with pytest.raises(Problem) as caught:
        rig.identify("vsk_wrong_wrong")
    wait_ns = round(caught.value.retry_after_s * SECOND_NS)
    assert rig.refused("vsk_wrong_wrong", NOW_NS + wait_ns) == "bad_credentials"
    assert (rig.door.view().failures, rig.door.view().blocked) == (FAILURES + 1, 4)


def test_a_key_that_was_known_is_not_another_with_its_id(rig: Rig) -> None:
    key_id, text = rig.key()
    assert rig.identify(text).key == key_id
    held = rig.keys.path.read_text()
    rig.keys.path.write_text(held.replace(rig.keys.all()[0].digest, "0" * 64))
    rig.steady_ns += LOOK_EVERY_NS
    assert rig.refused(text) == "bad_credentials"


def test_a_whole_ipv6_site_shares_its_failures(rig: Rig) -> None:
    for n in range(FAILURES):
        rig.refused("vsk_wrong_wrong", address=f"2001:db8::{n:x}:1")
    assert rig.refused("vsk_wrong_wrong", address="2001:db8::ffff:1") == "too_many_failures"
    assert rig.refused("vsk_wrong_wrong", address="2001:db8:0:1::1") == "bad_credentials"


def test_requests_are_limited_by_address_and_by_key(tmp_path: Path) -> None:
    rig = Rig(tmp_path, rate=4)
    caller = rig.identify(rig.key()[1])
    told = [rig.door.admit(caller, f"192.0.2.{n}", NOW_NS) for n in range(5)]
    assert [each.ok for each in told] == [True] * 4 + [False]
    assert [each.remaining for each in told] == [3, 2, 1, 0, 0]
    assert told[4].retry_after_s == pytest.approx(0.25)
    assert [rig.door.admit(None, HERE, NOW_NS).ok for _ in range(5)] == [True] * 4 + [False]
    other = rig.identify(rig.key()[1])
    assert not rig.door.admit(other, HERE, NOW_NS).ok  # by its address
    assert rig.door.admit(other, "198.51.100.1", NOW_NS).remaining == 3  # which cost the key nothing
    assert rig.door.admit(None, HERE, NOW_NS + SECOND_NS // 4).ok
    assert rig.door.view().limited == 3


def test_connections_are_limited_by_address_and_by_key(tmp_path: Path) -> None:
    rig = Rig(tmp_path, connections=2)
    caller = rig.identify(rig.key()[1])
    assert [rig.door.connect(caller, f"192.0.2.{n}") for n in range(3)] == [True, True, False]
    assert [rig.door.connect(None, HERE) for _ in range(3)] == [True, True, False]
    rig.door.disconnect(caller, "192.0.2.0")
    assert rig.door.connect(caller, "192.0.2.9")
    for address in ("192.0.2.1", "192.0.2.9"):
        rig.door.disconnect(caller, address)
    for _ in range(2):
        rig.door.disconnect(None, HERE)
    view = rig.door.view()
    assert (view.connected, view.turned_away) == (0, 2)


@pytest.mark.parametrize(("role", "holds"), [("read", 1), ("trade", 2), ("admin", 3)])
def test_a_role_holds_those_below_it(rig: Rig, role: Role, holds: int) -> None:
    caller = rig.identify(rig.key(role)[1])
    assert [may(caller, wanted) for wanted in ("read", "trade", "admin")] == [True] * holds + [False] * (
        3 - holds
    )
