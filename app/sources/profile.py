"""The profile source: who a user is."""

from pydantic import AwareDatetime, Field

from app.sources.base import Record, SourceSpec


class ProfileRecord(Record):
    """A row of ``GET /users``."""

    id: str = Field(description="The user.")
    username: str = Field(description="Name that the user signs in with.")
    display_name: str = Field(description="Name that others see.")
    email: str = Field(description="Mail address.")
    avatar_url: str | None = Field(default=None, description="Address of a picture.")
    locale: str | None = Field(default=None, description="Language and region, BCP 47.")
    created_at: AwareDatetime = Field(description="When the user signed up, RFC 3339.")


PROFILE = SourceSpec(name="profile", record=ProfileRecord, path="/users", parameter="id", key="id")
