"""Claim: the sampler `footprint` finds better designs in fewer trainings than Optuna's TPE and similar samplers.

    python benchmarks/search_efficiency.py [--table FILE] [--transnas FILE] [--micro FILE] [--seeds 30] [--budget 100]
        [--problems NAME ...] [--samplers NAME ...]
The budget counts distinct trained designs: equal networks are trained once, infeasible ones never.
Regret is the best true value of the problem minus that of the incumbent, the trained design with the highest *observed*
value; without noise, observed and true values are equal. Lower is better; mean +- standard error over the seeds.

Problems:
    table      NAS-Bench-Macro, mean accuracy of three trainings (Su et al., CVPR 2021; 3969 distinct networks)
    limit      the same with `parameters < 1.0 M`; also the share of runs that find its best in 20 and in 30 trainings
    noisy      one of the three trainings, chosen at random; regret by the mean of the three
    scene      TransNAS-Bench-101, macro space, scene classification (Duan et al., CVPR 2021): the 662 networks of
               zc_transbench101_macro.json of automl/NASLib (commit e5a821c2); all others are infeasible
    object     the same networks, object classification
    micro      TransNAS-Bench-101, cell space, scene classification: the 711 networks of zc_transbench101_micro.json
    training   six training parameters, equal footprints: a synthetic smooth accuracy with interactions, a cliff where
               steps are too large, and noise (standard deviation 0.15); a different optimum for every seed

SMAC3 is compared if it is installed (`pip install smac` into an environment with numpy, scipy and optuna).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import math
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.random import Generator

from archsearch.search.samplers.footprint import FootprintProposer
from archsearch.search.samplers.observations import Observation
from archsearch.search.space import Choice, Design, Params, Range, Space

TABLE = Path(__file__).resolve().parents[2] / "shared" / "reference" / "nas-bench-macro_cifar10.json"
STAGES = ((0, 2), (2, 5), (5, 8))
LIMIT = 1_000_000
MODULES = {"same": 1, "wider": 2, "smaller": 3, "wider_and_smaller": 4}
MACRO = {f"module{index}": MODULES if index < 4 else {**MODULES, "none": 0} for index in range(6)}
OPERATIONS = {"none": 0, "identity": 1, "conv_1": 2, "conv_3": 3}
CELL = {f"edge{index}": OPERATIONS for index in range(6)}
PROBLEMS = ("table", "limit", "noisy", "scene", "object", "micro", "training")
CHECKPOINTS = (20, 30, 50, 100, 200)
POPULATION, SAMPLE = 20, 5
REPEATS = 60  # duplicates in a row after which a random design is trained
SMAC_FIRST = 10
NOISE = 0.15
BATCHES = (32, 64, 128, 256, 512)
LOSSES = {"onecycle": 0.0, "cosine": 0.15, "step": 0.7}


Tell = Callable[[float | None, float], None]  # the value, None if infeasible, and the excess over the limit
Features = Callable[[list[int], Mapping[str, Any]], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A search problem: the identity of a point, its features, known for free, and the value that training gives."""

    space: Space
    identity: Callable[[Params], Any]
    features: Callable[[Params], Mapping[str, float]]
    excess: Callable[[Params], float]  # over the limit, relative; feasible up to 0
    observe: Callable[[Params, Generator], float]
    truth: Callable[[Params], float]
    best: float


@dataclass(slots=True, kw_only=True)
class Trainings:
    """Distinct trained designs of one run; equal designs get the known value."""

    problem: Problem
    rng: Generator
    known: dict[Any, float]
    regrets: list[float]
    highest: float = -math.inf

    def value(self, params: Params) -> float:
        """Return the observed value of a feasible point; train it unless an equal one was trained."""
        identity = self.problem.identity(params)
        if identity not in self.known:
            self.known[identity] = self.problem.observe(params, self.rng)
            if self.known[identity] > self.highest:
                self.highest = self.known[identity]
                self.regrets.append(self.problem.best - self.problem.truth(params))
            else:
                self.regrets.append(self.regrets[-1])
        return self.known[identity]


