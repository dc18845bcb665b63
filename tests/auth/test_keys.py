"""The published keys of an issuer: which are used, and for which algorithms."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from app.auth.keys import KINDS, MAX_KEYS, read_keys
from app.errors import MalformedError
from app.settings.auth import Algorithm
from tests.issuer import jwk, key_of

ALL: tuple[Algorithm, ...] = tuple(KINDS)
EC = jwk(key_of("ES256"), kid="ec")
RSA = jwk(key_of("RS256"), kid="rsa")


def dumps(value: object) -> bytes:
    """Write JSON."""
    return json.dumps(value).encode()


def read(*keys: object, algorithms: tuple[Algorithm, ...] = ALL) -> set[tuple[str | None, str]]:
    """Read a key set, and return the names and algorithms of its usable keys."""
    return set(read_keys(dumps({"keys": keys}), algorithms).by_use)


def test_a_key_is_used_for_the_algorithms_of_its_type_and_curve() -> None:
    assert read(EC) == {("ec", "ES256")}
    assert {use for _, use in read(RSA)} == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    assert {use for _, use in read(jwk(key_of("Ed25519"), kid="ed"))} == {"Ed25519", "EdDSA"}
    assert read(RSA, algorithms=("RS256",)) == {("rsa", "RS256")}


def test_a_key_with_an_alg_is_used_only_for_this_algorithm() -> None:
    assert read({**RSA, "alg": "PS256"}) == {("rsa", "PS256")}


@pytest.mark.parametrize(
    "bad",
    [
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"},
        {**RSA, "use": "enc"},
        {**RSA, "key_ops": ["encrypt"]},
        {**RSA, "alg": "RSA-OAEP"},
        {**RSA, "alg": "HS256"},
        {**RSA, "n": "AQAB"},
        {**RSA, "n": "!" * 400},
        {**RSA, "n": None},
        {**RSA, "e": "AA"},
        {**EC, "x": EC["y"]},
        {**EC, "crv": "P-384"},
        {**EC, "crv": "secp256k1"},
        {**EC, "kid": 1},
        {"kty": "AKP", "kid": "new", "alg": "ML-DSA-44", "pub": "AAAA"},
        {},
        [],
        None,
        "key",
    ],
)
def test_an_unusable_key_does_not_affect_the_others(bad: object) -> None:
    assert read(bad, {**EC, "kid": "valid"}) == {("valid", "ES256")}
    with pytest.raises(MalformedError, match="none of its 1 keys can be used"):
        read(bad)


@pytest.mark.parametrize(
    "members",
    [
        {"key_ops": ["verify"]},
        {"key_ops": ["verify"], "use": "sig"},
        {"key_ops": ["sign", "verify", "something new"]},
        {"x5c": 7, "x5t": None, "oth": [], "d": "AAAA"},
    ],
)
def test_a_key_with_additional_members_is_used(members: Mapping[str, object]) -> None:
    assert read({**EC, **members}) == {("ec", "ES256")}


@pytest.mark.parametrize(
    "bad",
    [
        rb'{"kty": "EC", "kid": "\ud800"}',  # half of a surrogate pair
        b'{"kty": "EC", "kid": "\xff"}',
        b'{"kty": "EC", "kid": %b}' % (b"1" * 5_000),
        b'{"kty": "EC", "kid": %b%b}' % (b"[" * 300, b"]" * 300),
        b'{"kty": "EC", "kid": NaN, "x": 1e999}',
    ],
)
def test_a_key_with_invalid_json_values_does_not_affect_the_others(bad: bytes) -> None:
    keys = read_keys(b'\xef\xbb\xbf{"keys": [%b, %b]}' % (bad, dumps(EC)), ALL)

    assert set(keys.by_use) == {("ec", "ES256")}


def test_an_rsa_key_that_is_too_short_is_not_used() -> None:
    with pytest.warns(match="2048"):
        short = RSAKey.generate_key(1024)
    modulus = jwk(short)["n"]
    assert isinstance(modulus, str)

    for key in (jwk(short), {**jwk(short), "n": "A" * 344 + modulus}):  # leading zeros do not count
        with pytest.raises(MalformedError):
            read(key)


def test_a_key_set_is_read_up_to_a_maximum_number_of_keys() -> None:
    filler: list[Mapping[str, str]] = [{"kty": "x"}] * (MAX_KEYS - 1)

    assert read(*filler, EC) == {("ec", "ES256")}
    with pytest.raises(MalformedError):
        read(*filler, {"kty": "x"}, EC)


def test_the_first_of_two_keys_with_the_same_name_is_used() -> None:
    keys = read_keys(dumps({"keys": [EC, jwk(key_of("ES256", 2), kid="ec")]}), ALL)

    found = keys.find("ec", "ES256")

    assert found is not None
    assert found.get("x") == EC["x"]


def test_a_token_without_a_kid_uses_the_only_key_of_its_algorithm() -> None:
    one = read_keys(dumps({"keys": [EC, RSA]}), ("ES256", "RS256"))
    two = read_keys(dumps({"keys": [EC, jwk(key_of("ES256", 2), kid="b")]}), ("ES256",))

    assert one.find(None, "ES256") is not None
    assert two.find(None, "ES256") is None


def test_the_kid_of_a_token_is_ignored_when_the_keys_have_no_names() -> None:
    keys = read_keys(dumps({"keys": [{**EC, "kid": None}]}), ALL)

    assert keys.find("anything", "ES256") is not None


PARTS = (
    st.sampled_from(
        [*EC.values(), *RSA.values(), "EC", "RSA", "OKP", "oct", "P-521", "Ed25519", "AA", "AQAB"]
    )
    | st.text(max_size=20)
    | st.text(alphabet="ABCabc019-_=", max_size=400)
    | st.none()
    | st.lists(st.sampled_from(["sign", "verify", "wrapKey"]), max_size=3)
    | st.integers()
)
NAMES = st.sampled_from(["kty", "kid", "use", "key_ops", "alg", "crv", "n", "e", "x", "y", "d"])


@given(
    whole=st.sampled_from([EC, RSA, jwk(key_of("ES512"), kid="p"), jwk(key_of("EdDSA"), kid="o")]),
    changes=st.dictionaries(NAMES, PARTS, min_size=1, max_size=4),
)
def test_a_valid_key_is_used_beside_a_random_one(
    whole: Mapping[str, object], changes: Mapping[str, object]
) -> None:
    valid = jwk(key_of("ES256", 3), kid="valid")

    assert ("valid", "ES256") in read({**whole, **changes}, valid)
