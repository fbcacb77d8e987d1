"""Eight CPU devices, every annotation of the package checked at run time, and compiled programs kept between runs."""

import functools
import gc
import os
from importlib.metadata import version
from pathlib import Path

# In one piece, and without the fusion emitters of jaxlib 0.10, small programs compile in half the time. XLA reads these
# flags once, and a jaxlib that does not know one of them ends the process.
EMITTERS = "--xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""
FLAGS = f"--xla_cpu_parallel_codegen_split_count=1 {EMITTERS}"
os.environ["XLA_FLAGS"] = f"{FLAGS} {os.environ.get('XLA_FLAGS', '')}"

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from jax._src.interpreters import mlir  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

gc.set_threshold(100_000, 50, 100)  # tracing makes millions of small objects, of which few are garbage
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_disable_most_optimizations", True)  # here compiling takes longer than running
install_import_hook("ssni_jax", "beartype.beartype")


MOST_MAPS = 40_000

# jax makes a new MLIR context for every program, which is a third of what a small one costs; one serves them all.
if hasattr(mlir, "make_ir_context"):
    mlir.make_ir_context = functools.cache(mlir.make_ir_context)


def pytest_configure(config):
    if getattr(config, "cache", None):
        jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.03)  # less is compiled as fast as it is read


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Every program keeps maps of memory, of which a process has some 65,000: thousands of tests would use them up."""
    yield
    maps = Path("/proc/self/maps")
    if not maps.exists() or maps.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(autouse=True, scope="session")
def networks_of_one_config_share_their_shapes():
    """Tests read many networks of few configs, and under the checker the shapes of one take a third of a second."""
    from ssni_jax import zoo
    from ssni_jax.convert import family
    from ssni_jax.networks import abstract

    shapes = functools.cache(lambda config: abstract(config.make))
    with pytest.MonkeyPatch.context() as patch:
        for module in (family, zoo):
            patch.setattr(module, "abstract", lambda make: shapes(make.__self__))
        yield


@pytest.fixture(autouse=True, scope="session")
def evaluations_share_their_programs():
    """As the cells of a sweep do: most tests of evaluations run the same toys."""
    from ssni_jax.jobs import evaluation_job, programs

    shared = programs.CompiledPrograms()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "LARGEST", 60)
        patch.setattr(evaluation_job, "CompiledPrograms", lambda: shared)
        yield


@pytest.fixture
def data_of_configs(tmp_path, monkeypatch):
    """A working directory with a few images, and a checkpoint of formula weights, wherever configs look for them."""
    from ssni_jax.data import write_image
    from tests.convert.files import tensors, torch_zip
    from tests.reference.case import weight

    (tmp_path / "data" / "cifar10").mkdir(parents=True)
    for name in ("train_0", "test"):
        images, labels = np.zeros((20, 32, 32, 3), np.uint8), np.arange(20) % 10
        np.savez(tmp_path / "data" / "cifar10" / f"cifar10_{name}.npz", images=images, labels=labels)
    for part in ("train", "val"):
        (tmp_path / "data" / "imagenet64" / part / "0").mkdir(parents=True)
        write_image(tmp_path / "data" / "imagenet64" / part / "0" / "0.png", np.zeros((64, 64, 3)))
    for part in ("train", "val"):
        (tmp_path / "data" / "imagenet" / part / "n01440764").mkdir(parents=True)
        write_image(tmp_path / "data" / "imagenet" / part / "n01440764" / "0.png", np.zeros((40, 30, 3)))
    state, storages = tensors({name: weight(name, shape) for name, shape in own_classifier_shapes().items()})
    (tmp_path / "data" / "vnncomp_resnet2b.pth").write_bytes(torch_zip({"state_dict": state}, storages))
    monkeypatch.chdir(tmp_path)


def own_classifier_shapes() -> dict[str, tuple[int, ...]]:
    """The tensors of the checkpoint that configs/evaluate_own_classifier.py reads."""
    convolutions = {"conv1": (8, 3, 3, 3), "layer1.0.conv1": (16, 8, 3, 3), "layer1.0.shortcut.0": (16, 8, 1, 1)}
    convolutions |= dict.fromkeys(("layer1.0.conv2", "layer1.1.conv1", "layer1.1.conv2"), (16, 16, 3, 3))
    kernels = {**convolutions, "linear1": (100, 1024), "linear2": (10, 100)}
    biases = {f"{name}.bias": shape[:1] for name, shape in kernels.items()}
    return {f"{name}.weight": shape for name, shape in kernels.items()} | biases
