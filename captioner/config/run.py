"""The settings of one training run: its data, and those that its checkpoint stores."""

import dataclasses
from dataclasses import dataclass, field, fields
from typing import Any

from captioner.config.checks import check_names, check_ranges, check_texts, check_types, setting
from captioner.config.settings import DecodingConfig, ModelConfig, TrainingConfig
from captioner.errors import CaptionerError

CACHE_FOLDER = "cache"  # in a run's folder, beside those of its stages
# The words that a setting takes instead of a path; a file of such a name is reached as ./none.
KEYWORDS = {
    "encoder_weights": ("torchvision", "shipped", "none"),
    "start_from": ("", "shipped"),
    "image_names": ("none",),
}

# The defaults of [training] for a run that starts from a finished checkpoint: learning rates are a
# tenth of those for new weights, and small batches make more steps of few pictures. 48 pictures of
# another kind were learned in 20 epochs with 8 a step, not with 24.
FINE_TUNING = {
    "pictures_per_batch": 8,
    "learning_rate": TrainingConfig.learning_rate / 10,
    "encoder_learning_rate": TrainingConfig.encoder_learning_rate / 10,
    "patience": 5,
}


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """The files of one split, training or validation.

    Captions are joined picture by picture; questions and answers come in pairs of files.
    """

    captions: tuple[str, ...] = setting((), "captions, of any form", values="files")
    questions: tuple[str, ...] = setting((), "questions, in VQA's format", values="files")
    answers: tuple[str, ...] = setting(
        (), "their answers, one file per file of questions", values="files"
    )
    image_names: tuple[str, ...] = setting(
        (),
        "JSON from image id to file name, one per file of questions; none: named as COCO's",
        values='files or "none"',
    )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where pictures and texts are on this machine; not stored in the checkpoint."""

    images: tuple[str, ...] = setting(
        (), "folders of pictures of both splits, searched in order", values="folders"
    )
    train: SplitConfig = SplitConfig()
    val: SplitConfig = SplitConfig()
    val_share: float = setting(
        0.0,
        "hold out this share of the training pictures instead of files for validation",
        least=0,
        most=0.9,
    )
    skip_missing: bool = setting(
        False, "leave out pictures that are not there, up to a tenth of a file's"
    )

    def __post_init__(self) -> None:
        check_types(self)
        check_texts(self)
        check_ranges(self)
        if self.val_share and (self.val.captions or self.val.questions):
            raise CaptionerError(
                "val_share and files for validation are both given; leave one of them out"
            )
        for split, prefix in ((self.train, ""), (self.val, "val_")):
            check_types(split, prefix)
            check_texts(split, prefix)
            pairs = len(split.questions)
            if len(split.answers) != pairs or len(split.image_names) not in (0, pairs):
                raise CaptionerError(
                    f"{pairs} files of {prefix}questions, {len(split.answers)} of {prefix}answers "
                    f"and {len(split.image_names)} of {prefix}image_names; give as many of each "
                    '(image_names may be left out, and be "none" for a pair)'
                )

    def settings(self) -> dict[str, Any]:
        """The settings by the names that options and TOML files use: validation's with val_."""
        others = {name: value for name, value in vars(self).items() if name not in ("train", "val")}
        val = {f"val_{name}": paths for name, paths in vars(self.val).items()}
        return {**others, **vars(self.train), **val}

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> "DataConfig":
        """The opposite of `settings`; raises CaptionerError for wrong values."""
        others = dict(settings)
        train, val = (
            SplitConfig(**{f.name: others.pop(prefix + f.name) for f in fields(SplitConfig)})
            for prefix in ("", "val_")
        )
        return cls(**others, train=train, val=val)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All settings of one training run: the four tables of its TOML file.

    choices: the settings that the user set, as table.name, perhaps to their defaults. A run that
    starts from a checkpoint takes the others from it, or from what suits fine-tuning.
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    decoding: DecodingConfig = DecodingConfig()
    choices: frozenset[str] = field(default=frozenset(), compare=False)

    def tables(self) -> dict[str, dict[str, Any]]:
        """Every setting by table and name."""
        return {
            "data": self.data.settings(),
            "model": dataclasses.asdict(self.model),
            "training": dataclasses.asdict(self.training),
            "decoding": dataclasses.asdict(self.decoding),
        }

    def is_chosen(self, table: str, name: str) -> bool:
        """Whether the user set this setting."""
        return f"{table}.{name}" in self.choices or (
            self.tables()[table][name] != RunConfig().tables()[table][name]
        )

    def changed(self, tables: dict[str, dict[str, Any]], source: str) -> "RunConfig":
        """This run with these settings in place of its own, by table and name.

        Raises CaptionerError, with `source` as the place, for a table, a setting or a value that
        does not exist.
        """
        own = self.tables()
        check_names(tables, own, f"{source}: unknown table")
        for table, settings in tables.items():
            check_names(settings, own[table], f"{source} [{table}]: unknown setting")
        merged = {table: {**own[table], **tables.get(table, {})} for table in own}
        return RunConfig(
            data=DataConfig.from_settings(merged["data"]),
            model=ModelConfig(**merged["model"]),
            training=TrainingConfig(**merged["training"]),
            decoding=DecodingConfig(**merged["decoding"]),
            choices=self.choices.union(
                f"{table}.{name}" for table, settings in tables.items() for name in settings
            ),
        )
