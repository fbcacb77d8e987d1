"""Eight CPU devices, every annotation of the package checked at run time, and compiled programs kept between runs."""

import jax
import numpy as np
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_disable_most_optimizations", True)  # here compiling takes longer than running
install_import_hook("ssni_jax", "beartype.beartype")


def pytest_configure(config):
    if getattr(config, "cache", None):
        jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Every program keeps maps of memory, of which a process has some 65,000: thousands of tests would use them up."""
    yield
    jax.clear_caches()


@pytest.fixture
def data_of_configs(tmp_path, monkeypatch):
    """A working directory with a few images wherever configs look for data."""
    from ssni_jax.data import write_image

    (tmp_path / "data" / "cifar10").mkdir(parents=True)
    for name in ("train_0", "test"):
        images, labels = np.zeros((20, 32, 32, 3), np.uint8), np.arange(20) % 10
        np.savez(tmp_path / "data" / "cifar10" / f"cifar10_{name}.npz", images=images, labels=labels)
    for part in ("train", "val"):
        (tmp_path / "data" / "imagenet64" / part / "0").mkdir(parents=True)
        write_image(tmp_path / "data" / "imagenet64" / part / "0" / "0.png", np.zeros((64, 64, 3)))
    monkeypatch.chdir(tmp_path)
