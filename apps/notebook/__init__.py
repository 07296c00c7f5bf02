"""The studio's parts as widgets of a notebook (extra notebook, ipywidgets).

``studio`` joins the tabs; ``inputs`` and ``option_fields`` are parts of them. What they do is that
of ``apps.studio``, whose modules without Gradio they call: work, jobs, submission, stage files,
consent. A tab shows errors beside the input at fault.
"""
