"""``python -m benchmarks.suite``: runs the suite (see ``run.py``)."""

from benchmarks.suite.run import main

main()
