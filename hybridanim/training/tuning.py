"""A search for good settings: short trainings on the same data, by Optuna.

``SPACE`` is what is searched. A training whose validation error is worse than the median of the
others at the same share of its time is ended (median pruning). Everything is kept in a SQLite
database, so a search that was interrupted goes on; the training that was cut off is tried again.
Results: ``tune.csv``, ``importance.png``, and ``best.toml`` for ``--config``. Imports optuna late.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hybridanim import extras
from hybridanim.errors import InputError
from hybridanim.files import atomic_write

if TYPE_CHECKING:
    from .config import TrainConfig

DATABASE, TABLE, IMPORTANCE, BEST = "tune.db", "tune.csv", "importance.png", "best.toml"
_STUDY = "train"
_CHECKS = 4  # validations of a training, at equal shares of its time
_STARTUP = 4  # trainings before any is compared with the median
_ERROR = "error"
LEAST_COMPLETE = 15
"""Complete trainings from which on importance is drawn; of fewer it is chance."""


class Span(NamedTuple):
    """Values of one setting."""

    low: float
    high: float
    log: bool = False


SPACE: dict[str, Span] = {
    "learning_rate": Span(2e-4, 4e-3, log=True),
    "weight_decay": Span(1e-5, 1e-2, log=True),
    "clip_norm": Span(0.3, 3.0, log=True),
    "losses.gradient": Span(0.2, 3.0, log=True),
    "losses.warped_l1": Span(0.1, 2.0, log=True),
    "losses.alpha": Span(1e-4, 1e-2, log=True),
    "losses.perceptual": Span(0.03, 0.6, log=True),
    "augment.turn_deg": Span(0.0, 25.0),
    "augment.shift_norm": Span(0.0, 0.2),
    "augment.point_noise": Span(0.0, 0.15),
}
"""Settings that are searched, by their names in ``--config``; uniform, or in the logarithm."""

Report = Callable[[str], None]
Check = Callable[[int, float], bool]
"""Number of the validation and its error -> whether the training is to end."""
Train = Callable[["TrainConfig", Check], float | None]
"""A training of these settings: its lowest error, or None where it was ended."""


@dataclass(frozen=True)
class Found:
    """The result of a search."""

    value: float
    settings: dict[str, float]
    trials: int  # complete or pruned


def search(
    config: TrainConfig, count: int, out: Path, train: Train, report: Report = lambda line: None
) -> Found:
    """Try ``count`` settings, those of earlier sittings included, and write the results to ``out``.

    config: of one training, with its time. Raises InputError without optuna, or for the database of
    another search.
    """
    optuna = extras.optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    study = _study(optuna, config, out)
    for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # it was cut off
        study.enqueue_trial(trial.params)
    while (done := len(_ended(optuna, study))) < count:
        trial = study.ask()
        own = {name: trial.suggest_float(name, s.low, s.high, log=s.log)
               for name, s in _space(config).items()}  # fmt: skip
        folder = out / f"trial_{trial.number:03d}"
        settings = replace(with_settings(config, own), out=folder)

        def ends(step: int, error: float, trial: Any = trial) -> bool:
            trial.report(error, step)
            return trial.should_prune()

        value = train(settings, ends)
        if value is None:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, value)
        shutil.rmtree(folder, ignore_errors=True)  # its settings are what is wanted
        _write(optuna, study, out)
        shown = "ended early" if value is None else f"error {value:.4f}"
        report(f"  {done + 1} of {count}: {shown}")
    _write(optuna, study, out)
    best = study.best_trial
    return Found(float(best.value), dict(best.params), done)


def _space(config: TrainConfig) -> dict[str, Span]:
    """What is searched for this training: not the perceptual term where it has no network."""
    without = set() if config.perceptual_network else {"losses.perceptual"}
    if config.keypoints == "learned":
        without |= {"augment.point_noise"}
    return {name: span for name, span in SPACE.items() if name not in without}


def with_settings(config: TrainConfig, settings: dict[str, float]) -> TrainConfig:
    """The config with these values, named as in ``SPACE``."""
    from . import plan

    return plan.updated(config, _nested(settings), "--tune")


def _nested(settings: dict[str, float]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in settings.items():
        section, _, field = name.rpartition(".")
        (table.setdefault(section, {}) if section else table)[field] = value
    return table


def _study(optuna: Any, config: TrainConfig, out: Path) -> Any:
    """The search of the folder, new or continued; InputError for another one's."""
    file = out / DATABASE
    known = len(_trials_in(file)) if file.is_file() else 0
    sampler = optuna.samplers.TPESampler(seed=config.seed + known, n_startup_trials=_STARTUP)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=1)
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{file}",
            study_name=_STUDY,
            sampler=sampler,
            pruner=pruner,
            load_if_exists=True,
        )
        recipe = study.user_attrs.get("recipe")
    except Exception as error:  # SQLAlchemy's have no common base of its own package here
        raise InputError(
            f"--tune: expected a database of an earlier search in {file}, got"
            f" {str(error).splitlines()[0][:120]}; choose another --out, or --overwrite"
        ) from error
    own = recipe_of(config)
    if recipe not in (None, own):
        raise InputError(
            f"--tune: expected the search of {file} with the same clips and settings, got others;"
            " choose another --out, or --overwrite"
        )
    study.set_user_attr("recipe", own)
    return study


