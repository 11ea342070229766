"""The specification of a study: all tables and keys of its TOML file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator
from typing_extensions import override

from bequest.config import Config, merged
from bequest.data.transforms import Transform
from bequest.distill.combine import Combination
from bequest.distill.objectives import Objective
from bequest.distill.recipe import Recipe
from bequest.distill.stores.codecs import Codec, Dense
from bequest.resources import ResourcesSpec
from bequest.studies.claim_spec import AnswerSpec, ClaimSpec
from bequest.studies.kind import KindSpec
from bequest.studies.solvable_spec import LearnerSpec, TheorySpec
from bequest.studies.source import SourceSpec

Mode = Literal["eval", "noisy", "online", "stored", "noise", "another"]
Initial = Literal["teacher's initial weights", "teacher's initial head", "teacher's head"]
K = TypeVar("K", bound=KindSpec)


def _dense(codec: object) -> object:
    """A floating type means the codec ``dense`` with that type, as for :func:`bequest.build_store`."""
    return {"name": "dense", "dtype": codec} if codec in ("float32", "float16", "bfloat16") else codec


class DataSpec(Config):
    """A dataset of the catalogue and its options.

    Attributes:
        name: A name of ``bequest ls datasets``, ``folder:PATH`` or ``csv:FILE``; left out with ``[theory]``.
        options: Options of its loader; see docs/data.md.
    """

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class SplitSpec(Config):
    """A test split: the networks answer on it once, after training.

    Attributes:
        description: Its description on the page.
        of: The split it is made from.
        variants: Transforms (``{name = "translate", dx = 2, dy = 2}``); each makes one copy of every sample.
        corruption: A corruption (``bequest ls corruptions``) instead of variants.
        level: Its level; default: the published one.
        where: The values that a sample's attributes must have (``{ attractors = [2, 3] }``); others are left
            out.
        asked: Whether its inputs are among those that the study's queries ask about; None if that does not
            apply. It changes no sample; evidence of kind ``distance`` shows the two apart.
        distance: How far its inputs are from the training inputs, in a unit of the study's choice, such as
            pixels or attractors; for evidence of kind ``distance``.
        at: In a study of the solvable model, the parameters that are the split.
    """

    description: str
    of: str = "test"
    variants: tuple[Transform, ...] = ()
    corruption: str | None = None
    level: int | None = Field(None, ge=1)
    where: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    asked: bool | None = None
    distance: float | None = Field(None, ge=0)
    at: dict[str, float] = Field(default_factory=dict)

    def samples(self) -> dict[str, Any]:
        """Everything that decides its samples, as plain values; equal for two splits with the same ones."""
        other = {"description", "asked", "distance", "at", *(() if self.where else ("where",))}
        return self.model_dump(mode="json", exclude_none=True, exclude=other)


class StartSpec(Config):
    """Pretrained weights that a network starts from, its head new.

    Attributes:
        arm: An arm of the source task (``task = "source"``); its network at the same seed.
        weights: A file or folder of weights instead; relative to ``BEQUEST_DATA`` if it is not there.
        prefix: Only weights whose names begin with it are used, without it: ``backbone.``.
        rename: Prefixes of the weights' names and those of the network: ``{"fc." = "linear."}``; the first
            that fits is used.
        tolerance: The share of the backbone's numbers that may be missing, and of the weights' that may be
            left unused; see :func:`bequest.models.pretrained.adoption.adopt`.
        keep_head: Load the head too; for weights that were trained on the very same classes.
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
        options: Options of its factory.
        recipe: Overrides fields of ``[recipe]`` for every arm with this student.
        start: Pretrained weights that it starts from; default: it is initialised at random.
        data: A name of ``[datasets]`` that it is trained on instead of ``[data]``. A language model's answers
            on the study's splits are the logits of the two forms of each sentence's verb.
        own_splits: Make the study's splits for it from the dataset that ``data`` names, which is another task
            with the same splits. Default: from ``[data]``.
    """

    family: str
    options: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    start: StartSpec | None = None
    data: str | None = None
    own_splits: bool = False


class ArmSpec(Config):
    """A way to train one student.

    Attributes:
        student: A name of ``[models]`` or of the catalogue.
        teachers: The arms that teach, each at the student's seed; empty for plain training.
        mode: How the teachers answer: ``eval``; ``noisy`` as in training; ``online``: each starts again from
            its arm's initial weights and learns the labels of each batch while it teaches; ``stored``: once,
            into a store in the run folder, from which the student learns. Two controls answer without
            knowledge: ``noise`` with random logits of the teacher's size, ``another`` with the teacher's
            answer to another sample.
        codec: How stored answers are encoded; a floating type means ``dense`` with that type.
        combine: How several teachers' answers become one (``{name = "mean_logits"}``); default: each apart.
        objective: Default: cross-entropy without teachers, KD with them. A list is a sum.
        queries: A name of ``[queries]``; default: the training inputs as they are.
        control: The arm that this one is compared with; default: the self-taught arm on the same queries,
            else the plain one.
        recipe: Fields of ``[recipe]`` that differ here.
        task: ``source`` trains on the data of ``[source]``, for others to start from; it is not shown.
        restart: Another number gives other initial weights: a second network of the same kind.
        initial: Which weights of its first teacher its network starts with: ``teacher's initial weights``,
            those that the teacher started from; ``teacher's initial head``, only the last linear layer of
            these; ``teacher's head``, that layer as the teacher learnt it. Default: none, since a student
            that starts where its teacher started shares its basin for that reason alone.
        seeds: How many seeds it has; default: the study's. No arm that it needs may have fewer.
        label: Its title on the page.
        aside: Only the charts of budget and efficiency, and the claims on them, use this arm.
        learner: In a study of the solvable model, the learner that the student is.
    """

    student: str
    teachers: tuple[str, ...] = ()
    mode: Mode = "eval"
    codec: Annotated[Codec, BeforeValidator(_dense)] = Dense("float32")
    combine: Combination | None = None
    objective: Objective | None = None
    queries: str | None = None
    control: str | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    task: Literal["target", "source"] = "target"
    restart: int = Field(0, ge=0)
    initial: Initial | None = None
    seeds: int | None = Field(None, ge=1, le=100_000)
    label: str | None = None
    aside: bool = False
    learner: LearnerSpec | None = None


class MeasuresSpec(Config):
    """What is measured and shown.

    Every further key is a kind of evidence with its options (``bequest ls evidence``).

    Attributes:
        profile: The measures whose inheritance is computed and drawn.
        splits: The splits on which models are compared with each other, inheritance is computed and
            reliability drawn; on the others each model is measured by itself. Default: all.
        groups: Groups of splits by name; a property on a group is its mean over the group's splits.
        charted: The arms that charts of curves show, if all would be too many; default: all.
        kinds: The kinds of evidence that have options here, by key.
    """

    profile: tuple[str, ...] = ("accuracy", "nll", "ece", "agreement", "error_consistency", "cka")
    splits: tuple[str, ...] = ()
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    charted: tuple[str, ...] = ()
    kinds: dict[str, SerializeAsAny[KindSpec]] = Field(default_factory=dict)

    @override
    @classmethod
    def known_keys(cls) -> list[str]:
        """The fields that a study may set, and every kind of evidence."""
        return sorted({*cls.model_fields, *KindSpec.registered} - {"kinds"})


class StudySpec(Config):
    """A study: what is trained, measured and claimed.

    Attributes:
        name: Its name, also of the run folder.
        title: The heading of its page.
        question: The question that it answers, in one sentence.
        data: The dataset that networks are trained and tested on.
        datasets: Further datasets, for models that are trained on another form of the data.
        source: The data of the task that pretrained networks come from.
        theory: The solvable model, instead of data and networks.
        resources: What its workers need of a cluster.
        use: Python files with the user's own parts, imported first; relative to the study's file.
        seeds: How many seeds each arm has, unless it says otherwise.
        seeds_from: The first seed; settings are searched on other seeds than those that judge.
        recipe: How students are trained.
        splits: The test splits, by name.
        models: Networks by name.
        queries: The inputs that students train on, or ask their teachers about, by name.
        arms: Ways to train a student, by name.
        measures: What is measured.
        answer: The sentence that opens the report.
        claims: Sentences that the evidence will judge.
    """

    name: str
    title: str
    question: str
    data: DataSpec = DataSpec(name="")
    datasets: dict[str, DataSpec] = Field(default_factory=dict)
    source: DataSpec | None = None
    theory: TheorySpec | None = None
    resources: ResourcesSpec = ResourcesSpec()
    use: tuple[str, ...] = ()
    seeds: int = Field(5, ge=1, le=100_000)
    seeds_from: int = Field(0, ge=0)
    recipe: Recipe = Recipe()
    splits: dict[str, SplitSpec]
    models: dict[str, ModelSpec] = Field(default_factory=dict)
    queries: dict[str, tuple[SourceSpec, ...]] = Field(default_factory=dict)
    arms: dict[str, ArmSpec]
    measures: MeasuresSpec = MeasuresSpec()
    answer: AnswerSpec | None = None
    claims: tuple[ClaimSpec, ...] = ()

    def kind(self, of: type[K]) -> K | None:
        """The options of a kind of evidence; None if the study does not have it."""
        options = self.measures.kinds.get(of.key)
        return options if isinstance(options, of) else None

    def model(self, name: str) -> ModelSpec:
        """The model ``name``: of the study, or of the catalogue."""
        return self.models.get(name) or ModelSpec(family=name)

    def data_of(self, student: str) -> DataSpec:
        """The dataset that ``student`` is trained on."""
        name = self.model(student).data
        return self.data if name is None else self.datasets[name]

    def tested_data(self, arm: str) -> DataSpec:
        """The dataset from which the test splits of ``arm`` are made."""
        student = self.arms[arm].student
        return self.data_of(student) if self.model(student).own_splits else self.data

    def recipe_of(self, arm: str) -> Recipe:
        """The recipe of ``arm``: the study's, overridden by its model's fields, then by its own.

        Raises:
            ConfigError: If the fields of the model or of the arm do not fit.
        """
        spec = self.arms[arm]
        base = self.recipe.model_dump(mode="json", exclude_unset=True)
        of_model = merged(base, self.model(spec.student).recipe)
        return Recipe.parse(merged(of_model, spec.recipe), "recipe")

    def sources_of(self, arm: str) -> tuple[SourceSpec, ...]:
        """The sources that ``arm`` trains on, or asks about; the training inputs if it names no queries."""
        queries = self.arms[arm].queries
        return self.queries[queries] if queries else (SourceSpec(),)

    def without_splits(self, names: Collection[str]) -> StudySpec:
        """The study without some splits, groups that hold them, and kinds of evidence that need them."""
        measures = self.measures
        groups = {name: parts for name, parts in measures.groups.items() if not {*parts} & {*names}}
        compared = tuple(name for name in measures.splits if name not in names)
        splits = {name: split for name, split in self.splits.items() if name not in names}
        measures = measures.model_copy(update={"groups": groups, "splits": compared})
        study = self.model_copy(update={"splits": splits, "measures": measures})
        # A kind whose options name a split that is gone has become faulty.
        lost = [key for key, kind in measures.kinds.items() if names and any(kind.faults(study))]
        return study.without_kinds(lost)

    def without_kinds(self, keys: Collection[str]) -> StudySpec:
        """The study without some kinds of evidence."""
        kinds = {key: kind for key, kind in self.measures.kinds.items() if key not in keys}
        return self.model_copy(update={"measures": self.measures.model_copy(update={"kinds": kinds})})

    @property
    def seed_range(self) -> range:
        """The seeds of the arm that has the most."""
        most = max((arm.seeds or self.seeds for arm in self.arms.values()), default=self.seeds)
        return range(self.seeds_from, self.seeds_from + most)

    def seeds_of(self, arm: str) -> range:
        """The seeds of ``arm``."""
        return range(self.seeds_from, self.seeds_from + (self.arms[arm].seeds or self.seeds))

    @property
    def compared_splits(self) -> list[str]:
        """The splits on which models are compared with each other."""
        return [name for name in self.splits if not self.measures.splits or name in self.measures.splits]

    @property
    def named_measures(self) -> set[str]:
        """The measures that profile, claims, answer and kinds of evidence name, with those they derive from.

        Some are measured only if they are named.
        """
        values = self.answer.values.values() if self.answer else ()
        names = [*self.measures.profile, *(each.measure for each in (*self.claims, *values))]
        names += [claim.against_measure for claim in self.claims if claim.against_measure]
        names += [name for kind in self.measures.kinds.values() for name in kind.named_measures()]
        return {part for name in names for part in (name, *name.split("/"))}

    @property
    def described_splits(self) -> dict[str, str]:
        """Descriptions in reading order: the compared splits, groups, the others."""
        groups = {name: f"mean over {', '.join(parts)}" for name, parts in self.measures.groups.items()}
        compared = {name: self.splits[name].description for name in self.compared_splits}
        return {**compared, **groups, **{name: split.description for name, split in self.splits.items()}}


def split_kinds(measures: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The table ``[measures]`` without the kinds of evidence, and their options by key."""
    plain = {key: value for key, value in measures.items() if key not in KindSpec.registered}
    options = {key: value for key, value in measures.items() if key in KindSpec.registered}
    return plain, options
