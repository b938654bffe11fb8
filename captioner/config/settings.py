"""Every setting of the model, training, decoding and data, with its default and bounds."""

import dataclasses
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from captioner.config.checks import at_least, check_names, check_texts, check_types, one_of, within
from captioner.errors import CaptionerError

MAX_SEED = 2**32 - 1
DROPOUTS = ("feature_dropout", "embedding_dropout", "hidden_dropout", "answer_dropout")
CELLS = ("lstm", "gru", "rnn", "highway")
CACHE_FOLDER = "cache"  # in a run's folder, beside those of its stages
# The words that a setting takes instead of a path; a file of such a name is reached as ./none.
KEYWORDS = {
    "encoder_weights": ("torchvision", "shipped", "none"),
    "start_from": ("", "shipped"),
    "image_names": ("none",),
}

Config = TypeVar("Config", "ModelConfig", "TrainingConfig", "DecodingConfig")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the network is; stored in the checkpoint.

    encoder: a torchvision classification backbone by name, or efficientnet_lite0 to 4.
    encoder_stage: the last stage kept, such as "features.13"; empty keeps all before the pooling.
    image_size: side in pixels of the square that each picture is squashed to; a multiple of 32,
    plus 1, suits weights that TensorFlow trained, such as those of efficientnet_lite.
    feature_size: D, after the adapter that follows the backbone.
    attention: "additive" (Xu et al. 2015), "dot" (scaled, with attention_heads heads) or "none"
    (the mean feature before every word, as in Vinyals et al. 2015).
    sentinel: the decoder may look away from the picture, at what it remembers (Lu et al. 2017).
    top_down: a second recurrent cell makes the attention query (Anderson et al. 2018).
    context_gate: scale the context by a sigmoid of the hidden state (Xu et al. 2015, 4.2.1).
    tokens: "word" or "character", what is written one at a time.
    cell: one of CELLS; layers: how many are stacked, with hidden_dropout
    between them. Questions are read by cells of the same kind.
    glimpses: how often the answer head looks at the picture; 0 makes it blind. answer_size: what
    question and picture meet in; answer_dropout: before and after they do.
    """

    encoder: str = "mobilenet_v2"
    encoder_stage: str = ""
    image_size: int = 225
    feature_size: int = 512
    attention: str = "dot"
    attention_size: int = 512
    attention_heads: int = 8
    sentinel: bool = False
    top_down: bool = False
    context_gate: bool = True
    cell: str = "lstm"
    layers: int = 1
    tokens: str = "word"
    embedding_size: int = 300
    hidden_size: int = 512
    feature_dropout: float = 0.1
    embedding_dropout: float = 0.1
    hidden_dropout: float = 0.3
    glimpses: int = 2
    answer_size: int = 1024
    answer_dropout: float = 0.5

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, 1, "feature_size", "attention_size", "attention_heads")
        at_least(self, 1, "embedding_size", "hidden_size", "layers", "answer_size")
        at_least(self, 0, "glimpses")
        at_least(self, 32, "image_size")
        for name in DROPOUTS:
            within(self, 0, 0.95, name)
        one_of(self, "attention", "additive", "dot", "none")
        one_of(self, "tokens", "word", "character")
        one_of(self, "cell", *CELLS)
        if self.attention != "dot" and self.attention_heads == ModelConfig.attention_heads:
            object.__setattr__(self, "attention_heads", 1)  # the default is dot attention's
        if self.attention != "dot" and self.attention_heads != 1:
            raise CaptionerError(
                f"attention_heads is {self.attention_heads}; only dot attention has more than one "
                "head: set attention_heads to 1 or attention to dot"
            )
        for name in ("sentinel", "top_down"):
            if getattr(self, name) and self.attention == "none":
                raise CaptionerError(
                    f"{name} changes how attention looks, but attention is 'none': set {name} to "
                    "false or attention to dot or additive"
                )
        if self.attention_size % self.attention_heads or self.feature_size % self.attention_heads:
            raise CaptionerError(
                f"attention_heads {self.attention_heads} must divide attention_size "
                f"{self.attention_size} and feature_size {self.feature_size}"
            )


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """How a caption is searched for.

    beam_size: K; 1 is greedy. num_captions: how many captions a picture, best first.
    max_words: the longest caption; about so many words where characters are written.
    length_penalty: a caption's score is its log probability over its length in tokens to this
    power. block_ngrams: no n-gram of so many words twice; 0: any.
    sample: draw words instead, from the temperature-scaled distribution cut to the top_k most
    probable (0: all) and to the smallest set with probability top_p.
    """

    beam_size: int = 5
    num_captions: int = 1
    max_words: int = 20
    length_penalty: float = 0.0
    block_ngrams: int = 3
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, 1, "beam_size", "num_captions", "max_words")
        at_least(self, 0, "block_ngrams", "top_k")
        within(self, 0, 10, "length_penalty")
        within(self, 0.01, 100, "temperature")
        within(self, 0, MAX_SEED, "seed")
        if not 0 < self.top_p <= 1:
            raise CaptionerError(f"top_p is {self.top_p}; it must be above 0 and at most 1")
        if not self.sample and self.num_captions > self.beam_size:
            raise CaptionerError(
                f"num_captions is {self.num_captions} but beam_size only {self.beam_size}; "
                "raise beam_size or sample"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the network is trained; stored in the checkpoint.

    encoder_weights: "torchvision" (its download), "shipped" (the encoder of the checkpoint that
    ships), "none" (random), or a file: a state dict (.pth, .safetensors) of torchvision's network
    or of EfficientNet-Lite as published, or a captioner checkpoint, whose encoder is taken.
    start_from: a checkpoint whose whole model and vocabularies training goes on from ("shipped":
    the bundled one), or empty; with it encoder_weights does not count, and of [model]
    only the dropouts do. A task that it has not learned yet is added to it.
    extend_vocabulary: with start_from, add the words of the captions and questions that its
    vocabularies lack.
    min_count: words of captions seen less often are unknown; 0: by the number of captions, from 1
    for few to 5 from 20,000 on.
    average_of: in a file of stages, checkpoints of earlier ones, such as "words/best" and
    "words/last", from whose mean weights this one goes on; empty: from the best of the one before.
    freeze_captioner: train the answer head alone, so that the captions stay as they are.
    fine_tune_from: the encoder stage from which on weights are trained; empty: all frozen.
    update_batch_norm: let the trained stages update their batch-norm statistics; needed from
    scratch, harmful with few pictures a batch on pretrained weights.
    augment: random crops and colours, every picture decoded anew each time; otherwise the frozen
    stages' output is cached.
    mirror: half the time the mirror image, but never where a caption says left or right.
    learning_rate, encoder_learning_rate: peaks, reached after warm_up_steps or a quarter of all
    steps, whichever are fewer, then a cosine to 0.
    attention_penalty: weight of the doubly stochastic penalty (Xu et al. 2015, equation 14).
    truncate_steps: cut the gradient through time after every so many tokens, the state carried on
    (truncated backpropagation); 0: never.
    average_decay: decay of the running average of the weights that is validated and saved; 0: none.
    autocast: bfloat16 where safe. self_critical: Rennie et al. 2017 in place of cross entropy, on
    captions_per_picture samples drawn at sample_temperature, rewarded with CIDEr-D plus
    bleu_reward times sentence BLEU-4, less repeat_cost for each word said again out of place.
    answer_count: the answers that can be given: so many of the commonest. question_min_count: words
    of questions seen less often are unknown. answer_weight: of the answers' loss beside that of
    the captions. pair_weight: of the loss on pairs of pictures for which the same question has
    different answers; with it such questions come in groups.
    validation_pictures: at most so many, spread evenly over each validation set; 0: all.
    patience: stop after so many epochs without a better score, which is BLEU-4, the answers'
    accuracy, or the sum of the two; 0: never.
    half_precision: store best and last in float16, half the size; frozen weights are rounded so
    from the start, and those that are trained stay float32 in the state.
    max_cache_gib: the largest feature cache that is built.
    """

    encoder_weights: str = "torchvision"
    start_from: str = ""
    average_of: tuple[str, ...] = ()
    freeze_captioner: bool = False
    fine_tune_from: str = ""
    update_batch_norm: bool = False
    augment: bool = False
    mirror: bool = True
    extend_vocabulary: bool = False
    min_count: int = 0
    max_words: int = 20
    epochs: int = 20
    pictures_per_batch: int = 24
    captions_per_picture: int = 5
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 1e-4
    warm_up_steps: int = 200
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    label_smoothing: float = 0.1
    attention_penalty: float = 0.0
    truncate_steps: int = 0
    average_decay: float = 0.0
    autocast: bool = False
    self_critical: bool = False
    sample_temperature: float = 0.6
    bleu_reward: float = 0.5
    repeat_cost: float = 0.0
    answer_count: int = 3000
    question_min_count: int = 1
    questions_per_batch: int = 128
    answer_weight: float = 1.0
    pair_weight: float = 0.0
    validation_pictures: int = 1000
    patience: int = 0
    save_steps: int = 200
    half_precision: bool = False
    workers: int = 2
    max_cache_gib: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, 1, "max_words", "epochs", "pictures_per_batch")
        check_texts(self)
        if self.start_from and self.average_of:
            raise CaptionerError("start_from and average_of are both given; leave one of them out")
        at_least(self, 1, "save_steps", "answer_count")
        at_least(self, 1, "question_min_count", "questions_per_batch")
        at_least(self, 0, "truncate_steps", "warm_up_steps", "validation_pictures")
        at_least(self, 0, "patience", "workers", "min_count")
        at_least(self, 0, "captions_per_picture")
        at_least(self, 0, "learning_rate", "encoder_learning_rate", "weight_decay", "clip_norm")
        at_least(self, 0, "attention_penalty", "bleu_reward", "repeat_cost")
        at_least(self, 0, "answer_weight", "pair_weight", "max_cache_gib")
        within(self, 0, 0.99, "label_smoothing")
        within(self, 0, 0.99999, "average_decay")
        within(self, 0.01, 100, "sample_temperature")
        within(self, 0, MAX_SEED, "seed")
        if self.self_critical and self.captions_per_picture < 2:
            raise CaptionerError(
                "self_critical compares several samples of a picture: "
                f"captions_per_picture is {self.captions_per_picture}; set it to 2 or more"
            )


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """The files of one split, training or validation.

    captions: files whose captions are joined picture by picture. questions, answers: files in
    VQA's form, in pairs. image_names: for each pair a JSON file that maps image ids to file names,
    or "none" where pictures are named as in COCO; empty: "none" for all.
    """

    captions: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    image_names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where pictures and texts are on this machine; not stored in the checkpoint.

    images: folders with the pictures of both splits, searched in order. val_share: the share of the
    training pictures that is held out for validation, instead of files for it; 0: none.
    skip_missing: leave out pictures that are not there, up to a tenth of those of a file.
    """

    images: tuple[str, ...] = ()
    train: SplitConfig = SplitConfig()
    val: SplitConfig = SplitConfig()
    val_share: float = 0.0
    skip_missing: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        check_texts(self)
        within(self, 0, 0.9, "val_share")
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

    model_choices: the names of the [model] settings that the user set. A run that starts from a
    checkpoint takes the others from the checkpoint.
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    decoding: DecodingConfig = DecodingConfig()
    model_choices: frozenset[str] = field(default=frozenset(), compare=False)

    def tables(self) -> dict[str, dict[str, Any]]:
        """Every setting by table and name."""
        return {
            "data": self.data.settings(),
            "model": dataclasses.asdict(self.model),
            "training": dataclasses.asdict(self.training),
            "decoding": dataclasses.asdict(self.decoding),
        }

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
            model_choices=self.model_choices.union(tables.get("model", ())),
        )


# Settings that earlier releases had, and the value of each that was off: stored in checkpoints.
RETIRED = {"fine_stage": "", "mirror": False}  # of [model]; of [decoding]


def without_retired(settings: dict[str, Any], source: str) -> dict[str, Any]:
    """A checkpoint's settings without retired ones; raises CaptionerError for one that was on."""
    for name, off in RETIRED.items():
        if settings.get(name, off) != off:
            raise CaptionerError(
                f"{source}: made with {name} {settings[name]!r}, which this captioner no longer "
                "has; use captioner 0.1.0 for it, or train it again"
            )
    return {name: value for name, value in settings.items() if name not in RETIRED}


def from_dict(kind: type[Config], settings: dict[str, Any], source: str) -> Config:
    """Build one config from plain values; raises CaptionerError for a key it does not have."""
    check_names(settings, [f.name for f in fields(kind)], f"{source}: unknown setting")
    return kind(**settings)
