"""What a study's TOML file may say."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from bequest.config import Config, merged
from bequest.data.queries import ActiveSpec
from bequest.distill.recipe import Recipe

Direction = Literal["above", "below", "within"]


class DataSpec(Config):
    """A dataset of the catalogue and its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class SplitSpec(Config):
    """A split that is read once, at the end.

    Attributes:
        description: What a reader sees.
        of: The split it is made from.
        variants: Transforms (``{name = "translate", dx = 2, dy = 2}``); each makes one copy of every sample.
        corruption: A corruption (``bequest ls corruptions``) instead of variants.
        level: Its level; default: the published one.
        at: Parameters of the solvable model that make the split, which is then a place in its space.
    """

    description: str
    of: str = "test"
    variants: tuple[dict[str, Any], ...] = ()
    corruption: str | None = None
    level: int | None = Field(None, ge=1)
    at: dict[str, float] = Field(default_factory=dict)


class StartSpec(Config):
    """Pretrained weights that a network starts from, its head new.

    Attributes:
        arm: An arm of the source task (``task = "source"``); its network at the same seed.
        weights: A file or folder of weights instead; relative to ``BEQUEST_DATA`` if it is not there.
        prefix: See :func:`bequest.models.pretrained.adoption.adopt`.
        rename: Likewise.
        tolerance: Likewise.
        keep_head: Likewise; for weights that tell the very same classes apart.
    """

    arm: str | None = None
    weights: str | None = None
    prefix: str = ""
    rename: dict[str, str] = Field(default_factory=dict)
    tolerance: float = Field(0.0, ge=0, le=1)
    keep_head: bool = False

    @model_validator(mode="after")
    def _one(self) -> StartSpec:
        if (self.arm is None) == (self.weights is None):
            raise ValueError("give either the arm of the source task or a file of weights")
        return self


class ModelSpec(Config):
    """A network of the catalogue, its options, and the fields of ``[recipe]`` that its training needs.

    Attributes:
        family: A name of ``bequest ls models``.
        options: What its factory takes.
        recipe: Laid over ``[recipe]`` for every arm with this student.
        start: Pretrained weights that it starts from; default: it is initialised at random.
        data: A name of ``[datasets]`` that it is trained on instead of ``[data]``. A language model's answers
            on the study's splits are the logits of the two forms of each sentence's verb.
    """

    family: str
    options: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    start: StartSpec | None = None
    data: str | None = None


class SourceSpec(Config):
    """A part of every batch: samples, view, share.

    Attributes:
        of: The split that the samples come from.
        share: Fraction of the batch's rows.
        fraction: The share of the split's samples that there are at all, of each class; see
            :func:`bequest.data.fractions.fraction`. Seeded by the cell's seed, the same for all its arms.
        views: How they are shown; see ``bequest ls views``.
        view_count: Epoch e shows view e modulo this count.
        labels: False withholds the labels.
        active: Ask about a part of the views only, chosen in rounds; needs ``view_count``.
        per_class: A few-shot subset: so many samples a class, chosen by the cell's seed, so that all arms at
            one seed have the same ones.
        student_views: Further views that the student alone is shown; teachers answer to what they are made
            from.
    """

    of: str = "train"
    share: float = Field(1.0, gt=0, le=1)
    fraction: float = Field(1.0, gt=0, le=1)
    views: tuple[dict[str, Any], ...] = ()
    view_count: int | None = Field(None, ge=1)
    labels: bool = True
    active: ActiveSpec | None = None
    per_class: int | None = Field(None, ge=1)
    student_views: tuple[dict[str, Any], ...] = ()


class LearnerSpec(Config):
    """A learner of the solvable model; see :class:`bequest.theory.Learner`."""

    penalty: float = Field(1.0, ge=0)
    eta: float = Field(1.0, gt=0, le=1)
    mix: float = Field(1.0, ge=0, le=1)
    temperature: float = Field(1.0, gt=0)
    loss: Literal["logistic", "square"] = "logistic"
    target: Literal["soft", "hard"] = "soft"


class AxisSpec(Config):
    """A parameter of the solvable model that a chart goes through.

    Attributes:
        parameter: ``alpha``, ``delta``, ``rho`` or ``WHO.penalty`` (``eta``, ``mix``, ``temperature``), with
            WHO an arm, a kind of student, or ``*`` for every learner.
        title: What a reader sees.
        start: The first value.
        stop: The last value.
        count: How many there are.
        log: Whether they are spaced by equal factors.
    """

    parameter: str
    title: str
    start: float
    stop: float
    count: int = Field(41, ge=2, le=400)
    log: bool = False


