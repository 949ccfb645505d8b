"""The architecture is a test: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = [
    p.relative_to(ROOT)
    for folder in ("competition", "folds", "blending", "models", "pipeline", "launch")
    for p in sorted((ROOT / folder).rglob("*.py"))
]
SCRIPTS = ("train", "infer", "ensemble")
COMMANDS = [f"{name}.py" for name in SCRIPTS] + ["-m folds", "-m competition", "-m pipeline.compare"]
COMMANDS += ["-m pipeline.table", "-m competition.stand_in.fashion_mnist"]
COMMANDS += [f"-m benchmarks.{name}" for name in ("train", "infer", "speedrun", "blend", "rows", "scale")]
# What each package may import of the project.
ALLOWED = {
    "competition": {"competition"},
    "folds": {"folds", "competition"},
    "blending": {"blending", "competition"},
    "models": {"models"},
    "pipeline": {"pipeline", "models", "blending", "folds", "competition"},
    "launch": {"launch", "pipeline", "models", "blending", "folds", "competition"},
}


def imports(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_stands_below_them(package):
    forbidden = {*ALLOWED, *SCRIPTS, "tests", "benchmarks"} - ALLOWED[package]
    if package in ("competition", "folds", "blending"):
        forbidden |= {"torch", "torchvision", "timm", "kaggle", "wandb"}
    found = {str(path): imports(ROOT / path) & forbidden for path in MODULES if path.parts[0] == package}
    assert found and not {path: names for path, names in found.items() if names}


def test_ensembling_and_comparing_never_load_torch():
    modules = [".".join(p.with_suffix("").parts) for p in MODULES if p.parts[0] == "competition"]
    modules.remove("competition.__main__")
    modules += ["folds.split", "folds.store", "folds.report", "ensemble", "pipeline.ensemble", "pipeline.report"]
    modules += ["pipeline.compare", "pipeline.comparison", "pipeline.mistakes", "pipeline.pictures", "pipeline.summary"]
    modules += ["pipeline.findings", "pipeline.charts", "pipeline.drawing", "pipeline.page", "pipeline.overview"]
    modules += ["pipeline.comparison_text", "pipeline.discarded", "pipeline.mirror", "pipeline.tracking"]
    modules += ["pipeline.ensemble_folder", "pipeline.ensemble_text"]
    code = f"import sys, importlib\nfor m in {modules}: importlib.import_module(m)\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_explain_themselves_without_loading_torch(command):
    # An unimportable torch makes a help that needs it fail.
    code = (
        "import sys, runpy; sys.modules['torch'] = None\n"
        "*module, name = sys.argv[1].split(); sys.argv = [name, '--help']\n"
        "(runpy.run_module if module else runpy.run_path)(name, run_name='__main__')"
    )
    shown = subprocess.run([sys.executable, "-c", code, command], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("usage:")
