"""Keys: what is kept of them, who is let in, and how fast."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.access import (
    Allowance,
    Key,
    KeyRing,
    Role,
    check_placements,
    check_role,
    make_key,
    parse_keys,
)
from offer_optimizer.core.errors import CannotStart, Forbidden, Unauthenticated


def entropy(count: int) -> bytes:
    return bytes(range(count))


TEXT, KEY = make_key(entropy, "shop", [Role.DECIDE], ["home"])


def test_nothing_that_is_kept_holds_the_secret() -> None:
    secret = TEXT.rsplit("_", 1)[1]
    assert len(secret) == 43
    assert secret not in repr(KEY) + yaml.safe_dump(KEY.model_dump(mode="json"))


def test_a_key_is_found_by_its_text_alone() -> None:
    assert KeyRing([KEY]).find(f"Bearer {TEXT}", None) == KEY


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        TEXT,
        f"Basic {TEXT}",
        f"Bearer {TEXT[:-1]}",
        f"Bearer {TEXT}x",
        "Bearer oo1_000000000000_" + "A" * 43,
        "Bearer oo1",
        "Bearer __",
        "Bearer " + TEXT.replace("oo1", "oo2"),
    ],
    ids=["none", "empty", "no scheme", "basic", "short", "long", "unknown", "cut", "bars", "other form"],
)
def test_anything_else_is_refused_with_one_sentence(header: str | None) -> None:
    with pytest.raises(Unauthenticated, match="no valid key") as caught:
        KeyRing([KEY]).find(header, None)
    assert TEXT not in str(caught.value)


@given(st.text(max_size=80))
def test_no_text_raises_anything_but_unauthenticated(text: str) -> None:
    with pytest.raises(Unauthenticated):
        KeyRing([KEY]).find(f"Bearer {text}", None)


def test_a_certificate_stands_for_a_key_only_where_no_header_was_sent() -> None:
    ring = KeyRing([Key(name="mesh", roles=(Role.READ,), certificate="mesh.internal")])
    assert ring.find(None, "mesh.internal").name == "mesh"
    with pytest.raises(Unauthenticated):
        ring.find("Bearer nonsense", "mesh.internal")
    with pytest.raises(Unauthenticated):
        ring.find(None, "other")


def test_admin_may_read_and_nobody_else_gets_a_role_for_free() -> None:
    admin = Key(name="ops", roles=(Role.ADMIN,), certificate="ops")
    check_role(admin, Role.READ, "Explain")
    with pytest.raises(Forbidden, match="'ops' lacks the role decide"):
        check_role(admin, Role.DECIDE, "Decide")
    with pytest.raises(Forbidden):
        check_role(KEY, Role.READ, "Explain")


def test_a_key_for_some_placements_may_not_speak_of_others_or_of_all() -> None:
    check_placements(KEY, ["home"], "Decide")
    for other in ("cart", ""):
        with pytest.raises(Forbidden):
            check_placements(KEY, ["home", other], "Decide")
    check_placements(Key(name="all", roles=(Role.READ,), certificate="c"), [""], "GetLoopHealth")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("keys: [", "not YAML"),
        ("keys: {}", "keys: "),
        ("nothing: 1", "keys: Field required"),
        ("keys: [{name: a, roles: [decide]}]", "needs id and sha256, or a certificate"),
        ("keys: [{name: a, roles: [boss], certificate: c}]", "keys.0.roles.0"),
        ("keys: [{name: a, roles: [], certificate: c}]", "keys.0.roles"),
        ("keys: [{name: a, roles: [read], id: 'abcdefabcdef'}]", "id and sha256 go together"),
        (
            "keys: [{name: a, roles: [read], certificate: c}, {name: a, roles: [read], certificate: d}]",
            "name 'a' is used twice",
        ),
    ],
    ids=["yaml", "shape", "missing", "unknowable", "role", "no role", "half", "twice"],
)
def test_a_defective_keys_file_names_its_defect(text: str, complaint: str) -> None:
    with pytest.raises(CannotStart) as caught:
        parse_keys(text, "keys.yaml")
    assert str(caught.value).startswith("keys.yaml: ")
    assert complaint in str(caught.value)


def test_an_allowance_fills_with_time_and_holds_a_second() -> None:
    allowance = Allowance(2.0)
    assert [allowance.take(10.0) for _ in range(3)] == [True, True, False]
    assert not allowance.take(9.0)
    assert allowance.take(10.5)
    assert [allowance.take(99.0) for _ in range(3)] == [True, True, False]
