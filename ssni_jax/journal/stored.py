"""What the JSON files of a workdir must hold."""

from typing import Any, NotRequired, TypedDict

RESTORE = "restore it, or pass another --workdir"


class ExperimentFile(TypedDict):
    """experiment.json; the rest of its keys are those of the experiment."""

    kind: NotRequired[str]
    hash: str


class Run(TypedDict):
    """run.json of any kind; its other facts are shown as they are."""

    ids: list[int]
    command: str


class StageRow(TypedDict):
    """One attack of an ensemble: on how many of the n images it ran, and how many stand after it."""

    attack: str
    n: int
    ran: int
    standing: int
    queries: int
    invalid: NotRequired[int]


class LevelCurve(TypedDict):
    """t over the score norm."""

    norm: list[float]
    t: list[float]


class EvaluationRun(Run):
    """run.json of an evaluation."""

    defense: str
    n_draws: NotRequired[int]
    stages: NotRequired[list[StageRow]]
    level_curves: NotRequired[list[LevelCurve]]
    attack: NotRequired[Any]
    objective: NotRequired[dict[str, Any]]


class CertificationRun(Run):
    """run.json of a certification."""

    defense: str
    sigmas: list[float]


class CalibrationRun(Run):
    """run.json of a calibration."""

    defense: str


class TrainingRun(TypedDict):
    """run.json of a training."""

    command: NotRequired[str]
    n_steps: NotRequired[int]


class SweptFile(TypedDict):
    """sweep.json."""

    name: str
    command: str
    ids: list[int]
    cells: list["CellEntry"]


class CellEntry(TypedDict):
    """One cell of a sweep; its workdir is relative to the sweep, None if it is not known yet."""

    defense: str
    attack: str
    norm: str
    eps: float | None
    group: str
    n_images: int
    workdir: str | None


class CheckEntry(TypedDict):
    """One check of `ssni sanity`."""

    name: str
    verdict: str
    sentence: str


class SanityFile(TypedDict):
    """sanity.json."""

    n_images: int
    checks: list[CheckEntry]


class Curve(TypedDict):
    """Mean loss and share of wrong draws after every iteration of an attack."""

    loss: list[float | None]
    broken: list[float | None]
    judged: NotRequired[list[int]]


class Header(TypedDict):
    """The first line of a unit."""

    n_records: int
    experiment: NotRequired[str]
    stage: NotRequired[str]
    curve: NotRequired[Curve | None]
    attack_seconds: NotRequired[float | None]
