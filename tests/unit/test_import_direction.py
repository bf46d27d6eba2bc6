"""Imports point one way, and strategies know no engine, no data and no file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mamdr

ROOT = Path(mamdr.__file__).parent

LAYERS = [
    ["errors", "files", "lazily", "pcg", "seeds", "memory"],
    ["config"],
    ["data", "parameters", "evaluation.auc"],
    ["models", "engine", "strategies", "combiners", "feature_store", "evaluation.metrics"],
    ["evaluation.bootstrap", "evaluation.conflict", "evaluation.ranking"],
    ["training", "testing"],
    ["evaluation", "experiments", "registry", "engine.ray"],
    ["serving", "client", "cli"],
]
"""From the bottom up. A part may import its own layer and those below; the longest name that fits counts."""

RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
EXEMPT = {"__init__", "evaluation.__init__", "__main__"}
"""Public lists of names: they import upwards and hold no code of their own."""

FORBIDDEN = {
    "strategies": {"engine", "data", "files", "models", "training", "evaluation"},
    "parameters": {"engine", "data", "files", "models", "strategies"},
    "data": {"engine", "parameters", "models", "strategies"},
    "models": {"engine", "parameters", "strategies"},
    "feature_store": {"engine", "parameters", "models", "strategies", "combiners"},
}
"""Within a layer: who must not know whom."""


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def _imports(path: Path) -> Iterator[str]:
    """Modules of mamdr that a file imports, without the leading name; names of a package count as its modules."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("mamdr.") for name in found if name.startswith("mamdr."))


def _part(module: str) -> str | None:
    """The longest entry of the layers that names this module or a package around it."""
    pieces = module.split(".")
    names = [".".join(pieces[:length]) for length in range(len(pieces), 0, -1)]
    return next((name for name in names if name in RANKS), None)


@pytest.mark.parametrize(
    ("module", "path"), list(_modules()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_imports_point_one_way(module: str, path: Path) -> None:
    if module in EXEMPT:
        return
    here = _part(module)
    assert here is not None, f"{module} has no layer: say in this test where it belongs"
    for imported in _imports(path):
        there = _part(imported)
        if there is None:  # a name of the package itself
            assert imported in ("__version__",), f"{module} imports {imported} from the top"
            continue
        assert RANKS[there] <= RANKS[here], f"{module} imports {imported}, which lies above it"
        assert there.split(".")[0] not in FORBIDDEN.get(here, ()), f"{module} must not know {imported}"


def test_strategies_open_no_file() -> None:
    """Nor do they log or name a device."""
    for module, path in _modules():
        if module.startswith(("strategies.", "parameters.")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
            assert not names & {"open", "print", "Path"}, module
            assert not imported & {"os", "pathlib", "logging", "multiprocessing"}, module


def test_ray_is_imported_in_its_own_folder_alone() -> None:
    for module, path in _modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        roots = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        roots |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert "ray" not in roots or module.startswith("engine.ray"), module
