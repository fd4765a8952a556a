"""Export to MLflow: a run in the experiment `unlearn-cli` of a tracking server, a database or a folder."""

import requests  # pyright: ignore[reportMissingModuleSource]
from mlflow.entities import Metric, Param, RunTag  # pyright: ignore[reportMissingImports]
from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]
from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

from unlearn_cli.reporting.report import Report
from unlearn_cli.reporting.trackers.exported_numbers import list_metrics, list_parameters, list_tags, name_run

EXPERIMENT = "unlearn-cli"
MOST_METRICS, MOST_PARAMETERS = 1000, 100  # of one request
MOST_LETTERS = 6000  # of a parameter
ERRORS = (MlflowException, requests.RequestException, OSError)


def export(report: Report, target: str) -> None:
    """Log the metrics (curves with their steps), settings and tags."""
    client = MlflowClient(tracking_uri=target)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    identifier = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
    run = client.create_run(identifier, run_name=name_run(report)).info
    metrics = [Metric(name, value, run.start_time, 0) for name, value in list_metrics(report).items()]
    for curve in report.curves:
        name = f"curves/{curve.phase}/{curve.name}"
        steps = [(step, value) for step, value in enumerate(curve.values) if value is not None]
        metrics += [Metric(name, value, run.start_time, step) for step, value in steps]
    for start in range(0, len(metrics), MOST_METRICS):
        client.log_batch(run.run_id, metrics=metrics[start : start + MOST_METRICS])
    parameters = [Param(name, text[:MOST_LETTERS]) for name, text in list_parameters(report).items()]
    for start in range(0, len(parameters), MOST_PARAMETERS):
        client.log_batch(run.run_id, params=parameters[start : start + MOST_PARAMETERS])
    client.log_batch(run.run_id, tags=[RunTag(name, text) for name, text in list_tags(report).items()])
    client.set_terminated(run.run_id)
