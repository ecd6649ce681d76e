"""A plugin for pytest: one JSON line a test (`id`, `outcome`, `why`, `markers`, `seconds`) into the file named by OUTCOMES."""
import json
import os
import re

class Outcomes:
    def __init__(self, path, markers):
        self.path = path
        self.markers = markers
        self.tests = {}

    def pytest_runtest_logreport(self, report):
        test = self.tests.setdefault(report.nodeid, {"outcome": "passed", "why": "", "seconds": 0.0})
        test["seconds"] += report.duration
        if report.failed:
            test["outcome"] = "failed" if report.when == "call" else "error"
            crash = getattr(report.longrepr, "reprcrash", None)
            test["why"] = test["why"] or first_line(str(crash.message if crash else report.longrepr))
        elif report.skipped and test["outcome"] == "passed":
            test["outcome"] = "skipped"
            why = report.longrepr
            test["why"] = first_line(str(why[2] if isinstance(why, tuple) else why))
        if report.when == "teardown":
            markers = sorted(self.markers.intersection(report.keywords))
            self.write(report.nodeid, {"markers": markers, **test})

    # As each ends: a run that is cut off has told of those before.
    def write(self, nodeid, test):
        line = {"id": nodeid, **test}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def first_line(text):
    lines = text.strip().splitlines()
    return lines[0][:300] if lines else ""


def pytest_configure(config):
    # Of the workers of pytest-xdist, the one that hands out the tests hears of all reports.
    if not hasattr(config, "workerinput") and "OUTCOMES" in os.environ:
        # Those that the suite has named; a report's keywords have its markers among them.
        markers = {re.split("[:(]", line)[0].strip() for line in config.getini("markers")}
        config.pluginmanager.register(Outcomes(os.environ["OUTCOMES"], markers))