def footprint(problem: Problem, trainings: Trainings, budget: int, seed: int) -> None:
    """Search with archsearch's own sampler."""

    def admit(params: Params) -> Mapping[str, float] | None:
        free = problem.excess(params) <= 0 and problem.identity(params) not in trainings.known
        return problem.features(params) if free else None

    proposer, rng, observations = FootprintProposer(problem.space, admit), np.random.default_rng(seed), []
    while len(trainings.regrets) < budget:
        design: Design | None = proposer.propose(observations, [], rng)
        if design is None:
            return
        observations.append(Observation(design=design, values=(trainings.value(design.params),)))


def random(problem: Problem, trainings: Trainings, budget: int, seed: int) -> None:
    """Search with random feasible points."""
    rng = np.random.default_rng(seed)
    while len(trainings.regrets) < budget:
        trainings.value(_feasible(problem, lambda: problem.space.draw(rng)))


def evolution(problem: Problem, trainings: Trainings, budget: int, seed: int) -> None:
    """Search with regularized evolution (Real et al., AAAI 2019): the oldest dies, one parameter mutates."""
    rng = np.random.default_rng(seed)
    population: list[tuple[Params, float]] = []
    names = list(problem.space.parameters)
    while len(trainings.regrets) < budget:
        if len(population) < POPULATION:
            child = _feasible(problem, lambda: problem.space.draw(rng))
        else:
            few = rng.choice(len(population), size=SAMPLE, replace=False)
            parent = max((population[int(index)] for index in few), key=lambda each: each[1])[0]

            def changed(parent: Params = parent) -> Params:
                name = names[int(rng.integers(len(names)))]
                return {**parent, name: problem.space.parameters[name].mutate(parent[name], rng)}

            child = _feasible(problem, changed)
        population = [*population, (child, trainings.value(child))][-POPULATION:]


def tpe(problem: Problem, trainings: Trainings, budget: int, seed: int) -> None:
    """Search with Optuna's TPE and its defaults."""
    from optuna.samplers import TPESampler

    _optuna(TPESampler(seed=seed), problem, trainings, budget, seed)


def nsgaii(problem: Problem, trainings: Trainings, budget: int, seed: int) -> None:
    """Search with Optuna's NSGA-II and a population of 20."""
    from optuna.samplers import NSGAIISampler

    _optuna(NSGAIISampler(population_size=POPULATION, seed=seed), problem, trainings, budget, seed)


def smac(problem: Problem, trainings: Trainings, budget: int, seed: int) -> None:
    """Search with SMAC3's random forest (Lindauer et al., JMLR 2022) and as many initial designs as TPE.

    An infeasible design is reported with the status CRASHED and the highest cost.
    """
    from ConfigSpace import Categorical, ConfigurationSpace, Float  # pyright: ignore[reportMissingImports]
    from smac import HyperparameterOptimizationFacade, Scenario  # pyright: ignore[reportMissingImports]
    from smac.runhistory import StatusType, TrialValue  # pyright: ignore[reportMissingImports]

    logging.getLogger("smac").setLevel(logging.ERROR)
    space = ConfigurationSpace(seed=seed)
    for name, each in problem.space.parameters.items():
        space.add(
            Categorical(name, list(range(len(each.options))))  # indices of the options, unordered
            if isinstance(each, Choice)
            else Float(name, (each.low, each.high), log=each.log)
        )
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            space, deterministic=True, n_trials=100 * budget, seed=seed, output_directory=Path(folder), crash_cost=100.0
        )
        optimizer = HyperparameterOptimizationFacade(
            scenario,
            _never,
            initial_design=HyperparameterOptimizationFacade.get_initial_design(scenario, n_configs=SMAC_FIRST),
            intensifier=HyperparameterOptimizationFacade.get_intensifier(scenario, max_config_calls=1),
            logging_level=False,
            overwrite=True,
        )

        def ask() -> tuple[Params, Tell]:
            trial = optimizer.ask()

            def tell(value: float | None, _excess: float) -> None:
                failed = TrialValue(cost=100.0, status=StatusType.CRASHED)
                optimizer.tell(trial, failed if value is None else TrialValue(cost=100 - value), save=False)

            return {
                name: each.options[int(trial.config[name])] if isinstance(each, Choice) else float(trial.config[name])
                for name, each in problem.space.parameters.items()
            }, tell

        _ask_and_tell(ask, problem, trainings, budget, seed)


