"""Prints the Grafana dashboard, made of the panels in ``panels.yml``: ``make dashboard``.

The panels have a file of their own because the JSON is some thousand lines, most of which say the
same for each panel. The JSON is Grafana's classic model in version 39 of its schema (Grafana 11).
Later versions of Grafana read it, too.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

PANELS = Path(__file__).with_name("panels.yml")
"""The file with the panels."""

ACROSS = 3
"""Panels beside each other."""

PANEL_WIDTH, PANEL_HEIGHT = 24 // ACROSS, 8
"""Columns and lines of a panel. A dashboard has 24 columns."""

COLORS = ("green", "yellow", "red")
"""Colors of the states, from good to bad."""


class PanelModel(BaseModel):
    """A part of ``panels.yml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Query(PanelModel):
    """A query in PromQL."""

    legend: str = Field(description="Names a line by its labels.")
    expr: str = Field(description="The query.")


class Panel(PanelModel):
    """A panel."""

    title: str = Field(description="Its title.")
    description: str = Field(description="One sentence that says what it shows.")
    unit: str = Field(description="The unit of its values, by Grafana's id.")
    stacked: bool = Field(default=False, description="Whether the lines add up to something.")
    states: Sequence[str] = Field(
        default=(), description="Names of the values 0, 1, 2, from good to bad; empty for numbers."
    )
    queries: Sequence[Query] = Field(description="Its queries.")


class Row(PanelModel):
    """A row of panels."""

    title: str = Field(description="Its title.")
    panels: Sequence[Panel] = Field(description="Its panels.")


