"""What a body looks like: an example of each, and why one is not as described, in plain words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

_REF: Final = "#/{name}"
_PLACED: Final = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_FIELD: Final = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
_TYPE: Final = re.compile(r"Expected `([^`]*)`, got `([^`]*)`")
_BOUND: Final = re.compile(r"Expected `([^`]*)` (of length )?([<>]=?) (\S+)")
_STEP: Final = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")
_NAMES: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
_NAMED_MOST: Final = 60  # characters of a caller's own name that a sentence repeats
_LEAST: Final = {">=": "at least ", ">": "above ", "<=": "at most ", "<": "below "}


def body_example(kind: Any) -> str:
    """A body with what it must have, as JSON."""
    schema, components = _described(kind)
    return msgspec.json.encode(_sample(schema, components)).decode()


def why_not(error: msgspec.ValidationError, kind: Any) -> str:
    """Why a body is not as its type describes it, as a sentence that says what would work."""
    placed = _PLACED.fullmatch(str(error))
    what, path = (placed["what"], placed["path"] or "") if placed else (str(error), "")
    schema = _at(path, *_described(kind))
    field = path.lstrip(".")[:_NAMED_MOST]
    if found := _FIELD.fullmatch(what):
        name = found[2][:_NAMED_MOST]
        there = ", ".join(schema.get("properties", ()))
        if found[1] == "missing required":
            return f"{name} is missing: send {body_example(kind)}"
        return f"there is no field {name!r}; there are {there}" if there else f"there is no field {name!r}"
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if choices and field:
        return f"{field} is {_or([str(choice) for choice in choices])}"
    if found := _TYPE.fullmatch(what):
        if not field:
            return f"send an object, as {body_example(kind)}"
        wanted = _or([_named(each) for each in found[1].split(" | ") if each != "null"])
        return f"{field} is {wanted}, not {_named(found[2])}"
    if (found := _BOUND.fullmatch(what)) and field:
        bound = _LEAST[found[3]] + found[4]
        if not found[2]:
            return f"{field} is {bound}"
        one, more = ("character", "characters") if found[1] == "str" else ("entry", "entries")
        counted = one if found[4] == "1" else more
        return f"{field} has {bound} {counted}"
    return f"{field}: {what}" if field else what


def _named(word: str) -> str:
    return _NAMES.get(word, word)


def _or(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@lru_cache(maxsize=64)
def _described(kind: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The schema of a body, and those it refers to by name."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template=_REF)
    return _followed(schema, components), components


def _followed(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    found: Mapping[str, Any] = components[reference.rsplit("/", 1)[1]] if reference else schema
    return found


def _at(path: str, schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of what stands at msgspec's path `.name[0]`; none where it does not describe that."""
    for step in _STEP.finditer(path):
        inner = schema.get("properties", {}).get(step[1]) if step[1] else schema.get("items")
        schema = _followed(inner, components) if isinstance(inner, Mapping) else {}
    return schema


def _sample(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    """A value of a schema: an example, its default, or the simplest there is."""
    schema = _followed(schema, components)
    if schema.get("examples"):
        return schema["examples"][0]
    if "properties" in schema:
        wanted = schema.get("required") or [
            name for name, each in schema["properties"].items() if each.get("examples")
        ]
        return {name: _sample(schema["properties"][name], components) for name in wanted}
    for name in ("default", "const"):
        if name in schema:
            return schema[name]
    if schema.get("enum"):
        return schema["enum"][0]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _sample(schema[several][0], components)
    simplest = {"string": "", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
    return simplest.get(schema.get("type", ""))