class TheoryChart(Config):
    """A chart of theory, with simulations as dots.

    Attributes:
        title: Its heading.
        note: What it shows.
        arms: One line, or one map, an arm.
        x: The axis.
        y: A second axis makes the chart a map.
        observable: What is shown; a name of :func:`bequest.theory.observe`.
        less: On a map, the arm whose value is taken off.
        at: Parameters that differ from the study's.
        simulated: Where on the x axis dots are drawn.
        bayes: Whether the least error that any learner can have is drawn too.
    """

    title: str
    note: str = ""
    arms: tuple[str, ...]
    x: AxisSpec
    y: AxisSpec | None = None
    observable: str = "error"
    less: str | None = None
    at: dict[str, float] = Field(default_factory=dict)
    simulated: tuple[float, ...] = ()
    bayes: bool = False


class TheorySpec(Config):
    """The solvable model that takes the place of data and networks.

    Attributes:
        alpha: Samples per input.
        delta: Variance of the noise.
        rho: P(y = 1).
        inputs: N of the simulations.
        samples: Fresh samples of each.
        observables: What is measured on every split.
        charts: What is drawn.
    """

    alpha: float = Field(gt=0)
    delta: float = Field(1.0, gt=0)
    rho: float = Field(0.5, gt=0, lt=1)
    inputs: int = Field(400, ge=10)
    samples: int = Field(4000, ge=100)
    observables: tuple[str, ...] = ("error",)
    charts: dict[str, TheoryChart] = Field(default_factory=dict)


class ArmSpec(Config):
    """A way to train one student.

    Attributes:
        student: A name of ``[models]`` or of the catalogue.
        teachers: The arms that teach, each at the student's seed; empty for plain training.
        mode: How the teachers answer: ``eval``; ``noisy`` as in training; ``online``: each starts anew from
            its arm's initial weights and learns the labels on each batch while it teaches; ``stored``: once,
            into a store in the run folder, from which the student learns.
        codec: How stored answers are kept; see :func:`bequest.distill.stores.parse_codec`.
        combine: How several teachers' answers become one (``{name = "mean_logits"}``); default: each apart.
        objective: Default: cross-entropy without teachers, KD with. A list is a sum.
        queries: A name of ``[queries]``; default: the training inputs as they are.
        control: The arm that this one is read against; default: the self-taught arm on the same queries,
            else the plain one.
        recipe: Fields of ``[recipe]`` that differ here.
        task: ``source`` trains on the data of ``[source]``, for others to start from; it is not shown.
        restart: Another number, other initial weights: a second network of the same kind.
        label: What a reader sees.
        aside: Only the charts of budget and efficiency, and the claims on them, use this arm.
        learner: In a study of the solvable model, what the student is there.
    """

    student: str
    teachers: tuple[str, ...] = ()
    mode: Literal["eval", "noisy", "online", "stored"] = "eval"
    codec: str | dict[str, Any] = "float32"
    combine: dict[str, Any] | None = None
    objective: dict[str, Any] | list[dict[str, Any]] | None = None
    queries: str | None = None
    control: str | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    task: Literal["target", "source"] = "target"
    restart: int = Field(0, ge=0)
    label: str | None = None
    aside: bool = False
    learner: LearnerSpec | None = None

    @property
    def shown(self) -> bool:
        """Whether tables and charts show it."""
        return not self.aside and self.task == "target"


class ClaimSpec(Config):
    """A sentence that the evidence will judge.

    The value is ``measure`` of ``arm`` on ``split`` (beside ``teacher``, for likenesses), less that of
    ``against`` (paired by seed) where given, on ``against_split`` where that is another.
    ``above``: upheld if the whole interval lies above ``margin``, contradicted if all of it lies below;
    ``below``: the reverse; ``within``: upheld inside ±margin, contradicted outside.
    """

    id: str
    text: str
    source: str
    measure: str
    arm: str
    split: str | None = None
    teacher: str | None = None
    against: str | None = None
    against_split: str | None = None
    direction: Direction = "above"
    margin: float = 0.0
    paper_value: float | None = None


class ValueSpec(Config):
    """A measurement that the answer sentence quotes."""

    measure: str
    arm: str
    split: str | None = None
    style: Literal["percent", "number"] = "percent"


class AnswerSpec(Config):
    """The sentence that opens the report; ``{name}`` stands for a value, ``{n}`` for the seeds."""

    text: str
    values: dict[str, ValueSpec] = Field(default_factory=dict)


