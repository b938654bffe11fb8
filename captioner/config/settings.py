"""The settings that a checkpoint stores: of its model, training and decoding."""

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from captioner.config.checks import check_names, check_ranges, check_texts, check_types, setting
from captioner.errors import CaptionerError

MAX_SEED = 2**32 - 1
# Of searches: a checkpoint brings its own along, and may come from anywhere.
MAX_WORDS, MAX_BEAM, MAX_CAPTIONS = 1000, 1000, 10_000
DROPOUTS = ("feature_dropout", "embedding_dropout", "hidden_dropout", "answer_dropout")
CELLS = ("lstm", "gru", "rnn", "highway")

Config = TypeVar("Config", "ModelConfig", "TrainingConfig", "DecodingConfig")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the network is; stored in the checkpoint.

    image_size: the picture is squashed to a square; a multiple of 32, plus 1, suits weights that
    TensorFlow trained, such as those of efficientnet_lite. feature_size is that after the adapter
    that follows the backbone. attention: additive as in Xu et al. 2015, none as in Vinyals et al.
    2015: the mean feature before every word. layers: with hidden_dropout between them. Questions
    are read by cells of the same kind.
    """

    encoder: str = setting(
        "mobilenet_v2",
        "network to use as encoder",
        values="a torchvision classification network, or efficientnet_lite0 to 4",
    )
    encoder_stage: str = setting(
        "",
        'last encoder stage kept, such as "features.13"; empty: all before the pooling',
        values="a stage name or empty",
    )
    image_size: int = setting(225, "side in pixels of the square picture", least=32)
    feature_size: int = setting(512, "D, size of a feature", least=1)
    attention: str = setting("dot", "kind of attention", choices=("additive", "dot", "none"))
    attention_size: int = setting(512, "A, size of queries and keys", least=1)
    attention_heads: int = setting(
        8, "heads of dot attention", least=1, note="divides attention_size and feature_size"
    )
    sentinel: bool = setting(
        False, "the decoder may attend to its memory instead of the picture (Lu et al. 2017)"
    )
    top_down: bool = setting(False, "a separate cell decides where to look (Anderson et al. 2018)")
    context_gate: bool = setting(
        True, "scale the context by a sigmoid of the hidden state (Xu et al. 2015, 4.2.1)"
    )
    cell: str = setting("lstm", "recurrent cell", choices=CELLS)
    layers: int = setting(1, "stacked cells", least=1)
    tokens: str = setting(
        "word", "unit in which captions are written", choices=("word", "character")
    )
    embedding_size: int = setting(300, "E, size of word vectors", least=1)
    hidden_size: int = setting(512, "H, size of the hidden state", least=1)
    feature_dropout: float = setting(0.1, "dropout on features", least=0, most=0.95)
    embedding_dropout: float = setting(0.1, "dropout on word vectors", least=0, most=0.95)
    hidden_dropout: float = setting(
        0.3, "dropout between layers and before the output", least=0, most=0.95
    )
    glimpses: int = setting(
        2, "how often the answer head looks at the picture; 0: never, a blind baseline", least=0
    )
    answer_size: int = setting(
        1024, "size of the vector that combines question and picture", least=1
    )
    answer_dropout: float = setting(0.5, "dropout in the answer head", least=0, most=0.95)

    def __post_init__(self) -> None:
        check_types(self)
        check_ranges(self)
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
    """How a caption is searched for; stored in the checkpoint as its own way.

    max_words: about so many words where characters are written. length_penalty: lengths are in
    tokens.
    """

    beam_size: int = setting(5, "K; 1 is greedy", least=1, most=MAX_BEAM)
    num_captions: int = setting(
        1,
        "captions per picture, best first",
        least=1,
        most=MAX_CAPTIONS,
        note="at most beam_size, or sample",
    )
    max_words: int = setting(20, "longest caption", least=1, most=MAX_WORDS)
    length_penalty: float = setting(
        0.0, "divide the log probability by the length to this power", least=0, most=10
    )
    block_ngrams: int = setting(3, "no n-gram of this length occurs twice; 0: no limit", least=0)
    sample: bool = setting(False, "draw words at random instead of searching")
    temperature: float = setting(
        1.0, "temperature of the sampling distribution", least=0.01, most=100
    )
    top_k: int = setting(0, "sample from the k most probable words; 0: all", least=0)
    top_p: float = setting(
        1.0, "sample from the smallest set with this probability", above=0, most=1
    )
    seed: int = setting(0, "random seed", least=0, most=MAX_SEED)

    def __post_init__(self) -> None:
        check_types(self)
        check_ranges(self)
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
    start_from: training goes on from its whole model and its vocabularies; with it encoder_weights
    does not count, and of [model] only the dropouts do. A task that it has not learned yet is added
    to it. Settings that are not given are then those for fine-tuning: a tenth of the learning
    rates, 8 pictures_per_batch, patience 5, and the decoding of the checkpoint.
    average_of: such as "words/best" and "words/last", or one of them; empty: a stage goes on from
    the best of the one before. freeze_captioner: the captions stay as they are.
    update_batch_norm: needed from scratch, harmful with few pictures a batch on pretrained weights.
    augment: every picture is decoded and cropped anew each time. With cached_crops, so many crops
    are drawn once, and one of them or the whole picture is taken each time; the frozen stages'
    output of all is cached, as it is of the picture without augment.
    learning_rate, encoder_learning_rate: after the warm-up a cosine to 0. truncate_steps: the state
    is carried on (truncated backpropagation). average_decay: the average is validated and saved.
    self_critical: with captions_per_picture samples drawn at sample_temperature, rewarded with
    CIDEr-D plus bleu_reward times sentence BLEU-4, less repeat_cost for each word said again out of
    place. pair_weight: with it such questions come in groups. validation_pictures: spread evenly
    over each validation set. patience: a score is BLEU-4, the answers' accuracy, or the sum of the
    two. half_precision: half the size; frozen weights are rounded so from the start, and those that
    are trained stay float32 in the state.
    """

    encoder_weights: str = setting(
        "torchvision",
        "initial weights of the encoder",
        values="torchvision, shipped, none or a file",
    )
    start_from: str = setting(
        "", "fine-tune this checkpoint", values='a checkpoint, "shipped" or empty'
    )
    average_of: tuple[str, ...] = setting(
        (), "start a stage from their mean weights", values="checkpoints of earlier stages"
    )
    freeze_captioner: bool = setting(False, "train only the answer head")
    fine_tune_from: str = setting(
        "",
        "train the encoder from this stage on; empty: frozen",
        values="a stage name or empty",
    )
    update_batch_norm: bool = setting(False, "trained stages update their batch-norm statistics")
    augment: bool = setting(
        False, "random crops and colours; without feature cache, unless cached_crops is set"
    )
    cached_crops: int = setting(
        0, "with augment, keep so many crops of each picture in the feature cache", least=0
    )
    mirror: bool = setting(
        True,
        "train on mirror images half of the time, except where a caption says left or right",
    )
    extend_vocabulary: bool = setting(
        False, "with start_from, learn the words that its vocabularies lack"
    )
    min_count: int = setting(
        0,
        "words seen less often are unknown; 0: 1 for small sets to 5 from 20,000 captions on",
        least=0,
    )
    max_words: int = setting(20, "longest caption", least=1, most=MAX_WORDS)
    epochs: int = setting(20, "passes over the training set", least=1)
    pictures_per_batch: int = setting(24, "pictures per step", least=1)
    accumulate: int = setting(
        1,
        "compute a step's batch in so many parts, one after the other, in less memory",
        least=1,
        note="divides pictures_per_batch and questions_per_batch",
    )
    captions_per_picture: int = setting(
        5,
        "captions (or samples) per picture and step; 0: all",
        least=0,
        note="2 or more if self_critical",
    )
    learning_rate: float = setting(1e-3, "peak of the learning rate", least=0)
    encoder_learning_rate: float = setting(1e-4, "the same for the encoder", least=0)
    warm_up_steps: int = setting(
        200, "warm-up, at most a quarter of all steps; then a cosine to 0", least=0
    )
    weight_decay: float = setting(0.01, "weight decay of the optimizer", least=0)
    clip_norm: float = setting(1.0, "largest gradient norm; 0: no clipping", least=0)
    label_smoothing: float = setting(
        0.1, "label smoothing of the cross entropy", least=0, most=0.99
    )
    attention_penalty: float = setting(
        0.0, "weight of the doubly stochastic penalty (Xu et al. 2015, equation 14)", least=0
    )
    truncate_steps: int = setting(0, "cut the gradient after so many tokens; 0: never", least=0)
    average_decay: float = setting(
        0.0, "decay of the running average of the weights; 0: no average", least=0, most=0.99999
    )
    autocast: bool = setting(
        False, "compute in bfloat16 where it is safe; on a GPU that is the default"
    )
    full_precision: bool = setting(False, "on a GPU, compute in float32 without bfloat16 and TF32")
    self_critical: bool = setting(
        False, "self-critical training instead of cross entropy (Rennie et al. 2017)"
    )
    sample_temperature: float = setting(
        0.6, "temperature of the samples in self-critical training", least=0.01, most=100
    )
    bleu_reward: float = setting(
        0.5, "weight of sentence BLEU-4 in the reward; CIDEr-D has weight 1", least=0
    )
    repeat_cost: float = setting(
        0.0, "subtracted from the reward per needlessly repeated word", least=0
    )
    answer_count: int = setting(
        3000, "size of the answer vocabulary: the most common answers", least=1
    )
    question_min_count: int = setting(1, "question words seen less often are unknown", least=1)
    questions_per_batch: int = setting(128, "questions per step", least=1)
    answer_weight: float = setting(
        1.0, "weight of the answer loss; the caption loss has weight 1", least=0
    )
    pair_weight: float = setting(
        0.0, "weight of the loss on pairs of equal questions with different answers", least=0
    )
    validation_pictures: int = setting(1000, "pictures used in validation; 0: all", least=0)
    patience: int = setting(
        0, "stop after so many epochs without a better score or a lower loss; 0: never", least=0
    )
    save_steps: int = setting(200, "steps between two saved states", least=1)
    half_precision: bool = setting(False, "store checkpoints in float16")
    workers: int = setting(2, "processes that read pictures", least=0)
    cache_precision: str = setting(
        "float32", "in which the feature cache is computed", choices=("float32", "bf16")
    )
    max_cache_gib: float = setting(20.0, "largest feature cache, in GiB", least=0)
    tensorboard: bool = setting(False, "write the log for TensorBoard too (extra `tensorboard`)")
    seed: int = setting(0, "random seed", least=0, most=MAX_SEED)

    def __post_init__(self) -> None:
        check_types(self)
        check_texts(self)
        check_ranges(self)
        if self.start_from and self.average_of:
            raise CaptionerError("start_from and average_of are both given; leave one of them out")
        if self.self_critical and self.captions_per_picture < 2:
            raise CaptionerError(
                "self_critical compares several samples of a picture: "
                f"captions_per_picture is {self.captions_per_picture}; set it to 2 or more"
            )
        if self.cached_crops and not self.augment:
            raise CaptionerError(
                f"cached_crops is {self.cached_crops}, but augment, which draws crops, is false; "
                "set augment to true or cached_crops to 0"
            )
        if self.autocast and self.full_precision:
            raise CaptionerError(
                "autocast and full_precision are both true; set one of them to false"
            )
        if self.pair_weight and self.accumulate > 1:
            raise CaptionerError(
                "pair_weight compares all questions of a batch, which accumulate divides: "
                f"accumulate is {self.accumulate}; set it to 1 or pair_weight to 0"
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
    """Build one config from plain values; raises CaptionerError for a wrong key or value."""
    check_names(settings, [f.name for f in fields(kind)], f"{source}: unknown setting")
    try:
        return kind(**settings)
    except CaptionerError as error:
        raise CaptionerError(f"{source}: {error}") from error
