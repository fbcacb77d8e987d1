"""What the README says is what happens."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_of_the_readme_runs():
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, names)
    assert names["purified"].shape == (4, 8, 8, 1)
    assert names["result"].t.shape == (1, 4)


def test_every_file_the_readme_names_exists():
    named = set(re.findall(r"\b(?:configs|launch|benchmarks)/\w+\.\w+", README)) | set(
        re.findall(r"\]\((\w+\.md)\)", README)
    )
    assert len(named) > 6
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
