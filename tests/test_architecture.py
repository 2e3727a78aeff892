"""Imports point down the ladder, and a heavy library stays with its owner."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "ensemble_forecast"
LADDER = [  # from the ground up; names on one rung are siblings and do not import each other
    {"errors", "seeds", "deadline", "atomic", "threads", "memory"},
    {"registry", "ledger"},
    {"data"},
    {"encoding"},
    {"persist", "graphs"},
    {"features", "metrics", "forecasts"},
    {"windows"},
    {"learners"},
    {"store", "pipeline"},
    {"search", "ensemble"},
    {"evaluate"},
    {"report"},
    {"study"},
    {"arms", "artefact", "refits"},
    {"stacking", "overview", "judging", "depth"},
    {"workflow"},
    {"forecaster"},
    {"findings", "saved"},
    {"serving", "export"},
    {"cli"},
    {"__main__", "__init__"},
]
RUNG = {name: height for height, names in enumerate(LADDER) for name in names}
ON_ONE_RUNG = {"deadline": {"errors"}}  # the ground: everything may raise
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """Yield (dotted path inside our package, line) for every import in a module, late ones included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("ensemble_forecast."):
                yield name.split(".")[1:], node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for (there, *rest), line in imports(path):
        if there == here == "learners":  # deep, trees and statistical do not know each other
            assert rest[0] in {"base", "residuals", path.parent.name}, f"{path}:{line}: imports learners.{rest[0]}"
        elif there != here and there not in ON_ONE_RUNG.get(here, set()):
            assert RUNG[there] < RUNG[here], f"{path}:{line}: {here} imports {there}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_outgrows_its_idea(path):
    assert len(path.read_text().splitlines()) <= 500


def test_one_broad_except_in_the_package():
    broad = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
    ]
    assert len(broad) == 1, f"the trial boundary, and nothing else: {broad}"
