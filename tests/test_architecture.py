"""The architecture's rules, over syntax trees: the arrows, what may be imported where, and no hidden randomness."""

import ast
from functools import lru_cache
from pathlib import Path

import pytest

from tests.tiny import REPO

PACKAGES = ("fedjtt", "strategies", "experiments")
FILES = sorted(path for package in PACKAGES for path in (REPO / package).rglob("*.py"))

# The arrows: a module may import from its own layer and those above it in this list, never from one below.
LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "fedjtt.errors",
        "fedjtt.seeding",
        "fedjtt.rules",
        "fedjtt.data_rules",
        "fedjtt.model_rules",
        "fedjtt.choices",
        "fedjtt.automatic",
        "fedjtt.keys",
        "fedjtt.config",
        "fedjtt.cache",
        "fedjtt.checkpoint",
        "fedjtt.choices",
        "fedjtt.tracking",
        "fedjtt.run_lock",
        "fedjtt.workers",
        "fedjtt.checkpoint",
    ),
    (
        "fedjtt.secagg",
        "fedjtt.data",
        "fedjtt.convnets",
        "fedjtt.initial_values",
        "fedjtt.backbones",
        "fedjtt.workspace",
        "fedjtt.models",
        "fedjtt.bag_of_embeddings",
        "fedjtt.pretrained_text",
        "fedjtt.objectives",
        "fedjtt.optimisers",
        "fedjtt.sparse",
        "fedjtt.l1_logistic",
    ),
    ("fedjtt.evaluation", "fedjtt.spectrum", "fedjtt.frozen"),
    ("fedjtt.training", "fedjtt.inference", "fedjtt.attribution"),
    ("fedjtt.methods",),
    ("fedjtt.hosts",),
    ("fedjtt.provide", "fedjtt.records"),
    ("fedjtt.client_app", "fedjtt.simulation"),
    ("strategies",),
    ("fedjtt.server_app",),
    ("fedjtt.api",),
    ("experiments",),
)
ONLY_IN = {
    "flwr": (
        "fedjtt.secagg.crypto",
        "fedjtt.records",
        "fedjtt.client_app",
        "fedjtt.server_app",
        "fedjtt.simulation",
        "strategies",
        "experiments.benchmarks",
        "experiments.poisoned",
    ),
    "cryptography": ("fedjtt.secagg.crypto", "experiments.deploy"),
    "typer": ("experiments",),
    "click": ("experiments",),
    "rich": ("experiments",),
    "matplotlib": ("experiments",),
    "pandas": ("experiments", "fedjtt.data.sources"),
    "pydantic": ("fedjtt.config", "fedjtt.keys"),
    "sklearn": ("fedjtt.data", "experiments"),
    "torchvision": ("fedjtt.data", "fedjtt.backbones", "experiments"),
    "transformers": ("fedjtt.pretrained_text",),
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")


@lru_cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports_of(path: Path, nested: bool = True) -> set[str]:
    """The modules that a file imports; with `nested`, also inside functions."""
    found: set[str] = set()
    known = {module_of(each) for each in FILES}
    for node in ast.walk(tree_of(path)) if nested else tree_of(path).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & known) or {node.module}
    return found


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer_of(module: str) -> int | None:
    found = [number for number, layer in enumerate(LAYERS) if any(within(module, package) for package in layer)]
    assert len(found) <= 1
    return found[0] if found else None


def names(path: Path) -> str:
    return module_of(path)


@pytest.mark.parametrize("path", FILES, ids=names)
def test_imports_follow_the_arrows(path: Path) -> None:
    module = module_of(path)
    layer = layer_of(module)
    if module == "fedjtt":  # the public face: imports on first use
        assert imports_of(path, nested=False) <= {"importlib", "typing"}
        return
    assert layer is not None, f"{module} has no layer: give it one in this test"
    for imported in imports_of(path):
        other = layer_of(imported)
        assert other is None or other <= layer, f"{module} imports {imported}, which stands below it"


@pytest.mark.parametrize("path", FILES, ids=names)
def test_what_may_be_imported_where(path: Path) -> None:
    module = module_of(path)
    for imported in imports_of(path):
        homes = ONLY_IN.get(imported.split(".")[0])
        assert homes is None or any(within(module, home) for home in homes), f"{module} imports {imported}"


