"""Letting compilers for accelerators run on a machine without them; JAX reads these settings when it is imported."""

from collections.abc import MutableMapping, Sequence
from itertools import pairwise

TARGET = "--target"
TPU_COMPILER = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # no chip is touched, so several processes may compile at once
}
ACCELERATOR = "v5litepod-8"  # any will do: the topology that is compiled for is named when it is asked for
# Without a card there is nothing to time kernels on, and Triton's matrix products do not tile without timings.
GPU_COMPILER = "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false"


def prepare_compilers(targets: Sequence[str], environment: MutableMapping[str, str]) -> None:
    """Settings under which these targets, such as "tpu:v5e:4x4", compile without their chips."""
    platforms = {target.partition(":")[0] for target in targets}
    if platforms & {"tpu", "gpu"}:
        environment["JAX_PLATFORMS"] = "cpu"
    if "tpu" in platforms:
        environment.update(TPU_COMPILER, TPU_ACCELERATOR_TYPE=ACCELERATOR)
    if "gpu" in platforms:
        environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {GPU_COMPILER}".strip()


def targets_in(arguments: Sequence[str]) -> list[str]:
    """The values of --target on a command line."""
    after = [value for flag, value in pairwise(arguments) if flag == TARGET]
    return after + [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{TARGET}=")]
