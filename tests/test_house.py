"""The floors: who may import whom, checked on the source without running it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kfkd

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "kfkd": "kfkd",
    "models": "kfkd.models",
    "augment": "kfkd.augment",
    "pipelines": "kfkd.pipelines",
    "submissions": "kfkd.submissions",
}
VOCABULARY = {
    "kfkd.ced",
    "kfkd.by_source",
    "kfkd.codecs",
    "kfkd.crop_maps",
    "kfkd.crops",
    "kfkd.errors",
    "kfkd.faces",
    "kfkd.storage.files",
    "kfkd.gaussians",
    "kfkd.heatmaps",
    "kfkd.integral",
    "kfkd.lazy",
    "kfkd.storage.leftovers",
    "kfkd.storage.locks",
    "kfkd.losses",
    "kfkd.map_losses",
    "kfkd.metrics",
    "kfkd.nme",
    "kfkd.peaks",
    "kfkd.photo_places",
    "kfkd.photosets",
    "kfkd.point_names",
    "kfkd.progress",
    "kfkd.registry",
    "kfkd.storage.safe_reading",
    "kfkd.skeletons",
    "kfkd.storage.stored_arrays",
    "kfkd.text",
    "kfkd.storage.unpacking",
    "kfkd.views",
}
FLOORS = {
    "models": {"kfkd.models"},
    "augment": {"kfkd.augment"},
    "pipelines": {"kfkd.models", "kfkd.augment", "kfkd.pipelines"},
    "submissions": {"kfkd.pipelines", "kfkd.submissions"},
}
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def module_name(path):
    folder, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([PACKAGES[folder], *(part for part in rest if part != "__init__")])


FILES = [path for folder in PACKAGES for path in sorted((ROOT / folder).rglob("*.py"))]
MODULES = {module_name(path) for path in FILES}
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def source_files(test):
    return pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())(
        test
    )


def imports(path):
    """Every module that a file imports, at its top or inside a function."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            deeper = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from deeper & MODULES or {node.module}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "kfkd":
            yield kfkd._HOME.get(node.attr, "kfkd")  # kfkd.train is as good as importing it


def within(module, packages):
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def own_imports(path):
    return {module for module in imports(path) if module.startswith("kfkd.")}


def test_the_source_is_the_package_under_test():
    assert len(FILES) > 40
    assert Path(kfkd.__file__).resolve() in FILES, "install the package with pip install -e ."


@source_files
def test_a_file_imports_from_its_own_floor_and_those_below(path):
    folder = path.relative_to(ROOT).parts[0]
    module = module_name(path)
    if folder in FLOORS:
        allowed = VOCABULARY | FLOORS[folder]
    elif module == "kfkd.registry":
        allowed = VOCABULARY | {"kfkd.models"}  # asking for the entries registers the zoo
    elif module in VOCABULARY:
        allowed = VOCABULARY
    else:
        return
    assert not {found for found in own_imports(path) if not within(found, allowed)}


@source_files
def test_tensorflow_stays_in_pipelines(path):
    folder = path.relative_to(ROOT).parts[0]
    allowed = folder == "pipelines" or path.name == "determinism.py"
    # TF-Hub's modules are graphs of TensorFlow; what opens them is imported when one is wanted.
    allowed |= folder == "models" and path.name.startswith("hub_")
    found = {module.partition(".")[0] for module in imports(path)}
    assert allowed or "tensorflow" not in found


@source_files
def test_no_pickle_is_read_or_written(path):
    assert not {module.partition(".")[0] for module in imports(path)} & PICKLES
    assert "allow_pickle=True" not in ast.unparse(TREES[path])
    assert "safe_mode=False" not in ast.unparse(TREES[path])


@source_files
def test_every_public_function_is_documented_and_typed(path):
    lacking = [problem for node in public(TREES[path]) for problem in problems(node)]
    assert not lacking


def public(tree):
    """Public functions of a module and public methods of its public classes."""
    for node in tree.body:
        if getattr(node, "name", "_").startswith("_"):
            continue
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (child for child in public(node))


def problems(function):
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [extra for extra in (arguments.vararg, arguments.kwarg) if extra]
    bare = [a.arg for a in named if a.annotation is None and a.arg not in ("self", "cls")]
    if bare:
        yield f"{function.name}, line {function.lineno}: no type for {', '.join(bare)}"
    if function.returns is None:
        yield f"{function.name}, line {function.lineno}: no type for what it returns"
    overload = any(ast.unparse(d) == "overload" for d in function.decorator_list)
    if not overload and not ast.get_docstring(function):
        yield f"{function.name}, line {function.lineno}: no docstring"


def test_importing_the_package_loads_nothing_heavy():
    script = "import sys, kfkd; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "kfkd" in loaded
    assert not loaded & {"tensorflow", "keras", "matplotlib", "pandas", "numpy", "cv2", "sklearn"}


def test_every_public_name_is_there():
    assert set(kfkd.__all__) <= set(dir(kfkd))
    for name in kfkd.__all__:
        assert getattr(kfkd, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kfkd.nothing