class BudgetSpec(Config):
    """Inheritance against the number of queries, one line a way to choose them.

    Attributes:
        split: Where the inherited accuracy is read.
        lines: Names of ways to choose, each with its arms, which have one active source each.
    """

    split: str
    lines: dict[str, tuple[str, ...]]


class EfficiencySpec(Config):
    """Accuracy against the number of training samples, one line a way to train.

    Attributes:
        split: Where the accuracy is read.
        lines: Names of ways to train, each with its arms, each with one source or all training
            samples.
    """

    split: str = "test"
    lines: dict[str, tuple[str, ...]]


class MeasuresSpec(Config):
    """What is measured beyond every property and likeness on every split.

    Attributes:
        profile: The measures whose inheritance is drawn.
        splits: The splits on which models are compared with each other, inheritance is computed and
            reliability drawn; on the others each model is measured by itself. Default: all.
        groups: Names of groups of splits; a property on a group is its mean over the group's splits.
        corruptions: Families (``bequest ls corruptions``) whose levels the test split goes through.
        paths: Arms whose training paths, at the first seed, are laid on one map.
        barriers: Pairs of arms of one architecture between whose solutions the loss is followed; an arm with
            itself stands for neighbouring seeds.
        budget: What the budget chart shows.
        charted: The arms that charts of curves show, where all would be too many; default: all.
        reach: A validation accuracy; it is measured after how many epochs an arm has it.
        corrupted_samples: Corruptions are gone through with so many samples of the test split, chosen at
            random once; default: all.
        efficiency: What the chart of data efficiency shows.
        layers: Models to the activations, from first to last, whose likeness to a teacher's is followed.
        attention: Whether it is measured how far transformers look.
        seconds: Whether wall times are measurements too; these differ from run to run.
    """

    profile: tuple[str, ...] = ("accuracy", "nll", "ece", "agreement", "error_consistency", "cka")
    splits: tuple[str, ...] = ()
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    corruptions: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    barriers: tuple[tuple[str, str], ...] = ()
    budget: BudgetSpec | None = None
    charted: tuple[str, ...] = ()
    reach: float | None = Field(None, gt=0, lt=1)
    corrupted_samples: int | None = Field(None, ge=1)
    efficiency: EfficiencySpec | None = None
    layers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    attention: bool = False
    seconds: bool = False


class StudySpec(Config):
    """A study; ``source`` is the data of the task that its pretrained networks come from."""

    name: str
    title: str
    question: str
    data: DataSpec = DataSpec(name="")
    datasets: dict[str, DataSpec] = Field(default_factory=dict)
    source: DataSpec | None = None
    theory: TheorySpec | None = None
    seeds: int = Field(5, ge=1)
    recipe: Recipe = Recipe()
    splits: dict[str, SplitSpec]
    models: dict[str, ModelSpec] = Field(default_factory=dict)
    queries: dict[str, tuple[SourceSpec, ...]] = Field(default_factory=dict)
    arms: dict[str, ArmSpec]
    measures: MeasuresSpec = MeasuresSpec()
    answer: AnswerSpec | None = None
    claims: tuple[ClaimSpec, ...] = ()


def compared_splits(study: StudySpec) -> list[str]:
    """The splits on which models are compared with each other."""
    return [name for name in study.splits if not study.measures.splits or name in study.measures.splits]


def described_splits(study: StudySpec) -> dict[str, str]:
    """What a reader sees of every split, in reading order: the compared ones, groups, the others."""
    groups = {name: f"mean over {', '.join(parts)}" for name, parts in study.measures.groups.items()}
    first = {name: study.splits[name].description for name in compared_splits(study)}
    return {**first, **groups, **{name: split.description for name, split in study.splits.items()}}


def arm_recipe(study: StudySpec, arm: str) -> Recipe:
    """The recipe of ``arm``: the study's, its model's and its own fields laid over each other."""
    spec = study.arms[arm]
    base = study.recipe.model_dump(mode="json", exclude_unset=True)
    return Recipe.parse(merged(merged(base, model_of(study, spec.student).recipe), spec.recipe), "recipe")


def data_of(study: StudySpec, student: str) -> DataSpec:
    """The dataset that ``student`` is trained on."""
    name = model_of(study, student).data
    return study.data if name is None else study.datasets[name]


def model_of(study: StudySpec, name: str) -> ModelSpec:
    """The model ``name``: of the study, or of the catalogue."""
    return study.models.get(name) or ModelSpec(family=name)
