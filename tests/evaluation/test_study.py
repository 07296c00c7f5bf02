"""Blind studies: trials, the page that people vote on, and the count of the votes."""

import html
import json
import math
import random
import re
import shutil
import subprocess
from collections import Counter
from itertools import combinations, product

import pytest

from hybridanim.errors import InputError
from hybridanim.evaluation import study, study_page, tally
from hybridanim.evaluation.study import CHOICES, QUESTIONS, Key, Trial
from hybridanim.evaluation.study_page import Shown
from hybridanim.evaluation.tally import Comparison, Vote

METHODS = ("classical+warp", "classical+painted", "hybrid+learned")
PAIRS = [f"source{k}.png < driver{k % 3}.mp4" for k in range(11)]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def test_every_pair_is_shown_with_every_two_methods_and_sides_are_even():
    trials = study.draw_trials(PAIRS, METHODS, 3)
    shown = Counter((t.pair, frozenset((t.left, t.right))) for t in trials)
    wanted = product(PAIRS, map(frozenset, combinations(METHODS, 2)))
    assert shown == Counter(wanted)
    assert [t.name for t in trials] == [f"{k:03}" for k in range(1, 34)]
    for a, b in combinations(METHODS, 2):
        sides = Counter(t.left for t in trials if {t.left, t.right} == {a, b})
        assert abs(sides[a] - sides[b]) == 1, "eleven pairs"