def _never(config: object, seed: int = 0) -> float:
    raise NotImplementedError  # SMAC3 requires a function; its ask-and-tell interface does not call it


SAMPLERS = {
    "random": random,
    "evolution": evolution,
    "nsgaii": nsgaii,
    "tpe": tpe,
    "smac": smac,
    "footprint": footprint,
}


def _optuna(sampler: Any, problem: Problem, trainings: Trainings, budget: int, seed: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")  # experimental features warn at every trial
    study = optuna.create_study(direction="maximize", sampler=sampler)

    def ask() -> tuple[Params, Tell]:
        trial = study.ask()

        def tell(value: float | None, excess: float) -> None:
            if value is None:
                trial.set_constraint("limit", excess)
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(trial, value)

        return {name: _suggested(trial, name, each) for name, each in problem.space.parameters.items()}, tell

    _ask_and_tell(ask, problem, trainings, budget, seed)


def _ask_and_tell(
    ask: Callable[[], tuple[Params, Tell]], problem: Problem, trainings: Trainings, budget: int, seed: int
) -> None:
    rng, repeats = np.random.default_rng(seed), 0
    while len(trainings.regrets) < budget:
        if repeats > REPEATS:
            trainings.value(_feasible(problem, lambda: problem.space.draw(rng)))
        params, tell = ask()
        excess = problem.excess(params)
        if excess > 0:
            tell(None, excess)
            continue
        before = len(trainings.regrets)
        tell(trainings.value(params), excess)
        repeats = repeats + 1 if len(trainings.regrets) == before else 0


def _suggested(trial: Any, name: str, parameter: Choice | Range) -> Any:
    if isinstance(parameter, Choice):
        return trial.suggest_categorical(name, parameter.options)
    return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)


def _feasible(problem: Problem, draw: Callable[[], Params]) -> Params:
    params = draw()
    while problem.excess(params) > 0:
        params = draw()
    return params


def macro(table: Mapping[str, Any], *, limit: int | None, noisy: bool) -> Problem:
    """Return the search for the best network of NAS-Bench-Macro: eight choices, one per layer."""
    options = {"identity": "0", "inverted_3": "1", "inverted_5": "2"}
    space = Space(parameters={f"layer{index}": Choice(options=tuple(options)) for index in range(8)})
    means = {key: float(row["mean_acc"]) for key, row in table.items()}
    known = {key: _footprint_of(key, row) for key, row in table.items()}

    def key_of(params: Params) -> str:
        return canonical("".join(options[str(params[f"layer{index}"])] for index in range(8)))

    def observe(params: Params, rng: Generator) -> float:
        row = table[key_of(params)]
        return float(row["test_acc"][int(rng.integers(3))] if noisy else row["mean_acc"])

    return Problem(
        space=space,
        identity=key_of,
        features=lambda params: known[key_of(params)],
        excess=lambda params: 0.0 if limit is None else (table[key_of(params)]["params"] - limit + 1) / limit,
        observe=observe,
        truth=lambda params: means[key_of(params)],
        best=max(mean for key, mean in means.items() if limit is None or table[key]["params"] < limit),
    )


def canonical(key: str) -> str:
    """Return the key of the same network with the no-op identities at the end of each stage."""
    stages = (key[low:high] for low, high in STAGES)
    return "".join(stage[0] + stage[1:].replace("0", "").ljust(len(stage) - 1, "0") for stage in stages)


def _footprint_of(key: str, row: Mapping[str, Any]) -> Mapping[str, float]:
    field, jump, convolutions = 3, 1, 2  # the stem and the head's 1x1
    features = {}
    for stage, (low, high) in enumerate(STAGES):
        for index, choice in enumerate(key[low:high]):
            kernel = {"0": 1, "1": 3, "2": 5}[choice]
            field += (kernel - 1) * jump
            jump *= 2 if index == 0 else 1
            convolutions += 3 if choice != "0" else int(index == 0)
        features[f"stage{stage}.depthwise_3"] = float(key[low:high].count("1"))
        features[f"stage{stage}.depthwise_5"] = float(key[low:high].count("2"))
    return features | {
        "depth": float(convolutions),
        "log_parameters": math.log(row["params"]),
        "log_macs": math.log(row["flops"]),
        "log_receptive_field": math.log(field),
    }


