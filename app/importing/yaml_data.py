"""Reads YAML as plain data, by the core schema of YAML 1.2, as OpenAPI wants it. Pure.

PyYAML reads the nodes. By itself it would read scalars by YAML 1.1: ``no`` as false, ``2024-04-10``
as a date, ``010`` as 8, and ``200`` as a number even where it is the name of a member.
"""

import re
from collections.abc import Mapping

import yaml

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The reader in C, where the library was built with it: it is ten times faster. Only nodes are read
with it, so that no tag makes an object."""

_WORDS: Mapping[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,100}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def yaml_data(content: bytes) -> object:
    """Read YAML.

    Args:
        content: One document of YAML, in UTF-8 or UTF-16.

    Returns:
        Plain data; ``None`` if there is none.

    Raises:
        YAMLError: It is no YAML, has a name that is no text, or is beyond the core schema.
        UnicodeDecodeError: It is no text.
        RecursionError: It is nested too deep.
    """
    root = yaml.compose(content, Loader=_LOADER)
    return None if root is None else _Plain().of(root)


class _Plain:
    """Makes plain data of the nodes of YAML, by its core schema (YAML 1.2.2, section 10.3)."""

    def __init__(self) -> None:
        self._made: dict[int, object] = {}

    def of(self, node: yaml.Node) -> object:
        """Return the data of a node. An alias is the same object, which may be within itself."""
        if id(node) in self._made:
            return self._made[id(node)]
        if isinstance(node, yaml.MappingNode):
            table = self._made[id(node)] = dict[str, object]()
            for key, value in node.value:
                table[_key(key)] = self.of(value)
            return table
        if isinstance(node, yaml.SequenceNode):
            items = self._made[id(node)] = list[object]()
            items.extend(self.of(item) for item in node.value)
            return items
        return _scalar(node)


def _key(node: yaml.Node) -> str:
    """Return the name of a member."""
    if not isinstance(node, yaml.ScalarNode):
        raise _mistake("expected text for a name", node)
    if node.value == "<<" and not node.style:
        raise _mistake("expected no merge key (<<), which YAML 1.2 does not have", node)
    return _text(node)


def _scalar(node: yaml.Node) -> object:
    """Return the value of a scalar: only plain ones can be other than text."""
    text = _text(node)
    if isinstance(node, yaml.ScalarNode) and not node.style:
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            return float(text)
    return text


def _text(node: yaml.Node) -> str:
    """Return the text of a scalar; an escape in it may be half a character."""
    text = str(node.value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _mistake("expected text, got half a character", node) from error
    return text


def _mistake(what: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    """Make the error for a place in YAML."""
    return yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)
