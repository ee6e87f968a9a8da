"""Running jobs: the Celery workers, the pipeline of one job, and the engine that paints.

Leaves HTTP to `api` and every write to a job to `shared.db.jobs.transitions`. TensorFlow is imported only below
`worker.engine`, and only in the process that paints.
"""
