"""Networks on the command line, ``twinscope networks``: from runs to data sets, models, answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.cli_errors import told_in_a_line
from station.cli_options import AsJSON, Data, SettingsFile, load, names
from station.cli_progress import print_plain_table, progress_bar, tell_epoch

__all__ = ["networks_app"]

networks_app = typer.Typer(no_args_is_help=True, help="Networks that tell what images show.")

_NUMBERS = {"ignore_unknown_options": True}

ImageSetFile = Annotated[Path, typer.Argument(metavar="SET.h5", help="Of `networks collect`.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Its name, or name:version.")]
Channels = Annotated[str, typer.Option(help="Channels, e.g. deformation,adhesion.")]
Samples = Annotated[str, typer.Option(help="Samples, e.g. A2,C3,C5; all there are.")]
Folds = Annotated[int, typer.Option(min=2, help="Parts of the set; each is the test part once.")]
By = Annotated[str, typer.Option(help="What keeps images together: session, probe, field.")]
Properties = Annotated[
    Path | None, typer.Option(metavar="FILE.csv", help="Properties: sample,property,...")
]
Epochs = Annotated[int, typer.Option(min=1, help="Of networks, at most.")]
Batch = Annotated[int, typer.Option(min=1, help="Images a step of networks.")]
Patience = Annotated[int, typer.Option(min=1, help="Epochs without progress.")]
Rate = Annotated[float, typer.Option(help="Learning rate of networks.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all that is drawn.")]


@networks_app.command()
@told_in_a_line
def collect(
    target: ImageSetFile,
    channels: Channels = "deformation",
    samples: Samples = "",
    technique: Annotated[str, typer.Option(help="peakforce_qnm or tapping.")] = "peakforce_qnm",
    campaign: Annotated[str | None, typer.Option(help="Name, or first of its uid.")] = None,
    probe: Annotated[str | None, typer.Option(help="Serial number.")] = None,
    lines: Annotated[int | None, typer.Option(help="Resample to so many.")] = None,
    settings: SettingsFile = None,
    data: Data = None,
) -> None:
    """Make an image set of the images in the journal, with where each is from."""
    from station.datasets import ImageQuery, collect, summary

    query = ImageQuery(names(samples), campaign, probe, technique=technique)
    with progress_bar("reading") as told:
        made = collect(
            load(settings, data), query, names(channels), target, lines=lines, progress=told
        )
    for each in summary(made):
        typer.echo(
            f"{each.sample}: {each.images} images, {each.fields} fields, {each.sessions} sessions"
        )
    typer.echo(f"{target}: {len(made)} images, hash {made.content_hash[:16]}")


@networks_app.command()
@told_in_a_line
def train(
    source: ImageSetFile,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the model.")],
    channels: Channels = "deformation",
    samples: Samples = "",
    architecture: Annotated[str, typer.Option(help="Kind of network.")] = "resnet50",
    properties: Properties = None,
    folds: Folds = 5,
    fold: Annotated[int, typer.Option(min=0, help="Which part is for the test.")] = 0,
    by: By = "session,field",
    epochs: Epochs = 100,
    batch: Batch = 32,
    patience: Patience = 25,
    rate: Rate = 1e-3,
    seed: Seed = 0,
    start_from: Annotated[str, typer.Option(help="A .keras file to go on from.")] = "",
    intended_use: Annotated[str, typer.Option(help="For the card.")] = "",
    limits: Annotated[str, typer.Option(help="For the card.")] = "",
    settings: SettingsFile = None,
    data: Data = None,
) -> None:
    """Train a network, calibrate it and publish it; goes on where it was stopped."""
    from analysis.datasets import open_image_set
    from analysis.networks import TrainingOptions
    from station.modelling import Wanted, read_properties, train_model

    wanted = Wanted(
        name=name,
        channels=names(channels),
        architecture=architecture,
        properties={} if properties is None else read_properties(properties),
        samples=names(samples),
        folds=folds,
        fold=fold,
        by=names(by),
        intended_use=intended_use,
        limits=limits,
    )
    options = TrainingOptions(
        epochs=epochs,
        batch=batch,
        patience=patience,
        learning_rate=rate,
        seed=seed,
        start_from=start_from,
    )
    loaded = load(settings, data)
    with progress_bar("training") as told:
        made = train_model(
            loaded, open_image_set(source), wanted, options, lambda done: tell_epoch(told, done)
        )
    measured = ", ".join(f"{key} {value:.3g}" for key, value in made.card.metrics.items())
    typer.echo(f"model {made.card.reference}: {measured}\n{made.folder}")


@networks_app.command()
@told_in_a_line
def evaluate(
    sources: Annotated[list[Path], typer.Argument(metavar="SET.h5...", help="Image sets.")],
    folder: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Of results.")],
    tasks: Annotated[str, typer.Option(help="Questions, e.g. three-way.")] = "three-way",
    channels: Channels = "deformation",
    estimators: Annotated[
        str, typer.Option(help="Kinds of model.")
    ] = "features+logistic,features+forest",
    properties: Properties = None,
    folds: Folds = 5,
    repeats: Annotated[int, typer.Option(min=1, help="With other parts each.")] = 1,
    by: By = "session,field",
    epochs: Epochs = 100,
    batch: Batch = 32,
    patience: Patience = 25,
    rate: Rate = 1e-3,
    seed: Seed = 0,
) -> None:
    """Judge kinds of model on the same grouped splits: tables and figures; can be resumed."""
    from analysis.datasets import open_image_set
    from analysis.networks import TrainingOptions
    from analysis.networks.estimators import NETWORKS
    from analysis.networks.experiment import Experiment, Plan
    from analysis.networks.figures import save_figures
    from analysis.networks.table import tables_of
    from station.modelling import read_properties

    options = TrainingOptions(epochs=epochs, batch=batch, patience=patience, learning_rate=rate)
    # a result belongs to its options; without any, results that are there already stay valid
    told = {} if options == TrainingOptions() else dict.fromkeys(NETWORKS, options)
    experiment = Experiment(
        sets=[open_image_set(source) for source in sources],
        folder=folder,
        plan=Plan(folds=folds, repeats=repeats, seed=seed, by=names(by), options=told),
        properties={} if properties is None else read_properties(properties),
    )
    cells = experiment.cells(names(tasks), [(name,) for name in names(channels)], names(estimators))
    with progress_bar("cells") as tell:
        results = experiment.run(cells, lambda done: tell(done.done, done.cells))
    for table in tables_of(results):
        print_plain_table(table)
    for path in save_figures(results, folder):
        typer.echo(path)


@networks_app.command()
@told_in_a_line
def models(settings: SettingsFile = None, data: Data = None, as_json: AsJSON = False) -> None:
    """List the models, the latest version of each."""
    from station.listing import print_json
    from station.model_registry import registry_of

    registry = registry_of(load(settings, data))
    cards = [registry.card(name).card for name in registry.names()]
    if as_json:
        print_json([card.to_document() for card in cards])
    for card in () if as_json else cards:
        measured = ", ".join(f"{key} {value:.3g}" for key, value in card.metrics.items())
        typer.echo(
            f"{card.reference}  {', '.join(card.inputs.channels)} -> {', '.join(card.outputs)}"
            + (f"  ({measured})" if measured else "")
        )
    if not cards and not as_json:
        typer.echo(f"no models in {registry.folder}; `twinscope networks train` makes one")


@networks_app.command()
@told_in_a_line
def show(
    model: ModelName, settings: SettingsFile = None, data: Data = None, as_json: AsJSON = False
) -> None:
    """Show the card of a model, after its files were compared with it."""
    from analysis.networks.card import markdown
    from station.listing import print_json
    from station.model_registry import registry_of

    card = registry_of(load(settings, data)).load(model).card
    if as_json:
        print_json(card.to_document())
    else:
        typer.echo(markdown(card))


@networks_app.command(context_settings=_NUMBERS)
@told_in_a_line
def predict(
    uid: Annotated[str, typer.Argument(metavar="UID", help="Of an image; scan number, or -1.")],
    model: Annotated[str | None, typer.Option(help="Name, or name:version.")] = None,
    settings: SettingsFile = None,
    data: Data = None,
    as_json: AsJSON = False,
) -> None:
    """Ask a model what a recorded image shows, and compare with what it said live."""
    from rich.console import Console

    from station.listing import print_json
    from station.modelling import predict_run
    from station.prediction_tables import prediction_row, prediction_table

    found = predict_run(load(settings, data), uid, model)
    same = None if found.stored_uid is None else not found.differences
    if as_json:
        print_json({"uid": found.raw_uid, "same": same, **prediction_row(found.result)})
    else:
        Console().print(prediction_table(found.result))
        for difference in found.differences:
            typer.echo(f"not as analysis {found.stored_uid}: {difference}")
        if same:
            typer.echo(f"the same as analysis {found.stored_uid}, bit for bit")
    if same is False:
        raise typer.Exit(1)


@networks_app.command()
@told_in_a_line
def serve(
    model: ModelName,
    folder: Annotated[Path, typer.Option("--models", metavar="DIR", help="Of the models.")],
    key: Annotated[Path | None, typer.Option(help="File of the signing secret.")] = None,
    orientations: Annotated[int, typer.Option(help="1, 2, 4 or 8.")] = 1,
) -> None:
    """Serve a model to a station of this machine until standard input ends."""
    from analysis.networks.registry import Registry
    from station.model_registry import read_key
    from station.prediction_service import serve_model

    registry = Registry(folder, None if key is None else read_key(key))
    serve_model(registry, model, orientations=orientations)
