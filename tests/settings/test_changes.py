"""A reload reports the names of settings that differ, and never their values."""

from pathlib import Path

from pydantic import SecretStr

from app.settings.changes import applicable, changes
from app.settings.files import with_files
from app.settings.models import Settings
from app.settings.source import SourceSettings
from app.settings.transport import TlsSettings
from tests.certificates import Certificates
from tests.fakes import settings_for_fakes


def changed_source(settings: Settings, **values: object) -> Settings:
    """Change settings of the source profile."""
    source = settings.sources["profile"].model_dump() | values
    sources = {**settings.sources, "profile": SourceSettings.model_validate(source)}
    return settings.model_copy(update={"sources": sources})


def test_settings_that_differ_are_reported_by_their_places() -> None:
    before = settings_for_fakes()
    after = changed_source(before, timeout=9.0, auth={"kind": "bearer", "token": "secret"})
    more = after.sources["profile"]
    after = after.model_copy(
        update={
            "sources": {**after.sources, "support": more},
            "router_token": SecretStr("0123456789abcdef"),
        }
    )

    assert changes(with_files(before), with_files(after)) == [
        "sources.profile.auth",
        "sources.profile.timeout",
        "sources.support",
        "router_token",
    ]
    assert changes(with_files(before), with_files(before)) == []


def test_a_file_with_other_content_is_a_change(certificates: Certificates, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(certificates.ca_file.read_bytes())
    settings = changed_source(
        settings_for_fakes(), base_url="https://profile", tls=TlsSettings(ca_file=file)
    )
    before = with_files(settings)
    same = with_files(settings)
    file.write_bytes(certificates.ca_file.read_bytes() + b"\n")
    after = with_files(settings)

    assert before == same
    assert changes(before, after) == ["sources.profile.tls.ca_file"]


def test_a_folder_with_other_files_is_a_change(tmp_path: Path) -> None:
    folder = tmp_path / "trusted"
    folder.mkdir()
    trusted = settings_for_fakes().trusted.model_copy(update={"path": folder})
    digests: list[str] = []
    for name, text in (("a.graphql", "{ a }"), ("a.graphql", "{ b }"), ("b.graphql", "{ b }")):
        (folder / name).write_text(text, encoding="utf-8")
        digests.append(with_files(trusted).digests[("path",)])

    assert len({*digests}) == 3


def test_a_setting_that_needs_a_restart_keeps_its_value_and_is_reported() -> None:
    before = settings_for_fakes()
    admin = before.admin.model_copy(update={"port": 1, "token": SecretStr("0123456789abcdef")})
    after = before.model_copy(update={"workers": 9, "admin": admin, "max_ids": 7})

    applied, needs_restart = applicable(before, after)

    assert needs_restart == ["workers", "admin.port"]
    assert (applied.workers, applied.admin.port, applied.max_ids) == (1, None, 7)
    assert applied.admin.token == admin.token
