"""Methods against their references, with the references' own recorded noise in place of ours."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ssni_jax.convert.family import Converted, convert
from tests.reference.case import Case, Check, compare
from tests.reference.methods import diffusion, sample_specific
from tests.reference.methods.case import Io, Outputs
from tests.reference.methods.certification import certify
from tests.reference.networks import family_of, options_of

TOLERANCE = 1e-4

WITH_A_NETWORK: dict[str, Callable[[Converted, Io], Outputs]] = {
    "ddpm_ancestral_100": diffusion.ddpm_ancestral,
    "ddpm_ancestral_1000": diffusion.ddpm_ancestral,
    "diffpure_ode": diffusion.diffpure_ode,
    "diffpure_sde": diffusion.diffpure_sde,
    "edm_heun": diffusion.edm_heun,
    "eps": sample_specific.eps,
    "gns_ddim": diffusion.gns_ddim,
    "gns_ddpm": diffusion.gns_ddpm,
    "ssni_L_ddpm_1round": sample_specific.ssni_l_ddpm,
    "ssni_N_ddim_1round": sample_specific.ssni_n_ddim,
    "ssni_N_ddpm_1round": sample_specific.ssni_n_ddpm,
    "ssni_N_ddpm_3round": sample_specific.ssni_n_ddpm,
}
METHODS = (*WITH_A_NETWORK, "certify", "ssni_index_tables")


def checks(file: Path) -> Iterator[Check]:
    """Every output of one file of methods; whole numbers have to be the same, others agree to the tolerance."""
    io = dict(np.load(file))
    if file.stem == "ssni_index_tables":
        for n_steps, expected in io.items():
            found = sample_specific.index_table(int(n_steps), len(expected))
            yield compare(f"methods/{file.stem}", n_steps, found, expected, 0.0)
        return
    found = certify(io) if file.stem == "certify" else WITH_A_NETWORK[file.stem](converted(file, io), io)
    for name in sorted(name for name in io if name.startswith("out_")):
        tolerance = 0.0 if io[name].dtype.kind == "i" else TOLERANCE
        yield compare(f"methods/{file.stem}", name[4:], found[name[4:]], io[name], tolerance)


def converted(file: Path, io: Io) -> Converted:
    """The case's network, as it would be converted from a released file."""
    case = Case(file.parent.parent / str(io["meta_network"]))
    return convert(family_of(case), case.tensors(str(io["meta_salt"])), options_of(case))


__all__ = ["METHODS", "checks"]
