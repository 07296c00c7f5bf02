"""The page that shows the stream: one picture, figures, and buttons for the hotkeys."""

from .keys import HELP

_LETTERS = {"+ -": ("+", "-")}
_BUTTONS = "".join(
    f'<button data-letter="{letter}" title="{what}">{letter}</button>'
    for key, what in HELP
    if key not in ("h", "q")
    for letter in _LETTERS.get(key, (key,))
)

PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>hybridanim, live: generated pictures</title>
<style>
  html {{ color-scheme: dark; background: #16181c; color: #eceef1; font: 15px/1.5 system-ui; }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center;
    align-content: center; gap: .7rem; }}
  img {{ width: min(96vw, 82vh); height: min(96vw, 82vh); object-fit: contain;
    background: #22252b; }}
  p {{ margin: 0; min-height: 1.5em; }}
  .good {{ color: #58d6ab; }} .wrong {{ color: #f0b429; }}
  button {{ font: inherit; min-width: 2.4em; margin: 0 .15em; }}
</style>
<img id="picture" src="/stream.mjpg" alt="generated picture, live">
<p id="words" role="status"></p>
<p>{_BUTTONS}</p>
<script>
  const words = document.getElementById("words"), picture = document.getElementById("picture");
  const press = letter => fetch("/key?letter=" + encodeURIComponent(letter), {{ method: "POST" }});
  for (const button of document.querySelectorAll("button"))
    button.onclick = () => press(button.dataset.letter);
  document.onkeydown = event => {{
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if ("rnmd+-=p123456789".includes(event.key)) press(event.key);
  }};
  picture.onerror = () => setTimeout(() => {{ picture.src = "/stream.mjpg?" + Date.now(); }}, 1000);
  setInterval(async () => {{
    try {{
      const status = await (await fetch("/status.json")).json();
      const said = status.notice || status.hint;
      words.textContent = [status.figures, said].filter(Boolean).join("  ·  ");
      words.className = !said ? "" : status.is_good && !status.notice ? "good" : "wrong";
    }} catch {{ words.textContent = "the live run has ended"; }}
  }}, 500);
</script>
"""
