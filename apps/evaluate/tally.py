"""Files of votes and the key of a study -> tables, and a JSON file."""

from __future__ import annotations

import tyro

from apps.terminal import PROGRAM, listen
from hybridanim import paths
from hybridanim.evaluation import study, tally

from .results import write_json
from .study_job import TallyJob


def command(argv: list[str]) -> int:
    """Run ``evaluate tally``; returns the exit code."""
    listen()
    job = tyro.cli(TallyJob, args=argv, prog=f"{PROGRAM} evaluate tally")
    if job.json is not None:
        paths.refuse_replacing(
            [("--json", job.json)], [*job.votes, job.key], overwrite=job.overwrite
        )
    key = study.read_key(job.key)
    votes = [vote for path in job.votes for vote in tally.read_votes(path)]
    chosen = tally.joined(votes, key)
    counted = tally.compare(chosen, key), tally.agreement(chosen), tally.sides(votes)
    voters = len({voter for voter, _, _ in chosen})
    print(f"{len(chosen)} votes of {voters} voters on study {key.study}\n")
    print(tally.tables(*counted, markdown=job.markdown))
    if job.json is not None:
        result = {"study": key.study, "voters": voters, "votes": len(chosen)}
        write_json(job.json, result | tally.to_json(*counted), overwrite=job.overwrite)
    return 0