def listed(rows: Mapping[str, Any], choices: Mapping[str, Mapping[str, int]], features: Features) -> Problem:
    """Return the search for the best listed network of a task: one choice for each number in the key."""
    known = {key: features([int(one) for one in key.strip("()").split(",")], row) for key, row in rows.items()}

    def key_of(params: Params) -> str:
        return f"({', '.join(str(numbers[str(params[name])]) for name, numbers in choices.items())})"

    return Problem(
        space=Space(parameters={name: Choice(options=tuple(numbers)) for name, numbers in choices.items()}),
        identity=key_of,
        features=lambda params: known[key_of(params)],
        excess=lambda params: float(key_of(params) not in known),
        observe=lambda params, rng: float(rows[key_of(params)]["val_accuracy"]),
        truth=lambda params: float(rows[key_of(params)]["val_accuracy"]),
        best=max(float(row["val_accuracy"]) for row in rows.values()),
    )


def macro_features(modules: list[int], row: Mapping[str, Any]) -> Mapping[str, float]:
    """Return the features of a network of four to six modules, known before training."""
    return {
        "depth": float(sum(one != 0 for one in modules)),
        "wider": float(sum(one in (2, 4) for one in modules)),
        "smaller": float(sum(one in (3, 4) for one in modules)),
        **_sizes(row),
    }


def cell_features(operations: list[int], row: Mapping[str, Any]) -> Mapping[str, float]:
    """Return the features of a network of equal cells, known before training."""
    return {name: float(operations.count(number)) for name, number in OPERATIONS.items()} | _sizes(row)


def _sizes(row: Mapping[str, Any]) -> dict[str, float]:
    return {"log_parameters": math.log(row["params"]["score"]), "log_macs": math.log(row["flops"]["score"])}


def training(seed: int) -> Problem:
    """Return a synthetic search over training parameters only, whose optimum depends on the seed."""
    rng = np.random.default_rng(10_000 + seed)
    step, decay = rng.uniform(-3.2, -2.2), rng.uniform(-3.9, -3.1)
    smoothing, size = rng.uniform(0.05, 0.15), rng.uniform(6, 8)
    space = Space(
        parameters={
            "learning_rate": Range(low=1e-3, high=3.0, log=True),
            "momentum": Range(low=0.5, high=0.99),
            "weight_decay": Range(low=1e-6, high=1e-2, log=True),
            "batch_size": Choice(options=BATCHES),
            "label_smoothing": Range(low=0.0, high=0.3),
            "schedule": Choice(options=tuple(LOSSES)),
        }
    )

    def truth(params: Mapping[str, Any]) -> float:
        """Return the accuracy: rate, momentum and batch size together determine the step size per image."""
        long = math.log10(params["learning_rate"] / (1 - params["momentum"]) / params["batch_size"]) - step
        pull = math.log10(params["weight_decay"]) + 0.5 * long - decay
        lost = 2.0 * long**2 + 0.8 * pull**2 + 20 * (params["label_smoothing"] - smoothing) ** 2
        lost += 0.15 * (math.log2(params["batch_size"]) - size) ** 2 + 8 * (params["momentum"] - 0.9) ** 2
        lost += LOSSES[params["schedule"]] + 30 * max(0.0, long - 1.3)
        return max(94.0 - lost, 10.0)

    return Problem(
        space=space,
        identity=lambda params: frozenset(params.items()),
        features=lambda params: {},
        excess=lambda params: 0.0,
        observe=lambda params, rng: truth(params) + NOISE * float(rng.normal()),
        truth=truth,
        best=_highest(truth, step, decay, smoothing),
    )


def _highest(truth: Callable[[Mapping[str, Any]], float], step: float, decay: float, smoothing: float) -> float:
    """Return the optimum over a grid of batch size and momentum, with the best values of the others."""
    best = 0.0
    for batch in BATCHES:
        for momentum in np.linspace(0.8, 0.97, 171):
            rate = float(np.clip(10**step * batch * (1 - momentum), 1e-3, 3.0))
            long = math.log10(rate / (1 - momentum) / batch) - step
            point = {
                "learning_rate": rate,
                "momentum": float(momentum),
                "weight_decay": 10 ** (decay - 0.5 * long),
                "batch_size": batch,
                "label_smoothing": smoothing,
                "schedule": "onecycle",
            }
            best = max(best, truth(point))
    return best


