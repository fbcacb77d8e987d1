"""FreqPure (Pei et al. 2025): low frequencies of every estimate follow the input's."""

from collections.abc import Sequence

from ssni_jax.core.protocols import Denoiser, NoiseSchedule, Reference, Step
from ssni_jax.purify import Constant, Estimated, LowFrequencies, Purifier, Round
from ssni_jax.schedules import DiscreteVP, Uniform
from ssni_jax.solvers import Ancestral

CIFAR10 = ((20, 5), (50, 5))


def freqpure(
    denoise: Denoiser,
    *,
    rounds: Sequence[tuple[int, int]] = CIFAR10,
    n_steps: int = 5,
    guide: LowFrequencies = LowFrequencies(3.0, 3.0, 0.3),
    reference: Reference = Estimated(0.1),
    step: Step = Ancestral(),
    schedule: NoiseSchedule = DiscreteVP(),
) -> Purifier:
    """For each (k, repeats): noise to k of 1000 steps, `n_steps` back, each estimate through `guide`.

    Defaults are the released script's for CIFAR-10; for ImageNet it takes `freqpure_imagenet`. The reference is the
    one-step estimate of the input; the released code estimates anew in every step, from each round's own start. Its
    noise is not published: 0.1 is this library's choice.
    """
    built = tuple(
        Round(Constant(k / 1000), Uniform(n_steps), step, guide, reference, repeats=repeats) for k, repeats in rounds
    )
    return Purifier(denoise, schedule, built)


def freqpure_imagenet(denoise: Denoiser) -> Purifier:
    """The released ImageNet script: a hundred steps from the top of the schedule, radius 10."""
    return freqpure(denoise, rounds=((1000, 1),), n_steps=100, guide=LowFrequencies(10.0, 10.0, 0.3))
