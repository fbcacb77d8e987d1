"""`python -m ssni_jax` is `ssni`."""

from ssni_jax.cli import main

main()
