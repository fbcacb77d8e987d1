"""Every judgement of an evaluation: which labels of a record it looks at, and the score that they give the image."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ssni_jax.evals.protocol import INVALID, all_right, mean_of_draws, wins_majority, wins_plurality, withstands
from ssni_jax.evals.statistics import Scores


class Judgement(NamedTuple):
    """The field of a record that holds one label or several, and their score in [0, 1] for the true label."""

    field: str
    score: Callable[[Sequence[int], int], float]

    def labels(self, record: Mapping[str, Any]) -> Sequence[int]:
        """The labels that are judged; none where the record has no such field."""
        labels = record.get(self.field, [])
        return [labels] if isinstance(labels, int) else labels

    def scores(self, records: Iterable[Any]) -> Scores:
        """The score of each record that has labels, in their order."""
        judged = ((self.labels(record), record["label"]) for record in records)
        return np.array([self.score(labels, y) for labels, y in judged if labels], float)

    def averages(self, records: Iterable[Any]) -> bool:
        """Whether the score of an image is a mean over several labels, and no count."""
        return self.score is mean_of_draws and any(len(self.labels(record)) > 1 for record in records)

    def n_invalid(self, records: Iterable[Any]) -> int:
        """The images with a NaN or infinite logit in one of the predictions."""
        return sum(INVALID in self.labels(record) for record in records)


JUDGEMENTS = {
    "clean": Judgement("clean_label", mean_of_draws),
    "clean_draw": Judgement("clean_draws", mean_of_draws),
    "robust": Judgement("draws", mean_of_draws),
    "robust_worst": Judgement("draws", all_right),
    "robust_vote": Judgement("draws", wins_plurality),
    "robust_majority": Judgement("draws", wins_majority),
    "robust_answer": Judgement("answers", mean_of_draws),
    "robust_worst_iterate": Judgement("iterates", all_right),
    "fixed_key": Judgement("fixed_key_label", mean_of_draws),
    "bare_classifier": Judgement("undefended_label", mean_of_draws),
}
"""By the name of their number: `robust` is the accuracy of one fresh draw, `robust_worst` of an image whose n draws are
all right, `robust_vote` of their plurality (a tie is wrong), `robust_majority` of more than half of them,
`robust_answer` of the predictor's own answer, `robust_worst_iterate` of an image whose answer is right on every judged
iterate of the attack, and `fixed_key` of the answer under the attack's own key."""


def submissions(m: int) -> Judgement:
    """Whether an image withstands m submissions."""
    return Judgement("draws", lambda labels, y: withstands(labels, y, m))
