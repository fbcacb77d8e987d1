"""Command lines with one word changed."""

import random
from pathlib import Path

TOY = str(Path(__file__).parent.parent / "configs" / "toy_evaluation.py")
VALID = (
    ["evaluate", TOY, "--workdir", "RUN", "--n-images", "8", "--attack.threat.eps", "8/255", "--seed", "3"],
    ["status", "RUN"],
    ["report", "RUN"],
    ["convert", "FILE", "--family", "edm", "--out", "OUT", "--name", "x"],
    ["purify", "FILE", "OUT.png", "--preset", "digits-ssni-n", "--seed", "1"],
    ["compare", "FILE", "FILE", "--features", "none"],
    ["calibrate", "digits-score", "--n-levels", "2", "--workdir", "RUN"],
    ["certify", TOY, "--workdir", "RUN"],
    ["train", TOY, "--workdir", "RUN"],
)
WORDS = (
    "--n-images",
    "-1",
    "0",
    "nan",
    "8",
    "1e400",
    "2**64",
    str(2**64),
    "--nonsense",
    "gs://bucket/x",
    "s3://b",
    "..",
    "/",
    "",
    "--eps",
    "--seed",
    "--help-me",
    "\u2028",
    "a\0b",
    "x" * 5000,
    "--attack.threat.eps",
    "8/0",
    "1/",
    "--order-seed",
    "--workdir",
    "file:///tmp/x",
    "--objective.n-draws",
    "--attack",
    "None",
    "--n-draws",
    "--batch-size",
    "~",
    "$HOME",
    "*",
    "-",
    "--",
    "=",
)
MAY_RUN = frozenset(("evaluate", "calibrate"))  # after some changes it is still a valid command


def planted(rng: random.Random, folder: Path) -> tuple[list[str], bool]:
    """The words of a command, and whether it may be valid."""
    places = {"RUN": folder / "run", "OUT": folder / "out", "FILE": folder / "nowhere.bin", "OUT.png": folder / "o.png"}
    words = [str(places.get(word, word)) for word in rng.choice(VALID)]
    place, word = rng.randrange(len(words)), rng.choice(WORDS)
    change = rng.randrange(4)
    if change == 0:
        words[place] = word
    elif change == 1:
        words.insert(place, word)
    elif change == 2:
        del words[place]
    else:
        text = words[place]
        at = rng.randrange(max(1, len(text)))
        words[place] = text[:at] + rng.choice("x-0./\\ \n") + text[at + 1 :]
    return words, not words or words[0] in MAY_RUN or "--help" in words
