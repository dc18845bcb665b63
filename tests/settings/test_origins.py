"""Where each setting is from, and what of a file counts beside variables."""

import pytest
from pydantic import SecretStr

from tests.settings.conftest import Write
from tests.settings.loading import SECRET, SERVICE, load_own
from tests.settings.models import Bearer, NoAuthModel


def test_a_variable_that_asks_for_another_kind_of_table_replaces_all_of_the_file_s(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SERVICES__USERS__AUTH__KIND", "none")

    users = load_own(write(f'{SERVICE}auth = {{ kind = "bearer", token.env = "NOT_SET" }}'))

    assert users.auth == NoAuthModel()


def test_a_variable_that_asks_for_the_same_kind_leaves_the_rest_of_the_file_s(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setenv("GATEWAY_SERVICES__USERS__AUTH", '{"kind": "bearer", "realm": "mine"}')

    users = load_own(write(f'{SERVICE}auth = {{ kind = "bearer", token.env = "TOKEN" }}'))

    assert users.auth == Bearer(kind="bearer", token=SecretStr(SECRET), realm="mine")
