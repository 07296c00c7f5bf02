"""How the page looks: Gradio's base theme with the system's fonts, and a few rules of CSS."""

# pyright: reportMissingImports=false
from __future__ import annotations

from gradio.themes import Base, Font, colors

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "Consolas", "Menlo", "monospace")

THEME = Base(
    primary_hue=colors.emerald,
    neutral_hue=colors.slate,
    font=[Font(name) for name in _SANS],
    font_mono=[Font(name) for name in _MONO],
)
CSS = """
.message:not(:has(p, ul, progress)) { display: none; }
.message { padding: 0 .25rem; }
.error-line { color: #b91c1c; font-weight: 600; margin: .2rem 0; }
.dark .error-line { color: #fca5a5; }
.note-line, .notes { margin: .2rem 0; }
.notes { padding-left: 1.2rem; list-style: disc; }
.run-state { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem .8rem; }
.run-state p { margin: 0; }
.run-state progress { flex: 1 1 12rem; height: 1rem; accent-color: #059669; }
.still label[data-testid="block-label"] { position: static; border: 0; background: none;
  box-shadow: none; padding: .2rem .4rem; white-space: normal; }
button:focus-visible, input:focus-visible, textarea:focus-visible
  { outline: 3px solid #0ea5e9; outline-offset: 1px; }
#more-options .form { display: grid; background: none;
  grid-template-columns: repeat(auto-fit, minmax(min(16rem, 100%), 1fr)); }
@media (max-width: 640px) {
  .gradio-container { padding: .5rem !important; }
  .main-options > *, .main-options .form > * { min-width: 100% !important; }
  .main-options .form { flex-wrap: wrap; }
}
"""
