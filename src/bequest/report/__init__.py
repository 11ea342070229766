"""The report page, drawn from records alone."""

from __future__ import annotations

from bequest.report.page import write_report
from bequest.report.terminal import terminal_table

__all__ = ["terminal_table", "write_report"]