def _trials_in(file: Path) -> list[int]:
    """Numbers of the trials of a database; none where it cannot be read."""
    import sqlite3

    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            return [row[0] for row in database.execute("select number from trials")]
    except sqlite3.Error:
        return []


def recipe_of(config: TrainConfig) -> str:
    """Hash of what all trainings of a search share: clips, time, and settings not searched."""
    table = asdict(replace(config, out=Path()))
    listing = config.cache.read_text(encoding="utf-8") if config.cache.is_file() else ""
    text = json.dumps([table, listing, {k: list(v) for k, v in SPACE.items()}], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _ended(optuna: Any, study: Any) -> list[Any]:
    states = [optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED]
    return study.get_trials(deepcopy=False, states=states)


def _write(optuna: Any, study: Any, out: Path) -> None:
    """The table of all trainings, the best settings, and their importance where it is known."""
    trials = _ended(optuna, study)
    complete = [trial for trial in trials if trial.value is not None]
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["trial", "state", _ERROR, *names])
    for trial in sorted(trials, key=lambda one: (one.value is None, one.value or 0.0)):
        value = "" if trial.value is None else f"{trial.value:.6f}"
        row = [f"{trial.params[name]:.6g}" if name in trial.params else "" for name in names]
        writer.writerow([trial.number, trial.state.name.lower(), value, *row])
    _written(out / TABLE, text.getvalue())
    if complete:
        _written(out / BEST, toml(study.best_trial.params))
    if len(complete) >= LEAST_COMPLETE:
        found = importance(optuna, study)
        if found:
            _draw(found, out / IMPORTANCE)


def _written(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


def importance(optuna: Any, study: Any) -> dict[str, float]:
    """Share of each setting in what makes trainings good (PED-ANOVA, Watanabe et al. 2023)."""
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    try:
        return optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):  # all alike, or too few
        return {}


def toml(settings: dict[str, float]) -> str:
    """The settings as a file for ``--config``."""
    lines = ["# the best settings of train --tune"]
    nested = _nested(settings)
    top = {name: value for name, value in nested.items() if not isinstance(value, dict)}
    lines += [f"{name} = {float(value)!r}" for name, value in top.items()]
    for section, values in nested.items():
        if isinstance(values, dict):
            lines += ["", f"[{section}]", *(f"{k} = {float(v)!r}" for k, v in values.items())]
    return "\n".join(lines) + "\n"


def _draw(found: dict[str, float], path: Path) -> None:
    """A bar for each setting, the most important one on top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = sorted(found, key=lambda name: found[name])
    figure = Figure(figsize=(7, 0.4 * len(names) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(names, [found[name] for name in names], color="#4477aa")
    axes.set_xlabel("share of the difference between good and other trainings")
    axes.set_title("Importance of the settings")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    with atomic_write(path) as file:
        file.write(buffer.getvalue())


def train_once(
    config: TrainConfig, ends: Check, report: Report = lambda line: None
) -> float | None:
    """One training of a search: its lowest validation error, or None where it was ended."""
    from .animator.trainer import Trainer

    class _Ended(Exception):
        pass

    errors: list[float] = []

    class _Tried(Trainer):
        def validate(self) -> dict[str, float]:
            row = super().validate()
            errors.append(row[f"{self._tasks[1].name}_net_l1"])
            if ends(len(errors), errors[-1]) and self.progress() < 1:
                raise _Ended
            return row

    config.out.mkdir(parents=True, exist_ok=True)
    try:
        _Tried(replace(config, validate_s=config.time_budget_s / _CHECKS), report).run()
    except _Ended:
        return None
    return min(errors)
