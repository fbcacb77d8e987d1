"""SSNI-N attacked with gradients through t(x): the level is soft, and nothing is held."""

from ssni_jax.attacks import Linf, Objective, Pgd
from ssni_jax.data import Digits
from ssni_jax.experiments import Evaluation
from ssni_jax.purify import Defense, Surrogate
from ssni_jax.recipes import diffpure_ddpm, ssni_n
from ssni_jax.zoo import Pretrained

score = Pretrained("digits-score")
base = diffpure_ddpm(score, t_star=0.1, n_steps=100)

experiment = Evaluation(
    name="DiffPure + SSNI-N, attacked through t(x)",
    defense=Defense(ssni_n(base, score.calibration(), tau=20.0).soft(), Pretrained("digits-classifier")),
    images=Digits("test"),
    attack=Pgd(Linf(0.15), step_size=0.03, n_steps=20),
    objective=Objective(n_draws=2, differentiate=Surrogate(5)),
)
