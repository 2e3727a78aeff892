"""What `stack` adds to the candidates of the search: bags of the best, and one boosted chain over the groups of learners."""

import math

import numpy as np

from ensemble_forecast.deadline import Deadline
from ensemble_forecast.learners.base import Config, build
from ensemble_forecast.search.crew import Crew
from ensemble_forecast.search.driver import search as drive
from ensemble_forecast.search.spaces import load_space
from ensemble_forecast.store import Candidate
from ensemble_forecast.study import OnEvent, Study

BAGS = 3  # how many of the best candidates are bagged
COPIES = 8
ENOUGH_WINDOWS = 4
CHAIN = ("statistical", "linear", "trees", "deep")  # a statistical learner cannot correct a forecast, so it opens the chain
ENSEMBLE_FAMILIES = ("bagged", "boosted")


def best_first(study: Study) -> list[Candidate]:
    """Rank the candidates by their losses, of four windows or more on the older half only.

    Where one of many trials of a family is chosen by the windows that calibrate, its errors there look smaller than they will be. Fewer windows
    leave none to spare: on a panel one period says too little about which candidate is good.
    """
    n_windows = len(study.plan.folds)
    ranking = n_windows // 2 if n_windows >= ENOUGH_WINDOWS else n_windows

    def early_loss(candidate: Candidate) -> float:
        losses = [loss for loss in candidate.report["windows"][:ranking] if loss is not None]
        return float(np.mean(losses)) if losses else math.inf

    return sorted(study.folder.candidates(), key=lambda candidate: (early_loss(candidate), candidate.id))


def run_arms(study: Study, pool: Crew, deadline: Deadline, on_event: OnEvent) -> list[str]:
    """Run the bags and the chain as trials of the study; those that do not end in time are named, not waited for."""
    singles = [candidate for candidate in best_first(study) if candidate.report["family"] not in ENSEMBLE_FAMILIES]
    configs = arm_configs(singles, study.task.kind)
    if not configs:
        return []
    drive(
        study.folder,
        study.panel,
        study.task,
        study.plan_spec,
        load_space(study.pipeline.space),
        deadline=deadline,
        trials=configs,
        metric=study.pipeline.score_name,
        pool=pool,
        on_event=on_event,
    )
    lines = [line for line in study.folder.ledger()[-len(configs) :] if line["family"] in ENSEMBLE_FAMILIES and line["state"] != "finished"]
    return [f"{line['id']} did not enter the contest: {line['reason']}" for line in lines]


def arm_configs(best_first: list[Candidate], kind: str) -> list[Config]:
    """Describe the arms: bags of the best candidates that learn from origins, and one boosted chain over the groups."""
    recipes = [(candidate.config, build(candidate.config)) for candidate in best_first]
    bags = [config for config, learner in recipes if learner.learns_from_origins][:BAGS]
    arms = [{"family": "bagged", "params": {"copies": COPIES, "member": config}} for config in bags]
    stages: list[Config] = []
    for group in CHAIN:
        able = [config for config, learner in recipes if learner.group == group and (learner.corrects or not stages)]
        stages += able[:1]
    if kind == "quantiles" and len(stages) > 1:
        arms.insert(0, {"family": "boosted", "params": {"stages": stages}})
    return arms
