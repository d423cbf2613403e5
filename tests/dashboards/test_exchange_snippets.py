"""Programs to connect with: they parse, can be pasted, name no real venue, and carry no secret of their own."""

from __future__ import annotations

import ast
import codeop
import re
import subprocess

import pytest

from dashboards.exchange_snippets import KINDS, MARKS, Kind, templates

URL, SOCKET, KEY, SECRET = "http://127.0.0.1:8051", "ws://127.0.0.1:8053", "vsk51f0c2", "9e3779b97f4a7c15"
PYTHON = [kind for kind in KINDS if kind.language == "python"]
NAMES = [kind.id for kind in PYTHON]


def made(kind: Kind) -> str:
    return kind.make(URL, SOCKET, KEY, SECRET)


@pytest.mark.parametrize("kind", PYTHON, ids=NAMES)
def test_python_parses_and_uses_only_what_it_imports(kind: Kind) -> None:
    tree = ast.parse(made(kind))
    used = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    known = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            known |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            known |= {node.name, *(arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg))}
    assert used <= known | {"print", "isinstance", "dict", "float", "int", "len"}
    assert re.match(r"pip install [\w-]+$", kind.needs)
    package = kind.needs.split()[-1]
    assert package.split("-")[-1] in made(kind)


@pytest.mark.parametrize("kind", PYTHON, ids=NAMES)
def test_python_can_be_pasted_into_a_prompt_line_by_line(kind: Kind) -> None:
    waiting: list[str] = []
    for line in [*made(kind).splitlines(), ""]:
        waiting.append(line)
        if codeop.compile_command("\n".join(waiting), symbol="single") is not None:
            waiting.clear()
    assert not [line for line in waiting if line]


def test_the_shell_program_parses() -> None:
    (curl,) = [kind for kind in KINDS if kind.language == "shell"]
    checked = subprocess.run(["sh", "-n"], input=made(curl), text=True, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
def test_a_program_goes_to_this_exchange_alone_with_this_key(kind: Kind) -> None:
    text = made(kind)
    assert re.findall(r"\w+://[^/\"]+", text)
    assert set(re.findall(r"\b(?:https?|wss?)://[^/\"]+", text)) <= {URL, SOCKET}
    assert (text.count(KEY), text.count(SECRET)) == (1, 1)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
def test_lines_are_narrow_enough_for_the_panel_but_for_the_secret(kind: Kind) -> None:
    for line in made(kind).splitlines():
        assert len(line) <= 105, line


def test_what_a_page_gets_has_marks_where_address_key_and_secret_go() -> None:
    found = templates()
    assert [one["id"] for one in found] == [kind.id for kind in KINDS]
    for one, kind in zip(found, KINDS, strict=True):
        text = one["text"]
        assert set(re.findall(r"\{\{\w+\}\}", text)) <= set(MARKS)
        assert {"{{key}}", "{{secret}}"} <= set(re.findall(r"\{\{\w+\}\}", text))
        for mark, value in zip(MARKS, (URL, SOCKET, KEY, SECRET), strict=True):
            text = text.replace(mark, value)
        assert text == made(kind)
