"""The settings of a shared store: its address and what belongs to it."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.settings.store import StoreSettings


@pytest.mark.parametrize(
    ("url", "topology", "tls", "hosts", "name", "database"),
    [
        ("redis://a", "", False, [("a", 6379)], None, 0),
        ("valkeys://a.internal:1/3", "", True, [("a.internal", 1)], None, 3),
        ("redis://[::1]:7/0", "", False, [("::1", 7)], None, 0),
        ("rediss+sentinel://a,b:2/users", "sentinel", True, [("a", 26379), ("b", 2)], "users", 0),
        ("valkey+sentinel://a/users/5", "sentinel", False, [("a", 26379)], "users", 5),
        ("redis+cluster://a:1,b:2", "cluster", False, [("a", 1), ("b", 2)], None, 0),
    ],
)
def test_an_address_gives_hosts_topology_and_database_of_the_store(  # noqa: PLR0917 # the columns of the table
    url: str,
    topology: str,
    tls: bool,  # noqa: FBT001 # a column of the table
    hosts: list[tuple[str, int]],
    name: str | None,
    database: int,
) -> None:
    settings = StoreSettings(url=url)

    assert (settings.topology, settings.uses_tls, settings.database) == (topology, tls, database)
    assert [*settings.hosts] == hosts
    assert name is None or settings.server_name == name


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"url": "http://a"}, "an address such as redis://host:6379/0"),
        ({"url": "redis://user:secret@a"}, "no user and no password in it"),
        ({"url": "redis://a:70000"}, "ports up to 65535"),
        ({"url": "redis://a,b"}, "one host, or +sentinel or +cluster"),
        ({"url": "redis+sentinel://a"}, "the name of the server after Sentinels"),
        ({"url": "redis://a/users"}, "the name of the server after Sentinels, and only there"),
        ({"url": "redis+cluster://a/1"}, "no database"),
        ({"url": "redis://a?db=1"}, "an address such as"),
        ({"url": "redis://a", "tls": {}}, "rediss:// or valkeys:// in url"),
        ({"url": "redis://a", "sentinel_password": "x"}, "redis+sentinel:// in url"),
    ],
)
def test_a_wrong_address_of_a_store_is_refused_with_the_expected_form(
    values: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        StoreSettings.model_validate(values)

    assert expected in str(caught.value)
    assert "secret" not in str(caught.value).replace("secret_", "")
