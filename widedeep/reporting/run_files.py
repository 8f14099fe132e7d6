"""Write what people read of a finished run into its directory: the report and the model card."""

import time
from importlib.util import find_spec
from pathlib import Path

from widedeep.common.console import log
from widedeep.common.files import write_atomically
from widedeep.reporting.model_card import model_card
from widedeep.reporting.run_report import make_report
from widedeep.schema.manifest import CARD_FILE, read_manifest
from widedeep.schema.run_report import REPORT_FILE, REPORT_PAGE
from widedeep.training.metrics_file import RunMetrics


def write_run_files(run: Path, data: Path, metrics: RunMetrics) -> None:
    """Write report.json, report.html and README.md into a finished run's directory, unless all are there.

    Without plotly and jinja2 there is no report.html, and the log says what to install.

    Args:
        run: the directory.
        data: the prepared directory that the model was trained on.
        metrics: those of metrics.json.

    """
    if all((run / name).exists() for name in (REPORT_FILE, REPORT_PAGE, CARD_FILE)):
        return
    start = time.monotonic()
    report = make_report(run, data, metrics)
    write_atomically(run / REPORT_FILE, report.model_dump_json(indent=1).encode())
    write_atomically(run / CARD_FILE, model_card(report, read_manifest(data)).encode())
    if find_spec("plotly") and find_spec("jinja2"):
        from widedeep.reporting.run_sections import report_html  # not at the top: the packages are optional

        write_atomically(run / REPORT_PAGE, report_html(report).encode())
        log.info("report: %s (%.1f s)", run / REPORT_PAGE, time.monotonic() - start)
    else:
        log.info(
            "report: %s; for a page of it, pip install -e '.[explore]' and give the same command again",
            run / REPORT_FILE,
        )
