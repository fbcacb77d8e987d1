"""Solver steps, the differentiable solver and the ragged one."""

from ssni_jax.solvers import ragged
from ssni_jax.solvers.solve import diffuse, solve
from ssni_jax.solvers.steps import Ancestral, Euler, EulerMaruyama, Heun, Renoise

__all__ = ["Ancestral", "Euler", "EulerMaruyama", "Heun", "Renoise", "diffuse", "ragged", "solve"]
