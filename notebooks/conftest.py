"""nbval compares the outputs of checked cells; warnings on stderr and pictures differ between machines."""


def pytest_collectstart(collector):
    """Leave stderr and pictures out of the comparison."""
    if getattr(collector, "skip_compare", None) is not None:
        collector.skip_compare += ("stderr", "image/png", "text/html")
