"""Running jobs: the Celery workers, the pipeline of one job, and the engine that paints.

Leaves HTTP to `api`, and every write to a job to `shared.db.jobs`. Only `worker.engine` imports TensorFlow: a worker's
parent and the maintenance process never load it.
"""