def test_there_are_no_import_cycles() -> None:
    graph = {
        module_of(path): {m for m in imports_of(path, nested=False) if m.split(".")[0] in PACKAGES} for path in FILES
    }
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way, module))
        if module not in done:
            for imported in graph.get(module, set()):
                visit(imported, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_there_is_one_backward() -> None:
    calls = [
        module_of(path)
        for path in FILES
        if not within(module_of(path), "experiments.benchmarks")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr == "backward"
    ]
    assert calls == ["fedjtt.training"]


GLOBAL_SEEDS = {"torch.manual_seed", "torch.seed", "np.random.seed", "numpy.random.seed", "random.seed"}
GLOBAL_DRAWS = {
    f"np.random.{name}" for name in ("rand", "randn", "randint", "random", "permutation", "shuffle", "choice", "normal")
}
TORCH_DRAWS = {"torch.rand", "torch.randn", "torch.randint", "torch.randperm", "torch.multinomial", "torch.bernoulli"}


@pytest.mark.parametrize("path", FILES, ids=names)
def test_no_global_generator_is_read_or_seeded(path: Path) -> None:
    assert "random" not in imports_of(path)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in GLOBAL_SEEDS | GLOBAL_DRAWS, f"{path}:{node.lineno}"
            if called in TORCH_DRAWS or called.startswith("nn.init."):
                assert any(keyword.arg == "generator" for keyword in node.keywords), f"{path}:{node.lineno}"


def test_no_file_is_a_drawer() -> None:
    assert not [path for path in FILES if path.stem in ("utils", "util", "helpers", "common", "misc")]


@pytest.mark.parametrize("path", FILES, ids=names)
def test_no_error_is_swallowed_unseen(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{path}:{node.lineno}: bare except"


@pytest.mark.parametrize("path", FILES, ids=names)
def test_files_are_at_most_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]


def body_lines(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


@pytest.mark.parametrize("path", FILES, ids=names)
def test_functions_are_at_most_40_lines(path: Path) -> None:
    assert {f.name: body_lines(f) for f in functions(path) if body_lines(f) > 40} == {}


@pytest.mark.parametrize("path", FILES, ids=names)
def test_what_is_public_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), "the module"
    public = [node for node in tree_of(path).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    for node in public:
        if not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


def test_tests_mirror_the_sources() -> None:
    """Every module with code of its own has tests at the same place, or is named here with those that cover it."""
    elsewhere = {
        "fedjtt.server_app": "tests/test_equivalence.py, tests/test_flower_engine.py",
        "fedjtt.rules": "tests/test_config.py",
        "fedjtt.data_rules": "tests/test_config.py",
        "fedjtt.model_rules": "tests/test_config.py",
        "fedjtt.choices": "tests/test_config.py",
        **{f"fedjtt.keys.{path.stem}": "tests/test_config.py" for path in (REPO / "fedjtt" / "keys").glob("*.py")},
        "fedjtt.data.options": "tests/data/test_sources.py",
        "fedjtt.data.published_table": "tests/data/test_adult.py, tests/data/test_compas.py",
        "fedjtt.data.text_table": "tests/data/test_sick.py, tests/data/test_multinli.py",
        "fedjtt.data.recipe": "tests/data/test_digits.py, tests/data/test_spuco_mnist.py",
        "fedjtt.methods.minority": "tests/methods/test_jtt.py, tests/methods/test_grouping.py",
        "fedjtt.methods.find_harmful": "tests/methods/test_d3m.py",
        "fedjtt.methods.base": "tests/test_records.py, tests/methods",
        "fedjtt.methods.registry": "tests/test_client_app.py",
        "strategies.known": "tests/strategies/test_acceptance.py",
        "strategies.reply_rules": "tests/strategies/test_acceptance.py",
        "strategies.conversation": "tests/strategies/test_staged.py, tests/strategies/test_faults.py",
        "experiments.commands": "tests/experiments/test_cli.py",
        "experiments.data.show": "tests/experiments/test_cli.py",
        "experiments.deploy.finding": "tests/experiments/deploy/test_check.py",
        "experiments.deploy.loopback": "tests/experiments/deploy/test_local.py",
        "experiments.deploy.texts": "tests/experiments/deploy/test_layout.py",
        "experiments.drawing": "tests/experiments/test_plots.py",
        "experiments.group_figures": "tests/experiments/test_plots.py",
        "experiments.execute": "tests/experiments/test_cli.py",
        "experiments.flower_engine": "tests/test_flower_engine.py",
        "experiments.flower_keeper": "tests/test_flower_engine.py",
        "experiments.flower_process": "tests/test_flower_engine.py",
        "experiments.progress": "tests/experiments/test_cli.py",
    }
    missing = []
    for path in FILES:
        relative = path.relative_to(REPO)
        if path.stem.startswith("__") or "benchmarks" in relative.parts or module_of(path) in elsewhere:
            continue
        parts = relative.parts[1:] if relative.parts[0] == "fedjtt" else relative.parts
        if not (REPO / "tests" / Path(*parts[:-1]) / f"test_{path.stem}.py").exists():
            missing.append(module_of(path))
    assert missing == []
