"""Pictures of results: a batch's contact sheet and a job's chart of losses."""