def test_the_seed_gives_order_and_sides():
    drawn = [study.draw_trials(PAIRS, METHODS, seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [t.pair for t in drawn[0]] != [t.pair for t in drawn[2]]
    of_pair = {(t.pair, *sorted((t.left, t.right))): t.left for t in drawn[0]}
    other = {(t.pair, *sorted((t.left, t.right))): t.left for t in drawn[2]}
    assert of_pair != other


def test_a_key_is_read_as_it_was_written(tmp_path):
    key = study.make_key(study.draw_trials(PAIRS, METHODS, 0), METHODS)
    path = tmp_path / "key.json"
    path.write_text(json.dumps(study.key_to_json(key, {"seed": 0})))
    assert study.read_key(path) == key
    assert study.make_key(key.trials, METHODS).study != key.study
    for text in ("{}", "[]", "no", '{"schema":1,"study":"a","methods":[],"trials":[{}]}'):
        path.write_text(text)
        with pytest.raises(InputError, match="--key"):
            study.read_key(path)


def shown_of(key: Key) -> list[Shown]:
    return [Shown(t.name, *(f"clips/{t.name}{k}.mp4" for k in "abc"), "s.jpg") for t in key.trials]


@pytest.fixture
def key() -> Key:
    return study.make_key(study.draw_trials(PAIRS[:2], METHODS[:2], 0), METHODS[:2])


def test_the_page_names_no_method_and_needs_no_network(key):
    text = study_page.page(key.study, shown_of(key), title="</title><script>")
    for name in (*METHODS, *PAIRS, "warp", "painted", "source0"):
        assert name not in text
    assert "http" not in text and "@import" not in text and "url(" not in text
    assert not re.search(r"<(link|iframe)\b|fetch\(|XMLHttp|sendBeacon|WebSocket", text)
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert data["study"] == key.study
    assert [one["trial"] for one in data["trials"]] == [t.name for t in key.trials]
    assert {one["id"]: one["text"] for one in data["questions"]} == QUESTIONS


def driven(page: str, script: str, folder) -> str:
    """What a script in the page leaves in the text of <pre id="out">."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    (folder / "index.html").write_text(
        page.replace("</body>", f"<script>{{{script}}}</script></body>")
    )
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    words += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=2000"]
    done = subprocess.run(
        [*words, (folder / "index.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    found = re.search(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stdout[-2000:] + done.stderr[-2000:]
    return html.unescape(found[1])


PRESS = """
const press=(...names)=>names.forEach(key=>document.dispatchEvent(
new KeyboardEvent("keydown",{key,bubbles:true})));
const out=text=>{const pre=document.createElement("pre");pre.id="out";pre.textContent=text;
document.body.append(pre)};
"""


def test_keys_in_a_browser_become_votes_that_the_tally_reads(key, tmp_path):
    script = f"""{PRESS}
    const box=document.getElementById("voter");box.value='A "B", C';
    box.dispatchEvent(new Event("input"));
    press("ArrowLeft","ArrowDown","ArrowRight","x","ArrowRight","Backspace","ArrowLeft",
    "ArrowLeft","ArrowRight");
    const shown=[document.getElementById("trial").hidden,document.getElementById("end").hidden];
    press("ArrowLeft");  // nothing is left to answer
    out(JSON.stringify({{csv:study.asCsv(),json:study.asJson(),shown,
    kept:localStorage.getItem("study-"+study.data.study)}}));
    """
    got = json.loads(driven(study_page.page(key.study, shown_of(key)), script, tmp_path))
    assert got["shown"] == [True, False]
    choices = ["left", "equal", "right", "left", "left", "right"]
    asked = list(product([t.name for t in key.trials], QUESTIONS))
    wanted = [
        Vote(key.study, 'A "B", C', trial, question, choice)
        for (trial, question), choice in zip(asked, choices, strict=True)
    ]
    for ending in ("csv", "json"):
        path = tmp_path / f"votes.{ending}"
        path.write_text(got[ending], newline="")
        assert tally.read_votes(path) == wanted
    assert len(json.loads(got["kept"])["votes"]) == 6, "kept through a reload"


def test_a_page_that_is_opened_again_goes_on(key, tmp_path):
    kept = json.dumps({"votes": [{"trial": "001"}] * 4, "voter": "me", "anonymous": "x"})
    page = study_page.page(key.study, shown_of(key)).replace(
        "let saved=null;", f"localStorage.setItem(store,{json.dumps(kept)});let saved=null;"
    )
    script = f"""{PRESS}
    out([document.getElementById("place").textContent,study.state.votes.length,
    document.getElementById("question").textContent,
    document.getElementById("left").getAttribute("src")].join("|"))"""
    got = driven(page, script, tmp_path)
    assert got == f"Comparison 2 of 2|4|{QUESTIONS['quality']}|clips/002a.mp4"


# Tally


def random_votes(key: Key, voters: int, seed: int) -> list[Vote]:
    draw = random.Random(seed)
    return [
        Vote(key.study, f"voter{v}", trial.name, question, draw.choice(CHOICES))
        for v in range(voters)
        for trial in key.trials
        for question in QUESTIONS
        if draw.random() < 0.8
    ]


@pytest.mark.parametrize("seed", range(4))
def test_wins_and_ties_are_those_of_a_count_by_hand(seed):
    key = study.make_key(study.draw_trials(PAIRS, METHODS, seed), METHODS)
    votes = random_votes(key, 3, seed)
    trials = {t.name: t for t in key.trials}
    found = tally.compare(tally.joined(votes, key), key)
    assert len(found) == len(QUESTIONS) * 3
    for one in found:
        wins = ties = losses = 0
        for vote in votes:
            trial = trials[vote.trial]
            is_other = {trial.left, trial.right} != {one.first, one.second}
            if is_other or vote.question != one.question:
                continue
            if vote.choice == "equal":
                ties += 1
            elif (trial.left if vote.choice == "left" else trial.right) == one.first:
                wins += 1
            else:
                losses += 1
        assert (one.wins, one.ties, one.losses) == (wins, ties, losses)
    left, right = tally.sides(votes)
    assert left == sum(v.choice == "left" for v in votes)
    assert right == sum(v.choice == "right" for v in votes)


def cdf(k: int, n: int, p: float) -> float:
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


def solved(function, wanted: float) -> float:
    """Where a falling function of [0, 1] has a value."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > wanted else (low, middle)
    return low


@pytest.mark.parametrize(("wins", "losses"), [(7, 3), (1, 9), (20, 20), (33, 12), (5, 0), (0, 4)])
def test_intervals_and_the_sign_test_by_sums_of_binomials(wins, losses):
    n, one = wins + losses, Comparison("motion", "a", "b", wins, 3, losses)
    low = 0.0 if not wins else solved(lambda p: cdf(wins - 1, n, p), 0.975)
    high = 1.0 if not losses else solved(lambda p: cdf(wins, n, p), 0.025)
    assert one.interval() == pytest.approx((low, high), abs=1e-6)
    chances = [math.comb(n, k) / 2**n for k in range(n + 1)]
    assert one.p_value == pytest.approx(sum(c for c in chances if c <= chances[wins] * (1 + 1e-9)))
    assert one.share == wins / n and one.decided == n


def test_nothing_is_claimed_without_votes():
    one = Comparison("motion", "a", "b", 0, 5, 0)
    assert one.interval() == (0.0, 1.0) and one.p_value == 1.0 and math.isnan(one.share)
    assert "-" in tally.tables([one], [], (0, 0))


# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section B: nominal, 0.743
EXAMPLE = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""


def test_alpha_of_the_published_example():
    rows = [line.split() for line in EXAMPLE.strip().splitlines()]
    units = [[value for value in column if value != "."] for column in zip(*rows, strict=True)]
    assert tally.alpha(units) == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize("seed", range(3))
def test_agreement_by_all_pairs_of_answers(seed):
    key = study.make_key(study.draw_trials(PAIRS, METHODS[:2], seed), METHODS[:2])
    chosen = tally.joined(random_votes(key, 4, seed), key)
    for one in tally.agreement(chosen):
        units = [
            [m for (_, t, q), m in chosen.items() if t == trial.name and q == one.question]
            for trial in key.trials
        ]
        units = [unit for unit in units if len(unit) > 1]
        pairs = [(a, b) for unit in units for a, b in combinations(unit, 2)]
        assert one.shared == len(units)
        assert one.equal == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
        everything = [m for unit in units for m in unit]
        inside = [
            sum(a != b for a, b in combinations(unit, 2)) * 2 / (len(unit) - 1) for unit in units
        ]
        outside = [a != b for a, b in combinations(everything, 2)]
        disagreed = sum(inside) / len(everything)
        assert one.alpha == pytest.approx(1 - disagreed / (sum(outside) / len(outside)))


def test_all_alike_is_full_agreement_without_an_alpha():
    assert math.isnan(tally.alpha([["a", "a"], ["a", "a"]]))
    assert tally.alpha([["a", "a"], ["b", "b"]]) == 1


def test_a_later_vote_replaces_an_earlier_one_and_other_studies_are_refused(key):
    trial: Trial = key.trials[0]
    votes = [Vote(key.study, "v", trial.name, "motion", c) for c in ("left", "right")]
    assert tally.joined(votes, key) == {("v", trial.name, "motion"): trial.right}
    for wrong in (
        Vote("other", "v", trial.name, "motion", "left"),
        Vote(key.study, "v", "999", "motion", "left"),
    ):
        with pytest.raises(InputError, match=key.study):
            tally.joined([wrong], key)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("v.json", "{}"),
        ("v.json", "[]"),
        ("v.json", "no"),
        ("v.json", '{"study":"a","voter":"b","votes":[{"trial":"1","question":"motion"}]}'),
        ("v.json", '{"study":"a","voter":"b","votes":[1]}'),
        ("v.json", '{"study":1,"voter":"b","votes":[{"trial":"1","question":"motion",'
                   '"choice":"left"}]}'),
        ("v.csv", ""),
        ("v.csv", "study,voter\na,b\n"),
        ("v.csv", "study,voter,trial,question,choice\na,b,1,motion,up\n"),
        ("v.csv", "study,voter,trial,question,choice\na,b,1,colour,left\n"),
    ],
)  # fmt: skip
def test_files_that_are_no_votes_are_refused(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="votes"):
        tally.read_votes(tmp_path / name)


def test_the_table_says_what_was_counted():
    rows = [Comparison("motion", "new", "old", 7, 2, 3)]
    agreed = [tally.Agreement("motion", 5, 0.8, 0.6)]
    text = tally.tables(rows, agreed, (9, 3), markdown=True)
    cells = [cell.strip() for cell in text.splitlines()[2].strip("|").split("|")]
    assert cells == ["motion", "new", "old", "7", "2", "3", "70 %", "35 to 93 %", "0.344"]
    assert "| motion | 5 | 80 % | 0.60 |" in text and "left clip was chosen 9 times" in text
    table = tally.to_json(rows, agreed, (9, 3))
    assert table["comparisons"][0]["share"] == 0.7 and table["sides"] == {"left": 9, "right": 3}
    assert json.loads(json.dumps(table)) == table
