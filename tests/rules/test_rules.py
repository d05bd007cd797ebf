"""What every rule keeps to, asked of Snakemake itself."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULE_FILES = sorted((ROOT / "workflow/rules").glob("*.smk"))
ORDER = [
    *("input", "output", "log", "benchmark", "params", "conda", "threads", "resources", "script"),
]
RULES = {
    name: body
    for file in RULE_FILES
    for name, body in re.findall(r"^rule (\w+):\n((?:(?: {4}.*)?\n)+)", file.read_text(), flags=re.MULTILINE)
}


def directives(body: str) -> list[str]:
    return re.findall(r"^ {4}(\w+):", body, flags=re.MULTILINE)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_says_what_it_does_and_keeps_the_order(name: str) -> None:
    assert re.match(r'    """.+"""\n', RULES[name]), "a rule begins with its docstring"
    found = directives(RULES[name])
    assert found == [one for one in ORDER if one in found]
    assert {"output", "log", "benchmark", "params", "conda", "threads", "resources", "script"} <= set(found)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_runs_the_script_of_its_name_and_digests_it(name: str) -> None:
    assert f'"../../scripts/{name}.py"' in RULES[name]
    assert re.search(rf'code=code\("{name}", "(\w+)"', RULES[name])
    environment = re.search(r'code=code\("\w+", "(\w+)"', RULES[name])[1]
    assert f'"../../envs/{environment}.yaml"' in RULES[name]


@pytest.mark.parametrize("name", RULES)
def test_params_hold_digests_and_configuration_only(name: str) -> None:
    block = re.search(r"^ {4}params:\n((?: {8}.*\n)+)", RULES[name], flags=re.MULTILINE)[1]
    assert set(re.findall(r"^ {8}(\w+)=", block, flags=re.MULTILINE)) <= {"cfg", "code", "src"}


def test_inputs_are_named_by_their_paths() -> None:
    """`rules.x.output` beside a list of thousands makes Snakemake hash the whole list for each of its members."""
    assert not re.search(r"\brules\.\w+\.output", "".join(file.read_text() for file in RULE_FILES))


def test_nothing_that_hides_work_from_the_graph() -> None:
    text = "".join(file.read_text() for file in [*RULE_FILES, ROOT / "Snakefile"])
    for keyword in ("checkpoint ", "    run:", "    shell:", "    retries:", "directory(", "protected("):
        assert keyword not in text


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_a_script_is_glue(script: Path) -> None:
    text = script.read_text()
    assert len(text.splitlines()) <= 45
    tree = ast.parse(text)
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert all(name.split(".")[0] in ("reperfuse", *sys.stdlib_module_names) for name in imported)
    assert not any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.walk(tree))
    assert script.stem in RULES
