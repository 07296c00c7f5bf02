"""The debug folder's report.html: page, findings, plots, style."""
