"""Which of the keys that an issuer publishes are used, and for what."""

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
    """Read a set of keys: which are there, and for what."""
    return set(read_keys(dumps({"keys": keys}), algorithms).by_use)


def test_a_key_is_for_the_algorithms_of_its_type_and_curve() -> None:
    assert read(EC) == {("ec", "ES256")}
    assert {use for _, use in read(RSA)} == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    assert {use for _, use in read(jwk(key_of("Ed25519"), kid="ed"))} == {"Ed25519", "EdDSA"}
    assert read(RSA, algorithms=("RS256",)) == {("rsa", "RS256")}


def test_a_key_that_is_for_one_algorithm_is_for_no_other() -> None:
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
def test_a_key_that_is_no_good_does_no_harm_to_the_others(bad: object) -> None:
    assert read(bad, {**EC, "kid": "good"}) == {("good", "ES256")}
    with pytest.raises(MalformedError, match="none of its 1 keys can be used"):
        read(bad)


@pytest.mark.parametrize(
    "said",
    [
        {"key_ops": ["verify"]},
        {"key_ops": ["verify"], "use": "sig"},
        {"key_ops": ["sign", "verify", "something new"]},
        {"x5c": 7, "x5t": None, "oth": [], "d": "AAAA"},
    ],
)
def test_what_else_an_issuer_says_of_a_key_does_not_spoil_it(said: Mapping[str, object]) -> None:
    assert read({**EC, **said}) == {("ec", "ES256")}


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
def test_a_key_that_a_strict_reader_of_json_refuses_does_no_harm_to_the_others(bad: bytes) -> None:
    keys = read_keys(b'\xef\xbb\xbf{"keys": [%b, %b]}' % (bad, dumps(EC)), ALL)

    assert set(keys.by_use) == {("ec", "ES256")}


def test_an_rsa_key_that_is_too_short_is_not_used() -> None:
    with pytest.warns(match="2048"):
        short = RSAKey.generate_key(1024)
    modulus = jwk(short)["n"]
    assert isinstance(modulus, str)

    for key in (jwk(short), {**jwk(short), "n": "A" * 344 + modulus}):  # zeros make it no longer
        with pytest.raises(MalformedError):
            read(key)


def test_a_set_is_read_up_to_a_number_of_keys() -> None:
    filler: list[Mapping[str, str]] = [{"kty": "x"}] * (MAX_KEYS - 1)

    assert read(*filler, EC) == {("ec", "ES256")}
    with pytest.raises(MalformedError):
        read(*filler, {"kty": "x"}, EC)


def test_of_two_keys_with_one_name_the_first_counts() -> None:
    keys = read_keys(dumps({"keys": [EC, jwk(key_of("ES256", 2), kid="ec")]}), ALL)

    found = keys.find("ec", "ES256")

    assert found is not None
    assert found.get("x") == EC["x"]


def test_a_token_without_a_name_is_of_the_one_key_there_is() -> None:
    one = read_keys(dumps({"keys": [EC, RSA]}), ("ES256", "RS256"))
    two = read_keys(dumps({"keys": [EC, jwk(key_of("ES256", 2), kid="b")]}), ("ES256",))

    assert one.find(None, "ES256") is not None
    assert two.find(None, "ES256") is None


def test_where_the_issuer_names_no_keys_the_name_in_a_token_means_nothing() -> None:
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
def test_whatever_an_issuer_publishes_the_good_keys_serve(
    whole: Mapping[str, object], changes: Mapping[str, object]
) -> None:
    good = jwk(key_of("ES256", 3), kid="the good one")

    assert ("the good one", "ES256") in read({**whole, **changes}, good)
