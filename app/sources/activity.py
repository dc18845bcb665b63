"""The activity source: what a user does."""

from pydantic import AwareDatetime, Field

from app.sources.base import MAX_INT, Record, SourceSpec


class EventRecord(Record):
    """Something that a user did."""

    id: str = Field(description="The event.")
    type: str = Field(description="What was done, in the source's own words.")
    occurred_at: AwareDatetime = Field(description="When, RFC 3339.")


class ActivityRecord(Record):
    """A row of ``GET /summaries``."""

    user_id: str = Field(description="The user.")
    last_seen_at: AwareDatetime | None = Field(
        default=None, description="When last seen, RFC 3339."
    )
    login_count: int = Field(ge=0, le=MAX_INT, description="How often the user has signed in.")
    events: tuple[EventRecord, ...] = Field(description="The latest events, newest first.")


ACTIVITY = SourceSpec(
    name="activity", record=ActivityRecord, path="/summaries", parameter="userId", key="user_id"
)
