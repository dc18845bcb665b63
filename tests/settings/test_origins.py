"""A table set by a variable and by a file."""

import pytest
from pydantic import SecretStr

from tests.settings.conftest import Write
from tests.settings.loading import SECRET, SERVICE, load_own
from tests.settings.models import Bearer, NoAuthModel


def test_a_variable_with_another_kind_replaces_the_table_of_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SERVICES__USERS__AUTH__KIND", "none")

    users = load_own(write(f'{SERVICE}auth = {{ kind = "bearer", token.env = "NOT_SET" }}'))

    assert users.auth == NoAuthModel()


def test_a_variable_with_the_same_kind_keeps_the_other_values_of_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setenv("GATEWAY_SERVICES__USERS__AUTH", '{"kind": "bearer", "realm": "mine"}')

    users = load_own(write(f'{SERVICE}auth = {{ kind = "bearer", token.env = "TOKEN" }}'))

    assert users.auth == Bearer(kind="bearer", token=SecretStr(SECRET), realm="mine")
