"""Trains a network on the training part of a split, so that it can be stopped and gone on with.

After each epoch the loss on the validation part is taken; the weights of the epoch where it was
least are kept, and the training ends when it has not fallen for some epochs. The test part is never
looked at. Optimiser: decoupled weight decay (Loshchilov and Hutter, ICLR 2019) with a learning rate
that rises during the first epochs and then falls as a cosine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._training_input import TrainingInput, checked_input
from .channels import ModelSpec
from .checkpoints import Checkpoint, read_checkpoint, write_checkpoint, written_whole
from .feeding import Feed, ImageSource, batches_of, streamed
from .options import Progress, TrainingOptions
from .trained import MODEL_FILE, Trained, read_trained, write_trained

if TYPE_CHECKING:
    import keras

__all__ = ["PREDICTION_BATCH", "TrainingStoppedError", "policy_of", "predicted", "train"]

_CHECKPOINT = "checkpoint.npz"
_CLIP = 1.0  # norm of a gradient: one broken image must not undo an epoch
_NOT_DECAYED = ("gamma", "beta", "bias")  # they set scales; only weights of convolutions shrink
PREDICTION_BATCH = 32
_OTHER = "{} holds the training of something else: take another folder"


class TrainingStoppedError(RuntimeError):
    """A training was asked to stop; the last whole epoch is kept and can be gone on from."""


def train(
    image_set: ImageSource,
    targets: Sequence[str] | NDArray[Any],
    split: Any,
    spec: ModelSpec,
    options: TrainingOptions,
    folder: Path,
    progress: Callable[[Progress], object] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Trained:
    """Train a network, or go on with its training.

    Parameters
    ----------
    image_set : ImageSource
        All images; read as they are needed.
    targets : sequence of str, or array_like of shape (images,) or (images, properties)
        Of every image of the set: its class, or the values of the properties.
    split : Split
        Its ``train`` and ``validation`` parts are used.
    spec : ModelSpec
        The network.
    options : TrainingOptions
        How to train it.
    folder : Path
        Of this training alone. Holds a checkpoint while it goes on, and ``model.keras`` when it has
        ended; then it is not done again.
    progress : callable(Progress), optional
        Called after each batch.
    stop : callable, optional
        Asked before each batch whether to stop.

    Raises
    ------
    ValueError
        Units, channels, shape, targets or split do not fit, or the folder holds the training of
        something else: one line, and nothing is left behind.
    TrainingStoppedError
        When `stop` said so.
    """
    given = checked_input(image_set, targets, split, spec, options)
    folder = Path(folder)
    finished = _finished(folder, given.fingerprint)
    if finished is not None:
        return finished
    checkpoint = read_checkpoint(folder / _CHECKPOINT)
    if checkpoint is not None and checkpoint.fingerprint != given.fingerprint:
        raise ValueError(_OTHER.format(folder))
    run = _Training(given, progress or _ignore, stop or _never)
    if checkpoint is not None:
        run.go_on_from(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    while not run.over:
        run.epoch()
        write_checkpoint(folder / _CHECKPOINT, run.checkpoint())
    return _kept(run, folder)


def _ignore(progress: Progress) -> None:
    """Show nobody."""


def _never() -> bool:
    """Go on."""
    return False


class _Training:
    """A training in memory, an epoch at a time."""

    def __init__(
        self,
        given: TrainingInput,
        progress: Callable[[Progress], object],
        stop: Callable[[], bool],
    ) -> None:
        self.given = given
        self._progress, self._stop = progress, stop
        options = given.options
        self._feed = Feed(
            given.image_set,
            given.targets,
            given.train,
            options.batch,
            seed=options.seed,
            augment=options.augment,
        )
        self.network = _begun(given)
        self._trainee = _compiled(self.network, options, self._feed.steps)
        self._history: tuple[Mapping[str, Any], ...] = ()
        self._best: Sequence[NDArray[Any]] = ()

    @property
    def history(self) -> tuple[Mapping[str, Any], ...]:
        """What was learnt of each epoch so far."""
        return self._history

    @property
    def best_epoch(self) -> int:
        """Epoch of the least loss on the validation part; the last one where there is none."""
        losses = [epoch["validation_loss"] for epoch in self._history]
        if not self.given.validation:
            return len(losses) - 1
        return int(np.argmin(losses))

    @property
    def over(self) -> bool:
        """Whether all epochs are done, or the loss has not fallen for long enough."""
        done, options = len(self._history), self.given.options
        if done >= options.epochs:
            return True
        return bool(done) and done - 1 - self.best_epoch >= options.patience

    def epoch(self) -> None:
        """Train one epoch and look at the validation part."""
        began = time.monotonic()
        loss = self._pass(len(self._history))
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss became {loss} in epoch {len(self._history) + 1}: train with a lower "
                f"learning rate than {self.given.options.learning_rate:g}"
            )
        validation_loss, score = self.given.judged(self.validation())
        entry = {
            "loss": loss,
            "validation_loss": validation_loss,
            "validation_score": score,
            "seconds": time.monotonic() - began,
        }
        self._history = (*self._history, entry)
        if self.best_epoch == len(self._history) - 1:
            self._best = [np.array(weight) for weight in self._trainee.get_weights()]

    def _pass(self, number: int) -> float:
        """Show the network every image once; the mean loss."""
        feed, options = self._feed, self.given.options
        self._trainee.reset_metrics()
        loss = math.nan
        example = (np.empty((0, *self.given.image_shape), np.float32), self.given.targets[:0])
        batches = streamed(lambda: feed.epoch(number), example)
        last = self._history[-1]["validation_loss"] if self._history else math.nan
        for batch, (images, targets) in enumerate(batches, start=1):
            if self._stop():
                raise TrainingStoppedError(
                    f"training stopped in epoch {number + 1} of {options.epochs}: train again in "
                    "the same folder to go on"
                )
            loss = float(self._trainee.train_on_batch(images, targets))
            self._progress(Progress(number + 1, options.epochs, batch, feed.steps, loss, last))
        return loss

    def validation(self) -> NDArray[np.float64]:
        """What the network gives for the validation part: logits, or standardised values."""
        return predicted(self._trainee, self.given.image_set, self.given.validation)

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Put everything as it was after the last whole epoch."""
        self._history = checkpoint.history
        self._best = checkpoint.best
        for variable, value in zip(self._variables(), checkpoint.state, strict=True):
            variable.assign(value)

    def checkpoint(self) -> Checkpoint:
        """What is needed to go on from here."""
        state = [np.array(variable) for variable in self._variables()]
        return Checkpoint(self.given.fingerprint, self._history, state, self._best)

    def keep_best(self) -> None:
        """Give the network the weights of its best epoch."""
        self._trainee.set_weights(list(self._best))

    def _variables(self) -> list[Any]:
        """Everything that changes while training, the states of random numbers too."""
        found = {
            id(variable): variable for layer in self.network.layers for variable in layer.variables
        }
        return [*found.values(), *self._trainee.optimizer.variables]


