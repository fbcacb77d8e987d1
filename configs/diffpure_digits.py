"""DiffPure at a fixed noise level on the digits: the method that SSNI is compared with."""

from ssni_jax.attacks import Linf, Objective, Pgd
from ssni_jax.data import Digits
from ssni_jax.experiments import Evaluation
from ssni_jax.purify import Defense, Surrogate
from ssni_jax.recipes import diffpure_ddpm
from ssni_jax.zoo import Pretrained

experiment = Evaluation(
    name="DiffPure (fixed t*)",
    defense=Defense(diffpure_ddpm(Pretrained("digits-score"), t_star=0.1), Pretrained("digits-classifier")),
    images=Digits("test"),
    attack=Pgd(Linf(0.15), step_size=0.03, n_steps=20),
    objective=Objective(n_draws=2, differentiate=Surrogate(5)),
)
