"""Mutated inputs of every kind, through the commands that read them: `python -m tests.inputs.fuzz 500`.

Each try ends in the right answer, or in one sentence and exit code 2. Anything else is a violation: a traceback, a hang
of a minute, a result that is neither the unmutated one nor a refusal, and files left behind by a refused command. Two
worker processes share the tries; --seed chooses others, --kind one kind, and each violation is printed with the
command that repeats it.
"""

import argparse
import collections
import json
import os
import queue
import subprocess
import sys
import threading
import time

KINDS = ("pictures", "arrays", "shards", "records", "configs", "command lines")
OUTCOMES = ("right", "refused", "traceback", "hang", "wrong", "partial")
VIOLATIONS = OUTCOMES[2:]
HANG_S, START_S = 60.0, 300.0
N_WORKERS = 2
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}  # commands of one process cannot change these


def main() -> None:
    """Runs the tries and prints the table; exit code 1 if there was a violation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tries", type=int, nargs="?", default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        work(json.loads(options.worker))
        return
    kinds = KINDS if options.kind is None else (options.kind,)
    seeds = [(kinds[i % len(kinds)], options.seed + i) for i in range(options.tries)]
    begun = time.monotonic()
    results = [result for share in shared(seeds) for result in share]
    print(table(results))
    for kind, seed, outcome, text in results:
        if outcome in VIOLATIONS:
            print(f"{outcome}: python -m tests.inputs.fuzz 1 --kind '{kind}' --seed {seed}\n    {text}")
    n_wrong = sum(outcome in VIOLATIONS for _, _, outcome, _ in results)
    print(f"{len(results)} tries in {time.monotonic() - begun:.0f} s, {n_wrong} violations")
    raise SystemExit(1 if n_wrong else 0)


def work(seeds: list) -> None:
    """In a worker: one line of JSON per try, as it ends."""
    from tests.inputs import tries

    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what commands print themselves is not wanted
    for kind, seed in seeds:
        outcome, text = tries.one(kind, seed)
        print(json.dumps([kind, seed, outcome, text]), file=out, flush=True)


def shared(seeds: list) -> list[list]:
    """The results of the workers, each with every second try."""
    shares = [seeds[i::N_WORKERS] for i in range(N_WORKERS)]
    results: list[list] = [[] for _ in shares]
    threads = [threading.Thread(target=supervised, args=(s, r)) for s, r in zip(shares, results, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def supervised(seeds: list, results: list) -> None:
    """Fills in the results of these tries; a worker that hangs or dies is replaced after the try that did it."""
    while len(results) < len(seeds):
        left = seeds[len(results) :]
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.inputs.fuzz", "--worker", json.dumps(left)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **ENVIRONMENT},
        )  # fmt: skip
        lines: queue.Queue = queue.Queue()
        threading.Thread(target=read_lines, args=(worker.stdout, lines), daemon=True).start()
        limit, outcome = START_S, ""
        while not outcome and len(results) < len(seeds):
            try:
                line = lines.get(timeout=limit)
                outcome = "" if line else "traceback"
            except queue.Empty:
                line, outcome = "", "hang"
            if line:
                results.append(json.loads(line))
            limit = HANG_S
        worker.kill()
        worker.wait()
        if outcome and len(results) < len(seeds):
            results.append([*seeds[len(results)], outcome, "the process ended" if outcome == "traceback" else ""])


def read_lines(stream, lines: queue.Queue) -> None:
    """Passes the lines of a worker on, and an empty one at its end."""
    for line in stream:
        lines.put(line)
    lines.put("")


def table(results: list) -> str:
    """How many tries of each kind ended how."""
    counts = collections.Counter((kind, outcome) for kind, _, outcome, _ in results)
    lines = [f"{'kind':16}" + "".join(f"{name:>11}" for name in ("tries", *OUTCOMES))]
    for kind in KINDS:
        row = [counts[kind, outcome] for outcome in OUTCOMES]
        if sum(row):
            lines.append(f"{kind:16}" + "".join(f"{n:>11}" for n in (sum(row), *row)))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