def _begun(given: TrainingInput) -> keras.Model:
    """Build the network that is to be trained."""
    from .architectures import build, load_network
    from .preprocessing import measure_statistics
    from .transfer import take_over

    spec, options = given.spec, given.options
    images = batches_of(given.image_set, given.train, PREDICTION_BATCH)
    network = build(
        spec,
        measure_statistics(spec.channels, images),
        given.scale,
        seed=options.seed,
        policy=policy_of(options.precision),
    )
    if options.start_from:
        take_over(load_network(options.start_from), network, freeze=options.freeze)
    return network


def policy_of(precision: str) -> str:
    """Return the policy of Keras for one of `PRECISIONS`, on this machine."""
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if _has_gpu() else "float32"


def _has_gpu() -> bool:
    """Whether there is a graphics processor.

    Without one XLA is no help: a step of the 50-layer network took four times as long on two cores.
    """
    import keras

    # JAX raises where it is asked for a kind of device that there is none of, so all are asked for.
    return any(not name.lower().startswith("cpu") for name in keras.distribution.list_devices())


def _compiled(network: keras.Model, options: TrainingOptions, steps: int) -> keras.Model:
    """Return the network with its loss and optimiser, ready to be trained."""
    import keras

    from .architectures import spec_of, training_view

    optimiser = keras.optimizers.AdamW(
        _rate(options, steps), weight_decay=options.weight_decay, clipnorm=_CLIP
    )
    optimiser.exclude_from_weight_decay(var_names=list(_NOT_DECAYED))
    if spec_of(network).is_classification:
        loss: Any = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    else:
        loss = keras.losses.MeanSquaredError()
    trainee = training_view(network)
    compiled: Any = "auto" if _has_gpu() else False
    trainee.compile(optimizer=optimiser, loss=loss, jit_compile=compiled)
    trainee.optimizer.build(trainee.trainable_variables)
    return trainee


def _rate(options: TrainingOptions, steps: int) -> Any:
    """Learning rate of each step: a rise, then a cosine down to 0."""
    import keras

    decay = keras.optimizers.schedules.CosineDecay
    total = steps * options.epochs
    rising = min(steps * options.warm_up, total // 2)
    if not rising:
        return decay(options.learning_rate, decay_steps=total)
    return decay(
        options.learning_rate / rising,
        decay_steps=total - rising,
        warmup_target=options.learning_rate,
        warmup_steps=rising,
    )


def predicted(
    model: keras.Model, image_set: ImageSource, indices: Sequence[int]
) -> NDArray[np.float64]:
    """Return what a network gives for images, (n, outputs).

    Parameters
    ----------
    model : keras.Model
        From raw images to logits or values.
    image_set : ImageSource
        The images; a few at a time are in memory.
    indices : sequence of int
        Which of them.
    """
    found = [
        np.asarray(model.predict_on_batch(images), dtype=np.float64)
        for images in batches_of(image_set, indices, PREDICTION_BATCH)
    ]
    return np.concatenate(found) if found else np.empty((0, model.output_shape[-1]))


def _kept(run: _Training, folder: Path) -> Trained:
    """Write the network of the best epoch and what is known of it; end the checkpoint."""
    run.keep_best()
    given = run.given
    trained = Trained(
        model=folder / MODEL_FILE,
        spec=given.spec,
        options=given.options,
        history=run.history,
        best_epoch=run.best_epoch,
        validation_indices=given.validation,
        validation=predicted(run.network, given.image_set, given.validation),
        fingerprint=given.fingerprint,
    )
    written_whole(trained.model, run.network.save)
    write_trained(trained)
    (folder / _CHECKPOINT).unlink(missing_ok=True)
    return trained


def _finished(folder: Path, fingerprint: str) -> Trained | None:
    """Return the training of a folder where it has ended; refuses another one."""
    trained = read_trained(folder)
    if trained is not None and trained.fingerprint != fingerprint:
        raise ValueError(_OTHER.format(folder))
    return trained
