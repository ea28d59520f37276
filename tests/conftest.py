"""Settings shared by all tests: reproducible property tests and the place of real data."""

from pathlib import Path

import pytest
from hypothesis import settings
from real_files import real

settings.register_profile("ch4grid", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("ch4grid")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real towers and drivers; the test is skipped where it is absent."""
    return real()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted with `record_property("counted", text)`, so that a run of the suite publishes it."""
    reports = (r for many in terminalreporter.stats.values() for r in many)
    told = [
        text
        for report in reports
        for name, text in getattr(report, "user_properties", ())
        if name == "counted" and report.when == "call"
    ]
    if told:
        terminalreporter.section("counts")
        for text in sorted(told):
            terminalreporter.line(str(text))