class GrafanaModel(BaseModel):
    """A part of the JSON. The names are Grafana's."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class DataSource(GrafanaModel):
    """Where values come from: the Prometheus that is chosen on the dashboard."""

    type: str = "prometheus"
    uid: str = "${datasource}"


class Target(GrafanaModel):
    """A query of a panel."""

    ref_id: str
    datasource: DataSource = DataSource()
    expr: str
    legend_format: str
    editor_mode: str = "code"
    range: bool = True


class GridPos(GrafanaModel):
    """The place of a panel."""

    h: int
    w: int
    x: int
    y: int


class MappedState(GrafanaModel):
    """How a value is shown that stands for a state."""

    text: str
    color: str
    index: int


class Mapping(GrafanaModel):
    """How values are shown that stand for states."""

    type: str = "value"
    options: dict[str, MappedState]


class Stacking(GrafanaModel):
    """Whether lines are stacked."""

    mode: Literal["none", "normal"]
    group: str = "A"


class LineStyle(GrafanaModel):
    """How the lines of a panel look."""

    fill_opacity: int
    line_width: int = 1
    show_points: str = "never"
    stacking: Stacking


class StateStyle(GrafanaModel):
    """How the bars of states look."""

    fill_opacity: int = 70
    line_width: int = 0


class Color(GrafanaModel):
    """How colors are chosen."""

    mode: Literal["palette-classic", "thresholds"]


class Defaults(GrafanaModel):
    """How all values of a panel are shown."""

    unit: str
    color: Color
    custom: LineStyle | StateStyle
    mappings: Sequence[Mapping] = ()
    min: int | None = None


class FieldConfig(GrafanaModel):
    """How the values of a panel are shown."""

    defaults: Defaults
    overrides: Sequence[str] = ()


class Legend(GrafanaModel):
    """The legend of a panel."""

    display_mode: str = "list"
    placement: str = "bottom"
    show_legend: bool = True


class Tooltip(GrafanaModel):
    """What is shown beside the mouse."""

    mode: str = "multi"
    sort: str = "desc"


class Options(GrafanaModel):
    """The legend and the tooltip of a panel."""

    legend: Legend = Legend()
    tooltip: Tooltip = Tooltip()


class GrafanaRow(GrafanaModel):
    """The title of a row."""

    id: int
    type: Literal["row"] = "row"
    title: str
    collapsed: bool = False
    grid_pos: GridPos
    panels: Sequence[str] = ()


class GrafanaPanel(GrafanaModel):
    """A panel."""

    id: int
    type: Literal["timeseries", "state-timeline"]
    title: str
    description: str
    datasource: DataSource = DataSource()
    grid_pos: GridPos
    field_config: FieldConfig
    options: Options = Options()
    targets: Sequence[Target]


class Choice(GrafanaModel):
    """What is chosen at first."""

    text: str = "All"
    value: str = "$__all"


class Variable(GrafanaModel):
    """A choice above the panels: a data source, or values of a label."""

    name: str
    label: str
    type: Literal["datasource", "query"]
    query: str
    datasource: DataSource | None = None
    regex: str | None = None
    refresh: int = 2
    include_all: bool = False
    multi: bool = False
    all_value: str | None = None
    sort: int | None = None
    current: Choice | None = None


class Templating(GrafanaModel):
    """The choices above the panels."""

    list: Sequence[Variable]


class Period(GrafanaModel):
    """The period that is shown at first."""

    from_: str = Field(default="now-3h", alias="from")
    to: str = "now"


class Dashboard(GrafanaModel):
    """The dashboard."""

    uid: str = "user-gateway"
    title: str = "User gateway"
    description: str = "What the gateway does, how its sources are, and what its processes use."
    tags: Sequence[str] = ("graphql", "user-gateway")
    schema_version: int = 39
    editable: bool = True
    graph_tooltip: int = 1
    refresh: str = "30s"
    time: Period = Period()
    timezone: str = "browser"
    templating: Templating
    panels: Sequence[GrafanaRow | GrafanaPanel]


def dashboard(rows: Sequence[Row]) -> Dashboard:
    """Make the dashboard.

    Args:
        rows: Its rows.

    Returns:
        The dashboard.
    """
    choices = (
        Variable(name="datasource", label="Data source", type="datasource", query="prometheus"),
        _choice("job", "Job", "label_values(gateway_workers, job)"),
        _choice("instance", "Gateway", 'label_values(gateway_workers{job=~"$job"}, instance)'),
        _choice(
            "source",
            "Source",
            'label_values(gateway_source_calls_total{job=~"$job"}, gateway_source)',
            regex="/^([^.]+)/",  # without the endpoint
        ),
    )
    return Dashboard(templating=Templating(list=choices), panels=[*_placed(rows)])


def _choice(name: str, label: str, query: str, regex: str | None = None) -> Variable:
    """Make a choice of one, some or all values of a label."""
    return Variable(
        name=name,
        label=label,
        type="query",
        query=query,
        regex=regex,
        datasource=DataSource(),
        include_all=True,
        multi=True,
        all_value=".*",
        sort=1,
        current=Choice(),
    )


def _placed(rows: Sequence[Row]) -> Iterator[GrafanaRow | GrafanaPanel]:
    """Give each row and panel its number and its place."""
    number = top = 0
    for row in rows:
        number += 1
        yield GrafanaRow(id=number, title=row.title, grid_pos=GridPos(h=1, w=24, x=0, y=top))
        top += 1
        for place, panel in enumerate(row.panels):
            number += 1
            line, column = divmod(place, ACROSS)
            x, y = column * PANEL_WIDTH, top + line * PANEL_HEIGHT
            yield _panel(panel, number, GridPos(h=PANEL_HEIGHT, w=PANEL_WIDTH, x=x, y=y))
        top += -(-len(row.panels) // ACROSS) * PANEL_HEIGHT


def _panel(panel: Panel, number: int, place: GridPos) -> GrafanaPanel:
    """Convert a panel."""
    return GrafanaPanel(
        id=number,
        type="state-timeline" if panel.states else "timeseries",
        title=panel.title,
        description=panel.description,
        grid_pos=place,
        field_config=FieldConfig(defaults=_states(panel) if panel.states else _lines(panel)),
        targets=[
            Target(ref_id=chr(ord("A") + place), expr=one.expr.strip(), legend_format=one.legend)
            for place, one in enumerate(panel.queries)
        ],
    )


def _lines(panel: Panel) -> Defaults:
    """Say how numbers are shown."""
    style = LineStyle(
        fill_opacity=20 if panel.stacked else 0,
        stacking=Stacking(mode="normal" if panel.stacked else "none"),
    )
    return Defaults(unit=panel.unit, color=Color(mode="palette-classic"), custom=style, min=0)


def _states(panel: Panel) -> Defaults:
    """Say how states are shown."""
    states = {
        str(value): MappedState(text=text, color=color, index=value)
        for value, (text, color) in enumerate(zip(panel.states, COLORS, strict=True))
    }
    return Defaults(
        unit=panel.unit,
        color=Color(mode="thresholds"),
        custom=StateStyle(),
        mappings=[Mapping(options=states)],
    )


def main() -> None:
    """Print the dashboard."""
    rows = TypeAdapter(tuple[Row, ...]).validate_python(yaml.safe_load(PANELS.read_text("utf-8")))
    made = dashboard(rows).model_dump_json(by_alias=True, exclude_none=True, indent=2)
    sys.stdout.write(f"{made}\n")


if __name__ == "__main__":
    main()