def problems(
    table: Mapping[str, Any] | None, modules: Mapping[str, Any] | None, cells: Mapping[str, Any] | None
) -> Mapping[str, Callable[[int], Problem]]:
    """Return the problems whose tables are given, by name, as functions of the seed."""
    found: dict[str, Problem] = {}
    if table is not None:
        found["table"] = macro(table, limit=None, noisy=False)
        found["limit"] = macro(table, limit=LIMIT, noisy=False)
        found["noisy"] = macro(table, limit=None, noisy=True)
    if modules is not None:
        found["scene"] = listed(modules["class_scene"], MACRO, macro_features)
        found["object"] = listed(modules["class_object"], MACRO, macro_features)
    if cells is not None:
        found["micro"] = listed(cells["class_scene"], CELL, cell_features)
    return {**{name: lambda _, each=each: each for name, each in found.items()}, "training": training}


def measure(make: Callable[[int], Problem], sampler: str, seeds: range, budget: int) -> tuple[np.ndarray, float]:
    """Return the regrets, seeds by trainings, and the CPU milliseconds per training."""
    rows, began = [], time.process_time()
    for seed in seeds:
        problem = make(seed)
        trainings = Trainings(problem=problem, rng=np.random.default_rng(5_000 + seed), known={}, regrets=[])
        SAMPLERS[sampler](problem, trainings, budget, seed)
        missing = budget - len(trainings.regrets)  # the space is exhausted: the regret stays as it is
        rows.append(trainings.regrets + trainings.regrets[-1:] * missing)
    return np.array(rows), (time.process_time() - began) * 1e3 / (len(seeds) * budget)


def lines(name: str, chosen: list[str], make: Callable[[int], Problem], seeds: range, budget: int) -> Iterator[str]:
    """Yield the lines of one Markdown table as they are measured."""
    points = [point for point in CHECKPOINTS if point <= budget]
    shares = [20, 30] if name == "limit" else []
    head = ["sampler", *(str(point) for point in points), *(f"best in {share}" for share in shares), "ms per training"]
    yield f"\n### {name}: regret by number of trainings, n = {len(seeds)} seeds from {seeds.start} on\n"
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}"
    for sampler in chosen:
        regrets, cost = measure(make, sampler, seeds, budget)
        error = regrets.std(axis=0, ddof=1) / math.sqrt(len(seeds)) if len(seeds) > 1 else np.full(budget, math.nan)
        cells = [f"{regrets[:, point - 1].mean():.3f} +- {error[point - 1]:.3f}" for point in points]
        hits = [f"{int((regrets[:, share - 1] < 1e-9).sum())}/{len(seeds)}" for share in shares]
        yield f"| {' | '.join([sampler, *cells, *hits, f'{cost:.0f}'])} |"


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--table", type=Path, default=TABLE, help="nas-bench-macro_cifar10.json")
    parser.add_argument("--transnas", type=Path, help="zc_transbench101_macro.json")
    parser.add_argument("--micro", type=Path, help="zc_transbench101_micro.json")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=0, help="first seed; 100 and up were not used in development")
    parser.add_argument("--budget", type=int, default=100, help="distinct trained designs per run, at least 30")
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS)
    installed = [name for name in SAMPLERS if name != "smac" or importlib.util.find_spec("smac")]
    parser.add_argument("--samplers", nargs="+", choices=installed, default=installed)
    options = parser.parse_args()
    if options.budget < 30 or options.seeds < 1:
        parser.error("--budget must be at least 30 and --seeds at least 1")
    table = _read(options.table) if options.table.is_file() else None
    if table is None:
        print(
            f"{options.table}: no such file, so only the problems of other tables can be measured. "
            "Download nas-bench-macro_cifar10.json from xiusu/NAS-Bench-Macro and pass it with --table FILE.",
            file=sys.stderr,
        )
    known = problems(table, *(file and _read(file) for file in (options.transnas, options.micro)))
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for name in options.problems or known:
        if name not in known:
            parser.error(f"the problem '{name}' needs its table: --table, --transnas or --micro FILE")
        for line in lines(name, options.samplers, known[name], seeds, options.budget):
            print(line, flush=True)


def _read(file: Path) -> Mapping[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
