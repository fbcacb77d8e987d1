"""Opening a workdir: every process agrees on what is to be run, and that it is what the workdir holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from ssni_jax.dist import agree, check_shared, same_everywhere
from ssni_jax.jobs.run import attempt
from ssni_jax.jobs.sharing import ALL, Share
from ssni_jax.journal.identity import identity_of
from ssni_jax.journal.workdir import open_workdir


def opened(
    workdir: Path, experiment: Any, networks: Mapping[str, Any], sources: Mapping[str, Any], share: Share = ALL
) -> dict[str, Any]:
    """The identity of an experiment, after checking its data, that all processes see the workdir, and what is in it.

    Whatever one process refuses ends all of them.
    """
    identity, error = attempt(lambda: identity_of(experiment, networks, sources))
    agree(error)
    assert identity is not None
    summary = getattr(experiment.images, "summary", "")
    if summary and jax.process_index() == 0:
        print(f"{experiment.name}: {summary}", flush=True)
    same_everywhere("the experiment, its networks or its data", identity["hash"])
    check_shared(workdir)
    _, error = attempt(lambda: _open(workdir, identity, share)) if jax.process_index() == 0 else (None, None)
    agree(error)
    return identity


def _open(workdir: Path, identity: Mapping[str, Any], share: Share) -> None:
    share.check(workdir)
    open_workdir(workdir, identity)
